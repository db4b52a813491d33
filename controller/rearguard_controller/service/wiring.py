"""The parts of the controller, and which of them gets which others.

Here: what goes on through every reload, and what one configuration makes with it. Ids are made here.
Never here: what any part does, when it is started or stopped (`app`).
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

from rearguard_controller.adapters.actions import Actions, Survivors, state_folder
from rearguard_controller.adapters.alertmanager import Alertmanager
from rearguard_controller.adapters.notices.delivery import Notify
from rearguard_controller.adapters.prometheus import Prometheus
from rearguard_controller.adapters.telemetry import Telemetry
from rearguard_controller.config import Configuration
from rearguard_controller.execution.effects import Effects
from rearguard_controller.execution.runner import Runner
from rearguard_controller.execution.waiting import Judge
from rearguard_controller.facts.alerts_now import AlertsNow
from rearguard_controller.facts.gather import FactGatherer
from rearguard_controller.facts.silences import Silences
from rearguard_controller.facts.storm import Trouble
from rearguard_controller.intake.heartbeat import Heartbeat
from rearguard_controller.intake.inbox import Intake
from rearguard_controller.journal.store import Fence, Journal
from rearguard_controller.releases.returned import Returns
from rearguard_controller.releases.tracking import Releases
from rearguard_controller.watching.drill import Drills
from rearguard_controller.watching.poll import Watcher
from rearguard_controller.watching.readiness import Readiness

Clock = Callable[[], float]  # seconds since the epoch


@dataclass(frozen=True, slots=True)
class Sources:
    """Whom the parts ask; a reload makes anew those whose settings changed."""

    prometheus: Prometheus
    alertmanager: Alertmanager | None
    silences: Silences


@dataclass(frozen=True, slots=True)
class Lasting:
    """What goes on through every reload.

    Attributes:
        lead: the journal, fenced: for what only the leader may write.
        well_for: seconds for which the fault of a rollback that waits must be over.
    """

    clock: Clock
    journal: Journal
    fence: Fence
    lead: Journal
    telemetry: Telemetry
    actions: Actions
    effects: Effects
    notify: Notify
    runner: Runner
    heartbeat: Heartbeat
    trouble: Trouble
    well_for: float

    @classmethod
    def of(
        cls,
        configuration: Configuration,
        journal: Journal,
        prometheus: Prometheus,
        *,
        judge: Callable[[], Judge],
        clock: Clock,
        well_for: float,
    ) -> Lasting:
        """Wire it; `judge` gives the judge of the present configuration."""
        fence = Fence()
        lead = journal.fenced(fence)
        telemetry = Telemetry(configuration.targets)
        actions = Actions(Survivors(state_folder(configuration.journal)))
        poll_interval = configuration.prometheus.poll_interval
        effects = Effects(actions, prometheus, poll_interval=poll_interval, clock=clock)
        notify = Notify(telemetry.notified)
        return cls(
            clock=clock,
            journal=journal,
            fence=fence,
            lead=lead,
            telemetry=telemetry,
            actions=actions,
            effects=effects,
            notify=notify,
            runner=Runner(journal, lead, effects, telemetry, judge=judge, notices=notify, clock=clock),
            heartbeat=Heartbeat(journal, telemetry, clock=clock, monotonic=time.monotonic),
            trouble=Trouble(time.monotonic),
            well_for=well_for,
        )

    def new_id(self, letter: str) -> str:
        """An id that begins with the letter, of now."""
        return new_id(letter, self.clock())

    def tell(self, configuration: Configuration) -> None:
        """Tell people of what happens from now on as the configuration says."""
        self.notify.use(configuration.notify)
        self.telemetry.know_services(self.notify.services)


@dataclass(frozen=True, slots=True)
class Parts:
    """What one configuration makes; a reload makes it anew."""

    configuration: Configuration
    releases: Releases
    watcher: Watcher
    intake: Intake
    judge: Judge
    drills: Drills


def make(configuration: Configuration, sources: Sources, lasting: Lasting) -> Parts:
    """The parts of a configuration, wired; nothing runs yet."""
    journal, clock = lasting.journal, lasting.clock
    targets = {target.name: target for target in configuration.targets}
    lasting.trouble.use(configuration.targets, configuration.storm)
    releases = Releases(targets, journal, lasting.lead, lasting.actions, sources.prometheus, clock)
    readiness = _readiness(configuration, sources, lasting, releases)
    alerts_now = AlertsNow(sources.prometheus, lasting.trouble, clock)
    watcher = _watcher(configuration, sources, lasting, releases, readiness, alerts_now)
    gatherer = FactGatherer(journal, sources.prometheus, releases, alerts_now, sources.silences, clock)
    intake = _intake(configuration, lasting, gatherer, watcher)
    lasting.telemetry.feed_ages(prometheus=watcher.prometheus_age, watchdog=lasting.heartbeat.age)
    poll_interval = configuration.prometheus.poll_interval
    judge = Judge(configuration.targets, journal, gatherer, poll_interval=poll_interval, well_for=lasting.well_for)
    drills = _drills(configuration, sources, lasting, releases, readiness, watcher)
    return Parts(configuration, releases, watcher, intake, judge, drills)


def _readiness(configuration: Configuration, sources: Sources, lasting: Lasting, releases: Releases) -> Readiness:
    return Readiness(
        lasting.journal,
        releases,
        lasting.actions,
        sources.alertmanager,
        configuration.notify,
        clock=lasting.clock,
        monotonic=time.monotonic,
        told=lasting.telemetry.ready,
    )


def _watcher(
    configuration: Configuration,
    sources: Sources,
    lasting: Lasting,
    releases: Releases,
    readiness: Readiness,
    alerts_now: AlertsNow,
) -> Watcher:
    return Watcher(
        configuration.targets,
        sources.prometheus,
        releases,
        lasting.journal,
        lasting.telemetry,
        alerts_now,
        sources.silences,
        Returns(lasting.journal, lasting.lead, lasting.notify),
        readiness,
        poll_interval=configuration.prometheus.poll_interval,
        clock=lasting.clock,
        monotonic=time.monotonic,
        leads=lambda: lasting.fence.epoch is not None,
    )


def _intake(configuration: Configuration, lasting: Lasting, gatherer: FactGatherer, watcher: Watcher) -> Intake:
    return Intake(
        configuration.targets,
        lasting.journal,
        lasting.lead,
        gatherer,
        lasting.telemetry,
        clock=lasting.clock,
        new_id=lasting.new_id,
        opened=lasting.runner.wake,
        firing=watcher.triggers,
        delivered=lasting.heartbeat.take,
        notices=lasting.notify,
    )


def _drills(
    configuration: Configuration,
    sources: Sources,
    lasting: Lasting,
    releases: Releases,
    readiness: Readiness,
    watcher: Watcher,
) -> Drills:
    return Drills(
        configuration.targets,
        lasting.journal,
        sources.prometheus,
        sources.alertmanager,
        lasting.actions,
        releases,
        readiness,
        polled=watcher.ready,
        clock=lasting.clock,
        new_id=lasting.new_id,
    )


def new_id(letter: str, now: float) -> str:
    """An id that sorts by time and is short enough to be typed: letter, UTC date and time, random digits.

    Many decisions may be made within a second (a storm of alerts), so that theirs have eight, others four.
    """
    return (
        f"{letter}{time.strftime('%y%m%d-%H%M%S', time.gmtime(now))}-{secrets.token_hex(4 if letter == 'd' else 2)}"
    )
