"""Which alerts are pending or firing now, and which rules are loaded: Prometheus' own lists, read together.

Here: the one reader of these lists. The poll and all judgements share its readings, each with an age.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

from rearguard_controller.adapters.prometheus import Prometheus, PrometheusAlert, Rules
from rearguard_controller.errors import SourceError
from rearguard_controller.facts.lists import PATIENCE, Lists, noticed
from rearguard_controller.facts.pieces import computed, in_pieces
from rearguard_controller.facts.storm import Trouble
from rearguard_controller.model import Alert, AlertState, Labels, PendingAlert, agree
from rearguard_controller.model.annotations import cut
from rearguard_controller.model.observations import ERRORS

READING_HOLDS = 1.0  # seconds for which all who ask share one reading
MOST_COMPARED = 1000  # alerts of one name that a delivery is compared with
MOST_MEANT = 20  # of those; polling finds the others

Index = Mapping[tuple[str, ...], Mapping[tuple[str, ...], Sequence[PrometheusAlert]]]  # by label names, then values


@dataclass(frozen=True, slots=True)
class AlertsReading:
    """Prometheus' alerts and rules at one moment.

    Attributes:
        read_at: when Prometheus was asked, in seconds since the epoch.
        alerts: all that are pending or firing.
        fault: why the lists are not known; empty when they are. `hint` then says what to do.
        troubled: names of the targets of which a trigger alert fires.
        lasting: those of which one fired a moment ago, and which are not known to be well: see `Trouble.lasting`.
        pending: those of which trigger alerts pend, with these alerts.
        prometheus: whose lists these are, see `Target.prometheus`; None where there is only one.
    """

    read_at: float
    alerts: tuple[PrometheusAlert, ...] = ()
    rules: Rules = field(default_factory=Rules)
    fault: str = ""
    hint: str = ""
    troubled: frozenset[str] = frozenset()
    lasting: frozenset[str] = frozenset()
    pending: Mapping[str, tuple[PendingAlert, ...]] = field(default_factory=dict)
    prometheus: str | None = None
    by_labels: Index = field(default_factory=dict, repr=False)
    by_name: Mapping[str, Sequence[PrometheusAlert]] = field(default_factory=dict, repr=False)

    def meant(self, alert: Alert) -> tuple[PrometheusAlert, ...]:
        """Prometheus' alerts that a delivery may mean: those that fire first, then those with most labels.

        These are the alerts of which the delivery has all labels: it may have got more on its way (external labels,
        or a forger's). If there are none, it may have lost some. Then they are the alerts of its name that contradict
        no label of it, at most `MOST_MEANT`.
        """
        labels = alert.labels
        found = [
            each
            for names, of_values in self.by_labels.items()
            for each in of_values.get(tuple([labels.get(name, "") for name in names]), ())
        ]
        if len(found) == 1:  # in a storm nearly always
            return (found[0],)
        if not found:
            named = self.by_name.get(labels.get("alertname", ""), ())
            found = [each for each in islice(named, MOST_COMPARED) if agree(labels, each.labels)][:MOST_MEANT]
        return tuple(sorted(found, key=lambda each: (each.state != AlertState.FIRING, -len(each.labels))))

    def with_one(self, alert: PrometheusAlert) -> AlertsReading:
        """The same, as if Prometheus had this alert, too."""
        names, values = tuple(alert.labels), tuple(alert.labels.values())
        of_values = self.by_labels.get(names, {})
        beside = (*of_values.get(values, ()), alert)
        return replace(self, by_labels={**self.by_labels, names: {**of_values, values: beside}})

    def has_firing(self, alert: Alert) -> bool:
        """Whether an alert that this one may mean fires by this reading; False when the lists are not known."""
        return any(each.state == AlertState.FIRING for each in self.meant(alert))


@dataclass(frozen=True, slots=True)
class _Kept:
    """The last reading; readings are numbered as they were begun, and `took` is in seconds."""

    number: int
    reading: AlertsReading
    took: float

    def serves(self, age: float, max_age: float) -> bool:
        """Whether it is young enough; one that took long has to serve longer, or all would always wait."""
        return 0 <= age < max(max_age, 3 * self.took)

    def is_due(self, age: float, max_age: float) -> bool:
        """Whether the next one should be begun, so that it is there in time; half of the time at most is spent so."""
        return age >= max(max_age - self.took, 2 * self.took)


class AlertsNow:
    """Reads Prometheus' alerts and rules for everybody, so that a storm of alerts does not ask again and again.

    Attributes:
        trouble: is told of every reading.
        name: see `AlertsReading.prometheus`.
    """

    def __init__(
        self,
        prometheus: Prometheus,
        trouble: Trouble,
        clock: Callable[[], float],
        *,
        triggers: Sequence[Labels] = (),
        name: str | None = None,
    ) -> None:
        """Nothing is read yet.

        Args:
            prometheus: whose lists are read.
            trouble: is told of every reading.
            clock: seconds since the epoch; it may jump.
            triggers: labels that make an alert a trigger, by the policies; these alerts are read by themselves where
                the lists take long.
            name: of this Prometheus, where there are several: its alerts trouble no target of another one.
        """
        self.trouble = trouble
        self._lists = Lists(prometheus, triggers)
        self._clock, self.name = clock, name
        self._begun = 0  # readings, so that the one begun last is kept, whichever ends last
        self._last: _Kept | None = None
        self._under_way: asyncio.Task[AlertsReading] | None = None  # for all who may share a reading

    async def read(
        self, *, max_age: float = READING_HOLDS, alerts: Sequence[Alert] = (), delivered: float = 0.0
    ) -> AlertsReading:
        """A reading that is not much older than `max_age` seconds; with 0 always a new one.

        A list that takes long to read is read again before its last reading is too old, and that one serves until the
        new one is there, so that in a storm nobody waits for a reading but the first.

        Exception: an alert of `alerts` that was delivered (at `delivered`, seconds since the epoch) after the last
        reading, and does not fire in it, makes us read again, because it may have started in between.

        Never raises: see `AlertsReading.fault`.
        """
        if max_age <= 0:  # waits for nobody else's reading
            return await self._read()
        asked = self._begun
        while True:
            last = self._last
            if last is not None and last.number > asked:  # begun after we asked: there is none that knows more
                return last.reading
            age = math.inf if last is None else self._clock() - last.reading.read_at
            if (
                last is not None
                and last.serves(age, max_age)
                and (delivered <= last.reading.read_at or await _all_fire(last.reading, alerts))
            ):
                if last.is_due(age, max_age):
                    self._begin()
                return last.reading
            await asyncio.shield(self._begin())

    def _begin(self) -> asyncio.Task[AlertsReading]:
        """The reading under way that is shared; one is begun if there is none."""
        if self._under_way is None or self._under_way.done():
            self._under_way = asyncio.create_task(self._read(), name="alerts of Prometheus")
            self._under_way.add_done_callback(noticed)
        return self._under_way

    async def _read(self) -> AlertsReading:
        self._begun += 1
        number, read_at, began = self._begun, self._clock(), time.monotonic()
        try:
            alerts, rules = await self._lists.read()
        except SourceError as error:
            reading = AlertsReading(read_at, fault=error.message, hint=error.hint, prometheus=self.name)
        else:
            firing = [each.labels for each in alerts if each.state == AlertState.FIRING]
            pending = [each for each in alerts if each.state == AlertState.PENDING]
            evaluated = all(rule.health != "unknown" for rule in rules.alerting)
            troubled, pends, by_labels, by_name = await computed(
                len(alerts),
                lambda: (
                    self.trouble.among(firing, self.name),
                    _of_targets(pending, read_at, self.trouble, self.name),
                    _by_labels(alerts),
                    _by_name(alerts),
                ),
            )
            lasting = self.trouble.lasting(frozenset(pends), all_evaluated=evaluated, of=self.name)
            self.trouble.saw(*sorted(troubled))
            reading = AlertsReading(
                read_at,
                tuple(alerts),
                rules,
                troubled=troubled,
                lasting=lasting,
                pending=pends,
                prometheus=self.name,
                by_labels=by_labels,
                by_name=by_name,
            )
        if self._last is None or self._last.number < number:
            self._last = _Kept(number, reading, min(time.monotonic() - began, PATIENCE))
        return reading


async def _all_fire(reading: AlertsReading, alerts: Sequence[Alert]) -> bool:
    async for alert in in_pieces(alerts):
        if not reading.has_firing(alert):
            return False
    return True


def as_alert(
    found: PrometheusAlert, source: str, before: Alert | None = None, *, prometheus: str | None = None
) -> Alert:
    """An alert of Prometheus' list as the controller's own value.

    Args:
        found: the alert.
        source: where it was heard of first.
        before: what this returned of a list before; it is returned again if it still says the same.
        prometheus: whose list it is, see `AlertsReading.prometheus`.
    """
    if (
        before is not None
        and before.labels is found.labels
        and before.annotations is found.annotations
        and (before.starts_at, before.source, before.fingerprint) == (found.active_at, source, "")
        and before.firing is (found.state == AlertState.FIRING)
        and before.prometheus == prometheus
    ):
        return before
    return Alert(
        name=found.labels.get("alertname", ""),
        labels=found.labels,
        annotations=cut(found.annotations),
        firing=found.state == AlertState.FIRING,
        starts_at=found.active_at,
        source=source,
        prometheus=prometheus,
    )


def _of_targets(
    pending: Iterable[PrometheusAlert], read_at: float, trouble: Trouble, of: str | None
) -> dict[str, tuple[PendingAlert, ...]]:
    """The alerts that pend, by the target that they trouble: see `Trouble.among`."""
    found: dict[str, tuple[PendingAlert, ...]] = {}
    for each in pending:
        since = read_at if each.active_at is None else each.active_at
        one = PendingAlert(each.name, since, ERRORS.search(each.annotations.get("figure", "")) is not None)
        for name in trouble.among([each.labels], of):
            found[name] = (*found.get(name, ()), one)
    return found


def _by_labels(alerts: Sequence[PrometheusAlert]) -> Index:
    found: dict[tuple[str, ...], dict[tuple[str, ...], list[PrometheusAlert]]] = {}
    for each in alerts:
        of_values = found.setdefault(tuple(each.labels), {})
        of_values.setdefault(tuple(each.labels.values()), []).append(each)
    return found


def _by_name(alerts: Sequence[PrometheusAlert]) -> Mapping[str, Sequence[PrometheusAlert]]:
    found: dict[str, list[PrometheusAlert]] = {}
    for each in alerts:
        found.setdefault(each.name, []).append(each)
    return found
