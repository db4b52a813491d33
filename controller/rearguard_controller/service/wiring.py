"""The parts of the controller, and which of them gets which others.

Here: what goes on through every reload, and what one configuration makes with it. Ids are made here.
"""

from __future__ import annotations

import secrets
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import structlog

from rearguard_controller.adapters.actions import Actions
from rearguard_controller.adapters.notices.delivery import Notify
from rearguard_controller.adapters.notices.templates import load
from rearguard_controller.adapters.prometheus.of_all import PrometheusOfAll
from rearguard_controller.adapters.release_kinds import ReleaseKinds
from rearguard_controller.api.people import People
from rearguard_controller.config import Configuration, NotifyEntry
from rearguard_controller.execution.by_people import RollbackWords
from rearguard_controller.execution.effects import Effects
from rearguard_controller.execution.runner import Runner, Runners
from rearguard_controller.execution.still_firing import StillFiring
from rearguard_controller.execution.waiting import Judge
from rearguard_controller.facts.cluster_troubles import ClusterTroubles
from rearguard_controller.facts.gather import FactGatherer
from rearguard_controller.facts.sources import SourcesOfAll
from rearguard_controller.facts.storm import Trouble
from rearguard_controller.intake.as_if import AsIf
from rearguard_controller.intake.by_hand import ByHand
from rearguard_controller.intake.decision_record import Decisions
from rearguard_controller.intake.heartbeat import Heartbeat
from rearguard_controller.intake.inbox import Intake
from rearguard_controller.intake.judging import Judging
from rearguard_controller.journal.shards import Shard
from rearguard_controller.releases.by_people import ReleaseWords
from rearguard_controller.releases.remembered import Remembered
from rearguard_controller.releases.tracking import Releases
from rearguard_controller.runtime import Runtime
from rearguard_controller.watching.attention import Attention
from rearguard_controller.watching.cluster_triggers import ClusterTriggers
from rearguard_controller.watching.drill import Drills
from rearguard_controller.watching.followed import Followed
from rearguard_controller.watching.poll import Watcher
from rearguard_controller.watching.readiness import Readiness
from rearguard_controller.watching.watchers import Watchers

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Engine:
    """What delivers, counts and acts, through every reload."""

    runtime: Runtime
    actions: Actions
    kinds: ReleaseKinds
    prometheus: PrometheusOfAll
    effects: Effects
    notify: Notify
    runner: Runners
    heartbeat: Heartbeat
    trouble: Trouble
    cluster_troubles: ClusterTroubles
    remembered: Remembered
    care: defaultdict[str, Attention]  # by Prometheus

    @classmethod
    def of(
        cls,
        runtime: Runtime,
        notify: Notify,
        actions: Actions,
        kinds: ReleaseKinds,
        configuration: Configuration,
        prometheus: PrometheusOfAll,
        *,
        judge: Callable[[], Judge],
    ) -> Engine:
        """Wire it; `judge` gives the judge of the present configuration."""
        poll_interval = configuration.prometheus.poll_interval
        effects = Effects(actions, kinds, prometheus.of, poll_interval=poll_interval, clock=runtime.clock)
        return cls(
            runtime=runtime,
            actions=actions,
            kinds=kinds,
            prometheus=prometheus,
            effects=effects,
            notify=notify,
            runner=Runners(*(Runner(_of_shard(runtime, each), effects, judge=judge) for each in runtime.shards)),
            heartbeat=Heartbeat(runtime),
            trouble=Trouble(runtime.steady),
            cluster_troubles=ClusterTroubles(kinds, runtime.clock),
            remembered=Remembered(runtime),
            care=defaultdict(Attention),
        )

    def tell(self, configuration: Configuration, services: Mapping[NotifyEntry, str] | None = None) -> None:
        """From now on, tell people of what happens as this configuration says; `services` as of `Notify.use`."""
        templates = load(configuration.notice_templates)
        for problem in templates.problems:
            log.error("notice_template_not_used", problem=problem)
        self.notify.use(configuration.notify, services, external_url=configuration.external_url, templates=templates)
        self.runtime.telemetry.know_services(self.notify.services)


@dataclass(frozen=True, slots=True)
class Parts:
    """What one configuration makes; a reload makes another one, which takes this one's place at once.

    It is what the API gets as `Services.now()`.
    """

    configuration: Configuration
    releases: Releases
    readiness: Readiness
    watchers: Mapping[str, Watcher]  # by Prometheus
    watcher: Watcher | Watchers  # all of them as one
    intake: Intake
    people: People
    judge: Judge
    drills: Drills
    followed: Followed
    as_if: AsIf
    cluster_triggers: ClusterTriggers


def make(configuration: Configuration, sources: SourcesOfAll, engine: Engine, *, well_for: float) -> Parts:
    """The parts of a configuration, wired; nothing runs yet.

    Args:
        configuration: as it is now.
        sources: whom the parts ask.
        engine: what goes on through every reload.
        well_for: seconds for which the fault of a rollback that waits must be over.
    """
    runtime, targets = engine.runtime, configuration.targets
    poll_interval = configuration.prometheus.poll_interval
    engine.trouble.use(targets, configuration.storm)
    engine.effects.check_with(StillFiring(sources, targets).after)
    engine.prometheus.know(targets)
    asked = engine.prometheus.of
    for memory in (engine.remembered, engine.cluster_troubles):
        memory.keep_only(targets)
    releases = Releases(runtime, engine.kinds, asked, engine.remembered)
    readiness = Readiness(runtime, releases, engine.actions, sources.first.alertmanager, configuration.notify)
    watchers = _watchers(engine, configuration, sources, releases, readiness)
    watcher = Watchers(watchers, targets, asked) if sources.are_several else watchers[sources.first.name]
    gatherer = FactGatherer(runtime, sources, releases, targets)
    decisions = Decisions(runtime, gatherer, opened=engine.runner.wake)
    judging = Judging(runtime, targets, gatherer, decisions, firing=watcher.triggers)
    intake = Intake(runtime, targets, judging, engine.heartbeat)
    by_hand = ByHand(runtime, decisions, alone=judging.alone, firing=watcher.triggers)
    rollback_words, release_words = RollbackWords(runtime, engine.runner), ReleaseWords(runtime)
    people = People(targets, by_hand, rollback_words, release_words, runtime.clock)
    runtime.telemetry.feed_poll(watcher.poll_seconds, skew=watcher.clock_skew)
    runtime.telemetry.feed_ages(
        prometheus=watcher.prometheus_age,
        watchdog=engine.heartbeat.age,
        others={name: one.prometheus_age for name, one in watchers.items() if name},
    )
    judge = Judge(runtime, targets, gatherer, poll_interval=poll_interval, well_for=well_for)
    drills = Drills(runtime, sources, engine.actions, releases, readiness, polled=watcher.polled)
    return Parts(
        configuration,
        releases,
        readiness,
        watchers,
        watcher,
        intake,
        people,
        judge,
        drills,
        Followed(runtime, targets, releases),
        AsIf(runtime, gatherer, decisions, speaking=watcher.speaking),
        ClusterTriggers(runtime, targets, engine.cluster_troubles),
    )


def _watchers(
    engine: Engine, configuration: Configuration, sources: SourcesOfAll, releases: Releases, readiness: Readiness
) -> dict[str, Watcher]:
    """The watcher of each Prometheus, with its own targets."""
    found: dict[str, Watcher] = {}
    for of in sources:
        care = engine.care[of.name]
        care.keep_only(of.targets)
        found[of.name] = Watcher(
            engine.runtime,
            of,
            releases,
            readiness,
            poll_interval=configuration.prometheus.poll_interval,
            care=care,
            noted=configuration.targets,
        )
    return found


def _of_shard(runtime: Runtime, shard: Shard) -> Runtime:
    """The same, with what the leader of this shard reads and writes."""
    return replace(runtime, journal=shard.journal, lead=shard.lead)


def new_id(letter: str, now: float) -> str:
    """An id that sorts by time and is short enough to be typed: letter, UTC date and time, random digits.

    Ids of decisions have eight digits, because a storm of alerts makes many within a second; others have four.
    """
    return (
        f"{letter}{time.strftime('%y%m%d-%H%M%S', time.gmtime(now))}-{secrets.token_hex(4 if letter == 'd' else 2)}"
    )
