"""Numbers, durations, times, measurements and addresses as text for people. None of these functions ever raises."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, overload

from rearguard_controller.times import moments

if TYPE_CHECKING:  # the command line shows text, and needs nothing of the model for it
    from rearguard_controller.model import Decision, Measurement

_SETTINGS = re.compile(r" ssl:(?:<[^>]*>|\w+)")  # what aiohttp says of its own: no help to anybody
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s'\"<>]+")
MOST_NAMED = 12  # names of a list that may be long

MOST_DIGITS = 15  # that a number keeps
MOST_ZEROS = 12  # before a number is written as a power of ten


def summary(decision: Decision) -> str:
    """Which answers stand in the way, in one line; of a request by hand only the questions that apply to it count."""
    from rearguard_controller.model import Trigger  # noqa: PLC0415  # who has a decision has loaded it

    asked = [
        each
        for each in decision.reasons
        if decision.trigger is Trigger.ALERT or each.holds is not None or each.blocks
    ]
    blocking = [each.code.value for each in asked if each.blocks]
    if not blocking:
        return f"None of {len(asked)} answers stands in the way."
    return f"{len(blocking)} of {len(asked)} answers would have to differ: {', '.join(blocking)}."


def describe(measured: Measurement) -> str:
    """A measurement in words: value, relation, threshold."""
    from rearguard_controller.model.observations import EXISTS  # noqa: PLC0415  # who has one has loaded it

    if measured.operator == EXISTS:
        return "present" if measured.past else "absent"
    value, threshold = number(measured.value), number(measured.threshold)
    relation = "past" if measured.past else "not past"
    return f"{value}, {relation} the threshold {measured.operator} {threshold}"


def number(value: float | None, digits: int = 4) -> str:
    """A number for people: at most so many significant digits, and no power of ten unless there are many zeros."""
    if value is None:
        return "unknown"
    short = f"{value:.{digits}g}"
    mantissa, _, power = short.partition("e")
    if not power or abs(int(power)) > MOST_ZEROS:
        return short
    decimals = len(mantissa.lstrip("-").replace(".", "")) - 1 - int(power)
    return f"{float(short):.{max(0, decimals)}f}"


def whole(count: float) -> str:
    """A count for people, who may work with it: no digit is lost."""
    return number(count, MOST_DIGITS)


def percent(share: float) -> str:
    """A share for people, in hundredths."""
    return f"{number(100 * share)} %"


def span(seconds: float) -> str:
    """A duration for people, in its two largest units."""
    if not math.isfinite(seconds):
        return "an unknown time"
    rest = round(seconds)
    if abs(rest) < 1:
        return f"{seconds:.1f}s"
    parts = []
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        count, rest = divmod(rest, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts[:2])


def clock_time(seconds: float) -> str:
    """A moment (seconds since the epoch) for people: RFC 3339 in UTC, to the second.

    One that no calendar shows, as a journal of an earlier version may hold, is the calendar's first or last moment.
    """
    return moments.shown(seconds).replace(microsecond=0).isoformat().replace("+00:00", "Z")


def because(detail: str) -> str:
    """The end of a sentence: a colon and the reason, or a full stop if no reason is known."""
    if not detail:
        return "."
    return f": {detail}" if detail.endswith(".") else f": {detail}."


def some(names: Iterable[str]) -> str:
    """The first names and how many more there are, for a fleet has thousands; `none` without any."""
    first: list[str] = []
    more = 0
    for name in names:
        if len(first) < MOST_NAMED:
            first.append(name)
        else:
            more += 1
    return (", ".join(first) or "none") + (f" and {more} more" if more else "")


def meant(word: str, known: Iterable[str]) -> str:
    """A question after the name that was probably meant, with a blank after it; empty if none is alike."""
    from difflib import get_close_matches  # noqa: PLC0415  # mistakes only

    found = get_close_matches(word, list(known), n=1)
    return f"Did you mean {found[0]}? " if found else ""


def printable(text: str, *, keep: str = "", as_json: bool = False) -> str:
    r"""Text in which every character that is not shown is spelt out, such as \x1b or \u202e.

    These are control characters (also C1 and DEL), those that turn the direction of writing, unusual blanks and line
    ends, and other invisible ones.

    Args:
        text: may hold lone surrogates.
        keep: characters that stay in any case.
        as_json: escape as JSON does, so that a JSON text means what it meant.
    """
    if text.isprintable():
        return text
    spelt = _json_escape if as_json else _escape
    return "".join(each if each.isprintable() or each in keep else spelt(each) for each in text)


def one_line(text: str) -> str:
    """Text with a blank for each line end and tab: nobody's words can look like a line of ours."""
    return text.replace("\r\n", " ").replace("\n", " ").replace("\r", " ").replace("\t", " ")


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def _json_escape(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))


@overload
def moment(seconds: float) -> str: ...


@overload
def moment(seconds: None) -> None: ...


@overload
def moment(seconds: float | None) -> str | None: ...


def moment(seconds: float | None) -> str | None:
    """Seconds since the epoch as RFC 3339 in UTC, to the millisecond; None stays None.

    One that no calendar shows is the calendar's first or last moment.
    """
    if seconds is None:
        return None
    return moments.shown(seconds).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def address(url: str) -> str:
    """An address that may be shown anywhere: without user, password, query and fragment, which may be secret."""
    scheme, separator, rest = url.partition("://")
    authority, slash, path = re.split(r"[?#]", rest, maxsplit=1)[0].partition("/")
    return f"{scheme}{separator}{authority.rpartition('@')[2]}{slash}{path}"


def plain(text: str) -> str:
    """A sentence that a library or a system wrote, with the secret parts of every address in it removed."""
    return _ADDRESS.sub(lambda match: address(match[0]), text)


def fault(error: Exception) -> str:
    """What an error of a connection says, as `plain`; its kind where it says nothing."""
    return plain(_SETTINGS.sub("", str(error))) or type(error).__name__
