"""What the API is given, and the shape it expects of the parts that it may not import.

Here: one frozen record with everything that a handler may use. `service` fills it; a handler reaches nothing else.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from rearguard_controller.adapters.telemetry import Telemetry
from rearguard_controller.api.logged import Logged
from rearguard_controller.api.people import People
from rearguard_controller.api.warnings import Warnings
from rearguard_controller.config import Configuration
from rearguard_controller.intake.as_if import AsIf
from rearguard_controller.intake.inbox import Intake
from rearguard_controller.journal.store import Journal
from rearguard_controller.model import Alert, Check, Condition, Drill, Labels, Target, Traffic


class Drills(Protocol):
    """Walks the whole way back without touching what serves."""

    async def run(self, target: Target, operator: str, reason: str, /) -> Drill:
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
    def figure(self) -> str:
        """The figure, as PromQL; empty where it is not known."""

    @property
    def limit(self) -> str:
        """What it is compared with, as PromQL."""

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


class Curve(Protocol):
    """A figure over time."""

    @property
    def labels(self) -> Labels:
        """Whose it is."""

    @property
    def points(self) -> Sequence[tuple[float, float]]:
        """Moments in seconds since the epoch, with the value at each."""


class Limited(Protocol):
    """The figure of a rollback's condition over time, beside what it is compared with."""

    @property
    def values(self) -> Sequence[Curve]:
        """One for each version with data."""

    @property
    def operator(self) -> str:
        """One of > >= < <=, or exists."""

    @property
    def limit(self) -> Sequence[tuple[float, float]]:
        """The threshold at each moment; empty where there is none."""


class Curves(Protocol):
    """Asks Prometheus about a stretch of time, with a point every `step` seconds.

    Each method raises SourceError where Prometheus gives no usable answer.
    """

    async def of_condition(self, condition: Condition, start: float, end: float, step: float, /) -> Limited:
        """The figure and the limit of what must be over."""

    async def of_alerts(self, target: Target, start: float, end: float, step: float, /) -> Sequence[Curve]:
        """The alerts of a target that fired; a point for each moment at which one did."""


class Said(Protocol):
    """Something that is said, as long as there is something to say."""

    @property
    def said(self) -> str:
        """The sentences; empty without any."""


class Watcher(Protocol):
    """What the last poll saw; only `curves` ask anybody."""

    @property
    def unmatched(self) -> Said:
        """Trigger alerts that match no target."""

    def firing(self, target: str, /) -> Sequence[Alert]:
        """Alerts that fire for the target now, by Prometheus or Kubernetes."""

    def ready(self, target: str, /) -> Mapping[str, bool | None]:
        """The readiness checks of the target."""

    def not_ready(self, target: str, /) -> Sequence[Check]:
        """Those that do not hold or are not known, with what to do about each."""

    def figures(self, target: str, /) -> Sequence[Figure]:
        """The current figures of the target's triggers, by version."""

    def traffic(self, target: str, /) -> Sequence[Traffic]:
        """What the target answers now, by version."""

    def curves(self, target: str, /) -> Curves:
        """What is drawn over time."""

    def prometheus_age(self, target: str = "", /) -> float | None:
        """Seconds since the target's Prometheus last answered; None before it ever did.

        Without a target it is that of the Prometheus which has been silent longest.
        """

    def most_apart(self, target: str, /) -> float:
        """Seconds that two looks at the target may lie apart, so that its service still counts as unbroken."""


class Present(Protocol):
    """What the present configuration made. It never changes; a reload puts another one in its place.

    So a request that takes it once sees one configuration from its beginning to its end.
    """

    @property
    def configuration(self) -> Configuration:
        """What was read."""

    @property
    def intake(self) -> Intake:
        """Takes alerts in."""

    @property
    def people(self) -> People:
        """Takes what people say."""

    @property
    def watcher(self) -> Watcher:
        """What the last poll saw."""

    @property
    def as_if(self) -> AsIf:
        """Judges alerts that are made up."""

    @property
    def drills(self) -> Drills:
        """Drills targets."""


class PastJudged(Protocol):
    """A back-test that somebody asked for."""

    @property
    def since(self) -> str:
        """From how long ago on, such as 7d."""

    @property
    def operator(self) -> str:
        """Who asked."""

    @property
    def began(self) -> float:
        """When, in seconds since the epoch."""

    @property
    def ended(self) -> float | None:
        """None while it runs."""

    @property
    def problem(self) -> str:
        """Why there is no report; empty where there is one."""

    @property
    def report(self) -> bytes:
        """One file of HTML."""


class Past(Protocol):
    """Judges the past by the present configuration, one back-test at a time, in a process of its own."""

    @property
    def last(self) -> PastJudged | None:
        """The one that runs, or the last one."""

    def judge(self, since: str, operator: str, /) -> None:
        """Begin one.

        Raises:
            ConflictError: another one runs.
        """


@dataclass(frozen=True, slots=True)
class Services:
    """Everything that the API may use. What only the leader may write is not among it.

    Attributes:
        journal: what any replica may read and write.
        telemetry: the controller's own metrics.
        clock: the present time in seconds since the epoch.
        now: what the present configuration made; a handler takes it once, at the beginning of a request.
        heartbeat_age: seconds since the last heartbeat alert; None before there was one.
        reload: reads the configuration again. ConfigError: the old one stays.
        warnings: what is wrong with the controller itself.
        logged: what the log warned of lately.
        past: back-tests.
    """

    journal: Journal
    telemetry: Telemetry
    clock: Callable[[], float]
    now: Callable[[], Present]
    heartbeat_age: Callable[[], float | None]
    reload: Callable[[], Awaitable[None]]
    warnings: Warnings
    logged: Logged
    past: Past
