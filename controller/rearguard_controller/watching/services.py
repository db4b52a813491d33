"""Targets that Prometheus shows: every service with `target_info` in the environments of an entry of `discover`.

Here: the question, and from a service to a target. A service that is gone stays a target for a day: it may be down.
Never here: what happens with the targets.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import structlog

from rearguard_controller.adapters.prometheus.promql import duration, quoted
from rearguard_controller.adapters.prometheus.queryable import Asks
from rearguard_controller.config import Configuration, DiscoverServices
from rearguard_controller.config.hooks import NAME
from rearguard_controller.errors import SourceError
from rearguard_controller.model import CommandAction, CommandRelease, Target, normalised
from rearguard_controller.model.labels import ENVIRONMENT_LABEL, SERVICE_LABEL

log = structlog.get_logger(__name__)

ASK_EVERY = 15.0  # seconds
STAYS = 86_400.0  # seconds for which a service that shows nothing stays a target
MOST_SERVICES = 10_000  # that become targets
MOST_NAMED = 10  # services that a line of the log names
_OLDER_LABEL = "deployment_environment"

Service = tuple[str, str]  # name and environment


@dataclass(slots=True)
class _Answers:
    """What one Prometheus showed: when each service was seen last, and which ones its last answer had."""

    asked_at: float | None = None
    seen: dict[Service, float] = field(default_factory=dict)
    last: frozenset[Service] = frozenset()
    fault: str = ""  # why the last question had no answer


class Services:
    """Finds the targets of one configuration."""

    def __init__(self, configuration: Configuration, steady: Callable[[], float]) -> None:
        """Nobody was asked yet; `steady` gives seconds that only go forward."""
        self._configuration, self._steady = configuration, steady
        self._by_name: dict[str, _Answers] = {}
        self.refused: tuple[Service, ...] = ()  # whose names no target may have
        self.shared: tuple[Service, ...] = ()  # that several Prometheus show

    async def look(self, each: Mapping[str, Asks]) -> tuple[Target, ...]:
        """The targets that there are now, in the order of their names.

        A service is a target of the Prometheus that shows it; of several the first. Where one of several does not
        answer, its services stay as they were.

        Args:
            each: every Prometheus, by name.

        Raises:
            SourceError: none answered.
        """
        if not self._configuration.services:
            return ()
        self._by_name = {name: self._by_name.get(name, _Answers()) for name in each}
        faults = await asyncio.gather(*(self._ask(name, asks) for name, asks in each.items()))
        lacking = [fault for fault in faults if fault is not None]
        if len(lacking) == len(each):
            raise lacking[0]
        self._tell()
        return targets_of(self._configuration, self._shown())

    async def _ask(self, name: str, asks: Asks) -> SourceError | None:
        """Ask one, if it is time; why it did not answer."""
        now, known = self._steady(), self._by_name[name]
        if known.asked_at is not None and now - known.asked_at < ASK_EVERY:
            return None
        try:
            samples = await asks.query(question(self._configuration.services, first=known.asked_at is None))
        except SourceError as error:
            if name and error.message != known.fault:  # that of the first is told where nobody answers
                log.warning("not_discovered", prometheus=name, error=error.message)
            known.fault = error.message
            return error
        known.asked_at, known.fault = now, ""
        found = (normalised(each.labels) for each in samples)
        known.last = frozenset((each.get(SERVICE_LABEL, ""), each.get(ENVIRONMENT_LABEL, "")) for each in found)
        known.seen |= dict.fromkeys(known.last, now)
        known.seen = {service: at for service, at in known.seen.items() if now - at < STAYS}
        return None

    def _shown(self) -> dict[Service, str]:
        """Each service with the first Prometheus that shows it, else the first that did."""
        found: dict[Service, str] = {}
        for name, of in self._by_name.items():
            found |= {service: name for service in of.last if service not in found}
        for name, of in self._by_name.items():
            found |= {service: name for service in of.seen if service not in found}
        return found

    def _tell(self) -> None:
        """Log once which services cannot become targets, and which ones several show."""
        counted = Counter(service for of in self._by_name.values() for service in of.seen)
        odd = tuple(sorted(service for service in counted if not NAME.fullmatch(service[0])))
        if odd != self.refused:
            self.refused = odd
            named = [service for service, _ in odd[:MOST_NAMED]]
            log.warning("services_not_discovered", services=named, count=len(odd), why="they are no names of targets")
        now = Counter(service for of in self._by_name.values() for service in of.last)
        shared = tuple(sorted(service for service, count in now.items() if count > 1))
        if shared != self.shared:
            self.shared = shared
            named = [service for service, _ in shared[:MOST_NAMED]]
            if named:
                log.warning("services_in_several", services=named, count=len(shared), judged_by="the first of these")


def question(entries: Sequence[DiscoverServices], *, first: bool) -> str:
    """PromQL that names every service in these environments, and at first those of the last day."""
    wanted = quoted("|".join(re.escape(each) for each in sorted({e for it in entries for e in it.environments})))
    within = f"[{duration(STAYS)}]" if first else ""
    series = [f"target_info{{{label}=~{wanted}}}{within}" for label in (ENVIRONMENT_LABEL, _OLDER_LABEL)]
    found = " or ".join(f"last_over_time({each})" if first else each for each in series)
    return f"group by ({SERVICE_LABEL}, {ENVIRONMENT_LABEL}, {_OLDER_LABEL}) ({found})"


def targets_of(configuration: Configuration, services: Mapping[Service, str]) -> tuple[Target, ...]:
    """These services as targets, each with the Prometheus that shows it.

    The first entry that names an environment says what its services are like.
    """
    listed = {target.name for target in configuration.targets}
    found: dict[str, Target] = {}
    for (service, environment), prometheus in sorted(services.items())[:MOST_SERVICES]:
        entry = next((each for each in configuration.services if environment in each.environments), None)
        if entry is None or not NAME.fullmatch(service):
            continue
        one = target_of(entry, service, environment, prometheus)
        if one.name not in listed:
            found[one.name] = one
    return tuple(found[name] for name in sorted(found))


def target_of(entry: DiscoverServices, service: str, environment: str, prometheus: str) -> Target:
    """A service as a target, named by itself, or with its environment where the entry has several."""
    match = {SERVICE_LABEL: service, ENVIRONMENT_LABEL: environment}
    return Target(
        name=service if len(entry.environments) == 1 else f"{environment}/{service}",
        match=(match,),
        environment=environment,
        telemetry=match,
        policy=entry.policy,
        release=_filled(entry.release, service, environment),
        before=entry.before,
        after=entry.after,
        health=entry.health,
        recovery_within=entry.recovery_within,
        prometheus=prometheus,
    )


def _filled(release: CommandRelease, service: str, environment: str) -> CommandRelease:
    def filled(command: CommandAction) -> CommandAction:
        words = [each.replace("{service}", service).replace("{environment}", environment) for each in command.argv]
        return replace(command, argv=tuple(words))

    def may(command: CommandAction | None) -> CommandAction | None:
        return None if command is None else filled(command)

    return CommandRelease(filled(release.current), may(release.rollback), may(release.versions), may(release.check))
