"""Targets that Prometheus shows: every service with `target_info` in the environments of an entry of `discover`.

Here: the question, and from a service to a target. A service that is gone stays a target for a day: it may be down.
Never here: what happens with the targets.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import structlog

from rearguard_controller.adapters.prometheus.promql import duration, quoted
from rearguard_controller.adapters.prometheus.queryable import Asks
from rearguard_controller.config import Configuration, DiscoverServices
from rearguard_controller.config.hooks import NAME
from rearguard_controller.model import CommandAction, CommandRelease, Target, normalised
from rearguard_controller.model.labels import ENVIRONMENT_LABEL, SERVICE_LABEL

log = structlog.get_logger(__name__)

ASK_EVERY = 15.0  # seconds
STAYS = 86_400.0  # seconds for which a service that shows nothing stays a target
MOST_SERVICES = 10_000  # that become targets
MOST_NAMED = 10  # services that a line of the log names
_OLDER_LABEL = "deployment_environment"

Service = tuple[str, str]  # name and environment


class Services:
    """Finds the targets of one configuration."""

    def __init__(self, configuration: Configuration, steady: Callable[[], float]) -> None:
        """Nobody was asked yet; `steady` gives seconds that only go forward."""
        self._configuration, self._steady = configuration, steady
        self._seen: dict[Service, float] = {}
        self._asked_at: float | None = None
        self.refused: tuple[Service, ...] = ()  # whose names no target may have

    async def look(self, asks: Asks) -> tuple[Target, ...]:
        """The targets that there are now, in the order of their names.

        Raises:
            SourceError: Prometheus did not answer.
        """
        now, entries = self._steady(), self._configuration.services
        if entries and (self._asked_at is None or now - self._asked_at >= ASK_EVERY):
            samples = await asks.query(question(entries, first=self._asked_at is None))
            self._asked_at = now
            for labels in (normalised(each.labels) for each in samples):
                self._seen[labels.get(SERVICE_LABEL, ""), labels.get(ENVIRONMENT_LABEL, "")] = now
            self._seen = {service: at for service, at in self._seen.items() if now - at < STAYS}
            self._tell()
        return targets_of(self._configuration, self._seen)

    def _tell(self) -> None:
        """Log once which services cannot become targets."""
        odd = tuple(sorted(service for service in self._seen if not NAME.fullmatch(service[0])))
        if odd != self.refused:
            self.refused = odd
            named = [service for service, _ in odd[:MOST_NAMED]]
            log.warning("services_not_discovered", services=named, count=len(odd), why="they are no names of targets")


def question(entries: Sequence[DiscoverServices], *, first: bool) -> str:
    """PromQL that names every service in these environments, and at first those of the last day."""
    wanted = quoted("|".join(re.escape(each) for each in sorted({e for it in entries for e in it.environments})))
    within = f"[{duration(STAYS)}]" if first else ""
    series = [f"target_info{{{label}=~{wanted}}}{within}" for label in (ENVIRONMENT_LABEL, _OLDER_LABEL)]
    found = " or ".join(f"last_over_time({each})" if first else each for each in series)
    return f"group by ({SERVICE_LABEL}, {ENVIRONMENT_LABEL}, {_OLDER_LABEL}) ({found})"


def targets_of(configuration: Configuration, services: Iterable[Service]) -> tuple[Target, ...]:
    """These services as targets; the first entry that names an environment says what its services are like."""
    listed = {target.name for target in configuration.targets}
    found: dict[str, Target] = {}
    for service, environment in sorted(services)[:MOST_SERVICES]:
        entry = next((each for each in configuration.services if environment in each.environments), None)
        if entry is None or not NAME.fullmatch(service):
            continue
        one = target_of(entry, service, environment)
        if one.name not in listed:
            found[one.name] = one
    return tuple(found[name] for name in sorted(found))


def target_of(entry: DiscoverServices, service: str, environment: str) -> Target:
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
    )


def _filled(release: CommandRelease, service: str, environment: str) -> CommandRelease:
    def filled(command: CommandAction) -> CommandAction:
        words = [each.replace("{service}", service).replace("{environment}", environment) for each in command.argv]
        return replace(command, argv=tuple(words))

    def may(command: CommandAction | None) -> CommandAction | None:
        return None if command is None else filled(command)

    return CommandRelease(filled(release.current), may(release.rollback), may(release.versions), may(release.check))
