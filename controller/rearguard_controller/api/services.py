"""What the API is given, and the shape it expects of each part.

Here: one frozen record with everything that a handler may use, and protocols that say of each part only what the
API calls. `app` fills the record; a handler reaches nothing else.
Never here: HTTP, and how any of these parts works.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from rearguard_controller.adapters.telemetry import Telemetry
from rearguard_controller.config import Configuration
from rearguard_controller.intake.by_hand import ManualAnswer, ManualRequest
from rearguard_controller.journal.store import Journal
from rearguard_controller.model import Alert, Check, Drill, Rollback
from rearguard_controller.releases.by_people import ReleaseWords


class Intake(Protocol):
    """Takes in alerts and requests."""

    async def receive(self, alerts: Sequence[Alert], /) -> None:
        """Store alerts; on return they are on disk. JournalError: nothing was stored."""

    async def by_hand(self, request: ManualRequest, /) -> ManualAnswer:
        """Judge a person's request and open the rollback, unless it is a dry run.

        Raises:
            NotFoundError: no such target.
            ConflictError: the state of things forbids it now.
            InvalidInputError: the request makes no sense, whatever the state.
        """


class Runner(Protocol):
    """Carries rollbacks out."""

    async def approve(self, rollback_id: str, operator: str, reason: str, /) -> Rollback:
        """Let a rollback that waits be begun, if a fresh judgement finds it right."""

    async def veto(self, rollback_id: str, operator: str, reason: str, /) -> Rollback:
        """Close a rollback that waits; nothing is begun."""

    async def abort(self, rollback_id: str, operator: str, reason: str, /) -> Rollback:
        """End a rollback early; what was begun is undone."""

    async def close(self, rollback_id: str, operator: str, reason: str, /) -> Rollback:
        """Close a rollback that cannot finish."""


class Drills(Protocol):
    """Walks the whole way back without touching what serves."""

    async def run(self, target: str, operator: str, reason: str, /) -> Drill:
        """Drill a target; what was found is in the journal by then.

        Raises:
            ConflictError: the target is drilled, or rolled back, now.
        """


class Figure(Protocol):
    """One figure of one version at the last poll."""

    @property
    def alert(self) -> str:
        """The alert whose figure it is."""

    @property
    def version(self) -> str | None:
        """The service_version it was measured for; None where it speaks for all."""

    @property
    def value(self) -> float | None:
        """None without data."""

    @property
    def threshold(self) -> float | None:
        """None when Prometheus has none."""

    @property
    def operator(self) -> str:
        """One of > >= < <=, or exists."""

    @property
    def past(self) -> bool | None:
        """Whether the value is past the threshold."""


class Watcher(Protocol):
    """What the last poll saw; nothing here asks anybody."""

    def firing(self, target: str, /) -> Sequence[Alert]:
        """Alerts that fire for the target now, by Prometheus."""

    def ready(self, target: str, /) -> Mapping[str, bool | None]:
        """The readiness checks of the target."""

    def not_ready(self, target: str, /) -> Sequence[Check]:
        """Those that do not hold or are not known, with what to do about each."""

    def figures(self, target: str, /) -> Sequence[Figure]:
        """The current figures of the target's triggers, by version."""

    def prometheus_age(self) -> float | None:
        """Seconds since Prometheus last answered; None before it ever did."""


@dataclass(slots=True)
class Services:
    """Everything that the API may use; a reload puts other parts in, so handlers take them at each request."""

    configuration: Configuration
    journal: Journal
    telemetry: Telemetry
    intake: Intake
    runner: Runner
    releases: ReleaseWords
    watcher: Watcher
    drills: Drills
    clock: Callable[[], float]
    heartbeat_age: Callable[[], float | None]  # seconds since the last heartbeat alert; None before there was one
    reload: Callable[[], Awaitable[None]]  # read the configuration again; ConfigError keeps the old one
