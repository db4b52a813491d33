"""What is configured: targets, with their policy and the actions by which they are changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from rearguard_controller.model.codes import AfterCrash, Caution, Mode, OnFailure, OwnerRule, Trust, WorkloadKind
from rearguard_controller.model.labels import DRILL_LABEL, VERSION_LABEL, Labels, is_subset, normalised

PLACEHOLDERS = ("target", "from_version", "to_version", "rollback_id")  # that actions may hold, as {target}
RECOVERY_WITHIN = 300.0  # seconds after the settle time within which a fault must be over, by default


@dataclass(frozen=True, slots=True)
class CommandAction:
    """An argument list to run, never through a shell. Arguments may hold PLACEHOLDERS."""

    argv: tuple[str, ...]
    timeout: float
    cwd: str
    env: Labels = field(default_factory=dict)
    pass_env: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class HttpAction:
    """One HTTP request; any 2xx answer is success."""

    method: str
    url: str
    timeout: float
    headers: Labels = field(default_factory=dict)
    headers_file: str | None = None
    body: str | None = None


Action = CommandAction | HttpAction


@dataclass(frozen=True, slots=True)
class Weight:
    """The share of the requests that a backend of an HTTPRoute gets."""

    backend: str
    weight: int


@dataclass(frozen=True, slots=True)
class Drain:
    """Lead traffic away inside a cluster: narrow the selector of a Service, or set weights in an HTTPRoute.

    Attributes:
        service, httproute: name of the object; exactly one of them is given.
        selector: of a Service: labels that its pods must have, too. Values may hold PLACEHOLDERS.
        least: ready pods that a Service must keep; with fewer of them nothing is narrowed.
        weights: of an HTTPRoute.
        restore: this is the undo: put back what stood there before the same rollback drained.
    """

    namespace: str
    timeout: float
    service: str = ""
    httproute: str = ""
    selector: Labels = field(default_factory=dict)
    least: int = 1
    weights: tuple[Weight, ...] = ()
    restore: bool = False

    @property
    def kind(self) -> str:
        """Of the object, as Kubernetes calls it."""
        return "Service" if self.service else "HTTPRoute"

    @property
    def name(self) -> str:
        """Of the object."""
        return self.service or self.httproute

    def __str__(self) -> str:
        """As people write it: `Service shop/checkout`."""
        return f"{self.kind} {self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class Hook:
    """Something to do before or after the rollback, with its own limit, failure rule and undo."""

    name: str
    action: Action | Drain
    undo: Action | Drain | None = None
    check: Action | None = None  # run only by drills, to test the hook; its owner promises that it changes nothing
    on_failure: OnFailure = OnFailure.CONTINUE
    after_crash: AfterCrash = AfterCrash.NEVER_REDO
    before_restore: bool = False  # after hooks only: run before the undo hooks
    undo_when_healthy: bool = False  # before hooks only: leave undone when the health check failed


@dataclass(frozen=True, slots=True)
class CommandRelease:
    """A target whose versions are read and activated by commands; without `rollback` it is only observed."""

    current: CommandAction
    rollback: CommandAction | None
    versions: CommandAction | None = None
    check: CommandAction | None = None

    @property
    def timeout(self) -> float:
        """Seconds within which a version must be activated."""
        return self.current.timeout if self.rollback is None else self.rollback.timeout

    @property
    def changes(self) -> bool:
        """Whether it says how a version is put back."""
        return self.rollback is not None

    @property
    def proves(self) -> bool:
        """Whether it can say beforehand if a version can be activated."""
        return self.check is not None


@dataclass(frozen=True, slots=True)
class KubernetesRelease:
    """A target whose versions are the pod templates of one workload in Kubernetes."""

    namespace: str
    kind: WorkloadKind
    name: str
    timeout: float  # seconds within which a version must be activated: patched, rolled out, its pods available
    owner: OwnerRule = OwnerRule.REFUSE  # what to do about a tool that would put the version back

    @property
    def proves(self) -> bool:
        """Whether it can say beforehand if a version can be activated: the API server is asked for a dry run."""
        return True

    @property
    def changes(self) -> bool:
        """Whether it says how a version is put back."""
        return True

    @property
    def workload(self) -> str:
        """As people write it: `deployment shop/checkout`."""
        return f"{self.kind} {self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class PrometheusRelease:
    """A target whose version Prometheus names. Nothing here could change it, so it is only observed.

    Attributes:
        telemetry: labels of the target's own instances.
        metric: whose series exist once for each instance.
        label: of the metric: the version.
    """

    telemetry: Labels
    metric: str = "target_info"
    label: str = VERSION_LABEL

    @property
    def timeout(self) -> float:
        """Seconds for which an answer is waited for."""
        return 30.0

    @property
    def proves(self) -> bool:
        """Whether it can say beforehand if a version can be activated: nobody could be asked."""
        return False

    @property
    def changes(self) -> bool:
        """Whether it says how a version is put back."""
        return False


ReleaseKind = CommandRelease | KubernetesRelease | PrometheusRelease


@dataclass(frozen=True, slots=True)
class PauseOwner:
    """Pause whoever owns a workload, so that its version is not put back. A person lets the owner go on."""

    release: KubernetesRelease
    timeout: float = 60.0


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """The target is healthy after `successes` consecutive 2xx answers, within `timeout` seconds."""

    url: str
    successes: int
    interval: float
    timeout: float


@dataclass(frozen=True, slots=True)
class Budget:
    """At most `rollbacks` automatic rollbacks per target in `per` seconds."""

    rollbacks: int
    per: float


@dataclass(frozen=True, slots=True)
class StormLimit:
    """More than `targets` targets with trigger alerts within `within` seconds are a storm: nothing automatic."""

    targets: int = 3
    within: float = 300.0


@dataclass(frozen=True, slots=True)
class Policy:
    """When a target may be rolled back."""

    name: str
    mode: Mode
    alerts: Labels  # an alert with all of these labels is a trigger
    watch_window: float
    known_good_after: float
    cooldown: float
    budget: Budget
    act_outside_production: bool = False
    approval_within: float = 1800.0  # how long a rollback waits for a person's approval
    trust: Trust = Trust.FIGURES  # what a version needs, beside good service, to be known good
    caution: Caution = Caution.STANDARD  # how sure it must be that a release is worse than the version before
    veto: float = 0.0  # how long a person can stop it before it is begun
    together: tuple[str, ...] = ()  # names of the targets that go back together, in order
    as_one: bool = True  # those are all prepared before any is changed; else they are changed one after another


@dataclass(frozen=True, slots=True)
class Target:
    """What can be rolled back, and how."""

    name: str
    match: tuple[Labels, ...]  # an alert that carries all labels of any of these belongs to the target
    environment: str
    telemetry: Labels  # selector of the target's own figures
    policy: Policy
    release: ReleaseKind
    before: tuple[Hook, ...] = ()
    after: tuple[Hook, ...] = ()
    health: HealthCheck | None = None
    recovery_within: float | None = None
    depends_on: tuple[str, ...] = ()  # names of targets whose trouble is not blamed on this one's release
    reached_through: tuple[str, ...] = ()  # what those depend on in turn, nearest first, without this one
    prometheus: str = ""  # which of several Prometheus it is judged by; empty: that of `prometheus.url`

    @property
    def drains(self) -> bool:
        """Whether a hook leads traffic away inside a cluster."""
        return any(isinstance(hook.action, Drain) for hook in self.before)

    @property
    def dependencies(self) -> tuple[str, ...]:
        """Names of all targets that it depends on, also through others."""
        return (*self.depends_on, *self.reached_through)

    def independent_dependencies(self, known: Mapping[str, Target]) -> tuple[Target, ...]:
        """The dependencies that do not depend on this target in turn: of those, nobody knows who troubles whom."""
        found = (known[name] for name in self.dependencies if name in known)
        return tuple(each for each in found if self.name not in each.dependencies)

    @property
    def unit(self) -> str:
        """What it stands or falls with: the policy that ties it to other targets, or the target itself."""
        return f"policy {self.policy.name}" if self.name in self.policy.together else self.name

    @property
    def recovers_within(self) -> float:
        """Seconds after the settle time within which a fault must be over to count as recovered."""
        return RECOVERY_WITHIN if self.recovery_within is None else self.recovery_within

    def may_overlap(self, other: Target) -> bool:
        """Whether an alert may belong to both: a `match` of each has a label in common, and none that differs."""
        return any(_agree(mine, its) for mine in self.match for its in other.match)

    def owns(self, labels: Labels) -> bool:
        """Whether an alert with these labels is about this target; a drill's alert is about no target."""
        return not labels.get(DRILL_LABEL) and any(is_subset(matcher, labels) for matcher in self.match)

    def triggered_by(self, labels: Labels) -> bool:
        """Whether an alert with these labels is about this target and may roll it back."""
        return self.owns(labels) and is_subset(self.policy.alerts, labels)

    def trigger_labels(self) -> tuple[Labels, ...]:
        """The labels that make an alert a trigger of this target: those of its policy with each match."""
        wanted = ({**self.policy.alerts, **matcher} for matcher in self.match)
        return tuple(each for each in wanted if is_subset(self.policy.alerts, each))  # else no alert can have both


def _agree(mine: Labels, its: Labels) -> bool:
    mine, its = normalised(mine), normalised(its)
    common = mine.keys() & its.keys()
    return bool(common) and all(mine[name] == its[name] for name in common)
