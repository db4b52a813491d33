"""What Prometheus says before a rollback is needed: rules, scrapes, labels, and who can speak of each target.

Here: one poll of the watcher, whose checks are told as findings, and what no readiness check asks: shipped rules that
are not loaded, pods that are not scraped. A Prometheus that does not answer is told once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from rearguard_controller.adapters.prometheus import Prometheus, Rules
from rearguard_controller.adapters.prometheus.alert_rules import can_raise
from rearguard_controller.adapters.prometheus.promql import presence, quoted
from rearguard_controller.errors import SourceError, sentences
from rearguard_controller.facts.owners import Owners
from rearguard_controller.intake.inbox import Intake
from rearguard_controller.model import Check, KubernetesRelease, Target, checks, is_subset
from rearguard_controller.releases.tracking import Releases
from rearguard_controller.watching import readiness_rules
from rearguard_controller.watching.live.finding import Finding, Weight
from rearguard_controller.watching.poll import Watcher

PROMETHEUS = "Prometheus"
MOST_AT_ONCE = 8  # targets that are asked about side by side
MOST_PAIRS = 5  # of targets that share an instance
MOST_RULES = 5  # missing rules of a file that a sentence names
_OF_ALL = (checks.PROMETHEUS, checks.CLOCK)  # checks that say the same of every target
_NO_BLOCK = (checks.SCRAPE_INTERVAL, checks.CLOCK, checks.REPLICAS_AGREE)  # with these a rollback is still possible
_NOT_TOLD = (checks.POLL, checks.CURRENT)  # of the first poll they say nothing


@dataclass(frozen=True, slots=True)
class ShippedRules:
    """The rules of one shipped file, by name."""

    file: str
    names: tuple[str, ...]


class LiveFigures:
    """Asks one Prometheus."""

    def __init__(
        self, prometheus: Prometheus, watcher: Watcher, releases: Releases, intake: Intake, *, about: str = PROMETHEUS
    ) -> None:
        """Nothing is asked yet. `intake` gets nothing: whoever does not lead only looks.

        `about` is what this Prometheus is called.
        """
        self._about = about
        self._prometheus, self._watcher = prometheus, watcher
        self._releases, self._intake = releases, intake
        self._side_by_side = asyncio.Semaphore(MOST_AT_ONCE)
        self.rules = Rules()  # as they were read last

    async def look(self, targets: Sequence[Target], shipped: Iterable[ShippedRules]) -> list[Finding]:
        """Everything that is found of these targets, and of the rules that were shipped."""
        try:
            await self._prometheus.query("vector(1)")  # soon tells whether it answers: rules may take half a minute
            self.rules = await self._prometheus.rules()
        except SourceError as error:
            return [Finding(self._about, sentences(error), Weight.BLOCKS)]
        found = [Finding(self._about, "It answers, and shows its rules.", Weight.GOOD)]
        found += _missing(self._about, self.rules, shipped)
        await self._watcher.poll(self._intake)
        found += await self._shared(targets)
        each = await asyncio.gather(*(self._one_of_few(target) for target in targets))
        return found + [finding for findings in each for finding in findings]

    async def _shared(self, targets: Sequence[Target]) -> list[Finding]:
        """Pairs of targets whose `match` one living instance fits, beyond what the check `match` tells."""
        owners, found = Owners(targets), dict[tuple[str, str], str]()
        try:
            living = await self._prometheus.query("target_info")
        except SourceError as error:
            return [Finding(self._about, sentences(error), Weight.UNKNOWN)]
        for sample in living:
            labels = {name: value for name, value in sample.labels.items() if name != "__name__"}
            for one, other in combinations(owners.of(labels), 2):
                if not _one_takes_all(one, other):
                    found.setdefault((one.name, other.name), labels.get("instance", "?"))
        return [
            Finding(
                f"{one} and {other}",
                f"The target_info of instance {instance} fits the `match` of both. An alert with all its labels is"
                " left unless exactly one of them has a recent release: add labels that tell them apart.",
                Weight.LOOK,
            )
            for (one, other), instance in list(found.items())[:MOST_PAIRS]
        ]

    async def _one_of_few(self, target: Target) -> list[Finding]:
        async with self._side_by_side:
            return await self._of(target)

    async def _of(self, target: Target) -> list[Finding]:
        polled = [each for each in self._watcher.polled(target.name).values() if each.name not in _NOT_TOLD]
        found = [_finding(self._about, target, each) for each in polled if not each.holds]
        found += self._of_rules(target)
        seen = await self._releases.shown.of(target)
        if seen.named is False:
            found.append(_finding(self._about, target, readiness_rules.service_version(named=False)))
        if seen.up is False:
            found += await self._of_scrapes(target)
        return found

    def _of_rules(self, target: Target) -> list[Finding]:
        """Which trigger rules can speak of a target now, and which cannot."""
        speaking = self._watcher.speaking(target.name)
        every = {rule.name for rule in self.rules.alerting if can_raise(rule, target.policy.alerts)}
        silent = sorted(every - set(speaking))
        if not speaking:
            return []  # the check `figures` says why
        rest = f" Not now: {', '.join(silent)}." if silent else ""
        return [Finding(target.name, f"These rules can roll it back: {', '.join(speaking)}.{rest}", Weight.GOOD)]

    async def _of_scrapes(self, target: Target) -> list[Finding]:
        """Why not every instance is up, or none is there."""
        try:
            down = await self._prometheus.query(f"({presence(target.telemetry)}) == 0")
            if down:
                names = ", ".join(sorted({sample.labels.get("instance", "") for sample in down})[:3])
                said = f"{len(down)} of its instances cannot be scraped ({names}): see /targets of Prometheus."
                return [Finding(target.name, said, Weight.LOOK)]
            if isinstance(target.release, KubernetesRelease):
                return [Finding(target.name, await self._of_pods(target.release), Weight.BLOCKS)]
        except SourceError as error:
            return [Finding(target.name, sentences(error), Weight.UNKNOWN)]
        return []

    async def _of_pods(self, release: KubernetesRelease) -> str:
        """Why no instance of a workload is known, by the labels that scrapes of pods have by custom."""
        pods = f"{{namespace={quoted(release.namespace)},pod=~{quoted(f'{release.name}-.+')}}}"
        scraped = await self._prometheus.query(f"up{pods}")
        if not scraped:
            return (
                f"Prometheus scrapes no pod of {release.workload} (no `up` has its namespace and pod): annotate its"
                ' pods with `prometheus.io/scrape: "true"` and `prometheus.io/port`, or add a ServiceMonitor.'
            )
        if not await self._prometheus.query(f"target_info{pods}"):
            return (
                f"The pods of {release.workload} are scraped, and show no target_info: instrument the service, so"
                " that it says service_name, service_version and deployment_environment_name."
            )
        return (
            f"The pods of {release.workload} are scraped, and their target_info has other labels than `match`: see"
            f" target_info{pods} in Prometheus."
        )


def _one_takes_all(one: Target, other: Target) -> bool:
    """Whether all alerts that a `match` of one takes are taken by the other, too: the check `match` tells that."""
    pairs = [(mine, its) for mine in one.match for its in other.match]
    return any(is_subset(mine, its) or is_subset(its, mine) for mine, its in pairs)


def _finding(prometheus: str, target: Target, check: Check) -> Finding:
    about = prometheus if check.name in _OF_ALL else target.name
    if check.holds is None:
        return Finding(about, check.detail, Weight.UNKNOWN)
    return Finding(about, check.detail, Weight.LOOK if check.name in _NO_BLOCK else Weight.BLOCKS)


def _missing(about: str, rules: Rules, shipped: Iterable[ShippedRules]) -> list[Finding]:
    """Which shipped rules are not loaded, file by file."""
    loaded = {*(rule.name for rule in rules.alerting), *(rule.name for rule in rules.recording)}
    files: Mapping[str, tuple[ShippedRules, list[str]]] = {
        each.file: (each, [name for name in each.names if name not in loaded]) for each in shipped
    }
    found = [_of_file(about, each, missing) for each, missing in files.values() if missing]
    if files and not found:
        found = [Finding(about, f"It has loaded every rule of {', '.join(files)}.", Weight.GOOD)]
    return found


def _of_file(about: str, each: ShippedRules, missing: Sequence[str]) -> Finding:
    if len(missing) == len(each.names):
        said = f"No rule of rules/{each.file} is loaded: name the file in `rule_files` of Prometheus."
    else:
        more = f" and {len(missing) - MOST_RULES} more" if len(missing) > MOST_RULES else ""
        told = ", ".join(missing[:MOST_RULES])
        said = f"Of rules/{each.file} these are not loaded: {told}{more}. Is it of another version, or edited?"
    return Finding(about, said, Weight.LOOK)
