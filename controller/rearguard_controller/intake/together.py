"""Ties the rollbacks of targets that go back together: one decision opens one for each of them.

Here: the values only. All of them are recorded at once, or none; how they wait for one another stands in
`rollback.together`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from rearguard_controller.judgement.together import Going
from rearguard_controller.model import Alert, Condition, Phase, Rollback, Target, Together
from rearguard_controller.rollback.plan import distinct, plan

Firing = Callable[[Target], tuple[tuple[Alert, Condition | None], ...]]


def tied(
    first: Rollback, target: Target, going: Sequence[Going], *, new_id: Callable[[str], str], firing: Firing
) -> tuple[Rollback, tuple[Rollback, ...]]:
    """The rollback of a target, tied to those of the others, and theirs.

    Args:
        first: the rollback that the alert leads to, with a plan that can be taken back.
        target: whose alert it is.
        going: the others, and between which versions they go.
        new_id: makes the ids.
        firing: the trigger alerts of a target as last seen, whose end its rollback has to prove.
    """
    if not going:
        return first, ()
    ids = {target.name: first.id} | {each.target.name: new_id("r") for each in going}
    names = tuple(name for name in target.policy.together if name in ids)
    tie = Together(
        id=new_id("t"),
        as_one=target.policy.as_one,
        first=first.id,
        rollbacks=tuple(ids[name] for name in names),
        targets=names,
    )
    others = tuple(_follower(first, each, ids[each.target.name], tie, firing(each.target)) for each in going)
    return replace(first, together=tie), others


def _follower(
    first: Rollback, going: Going, number: str, tie: Together, firing: tuple[tuple[Alert, Condition | None], ...]
) -> Rollback:
    conditions = distinct(each for _, each in firing if each is not None)
    return Rollback(
        id=number,
        decision_id=first.decision_id,
        target=going.target.name,
        trigger=first.trigger,
        reason=f"It goes back together with {first.target} ({first.id}): {first.reason}",
        from_version=going.from_version,
        to_version=going.to_version,
        phase=Phase.WAITING if first.phase is Phase.WAITING else Phase.RUNNING,
        opened_at=first.opened_at,
        steps=plan(going.target, conditions=conditions, together=True),
        conditions=conditions,
        together=tie,
    )
