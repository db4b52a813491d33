"""What Alertmanager silences and inhibits: the list that was read last, and what it says of an alert.

Here: reading the list at most once a second for all judgements, keeping it while Alertmanager is away, and finding
what holds for an alert.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace

import structlog

from rearguard_controller.adapters.alertmanager import Alertmanager, ManagedAlert, Matcher, Silence
from rearguard_controller.errors import SourceError
from rearguard_controller.facts.alerts_now import READING_HOLDS
from rearguard_controller.model import DRILL_LABEL, Alert, Labels, Silencing

log = structlog.get_logger(__name__)

FAILURE_HOLDS = 5.0  # seconds until an Alertmanager that did not answer is asked again: judgements wait for it
MOST_INDEXED = 100  # sets of label names by which the list is looked up
_SHOWN = 120  # characters of a comment that a sentence repeats

# Regular expressions that cost little wherever they come from: no repeated groups, and few repetitions in a row.
_PIECE = r"(?:\\[a-zA-Z]|\\[^\w]|\[[^\[\]\\]+\]|[^\\\[\](){}|*+?^$])[*+?]?"
_SIMPLE = re.compile(rf"\^?(?:{_PIECE}|\||\((?:\?:)?(?:{_PIECE}|\|)*\)\??)*\$?")
_LONGEST_PATTERN, _LONGEST_VALUE, _MOST_REPETITIONS = 4096, 256, 3


class Silences:
    """Alertmanager's list, as it was read last."""

    def __init__(
        self, alertmanager: Alertmanager | None, *, clock: Callable[[], float], monotonic: Callable[[], float]
    ) -> None:
        """Nothing is read yet; without an Alertmanager nothing ever is. `monotonic` is a clock that never jumps."""
        self._alertmanager = alertmanager
        self._clock = clock
        self._monotonic = monotonic
        self._lock = asyncio.Lock()
        self._next_at: float | None = None
        self._read_at: float | None = None
        self._fault = ""
        self._alerts: Sequence[ManagedAlert] = ()  # those that are held back, or all
        self._has_all = False
        self._silences: Sequence[Silence] = ()
        self._by_labels: dict[tuple[str, ...], dict[tuple[str | None, ...], list[ManagedAlert]]] = {}

    async def look(self) -> None:
        """Read the list, unless the last one is younger than `READING_HOLDS`; that stays if there is no answer."""
        if self._alertmanager is None:
            return
        async with self._lock:
            asked_at = self._monotonic()
            if self._next_at is not None and asked_at < self._next_at:
                return
            try:
                silences = await self._alertmanager.silences()
                # a silence that cannot be compared here counts only until Alertmanager knows the alert: see `of`
                has_all = any(map(_is_foreign, silences))
                alerts = await self._alertmanager.alerts(only_held=not has_all)
                asks = any(each.inhibited_by for each in alerts)
                drills = await self._alertmanager.drills() if asks else ()
            except SourceError as error:
                self._fault, self._next_at = error.message, self._monotonic() + FAILURE_HOLDS
                log.warning("alertmanager_away", error=error.message, hint=error.hint)
                return
            self._alerts = _without_drills(alerts, frozenset(each.fingerprint for each in drills))
            self._has_all, self._silences, self._by_labels = has_all, silences, {}
            self._fault, self._read_at, self._next_at = "", asked_at, asked_at + READING_HOLDS

    def of(self, alert: Alert) -> Silencing | None:
        """What the list says of an alert as Prometheus has it; None when no Alertmanager is configured.

        If Alertmanager knows the alert, then it says itself what holds. It may not know the alert yet, so silences
        are also compared with the alert's labels here. For that, external labels, which only Alertmanager sees, count
        as absent. A matcher that cannot be compared here counts as fitting until Alertmanager knows the alert.
        """
        if self._alertmanager is None:
            return None
        if self._read_at is None:
            return Silencing(None, self._fault)
        age = round(self._monotonic() - self._read_at, 1)  # so that alerts that are judged together are alike
        known = self._known(alert.labels)
        ids = {each for one in known for each in one.silenced_by}
        now, unsure = self._clock(), self._has_all and not known
        holding = [
            each
            for each in self._silences
            if each.starts_at <= now < each.ends_at
            and (each.id in ids or _matches(each, alert.labels, unsure=unsure))
        ]
        longest = max(holding, key=lambda each: each.ends_at, default=None)
        newer = ids.difference(each.id for each in self._silences)  # made after the silences and before the alerts
        return Silencing(
            age=age,
            fault=self._fault,
            silence=f"silence {min(newer)}" if newer else "" if longest is None else _words(longest),
            until=None if newer or longest is None else longest.ends_at,
            inhibited_by=next((each for one in known for each in one.inhibited_by), ""),
        )

    def _known(self, labels: Labels) -> Sequence[ManagedAlert]:
        """Alertmanager's alerts that have all of these labels."""
        names = tuple(sorted(labels))
        by_values = self._by_labels.get(names)
        if by_values is None:
            if len(self._by_labels) >= MOST_INDEXED:
                self._by_labels.clear()
            by_values = self._by_labels[names] = {}
            for each in self._alerts:
                by_values.setdefault(tuple(each.labels.get(name) for name in names), []).append(each)
        return by_values.get(tuple(labels[name] for name in names), ())


def _without_drills(alerts: Sequence[ManagedAlert], drills: Collection[str]) -> Sequence[ManagedAlert]:
    """The alerts without those of drills, which inhibit nothing either."""
    return [
        replace(each, inhibited_by=tuple(one for one in each.inhibited_by if one not in drills))
        for each in alerts
        if not each.labels.get(DRILL_LABEL)
    ]


def _is_foreign(silence: Silence) -> bool:
    return any(each.is_regex and _fits(each.value, "") is None for each in silence.matchers)


def _matches(silence: Silence, labels: Labels, *, unsure: bool) -> bool:
    return all(agrees(matcher, labels.get(matcher.name, ""), unsure=unsure) for matcher in silence.matchers)


def agrees(matcher: Matcher, value: str, *, unsure: bool) -> bool:
    """Whether a label's value is what a matcher asks; `unsure` is the answer where that cannot be told here."""
    if not matcher.is_regex:
        return (matcher.value == value) is matcher.is_equal
    found = _fits(matcher.value, value)
    return unsure if found is None else found is matcher.is_equal


def _fits(pattern: str, value: str) -> bool | None:
    """Whether a whole value fits a regular expression; None if that cannot be told here quickly for certain.

    Whoever may write a silence must not be able to stop the controller, and Python has no engine with Go's syntax and
    bounded time. So only simple expressions are compared here; about all others Alertmanager has the word.
    """
    parts = [pattern] if "(" in pattern else pattern.split("|")
    repetitions = max(part.count("*") + part.count("+") for part in parts)
    if len(pattern) > _LONGEST_PATTERN or len(value) > _LONGEST_VALUE or repetitions > _MOST_REPETITIONS:
        return None
    try:
        return re.fullmatch(pattern, value) is not None if _SIMPLE.fullmatch(pattern) else None
    except re.error:
        return None


def _words(silence: Silence) -> str:
    comment = " ".join(silence.comment.split())[:_SHOWN]
    by = f" of {silence.created_by}" if silence.created_by else ""
    return f"silence {silence.id}{by}" + (f" ({comment})" if comment else "")
