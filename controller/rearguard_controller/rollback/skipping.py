"""Which steps are not taken any more.

Here: what an attempt that ended early, or a step before, means for one that was not begun.
Never here: which step comes next (`moves`), what is refused (`transitions`).
"""

from __future__ import annotations

from rearguard_controller.model import Outcome, Rollback, Step, StepKind, StepState


def is_over(rollback: Rollback, step: Step) -> bool:
    """Whether the attempt has ended for a step that was begun: only what undoes is done again."""
    return rollback.stopping is not None and step.kind is not StepKind.UNDO_HOOK


def reason_to_skip(rollback: Rollback, step: Step) -> str | None:
    """Why a planned step is skipped; None when it is to be taken."""
    stopping = rollback.stopping
    match step.kind:
        case StepKind.BEFORE_HOOK | StepKind.ROLL_BACK | StepKind.VERIFY_HEALTH | StepKind.VERIFY_RECOVERY:
            return None if stopping is None else f"The attempt has ended: {stopping}."
        case StepKind.UNDO_HOOK:
            return _reason_to_leave_undone(rollback, step)
        case StepKind.AFTER_HOOK:
            if _state_of(rollback, StepKind.ROLL_BACK) is not StepState.DONE:
                return "The version was not put back."
            if stopping is Outcome.ABORTED or (stopping is not None and step.before_restore):
                return f"The attempt has ended: {stopping}."
            return None


def _reason_to_leave_undone(rollback: Rollback, step: Step) -> str | None:
    if step.undoes is not None and rollback.steps[step.undoes].attempt == 0:
        return "Its hook never started: nothing to undo."
    proof = rollback.step_of(StepKind.VERIFY_HEALTH) or rollback.step_of(
        StepKind.ROLL_BACK
    )  # no check: what there is
    if step.only_when_healthy and (proof is None or proof.state is not StepState.DONE):
        return "Left as it is, because the target is not proven healthy (undo.when: healthy)."
    return None


def _state_of(rollback: Rollback, kind: StepKind) -> StepState | None:
    step = rollback.step_of(kind)
    return None if step is None else step.state
