"""Several replicas of one Prometheus: all are asked, and what they answer is put together.

Here: asking each, what of their answers counts, and which of them are away. Who must know what each one says by
itself, such as a measurement, asks `apart`.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import replace
from typing import TypeVar

import structlog

from rearguard_controller.adapters.foreign_json import Wanted
from rearguard_controller.adapters.http_source import AwayError
from rearguard_controller.adapters.prometheus.answers import (
    About,
    AlertingRule,
    LabelItems,
    PrometheusAlert,
    RecordingRule,
    Rules,
    Series,
)
from rearguard_controller.adapters.prometheus.client import TIMEOUT, Prometheus
from rearguard_controller.config import PrometheusSettings
from rearguard_controller.errors import SourceError
from rearguard_controller.model import AlertState, Labels, Sample

log = structlog.get_logger(__name__)

REST = 10.0  # seconds for which a replica that did not answer is not asked: every question would wait for it

T = TypeVar("T")
_Rule = TypeVar("_Rule", bound=AlertingRule | RecordingRule)


def connect(settings: PrometheusSettings, clock: Callable[[], float] | None = None) -> Prometheus:
    """The Prometheus of these settings: one, or its replicas; `clock` is ours, see `Prometheus`."""
    return Prometheus(settings, clock=clock) if len(settings.urls) == 1 else Replicas(settings, clock=clock)


class Replicas(Prometheus):
    """Asks every replica; one that is away does not count. Close it when done."""

    def __init__(
        self, settings: PrometheusSettings, *, timeout: float = TIMEOUT, clock: Callable[[], float] | None = None
    ) -> None:
        """Nothing is connected yet; see `Prometheus`."""
        super().__init__(settings, timeout=timeout, clock=clock)
        self._each = tuple(
            Prometheus(replace(settings, urls=(url,)), timeout=timeout, clock=clock) for url in settings.urls
        )
        self._rests: dict[Prometheus, float] = {}  # until when, by the loop's clock
        self._away: dict[Prometheus, str] = {}  # why
        self.rules_of: dict[str, Rules] = {}  # by address, as they were read last

    @property
    def replicas(self) -> Sequence[Prometheus]:
        """Those that answered last, by themselves; all of them if none did."""
        return tuple(each for each in self._each if each not in self._away) or self._each

    @property
    def away(self) -> dict[str, str]:
        """Why a replica did not answer last, by address."""
        return {each.address: why for each, why in self._away.items()}

    @property
    def skews(self) -> dict[str, float]:
        """See `Prometheus.skews`."""
        return {url: ahead for each in self._each for url, ahead in each.skews.items()}

    async def compare_clocks(self) -> None:
        """See `Prometheus.compare_clocks`; one that is away is left alone."""
        now = asyncio.get_running_loop().time()
        asked = [each for each in self._each if self._rests.get(each, 0.0) <= now]
        await asyncio.gather(*(each.compare_clocks() for each in asked))

    def look_for(self, wanted: Callable[[], Wanted]) -> None:
        """See `Prometheus.look_for`."""
        for each in self._each:
            each.look_for(wanted)

    async def alerts(self) -> tuple[PrometheusAlert, ...]:
        """The alerts of all: one fires if any replica says so, and began when the first of them saw it."""
        return _together(await self._ask_each(lambda each: each.alerts()))

    async def alerting(self, labels: Labels, rules: Rules) -> tuple[PrometheusAlert, ...]:
        """See `Prometheus.alerting`, and `alerts`."""
        return _together(await self._ask_each(lambda each: each.alerting(labels, rules)))

    async def rules(self) -> Rules:
        """The rules of all: one is healthy if every replica that has it says so."""
        found = await self._ask_each(self._rules)
        alerting = _worst_of(each.alerting for each in found)
        alerts: dict[tuple[object, ...], frozenset[LabelItems]] = {}
        for rule in _joined(each.alerting for each in found):
            alerts[_identity(rule)] = alerts.get(_identity(rule), frozenset()) | rule.alerts
        return Rules(
            tuple(replace(each, alerts=alerts[_identity(each)]) for each in alerting),
            _worst_of(each.recording for each in found),
        )

    async def scrape_intervals(self) -> dict[tuple[str, str], float]:
        """See `Prometheus.scrape_intervals`; the longest of an instance counts."""
        longest: dict[tuple[str, str], float] = {}
        for found in await self._ask_each(lambda each: each.scrape_intervals()):
            for instance, seconds in found.items():
                longest[instance] = max(seconds, longest.get(instance, 0.0))
        return longest

    async def query(self, expression: str, time: float | None = None) -> tuple[Sample, ...]:
        """See `Prometheus.query`; a series that several replicas have comes once from each."""
        return _joined(await self._ask_each(lambda each: each.query(expression, time)))

    async def query_range(
        self, expression: str, start: float, end: float, step: float, about: About | None = None
    ) -> tuple[Series, ...]:
        """See `Prometheus.query_range`; a series that several replicas have comes once from each."""
        return _joined(await self._ask_each(lambda each: each.query_range(expression, start, end, step, about)))

    async def stored(self, selector: str, start: float, end: float) -> tuple[Series, ...]:
        """See `Prometheus.stored`; a series that several replicas have comes once from each."""
        return _joined(await self._ask_each(lambda each: each.stored(selector, start, end)))

    async def close(self) -> None:
        """Close open connections."""
        await asyncio.gather(*(each.close() for each in self._each))

    async def retire(self) -> None:
        """See `Asking.retire`."""
        await asyncio.gather(*(each.retire() for each in self._each))

    async def _rules(self, one: Prometheus) -> Rules:
        self.rules_of[one.address] = found = await one.rules()
        return found

    async def _ask_each(self, ask: Callable[[Prometheus], Awaitable[T]]) -> list[T]:
        """The answers of all replicas that are not away; raises `SourceError` if one refuses, or all are away."""
        now = asyncio.get_running_loop().time
        asked = [each for each in self._each if self._rests.get(each, 0.0) <= now()] or list(self._each)
        answers = await asyncio.gather(*(ask(each) for each in asked), return_exceptions=True)
        found: list[T] = []
        faults: list[BaseException] = []
        for each, answer in zip(asked, answers, strict=True):
            if isinstance(answer, AwayError):
                self._note_away(each, answer, now() + REST)
                faults.append(answer)
                continue
            if self._away.pop(each, None) is not None:
                log.info("prometheus_replica_back", address=each.address)
            if isinstance(answer, BaseException):
                raise answer
            found.append(answer)
        if not found:
            raise _of_all(faults)
        return found

    def _note_away(self, one: Prometheus, fault: AwayError, until: float) -> None:
        if one not in self._away:
            log.warning("prometheus_replica_away", error=fault.message, hint=fault.hint)
        self._away[one] = f"{fault.message}. {fault.hint}"
        self._rests[one] = until


def _of_all(faults: Sequence[BaseException]) -> SourceError:
    known = [each for each in faults if isinstance(each, SourceError)]
    return AwayError("; ".join(each.message for each in known), hint=known[-1].hint if known else "")


def _joined(found: Iterable[tuple[T, ...]]) -> tuple[T, ...]:
    return tuple(each for of_replica in found for each in of_replica)


def _together(found: Iterable[tuple[PrometheusAlert, ...]]) -> tuple[PrometheusAlert, ...]:
    """Each alert once: firing if any says so, active since the earliest moment that any of these names."""
    together: dict[tuple[tuple[str, str], ...], PrometheusAlert] = {}
    for each in _joined(found):
        key = tuple(sorted(each.labels.items()))
        other = together.get(key)
        if other is None:
            together[key] = each
            continue
        first, second = (other, each) if each.state is not AlertState.FIRING else (each, other)
        since = [one.active_at for one in (first, second) if one.active_at is not None]
        together[key] = replace(first, active_at=min(since, default=None))
    return tuple(together.values())


def _identity(rule: AlertingRule | RecordingRule) -> tuple[object, ...]:
    """What makes two rules of two replicas the same."""
    return (rule.group, rule.name, rule.query, *sorted(rule.labels.items()))


def _worst_of(found: Iterable[tuple[_Rule, ...]]) -> tuple[_Rule, ...]:
    """Each rule once, in the order in which they come, with the first health that is not ok if there is one."""
    kept: dict[tuple[object, ...], _Rule] = {}
    for of_replica in found:
        seen: Counter[tuple[object, ...]] = Counter()
        for rule in of_replica:
            same = _identity(rule)
            seen[same] += 1  # a replica may have the same rule twice
            key = (seen[same], *same)
            other = kept.get(key)
            if other is None or (other.health == "ok" and rule.health != "ok"):
                kept[key] = rule
    return tuple(kept.values())
