"""Templates to HTML. Every text from outside is inert: escaped, and without characters that nobody sees.

Here: the environment of the templates, and the small words that they use.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import datetime
from urllib.parse import quote, urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from rearguard_controller.page import static
from rearguard_controller.wording import printable, span

_KEEP = "\n\t"  # of a step's output
SHORT = 12  # characters of a version that is a long identity


def _inert(value: object) -> object:
    """What an expression of a template becomes before it is escaped."""
    if isinstance(value, str) and not hasattr(value, "__html__"):
        return printable(value, keep=_KEEP)
    return "" if value is None else value


def segment(text: str) -> str:
    """A name as one segment of a path."""
    return quote(text, safe="")


def _when(text: str | None, now: float | None = None) -> Markup:
    """A moment of a view: the exact time, and how long ago."""
    if text is None:
        return Markup("-")
    moment = datetime.fromisoformat(text)
    ago = (time.time() if now is None else now) - moment.timestamp()
    told = f"{span(ago)} ago" if ago >= 1 else "now" if ago > -1 else f"in {span(-ago)}"
    shown = moment.strftime("%Y-%m-%d %H:%M:%S UTC")
    return Markup('<time datetime="{}" title="{}">{}</time>').format(text, shown, told)


def _clock(text: str | None) -> Markup:
    """A moment of a view as a time of the day."""
    if text is None:
        return Markup("-")
    moment = datetime.fromisoformat(text)
    return Markup('<time datetime="{}" title="{}">{}</time>').format(
        text, moment.strftime("%Y-%m-%d %H:%M:%S UTC"), moment.strftime("%H:%M:%S")
    )


def _day(text: str | None) -> Markup:
    """A moment of a view with its day, for reports that are read later."""
    if text is None:
        return Markup("-")
    shown = datetime.fromisoformat(text).strftime("%Y-%m-%d %H:%M:%S UTC")
    return Markup('<time datetime="{}">{}</time>').format(text, shown)


def _lasted(began: str | None, ended: str | None) -> str:
    if began is None or ended is None:
        return ""
    return span((datetime.fromisoformat(ended) - datetime.fromisoformat(began)).total_seconds())


def _words(code: object) -> str:
    """A word of a closed set as people read it."""
    return str(code).replace("_", " ")


def _short(version: str | None) -> str:
    """A version; of an identity such as a digest its beginning."""
    if version is None:
        return "unknown"
    kind, colon, rest = version.rpartition(":")
    if len(rest) > 2 * SHORT and rest.isalnum():
        return f"{kind}{colon}{rest[:SHORT]}…"
    return version


def _prometheus(expression: str, base: str, at: str | None = None) -> str:
    """The address at which Prometheus draws an expression, up to a moment."""
    fields = {"g0.expr": expression, "g0.tab": "0", "g0.range_input": "1h"}
    if at is not None:
        fields["g0.end_input"] = at[:19].replace("T", " ")
    return f"{base}/graph?{urlencode(fields)}"


def _environment() -> Environment:
    made = Environment(
        loader=PackageLoader("rearguard_controller.page"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_inert,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(
        when=_when,
        clock=_clock,
        day=_day,
        words=_words,
        short=_short,
        segment=segment,
        prometheus=_prometheus,
        span=span,
    )
    made.globals.update(lasted=_lasted, file=static.address)
    return made


_TEMPLATES = _environment()


def render(template: str, values: Mapping[str, object]) -> Markup:
    """The HTML of a template."""
    return Markup(_TEMPLATES.get_template(template).render(values))  # noqa: S704  # each value in it is escaped
