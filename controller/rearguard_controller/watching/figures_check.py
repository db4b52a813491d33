"""The readiness check `figures`: can any trigger rule say something about a target now, and if none can, why?

Here: the check's answer, and the questions about a single target that its sentence needs. They are asked only
of targets that no rule speaks of, or whose instances Prometheus does not scrape itself, of a few at each poll, and of
each at most every minute.
"""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple, TypeVar

from rearguard_controller.adapters.prometheus import Prometheus, Rules, possible
from rearguard_controller.adapters.prometheus.promql import duration, quoted
from rearguard_controller.errors import SourceError
from rearguard_controller.model import Check, Sample, Target, Trust
from rearguard_controller.model.checks import FIGURES
from rearguard_controller.watching import unseen
from rearguard_controller.watching.coverage import Coverage, Voice
from rearguard_controller.watching.label_sets import LabelSets
from rearguard_controller.watching.one_process import Address, address_of
from rearguard_controller.wording import span

ASK_AGAIN = 60.0  # seconds for which an answer about a single target is taken as it was
INFO_LASTS = 10.0  # seconds for which every target_info is: right after a start there are more of them at each poll
SILENT_AFTER = 180.0  # seconds without a change of any number of an instance; SDKs export every 60 s by default
MOST_ASKED = 16  # questions about single targets in a poll: however many targets there are, a poll stays short
MOST_INSTANCES = 20  # of a target that a question names

BY_UP = "The policy says `trust: by_up`: a version needs no figure to be known good."
NO_RULE = "No trigger rule is loaded, so nothing can be said of any target."
SILENT = (
    "None of its numbers has changed for {}, although they are still shown: a collector or gateway may go on showing"
    " a process that is gone. Look whether it runs and sends."
)

UNASKED = "Prometheus has not been asked for its metrics yet; that follows at one of the next polls."

_INFO, _METRICS = "target_info", "metrics"  # questions: about all targets, about a single one
_OF_NOBODY = "target_info|up|scrape_.*|push_.*"  # names that Prometheus and gateways add

T = TypeVar("T")


class FiguresCheck:
    """Answers the check for one target after another."""

    def __init__(self, prometheus: Prometheus, coverage: Coverage, steady: Callable[[], float]) -> None:
        """Wire it. `coverage` tells which rules speak of a target; `steady` gives seconds that only go forward."""
        self._prometheus, self._coverage, self._steady = prometheus, coverage, steady
        self._jobs, self._asking = frozenset[str](), asyncio.Lock()
        self._asking_info, self._saw_info = asyncio.Lock(), False
        self._asked = 0  # questions about single targets in this poll
        self._alerts: dict[tuple[int, ...], tuple[Sequence[Voice], LabelSets]] = {}  # in this poll, by voices
        self._oldest = -math.inf  # only what was asked up to then is asked again: half of them at most
        self._kept: dict[tuple[str, str], tuple[float, object]] = {}  # question, target -> when asked, and the answer

    async def of(
        self,
        target: Target,
        voices: Sequence[Voice],
        rules: Rules,
        instances: Sequence[Sample],
        scraped: Collection[Address] | None,
    ) -> Check:
        """The check of a target.

        Args:
            target: whose.
            voices: what its trigger rules could say now.
            rules: all rules, so that recorded names are followed.
            instances: those that the target's telemetry selects.
            scraped: the addresses that Prometheus scrapes itself; None: not known.
        """
        addresses = sorted({address_of(each.labels) for each in instances})
        names = self._coverage.names(target.name)
        of_others = unseen.of_others(target, [each.labels for each in instances])
        if of_others:
            return Check(FIGURES, False, of_others)
        if not names:
            return Check(FIGURES, False, await self._why_unseen(target, voices, rules, addresses))
        foreign = [] if scraped is None else [each for each in addresses if each not in scraped]
        if foreign and foreign == addresses and await self._are_silent(foreign):
            return Check(FIGURES, False, SILENT.format(span(SILENT_AFTER)))
        every = len({voice.rule.name for voice in voices})
        said = f"{len(names)} of {every} trigger rules can tell how it is: {unseen.few(names)}."
        unread = await self._unread(target, voices, addresses)
        if unread:
            return Check(FIGURES, False, f"{said} None of them reads its requests. {unread}")
        return Check(FIGURES, True, f"{said} {BY_UP}" if target.policy.trust is Trust.BY_UP else said)

    async def _unread(self, target: Target, voices: Sequence[Voice], addresses: Sequence[Address]) -> str:
        """Which metric of requests no rule that speaks of the target can read; empty if there is none, or unknown."""
        names = self._coverage.names(target.name)
        reads = frozenset[str]().union(*(voice.reads for voice in voices if voice.rule.name in names))
        if target.policy.trust is Trust.BY_UP or any(unseen.tells_of_requests(each) for each in reads):
            return ""
        try:
            return unseen.unread_requests(await self._metrics(target, addresses))
        except SourceError:
            return ""

    async def _why_unseen(
        self, target: Target, voices: Sequence[Voice], rules: Rules, addresses: Sequence[Address]
    ) -> str:
        if not voices:
            return NO_RULE
        try:
            info = await self._info()
            by_labels = unseen.by_labels(target, self._alerts_of(voices), info)
            if by_labels:
                return by_labels
            empty = [each.rule.name for each in voices if not each.alerts.all and each.measures(target)]
            if empty:
                return unseen.compares_nothing(empty)
            there = await self._metrics(target, addresses)
        except SourceError as error:
            return f"No trigger rule can tell how it is, and why is not known: {error.message}"
        read = (possible.raw_metrics(voice.told, rules) for voice in voices if not voice.presence_only)
        needed = {each for each in frozenset[str]().union(*read) - possible.PRESENCE if ":" not in each}
        only = sorted({voice.rule.name for voice in voices if voice.presence_only and voice.versions(target)})
        begins = (
            f"Only {unseen.few(only)} can tell whether it is there, and no rule how it is."
            if only
            else ("No trigger rule can tell how it is.")
        )
        return f"{begins} {unseen.by_metrics(needed, there)}"

    def _alerts_of(self, voices: Sequence[Voice]) -> LabelSets:
        """The labels of all alerts that these could have; targets share them, for each target has some."""
        key = tuple(map(id, voices))  # they are kept, so that no others get one of these ids
        if key not in self._alerts:
            self._alerts[key] = voices, LabelSets(each for voice in voices for each in voice.alerts.all)
        return self._alerts[key][1]

    async def _info(self) -> LabelSets:
        """Every target_info, asked once for all targets."""
        async with self._asking_info:
            known = self._known(_INFO, "", INFO_LASTS)
            if isinstance(known, LabelSets):
                return known
            samples = await self._prometheus.query("target_info")
            self._saw_info = bool(samples)
            return self._keep(_INFO, "", LabelSets(_without_name(sample) for sample in samples))

    async def _metrics(self, target: Target, addresses: Sequence[Address]) -> frozenset[str]:
        """The names of all metrics that the target's instances show."""
        asked_at, known = self._kept.get((_METRICS, target.name), (-math.inf, None))
        is_due = asked_at <= min(self._oldest, self._steady() - ASK_AGAIN) and self._asked < MOST_ASKED
        if isinstance(known, frozenset) and not is_due:
            return known
        if addresses and not is_due:
            raise SourceError(UNASKED)
        samples: Sequence[Sample] = ()
        if addresses:
            self._asked += 1
            samples = await self._prometheus.query(f"group by (__name__) ({_of(addresses)})")
        names = frozenset(sample.labels.get("__name__", "") for sample in samples)
        return self._keep(_METRICS, target.name, names, keep=bool(names))

    async def _are_silent(self, addresses: Sequence[Address]) -> bool:
        """Whether none of the numbers at these addresses changed lately; False when Prometheus cannot tell.

        It is asked once for the addresses of all targets that show themselves in this way.
        """
        async with self._asking:
            of_all = self._known("changing", "")
            known, changing = of_all if isinstance(of_all, _Changing) else _Changing()
            unknown = {job for job, _ in addresses} - known
            if unknown:
                known |= self._jobs | unknown
                of_all = self._keep("changing", "", _Changing(known, await self._changing(known)))
                changing = of_all.addresses
        return changing is not None and changing.isdisjoint(addresses)

    async def _changing(self, jobs: Collection[str]) -> frozenset[Address] | None:
        """The addresses of these jobs of which a number changed lately; None when Prometheus cannot tell."""
        wanted = quoted("|".join(re.escape(job).replace("\\-", "-") for job in sorted(jobs)))
        series = f'{{job=~{wanted},__name__!~"{_OF_NOBODY}"}}[{duration(SILENT_AFTER)}]'
        try:
            samples = await self._prometheus.query(f"count by (job, instance) (changes({series}) > 0)")
        except SourceError:
            return None
        return frozenset(address_of(each.labels) for each in samples)

    def see_jobs(self, instances: Collection[Address], scraped: Collection[Address] | None) -> None:
        """A poll begins: these are the instances of all targets, of which Prometheus scrapes some itself."""
        if not self._saw_info:  # there was nothing yet, as right after a start
            self._kept.pop((_INFO, ""), None)
        self._asked = 0
        self._alerts.clear()
        ages = sorted(asked_at for (question, _), (asked_at, _) in self._kept.items() if question == _METRICS)
        self._oldest = ages[: MOST_ASKED // 2][-1] if ages else -math.inf
        self._jobs = frozenset() if scraped is None else frozenset(job for job, _ in set(instances) - set(scraped))

    def _known(self, question: str, about: str, lasts: float = ASK_AGAIN) -> object:
        asked_at, answer = self._kept.get((question, about), (0.0, None))
        return answer if self._steady() - asked_at < lasts else None

    def _keep(self, question: str, about: str, answer: T, *, keep: bool = True) -> T:
        """The answer, kept for a while; not if there was nothing yet, as right after a start."""
        if keep:
            self._kept[question, about] = self._steady(), answer
        return answer


class _Changing(NamedTuple):
    """Addresses of which a number changed lately, as far as these jobs were asked about; None: not known."""

    jobs: frozenset[str] = frozenset()
    addresses: frozenset[Address] | None = frozenset()


def _of(addresses: Sequence[Address]) -> str:
    """PromQL of all numbers at these addresses, without those that Prometheus and gateways add."""
    by_job: dict[str, list[str]] = {}
    for job, instance in addresses[:MOST_INSTANCES]:
        by_job.setdefault(job, []).append(re.escape(instance).replace("\\-", "-"))
    selectors = [
        f'{{job={quoted(job)},instance=~{quoted("|".join(instances))},__name__!~"{_OF_NOBODY}"}}'
        for job, instances in by_job.items()
    ]
    return " or ".join(selectors)


def _without_name(sample: Sample) -> dict[str, str]:
    return {name: value for name, value in sample.labels.items() if name != "__name__"}
