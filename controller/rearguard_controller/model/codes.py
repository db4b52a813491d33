"""The closed sets of words that users meet in the API, the journal and the metrics."""

from enum import StrEnum, unique


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
    NOT_SHOWN_BY_OLDER = "not_shown_by_older"
    EVIDENCE_SUFFICES = "evidence_suffices"
    NOT_A_BLIP = "not_a_blip"
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
    TOGETHER_ALLOWS = "together_allows"


@unique
class EvidenceSource(StrEnum):
    """Where the evidence of a decision was read."""

    PROMETHEUS = "prometheus"
    ALERTMANAGER = "alertmanager"
    TARGET = "target"  # its own commands, or its workload in Kubernetes
    JOURNAL = "journal"


@unique
class WorkloadKind(StrEnum):
    """What of Kubernetes keeps the pods of a target."""

    DEPLOYMENT = "deployment"
    STATEFUL_SET = "statefulset"
    DAEMON_SET = "daemonset"


@unique
class OwnerTool(StrEnum):
    """What else changes workloads of Kubernetes."""

    ARGO_CD = "Argo CD"
    FLUX = "Flux"
    HELM = "Helm"
    ARGO_ROLLOUTS = "Argo Rollouts"
    OPERATOR = "an operator"


@unique
class OwnerRule(StrEnum):
    """What a rollback does about an owner of its workload that would put the version back."""

    REFUSE = "refuse"
    PAUSE = "pause"  # before the change; a person lets it go on
    IGNORE = "ignore"


@unique
class Mode(StrEnum):
    """What a policy lets the controller do by itself."""

    OBSERVE = "observe"  # decide, record, never act
    ASK = "ask"  # act when a person approves
    ACT = "act"


@unique
class Trust(StrEnum):
    """What a policy demands of a version before it is known good, beside good service."""

    FIGURES = "figures"  # a figure of a trigger rule had a value for it
    BY_UP = "by_up"  # nothing more: to be scraped is enough


@unique
class Caution(StrEnum):
    """How sure a policy must be that a release is worse than the version before it."""

    SWIFT = "swift"  # 1 false alarm in 1,000 releases
    STANDARD = "standard"  # 1 in 10,000
    CAREFUL = "careful"  # 1 in 100,000


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
    """What a step is for; the order of kinds in a plan is fixed by `rollback.plan`."""

    BEFORE_HOOK = "before_hook"
    ROLL_BACK = "roll_back"
    VERIFY_HEALTH = "verify_health"
    UNDO_ROLL_BACK = "undo_roll_back"  # where several targets go back together: back again, when one of them failed
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
    NEEDS_A_PERSON = "needs_a_person"  # it cannot go on or be proved by itself
    INTERRUPTED = "interrupted"  # a stop of the controller cut it off before `roll_back`: no verdict, tried anew


@unique
class NoticeEvent(StrEnum):
    """What people are told of."""

    ALERT = "alert"  # Alertmanager delivered an alert, whatever it leads to
    DECIDED = "decided"  # a decision was recorded
    STARTED = "started"  # the first step of a rollback has started
    FINISHED = "finished"  # a rollback was closed
    UNDO_FAILING = "undo_failing"  # an undo hook has failed three times, and is tried again
    BAD_VERSION = "bad_version"  # a version that was rolled away from serves again
    HEARTBEAT_LOST = "heartbeat_lost"  # Alertmanager's heartbeat has not come for too long
    HEARTBEAT_BACK = "heartbeat_back"  # it comes again


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


@unique
class AlertStatus(StrEnum):
    """Whether an alert fires, as Alertmanager says it."""

    FIRING = "firing"
    RESOLVED = "resolved"


@unique
class Standing(StrEnum):
    """How a target stands, from best to worst."""

    STEADY = "steady"
    WAITING = "waiting"  # its rollback waits for approval, or for a veto window to pass
    RUNNING = "running"  # its rollback runs
    DISARMED = "disarmed"


@unique
class Health(StrEnum):
    """How well a target does, from best to worst."""

    HEALTHY = "healthy"  # nothing fires
    UNKNOWN = "unknown"  # Prometheus has not answered for a while
    DEGRADED = "degraded"  # something fires that triggers no rollback
    UNHEALTHY = "unhealthy"  # a trigger fires


@unique
class HeartbeatState(StrEnum):
    """What to think of the time since the last heartbeat."""

    FRESH = "fresh"
    LATE = "late"
    NEVER = "never"


@unique
class Detail(StrEnum):
    """How much the controller's own metrics tell of each target."""

    FULL = "full"  # every series, from the start
    BRIEF = "brief"  # what the shipped alerts count from 0, and what is not as it should be


@unique
class Readiness(StrEnum):
    """Whether the controller can take deliveries."""

    READY = "ready"
    NOT_READY = "not_ready"


@unique
class ReleasePhase(StrEnum):
    """What CI says of a deployment."""

    STARTED = "started"
    FINISHED = "finished"
