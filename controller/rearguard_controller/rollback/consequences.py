"""What a rollback leaves behind: the mark of the version that it left, and whether its target stays armed.

Here: how what is remembered of a release and a target changes with it.
Never here: storing that (the journal), and what anybody makes of it.
"""

from __future__ import annotations

from dataclasses import replace

from rearguard_controller.model import Outcome, Release, Rollback, StepKind, TargetState


def marks(release: Release, rollback: Rollback) -> Release:
    """What is remembered of the version that a rollback leaves; to be asked when roll_back starts and at the close.

    Suspect from the intent of the roll_back step on; bad when leaving it helped; cleared when it did not. Any other
    close leaves the mark as it is, so that a person's word meanwhile stands.
    """
    step = rollback.step_of(StepKind.ROLL_BACK)
    if step is None or step.attempt == 0:
        return release
    match rollback.outcome:
        case Outcome.RECOVERED:
            return replace(release, bad_at=rollback.closed_at)
        case Outcome.NOT_RECOVERED:
            return replace(release, suspect_at=None)
        case None:
            return replace(release, suspect_at=release.suspect_at or step.started_at)
        case _:
            return release


def arming(state: TargetState, rollback: Rollback) -> TargetState:
    """The target's arming after a closed rollback: one that was begun and did not help disarms it.

    Begun is begun with any step: an attempt that fails at its first hook would otherwise be made again at every poll.
    So would one that a person aborted, or closed, before its first step.
    """
    proved = rollback.step_of(StepKind.VERIFY_RECOVERY) is not None  # then `completed` means: over without its help
    helped = rollback.outcome is Outcome.RECOVERED or (rollback.outcome is Outcome.COMPLETED and not proved)
    begun = any(step.attempt for step in rollback.steps)
    ended = rollback.outcome in (Outcome.ABORTED, Outcome.NEEDS_A_PERSON)  # without a step, only people end it so
    if rollback.outcome is None or helped or not (begun or ended):
        return state
    return replace(
        state,
        armed=False,
        armed_reason=f"rollback {rollback.id} ended as {rollback.outcome}",
        armed_changed_at=rollback.closed_at,
        disarmed_until=None,
        disarmed_by=rollback.outcome,
    )
