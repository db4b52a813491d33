"""The plan of a rollback: its steps in their fixed order, frozen when it is opened.

Here: from a configured target to steps, and whether a rollback first waits.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from rearguard_controller.model import (
    AfterCrash,
    Condition,
    Hook,
    KubernetesRelease,
    OnFailure,
    OwnerRule,
    PauseOwner,
    Phase,
    Policy,
    ReleaseKind,
    Rollback,
    Step,
    StepKind,
    Target,
    Verdict,
)

PAUSE_OWNER = "pause-owner"


def plan(target: Target, *, conditions: tuple[Condition, ...], together: bool = False) -> tuple[Step, ...]:
    """The frozen steps of a rollback of `target`.

    Args:
        target: as configured now; a later reload does not change the plan.
        conditions: what must be over before the rollback counts as recovered; without any there is no verify_recovery
            step.
        together: whether other targets go back with it, so that the change is taken back when one of them fails.

    Returns:
        Steps in their order, `seq` counting from 0, all planned.
    """
    drafts = [*_pause(target.release), *(_hook_step(StepKind.BEFORE_HOOK, hook) for hook in target.before)]
    first = len(drafts) - len(target.before)
    undo_of = {index: hook for index, hook in enumerate(target.before, first) if hook.undo is not None}
    release = target.release
    roll_back = _step(StepKind.ROLL_BACK, "roll-back", release, release.timeout, AfterCrash.LOOK_FIRST)
    drafts.append(roll_back)
    if target.health is not None:
        drafts.append(_step(StepKind.VERIFY_HEALTH, "health", target.health, target.health.timeout, AfterCrash.REDO))
    if together:
        drafts.append(replace(roll_back, kind=StepKind.UNDO_ROLL_BACK, name="undo roll-back"))
    drafts += [_hook_step(StepKind.AFTER_HOOK, hook) for hook in target.after if hook.before_restore]
    drafts += [_undo_step(index, hook) for index, hook in reversed(undo_of.items())]
    drafts += [_hook_step(StepKind.AFTER_HOOK, hook) for hook in target.after if not hook.before_restore]
    if conditions:
        drafts.append(_step(StepKind.VERIFY_RECOVERY, "recovery", None, target.recovers_within, AfterCrash.REDO))
    return tuple(replace(step, seq=seq) for seq, step in enumerate(drafts))


def _pause(release: ReleaseKind) -> list[Step]:
    """The step that pauses the owner of a workload, if the configuration says so. Redone it looks first."""
    if not isinstance(release, KubernetesRelease) or release.owner is not OwnerRule.PAUSE:
        return []
    action = PauseOwner(release)
    return [_step(StepKind.BEFORE_HOOK, PAUSE_OWNER, action, action.timeout, AfterCrash.REDO)]


def _step(kind: StepKind, name: str, action: object, timeout: float, after_crash: AfterCrash) -> Step:
    return Step(
        seq=0, kind=kind, name=name, action=action, timeout=timeout,  # type: ignore[arg-type]  # callers pass members of the union
        on_failure=OnFailure.STOP, after_crash=after_crash,
    )  # fmt: skip


def _hook_step(kind: StepKind, hook: Hook) -> Step:
    return Step(
        seq=0,
        kind=kind,
        name=hook.name,
        action=hook.action,
        timeout=hook.action.timeout,
        on_failure=hook.on_failure,
        after_crash=hook.after_crash,
        before_restore=hook.before_restore,
    )


def _undo_step(index: int, hook: Hook) -> Step:
    assert hook.undo is not None  # noqa: S101  # callers pass hooks that have one
    return Step(
        seq=0,
        kind=StepKind.UNDO_HOOK,
        name=f"undo {hook.name}",
        action=hook.undo,
        timeout=hook.undo.timeout,
        on_failure=OnFailure.RETRY,
        after_crash=AfterCrash.REDO,
        undoes=index,
        only_when_healthy=hook.undo_when_healthy,
    )


def distinct(conditions: Iterable[Condition]) -> tuple[Condition, ...]:
    """Each condition once: the alerts of several instances share one."""
    found: list[Condition] = []
    for each in conditions:
        if each not in found:
            found.append(each)
    return tuple(found)


def waiting_for(rollback: Rollback, verdict: Verdict, policy: Policy) -> Rollback:
    """The rollback as an alert opens it: waiting for approval, waiting for the time of a veto to pass, or running."""
    if verdict is Verdict.ASK:
        wait_until = rollback.opened_at + policy.approval_within
        return replace(rollback, phase=Phase.WAITING, wait_until=wait_until, needs_approval=True)
    if policy.veto > 0:
        return replace(rollback, phase=Phase.WAITING, wait_until=rollback.opened_at + policy.veto)
    return rollback
