"""The nouns of the controller: what every other module speaks about.

Here: frozen values and closed sets of words, as users meet them in the API, the journal and the metrics.
Never here: behaviour beyond small derived properties, clocks, input or output. Times are seconds since the Unix
epoch (UTC), durations are seconds; faces turn them into RFC 3339 and Prometheus durations.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum, unique

Labels = Mapping[str, str]

VERSION_LABEL = "service_version"  # names a version in Prometheus; identities are the release source's own
DRILL_LABEL = "rearguard_drill"  # marks a drill's alert, with the drill's id: such an alert is never judged


# --- words -------------------------------------------------------------------------------------------------


@unique
class Verdict(StrEnum):
    """What a decision says."""

    ROLL_BACK = "roll_back"  # act now
    ASK = "ask"  # act when a person approves
    LEAVE = "leave"  # do nothing, and say why


@unique
class ReasonCode(StrEnum):
    """The questions a decision answers, in the order of judgement. A closed set: it is a metric label."""

    TARGET_KNOWN = "target_known"
    MODE_ALLOWS = "mode_allows"
    ARMED = "armed"
    ENVIRONMENT_ALLOWS = "environment_allows"
    NOT_SILENCED = "not_silenced"
    ALERT_CONFIRMED = "alert_confirmed"
    RECENT_RELEASE = "recent_release"
    NO_DEPLOY_IN_PROGRESS = "no_deploy_in_progress"
    BEGAN_AFTER_RELEASE = "began_after_release"
    VERSION_MATCHES = "version_matches"
    PREVIOUS_VERSION_HEALTHY = "previous_version_healthy"
    DEPENDENCIES_HEALTHY = "dependencies_healthy"
    KNOWN_GOOD_EXISTS = "known_good_exists"
    NOT_ALREADY_HANDLED = "not_already_handled"
    NO_OPEN_ROLLBACK = "no_open_rollback"
    COOLDOWN_OVER = "cooldown_over"
    BUDGET_LEFT = "budget_left"
    NO_STORM = "no_storm"
    NO_BARRIER = "no_barrier"
    OWNER_ALLOWS = "owner_allows"
    CAPACITY_SUFFICES = "capacity_suffices"


@unique
class EvidenceSource(StrEnum):
    """Who was asked for what a decision rests on."""

    PROMETHEUS = "prometheus"
    ALERTMANAGER = "alertmanager"
    TARGET = "target"  # its own commands
    JOURNAL = "journal"


@unique
class Mode(StrEnum):
    """What a policy lets the controller do by itself."""

    OBSERVE = "observe"  # decide, record, never act
    ASK = "ask"  # act when a person approves
    ACT = "act"


@unique
class Trigger(StrEnum):
    """Who asked for a rollback."""

    ALERT = "alert"
    MANUAL = "manual"


@unique
class Phase(StrEnum):
    """Where a rollback is in its life."""

    WAITING = "waiting"  # for approval, or for a veto window to pass
    RUNNING = "running"
    CLOSED = "closed"


@unique
class StepKind(StrEnum):
    """What a step is for; the order of kinds in a plan is fixed by `planning.plan`."""

    BEFORE_HOOK = "before_hook"
    ROLL_BACK = "roll_back"
    VERIFY_HEALTH = "verify_health"
    UNDO_HOOK = "undo_hook"
    AFTER_HOOK = "after_hook"
    VERIFY_RECOVERY = "verify_recovery"


@unique
class StepState(StrEnum):
    """How far a step is. *Started* means that its intent is committed."""

    PLANNED = "planned"
    STARTED = "started"
    DONE = "done"
    FAILED = "failed"
    SKIPPED = "skipped"
    INTERRUPTED = "interrupted"  # started, and a crash or hand-over left its result unknown


@unique
class Outcome(StrEnum):
    """How a rollback ended."""

    RECOVERED = "recovered"  # the destination serves and the triggering condition is over
    NOT_RECOVERED = "not_recovered"  # the destination serves and the condition is not over: not the release's fault
    COMPLETED = "completed"  # done and healthy: nothing was firing, or the fault was receding before it began
    FAILED = "failed"
    VETOED = "vetoed"
    EXPIRED = "expired"  # nobody approved in time
    SUPERSEDED = "superseded"  # somebody else changed the version meanwhile
    NOT_NEEDED = "not_needed"  # the fault was over when the wait ended
    ABORTED = "aborted"  # a person stopped it; what was begun was undone
    NEEDS_A_PERSON = "needs_a_person"  # halting loudly is a result


@unique
class NoticeEvent(StrEnum):
    """What people are told of."""

    ALERT = "alert"  # Alertmanager delivered an alert, whatever it leads to
    DECIDED = "decided"  # a decision was recorded
    STARTED = "started"  # the first step of a rollback has started
    FINISHED = "finished"  # a rollback was closed
    UNDO_FAILING = "undo_failing"  # an undo hook has failed three times, and is tried again
    BAD_VERSION = "bad_version"  # a version that was rolled away from serves again


@unique
class OnFailure(StrEnum):
    """What a failed step means for the attempt."""

    CONTINUE = "continue"
    STOP = "stop"  # undo what was begun; outcome `failed`
    RETRY = "retry"  # until it succeeds or a person closes the rollback: undo hooks only


@unique
class AfterCrash(StrEnum):
    """What to do with a step whose result a crash left unknown."""

    REDO = "redo"
    LOOK_FIRST = "look_first"  # ask the target before acting again: the roll_back step
    NEVER_REDO = "never_redo"


@unique
class AlertState(StrEnum):
    """What Prometheus says of an alert now."""

    FIRING = "firing"
    PENDING = "pending"
    INACTIVE = "inactive"
    UNKNOWN = "unknown"  # Prometheus could not be asked


# --- what is configured -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CommandAction:
    """An argument list to run, never through a shell. Arguments may hold the placeholders of the contract."""

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
class Hook:
    """Something to do before or after the rollback, with its own limit, failure rule and undo."""

    name: str
    action: Action
    undo: Action | None = None
    check: Action | None = (
        None  # harmless, by its owner's promise: run by drills only, instead of a look at the action
    )
    on_failure: OnFailure = OnFailure.CONTINUE
    after_crash: AfterCrash = AfterCrash.NEVER_REDO
    before_restore: bool = False  # after hooks only: run before the undo hooks
    undo_when_healthy: bool = False  # before hooks only: leave undone when the health check failed


@dataclass(frozen=True, slots=True)
class CommandRelease:
    """A target whose versions are read and activated by commands."""

    current: CommandAction
    rollback: CommandAction
    versions: CommandAction | None = None
    check: CommandAction | None = None


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
    veto: float = 0.0  # how long a person can stop it before it is begun


@dataclass(frozen=True, slots=True)
class Target:
    """What can be rolled back, and how."""

    name: str
    match: tuple[Labels, ...]  # an alert that carries all labels of any of these belongs to the target
    environment: str
    telemetry: Labels  # selector of the target's own figures
    policy: Policy
    release: CommandRelease
    before: tuple[Hook, ...] = ()
    after: tuple[Hook, ...] = ()
    health: HealthCheck | None = None
    recovery_within: float | None = None
    depends_on: tuple[str, ...] = ()  # names of targets whose trouble is not blamed on this one's release

    def owns(self, labels: Labels) -> bool:
        """Whether an alert with these labels is about this target; that of a drill is about none."""
        return not labels.get(DRILL_LABEL) and any(is_subset(matcher, labels) for matcher in self.match)

    def trigger_labels(self) -> tuple[Labels, ...]:
        """The labels that make an alert a trigger of this target: those of its policy with each match."""
        wanted = ({**self.policy.alerts, **matcher} for matcher in self.match)
        return tuple(each for each in wanted if is_subset(self.policy.alerts, each))  # else no alert can have both


# --- what happens --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Alert:
    """A claim that something is wrong. `fingerprint` and `starts_at` are evidence, never identity."""

    name: str
    labels: Labels  # with `alertname`
    annotations: Labels = field(default_factory=dict)
    firing: bool = True
    starts_at: float | None = None
    fingerprint: str = ""
    source: str = "webhook"  # webhook | prometheus

    @property
    def key(self) -> str:
        """The alert's identity as text: its labels, sorted, and quoted so that no label can pass for another one."""
        return ",".join(f"{name!r}={value!r}" for name, value in sorted(self.labels.items()))


@dataclass(frozen=True, slots=True)
class Release:
    """A version of a target and what is remembered of it. Versions are identities, never "previous"."""

    target: str
    version: str
    first_seen: float
    last_seen: float
    served_at: float | None = None  # when it was first seen serving; None while it is only announced
    service_version: str | None = None  # the label that Prometheus shows while it serves
    known_good_at: float | None = None
    suspect_at: float | None = None  # a rollback away from it has started
    bad_at: float | None = None  # a rollback away from it helped
    barrier: bool = False  # never go back past it automatically

    @property
    def distrusted(self) -> bool:
        """Never a destination: a rollback away from it has started, and nobody cleared it since."""
        return self.suspect_at is not None or self.bad_at is not None

    @property
    def distrusted_since(self) -> float | None:
        """When it was first marked, suspect or bad; None when it is not."""
        return min((at for at in (self.suspect_at, self.bad_at) if at is not None), default=None)


@dataclass(frozen=True, slots=True)
class Check:
    """One answered question of whether a target could be rolled back if it had to be."""

    name: str
    holds: bool | None  # None: not known
    detail: str  # a sentence; of a check that does not hold it says what to do


@dataclass(frozen=True, slots=True)
class Drill:
    """A walk of the whole way back that changes nothing, and what it found."""

    id: str
    target: str
    at: float  # when it began
    operator: str
    reason: str = ""
    ended_at: float | None = None
    checks: tuple[Check, ...] = ()

    @property
    def ok(self) -> bool | None:
        """True when every check holds, False when one does not, None when it is not known."""
        answers = {check.holds for check in self.checks}
        return False if False in answers else None if not answers or None in answers else True


@dataclass(frozen=True, slots=True)
class SeenAlert:
    """An alert of a target that was pending or firing at some moment, whichever instance it was about."""

    name: str
    state: AlertState
    service_version: str | None = None  # that it named, if any


@dataclass(frozen=True, slots=True)
class AlertsSeen:
    """Which alerts of a target were pending or firing at a moment."""

    at: float
    alerts: tuple[SeenAlert, ...] = ()
    between: tuple[SeenAlert, ...] = ()  # seen while nobody read the version: before its change or after it
    unknown: str = ""  # why they are not known
    asked: bool = False  # by Prometheus' history, which will never know more


@dataclass(frozen=True, slots=True)
class Score:
    """What the controller would have done against what people did by hand, counted once for each release."""

    agreed: int = 0  # it would have gone back, and people did
    only_we: int = 0  # it would have, and nobody did
    only_people: int = 0  # people did, and it had not said so
    lead: float = 0.0  # seconds by which it was earlier, summed over `agreed`
    version: str | None = None  # from which it would go back now, while it is open what people do
    said_at: float | None = None  # when it first said so
    settled: str | None = None  # the version that was counted last


@dataclass(frozen=True, slots=True)
class TargetState:
    """What is remembered of a target between restarts."""

    target: str
    armed: bool = True
    armed_reason: str = ""  # why it was disarmed, or armed again
    armed_changed_at: float | None = None
    disarmed_until: float | None = None
    disarmed_by: Outcome | None = None  # of the rollback that left it disarmed; None: a person did, or it is armed
    serving_version: str | None = None
    serving_since: float | None = None  # when it was first seen serving
    changed_after: float | None = None  # when the version before was last seen: the change came between the two
    looked_at: float | None = None  # when the serving version was last read
    previous_version: str | None = None
    is_release: bool = False  # the serving version arrived as a release, not as a return or on day one
    deploy_started_at: float | None = None  # CI announced a deployment and not yet its end
    clean_since: float | None = None  # unbroken good service, on the way to known good
    clean_checked_at: float | None = None
    alerts: AlertsSeen | None = None  # at the last poll that found the serving version
    alerts_before: AlertsSeen | None = None  # right before the serving version came; None: nobody looked for them
    adopting: bool = False  # it is new here, and Prometheus' history has not been read yet
    told_bad_since: float | None = None  # when the return of a bad version began that people were last told of
    score: Score = Score()  # what it would have done, against what people did


@dataclass(frozen=True, slots=True)
class Sample:
    """One value of a figure, with the labels that tell whose it is."""

    labels: Labels
    value: float
    at: float | None = field(default=None, compare=False)  # when it was evaluated, by who answered; None: not said


@dataclass(frozen=True, slots=True)
class Evidence:
    """One thing that was read of the world for a decision, and what it said.

    `question` is PromQL as it was asked, `GET` and a path, a command, or what was read of the journal. `at` is when
    that was, by the clock of who answered where it is known; a range of time goes from `start` to `at`, every `step`
    seconds.
    """

    source: EvidenceSource
    question: str
    answer: str
    at: float
    serves: tuple[ReasonCode, ...]
    values: tuple[Sample, ...] = ()  # the numbers of the answer, at most a few; of a range the median of each series
    start: float | None = None
    step: float | None = None


@dataclass(frozen=True, slots=True)
class Measurement:
    """A figure against its threshold at one moment.

    `past` says whether the value is past the threshold; None when there is no data: no data is a third answer.
    `operator` is one of > >= < <=, or `exists` for an alert without a figure, whose rule's expression is past
    whenever it returns anything.
    """

    value: float | None
    threshold: float | None
    operator: str
    past: bool | None


@dataclass(frozen=True, slots=True)
class Silencing:
    """What Alertmanager says of an alert, by the last list that was read of it.

    `age` is how old that list is, in seconds; None when none was ever read.
    """

    age: float | None
    fault: str = ""  # why it could not be read since
    silence: str = ""  # the silence that holds for the alert and ends last, in words
    until: float | None = None  # when that silence ends; None when it is too new to be known
    inhibited_by: str = ""  # the fingerprint of an alert that inhibits it


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything that `policy.decide` may know of the world, gathered before it is called."""

    now: float
    default_environment: str = ""
    alert_state: AlertState = AlertState.UNKNOWN
    alert_detail: str = ""  # why the state is unknown
    silencing: Silencing | None = None  # None: no Alertmanager is configured
    measurement: Measurement | None = None
    condition_since: float | None = None  # when the present episode of the condition began, by Prometheus
    condition_detail: str = ""
    condition_own: tuple[str, ...] = ()  # before the release, only figures naming these service_versions showed it
    serving_version: str | None = None
    serving_detail: str = ""
    state: TargetState | None = None
    releases: tuple[Release, ...] = ()
    ended_waits: tuple[Rollback, ...] = ()  # rollbacks that were never begun: the newest vetoed, expired, not needed
    activatable: frozenset[str] | None = None  # None: the target cannot list its versions
    checked: Labels = field(default_factory=dict)  # versions that the target's check was asked about: "", or why not
    previous_measurement: Measurement | None = None
    previous_detail: str = ""
    sick_dependencies: Labels = field(default_factory=dict)  # target that is depended on: what is wrong with it
    dependencies_detail: str = ""  # why it is not known which of them are sick
    open_rollback: str | None = None
    handled_by: str | None = None  # the automatic rollback that already went away from the serving version
    last_action_at: float | None = None
    actions_in_budget: int = 0
    budget_frees_at: float | None = (
        None  # when the next automatic rollback leaves the period; None while some are left
    )
    troubled: tuple[str, ...] = ()  # targets that had trigger alerts within `storm.within`
    storm: StormLimit = StormLimit()
    evidence: tuple[Evidence, ...] = ()  # what was asked for all this, and the answers

    def release(self, version: str | None) -> Release | None:
        """What is remembered of a version, if anything."""
        return next((release for release in self.releases if release.version == version), None)


@dataclass(frozen=True, slots=True)
class Reason:
    """One answered question. `holds` is None when the answer is unknown."""

    code: ReasonCode
    holds: bool | None
    detail: str
    unknown_blocks: bool = True
    remedy: str = ""  # of one that stands in the way: what would have to change

    @property
    def blocks(self) -> bool:
        """Whether this reason stands in the way; unknown is not true, unless the question says otherwise."""
        return self.holds is False or (self.holds is None and self.unknown_blocks)


@dataclass(frozen=True, slots=True)
class Decision:
    """A judgement with all its reasons, not only the first refusal."""

    id: str
    target: str
    verdict: Verdict
    would: Verdict  # had mode, environment and arming allowed it
    decided_at: float
    trigger: Trigger
    reasons: tuple[Reason, ...]
    alert: Alert | None = None
    from_version: str | None = None
    to_version: str | None = None
    rollback_id: str | None = None
    note: str = ""  # a person's reason, for rollbacks by hand
    evidence: tuple[Evidence, ...] = ()  # in the order of judgement


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a frozen plan and how far it is."""

    seq: int
    kind: StepKind
    name: str
    action: Action | HealthCheck | CommandRelease | None  # None: nothing outside is touched
    timeout: float
    on_failure: OnFailure
    after_crash: AfterCrash
    undoes: int | None = None  # seq of the before hook that this undo hook takes back
    only_when_healthy: bool = False  # undo hooks
    before_restore: bool = False  # after hooks
    state: StepState = StepState.PLANNED
    attempt: int = 0
    started_at: float | None = None
    ended_at: float | None = None
    output: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Condition:
    """What must be over for a rollback to count as recovered: the trigger's figure and threshold, frozen."""

    alert: str
    figure: str
    threshold: str
    selector: Labels  # whose figure: the target's telemetry labels
    settle: float = 0.0  # seconds that the figure looks back: after that it shows nothing from before
    clears: float = 0.0  # seconds that the alert itself may go on firing because of what was before


@dataclass(frozen=True, slots=True)
class Rollback:
    """One return to a trusted version: the fold of its events, never mutated."""

    id: str
    decision_id: str
    target: str
    trigger: Trigger
    reason: str
    from_version: str
    to_version: str
    phase: Phase
    opened_at: float
    steps: tuple[Step, ...]
    conditions: tuple[Condition, ...] = ()
    wait_until: float | None = None
    outcome: Outcome | None = None
    detail: str = ""
    closed_at: float | None = None
    needs_approval: bool = False
    approved: bool = False  # a person said go: only the fresh judgement is waited for
    waited_until: float | None = None  # when it could be begun; None: at once, or not yet
    stopping: Outcome | None = None  # the attempt has ended early, and this will be its outcome
    stopping_detail: str = ""
    close_asked: bool = False

    def step_of(self, kind: StepKind) -> Step | None:
        """The first step of a kind, if the plan has one."""
        return next((step for step in self.steps if step.kind is kind), None)


def is_subset(smaller: Labels, larger: Labels) -> bool:
    """Whether every label of `smaller` stands in `larger` with the same value."""
    return all(larger.get(name) == value for name, value in smaller.items())


def compare(value: float, operator: str, threshold: float) -> bool:
    """Compare as PromQL does; operators are > >= < <=."""
    match operator:
        case ">":
            return value > threshold
        case ">=":
            return value >= threshold
        case "<":
            return value < threshold
        case "<=":
            return value <= threshold
    raise ValueError(f"unknown comparison {operator!r}")
