"""The routes of an Alertmanager's configuration, and which receivers an alert reaches by them. Pure.

Here: reading the YAML that Alertmanager shows of itself, and walking its tree of routes as Alertmanager does: the
first route below that fits takes the alert, and the next ones only if it says `continue`.
Never here: silences, inhibition, mute times. They change with time.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import yaml

from rearguard_controller.adapters.alertmanager.answers import Matcher
from rearguard_controller.adapters.foreign_json import ShapeError, mapping
from rearguard_controller.model import Labels

DEEPEST = 50  # routes below routes
# prometheus.io/docs/alerting/latest/configuration, "Matcher": name, operator, and a value that may be quoted.
_QUOTED = r'"(?:[^"\\]|\\.)*"'
_MATCHER = re.compile(
    rf'\s*(?P<name>{_QUOTED}|[^\s"=!~,{{}}]+)\s*(?P<sign>=~|!~|!=|=)\s*(?P<value>{_QUOTED}|[^",{{}}]*?)\s*(?:,|$)'
)

Agrees = Callable[[Matcher, str], bool]  # whether a label's value is what a matcher asks


@dataclass(frozen=True, slots=True)
class Route:
    """One route: who gets what fits, and the routes below."""

    receiver: str
    matchers: tuple[Matcher, ...]
    goes_on: bool
    below: tuple[Route, ...]


@dataclass(frozen=True, slots=True)
class Routing:
    """A tree of routes, and the addresses of the webhooks of each receiver."""

    root: Route
    webhooks: Mapping[str, tuple[str, ...]]

    def reached(self, labels: Labels, agrees: Agrees) -> tuple[str, ...]:
        """The receivers that get an alert with these labels, each once."""
        return tuple(dict.fromkeys(_reached(self.root, labels, agrees)))


def routing(text: str) -> Routing:
    """Read a configuration.

    Raises:
        ShapeError: it is none of Alertmanager.
    """
    try:
        document = mapping(yaml.safe_load(text), "the configuration")
    except (yaml.YAMLError, ValueError, RecursionError):
        raise ShapeError("the configuration is no YAML") from None
    receivers = document.get("receivers")
    webhooks = {}
    for each in receivers if isinstance(receivers, list) else []:
        entry = mapping(each, "receivers")
        webhooks[str(entry.get("name"))] = tuple(_addresses(entry.get("webhook_configs")))
    return Routing(_route(mapping(document.get("route"), "route"), "", DEEPEST), webhooks)


def _addresses(entries: object) -> Iterator[str]:
    for each in entries if isinstance(entries, list) else []:
        entry = mapping(each, "webhook_configs")
        yield str(entry.get("url") or "")


def _route(entry: Mapping[str, object], receiver: str, deepest: int) -> Route:
    if not deepest:
        raise ShapeError("the routes are nested too deeply")
    own = str(entry.get("receiver") or receiver)
    below = entry.get("routes")
    return Route(
        own,
        tuple(_matchers(entry)),
        entry.get("continue") is True,
        tuple(_route(mapping(each, "routes"), own, deepest - 1) for each in below) if isinstance(below, list) else (),
    )


def _matchers(entry: Mapping[str, object]) -> Iterator[Matcher]:
    for key, is_regex in (("match", False), ("match_re", True)):  # the older spelling
        old = entry.get(key)
        for name, value in old.items() if isinstance(old, dict) else ():
            yield Matcher(str(name), str(value), is_regex, is_equal=True)
    told = entry.get("matchers")
    for each in told if isinstance(told, list) else [told] if told else []:
        yield from matchers(str(each))


def matchers(text: str) -> Iterator[Matcher]:
    """The matchers of one text, such as `severity=~"critical|page", team!=web`.

    Raises:
        ShapeError: it is none.
    """
    rest = text.strip().removeprefix("{").removesuffix("}").strip()
    while rest:
        found = _MATCHER.match(rest)
        if found is None:
            raise ShapeError(f"the matcher {text[:100]!r} cannot be read here")
        name, sign, value = _plain(found["name"]), found["sign"], _plain(found["value"])
        yield Matcher(name, value, is_regex="~" in sign, is_equal=sign.startswith("="))
        rest = rest[found.end() :].strip()


def _plain(text: str) -> str:
    if not text.startswith('"'):
        return text
    return text[1:-1].replace("\\n", "\n").replace('\\"', '"').replace("\\\\", "\\")


def _reached(route: Route, labels: Labels, agrees: Agrees) -> Iterator[str]:
    if not all(agrees(matcher, labels.get(matcher.name, "")) for matcher in route.matchers):
        return
    anybody = False
    for each in route.below:
        found = tuple(_reached(each, labels, agrees))
        anybody = anybody or bool(found)
        yield from found
        if found and not each.goes_on:
            return
    if not anybody:
        yield route.receiver
