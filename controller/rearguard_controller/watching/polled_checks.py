"""The readiness checks that a poll answers from what it asked Prometheus.

Here: one function for each check. Those that also stand in `TRUST_CHECKS` deny trust while they do not hold. A check
that depends on a target says in its own sentence what cannot be seen and what to do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from rearguard_controller.adapters.prometheus import Prometheus, Rules
from rearguard_controller.adapters.prometheus.alert_rules import can_raise
from rearguard_controller.errors import SourceError
from rearguard_controller.model import Check, Sample, Target
from rearguard_controller.model.checks import CLOCK, PROMETHEUS, SCRAPE_INTERVAL
from rearguard_controller.model.observations import LONGEST_SCRAPE
from rearguard_controller.releases.presence import Instances
from rearguard_controller.watching import (
    current_figures,
    instances,
    one_process,
    rule_health,
    thresholds_check,
    traffic,
)
from rearguard_controller.watching.coverage import Coverage, Voice
from rearguard_controller.watching.current_figures import Row, Table
from rearguard_controller.watching.figures_check import FiguresCheck
from rearguard_controller.watching.instances import InstancesOfAll
from rearguard_controller.watching.one_process import Address, address_of
from rearguard_controller.watching.readiness_rules import polled
from rearguard_controller.watching.traffic import TrafficOfAll
from rearguard_controller.watching.unseen import shown
from rearguard_controller.wording import span

MOST_SKEW = 30.0  # seconds between two clocks that nobody needs to be told of

Intervals = Mapping[Address, float] | None  # seconds between scrapes; None: not known


@dataclass(frozen=True, slots=True)
class Asked:
    """What one poll asked once for all targets."""

    rules: Rules
    voices: tuple[Voice, ...]
    intervals: Intervals
    instances: InstancesOfAll
    shared: one_process.Shared | None  # addresses that stand for several processes; None: not known
    odd_thresholds: tuple[Sample, ...] = ()  # that cannot be meant
    traffic: TrafficOfAll = field(default_factory=TrafficOfAll)

    def of(self, target: Target) -> tuple[Voice, ...]:
        """What the trigger rules of a target could say."""
        return tuple(voice for voice in self.voices if can_raise(voice.rule, target.policy.alerts))


class PolledChecks:
    """Answers the checks of one target after another, and asks Prometheus what only one target needs."""

    def __init__(
        self, prometheus: Prometheus, targets: Sequence[Target], coverage: Coverage, steady: Callable[[], float]
    ) -> None:
        """Wire it. `coverage` tells which rules speak of a target; `steady` gives seconds that only go forward."""
        self._prometheus, self._targets, self._coverage = prometheus, targets, coverage
        self._figures = FiguresCheck(prometheus, coverage, steady)

    async def ask(self, rules: Rules, clock: Callable[[], float], *, ages: bool) -> tuple[Table, Asked]:
        """What is asked once for all targets, and the figures of all rules.

        Args:
            rules: all that are loaded.
            clock: ours, in seconds since the epoch.
            ages: see `instances.read`.
        """
        table, intervals, seen, shared, odd, answered = await asyncio.gather(
            current_figures.tabulate(self._prometheus, rules.alerting),
            self._intervals(),
            instances.read(self._prometheus, self._targets, clock, ages=ages),
            one_process.read(self._prometheus, clock()),
            thresholds_check.odd(self._prometheus),
            traffic.read(self._prometheus),
        )
        wanted = {tuple(sorted(target.policy.alerts.items())) for target in self._targets}
        triggers = [rule for rule in rules.alerting if any(can_raise(rule, dict(each)) for each in wanted)]
        voices = await self._coverage.ask(triggers, rules, table)
        self._figures.see_jobs(seen.addresses(), intervals)
        return table, Asked(rules, voices, intervals, seen, shared, odd, answered)

    async def _intervals(self) -> Intervals:
        """How often every instance is scraped; None without an answer."""
        try:
            return await self._prometheus.scrape_intervals()
        except SourceError:
            return None

    async def of(self, target: Target, asked: Asked, rows: Sequence[Row], there: Instances) -> tuple[Check, ...]:
        """The checks of a target.

        Args:
            target: whose.
            asked: what was asked for all.
            rows: the figures of its trigger rules, of all services.
            there: the target's instances.
        """
        voices, scraped = asked.of(target), asked.intervals
        seen = there.samples
        addresses = [address_of(sample.labels) for sample in seen or ()]
        return (
            polled(PROMETHEUS, holds=True),
            clock(self._prometheus.skews),
            rule_health.check(target, [voice.rule for voice in voices]),
            thresholds_check.check(target, rows, asked.rules, asked.odd_thresholds),
            await self._figures.of(target, voices, asked.rules, seen or (), scraped),
            _scrape_interval(target, seen, scraped),
            one_process.check(target, None if seen is None else addresses, asked.shared),
        )


def clock(skews: Mapping[str, float]) -> Check:
    """Whether Prometheus' clock and ours are nearly the same; `skews` are seconds that it is ahead, by address."""
    if not skews:
        return polled(CLOCK, holds=None)
    url, ahead = max(skews.items(), key=lambda each: abs(each[1]))
    if abs(ahead) <= MOST_SKEW:
        return polled(CLOCK, holds=True)
    detail = (
        f"The clock of Prometheus at {url} is {span(abs(ahead))} {'ahead of' if ahead > 0 else 'behind'} the"
        " controller's: let both follow the same time server. Until then questions are moved by the difference."
    )
    return Check(CLOCK, False, detail)


def _scrape_interval(target: Target, instances: Sequence[Sample] | None, intervals: Intervals) -> Check:
    if instances is not None and not instances:
        told = f"No instance of it is seen: no target_info and no `up` has {shown(target.telemetry)}."
        return Check(SCRAPE_INTERVAL, None, f"{told} Correct `telemetry` (or `match`), or let Prometheus scrape it.")
    if intervals is None or instances is None:
        return polled(SCRAPE_INTERVAL, holds=None)
    mine = {address_of(sample.labels): intervals.get(address_of(sample.labels)) for sample in instances}
    known = {address: interval for address, interval in mine.items() if interval is not None}
    slow = sorted(
        (address for address, interval in known.items() if interval > LONGEST_SCRAPE), key=known.__getitem__
    )
    if not slow:
        return polled(SCRAPE_INTERVAL, holds=True if known else None)
    (job, instance), others = slow[-1], len(slow) - 1
    more = f", and {others} more too rarely" if others else ""
    told = f"Instance {instance} of job {job} is scraped every {span(known[slow[-1]])}{more}"
    detail = f"{told}: too rarely for release alerts. Set scrape_interval of the job to 15s or less, best 5s."
    return Check(SCRAPE_INTERVAL, False, detail)
