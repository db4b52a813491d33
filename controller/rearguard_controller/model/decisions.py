"""What is concluded and done: evidence, reasons, decisions, rollbacks and their steps."""

from __future__ import annotations

from dataclasses import dataclass

from rearguard_controller.model.codes import (
    AfterCrash,
    EvidenceSource,
    OnFailure,
    Outcome,
    Phase,
    ReasonCode,
    StepKind,
    StepState,
    Trigger,
    Verdict,
)
from rearguard_controller.model.observations import (
    Alert,
    Condition,
    Sample,
)
from rearguard_controller.model.targets import Action, Drain, HealthCheck, PauseOwner, ReleaseKind


@dataclass(frozen=True, slots=True)
class Evidence:
    """One thing that was read of the world for a decision, and what it said.

    `question` is PromQL as it was asked, `GET` and a path, a command, or what was read of the journal. `at` is when
    that was, by the clock of the source if it is known. A range of time goes from `start` to `at`, every `step`
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
class Reason:
    """One answered question. `holds` is None when the answer is unknown."""

    code: ReasonCode
    holds: bool | None
    detail: str
    unknown_blocks: bool = True
    remedy: str = ""  # if it stands in the way: what would have to change

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
    would: Verdict  # the verdict if mode, environment and arming allowed it
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
    action: Action | Drain | HealthCheck | ReleaseKind | PauseOwner | None  # None: nothing outside is touched
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
class Together:
    """What ties the rollbacks of several targets that go back together; each of them has the same.

    Attributes:
        id: of the group of rollbacks.
        as_one: all are prepared, then all are changed. Else one after another, in the order of `rollbacks`.
        first: the rollback of the target whose alert it was. It alone decides whether all were changed, so that no
            two of them ever see it differently.
        rollbacks: their ids in the order in which the policy names their targets.
        targets: their targets, in the same order.
    """

    id: str
    as_one: bool
    first: str
    rollbacks: tuple[str, ...]
    targets: tuple[str, ...]


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
    approved: bool = False  # by a person; it now waits only for the fresh judgement
    waited_until: float | None = None  # when it could be begun; None: at once, or not yet
    stopping: Outcome | None = None  # the attempt has ended early, and this will be its outcome
    stopping_detail: str = ""
    close_asked: bool = False
    together: Together | None = None  # None: it goes back by itself
    together_done: bool = False  # all that go back together were changed: nothing is taken back any more

    @property
    def follows_another(self) -> bool:
        """Whether another rollback decides for this one."""
        return self.together is not None and self.together.first != self.id

    def step_of(self, kind: StepKind) -> Step | None:
        """The first step of a kind, if the plan has one."""
        return next((step for step in self.steps if step.kind is kind), None)
