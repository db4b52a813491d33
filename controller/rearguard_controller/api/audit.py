"""Who did what, when and why, from the journal's record of operators' actions.

Here: the actions on one rollback, and who armed or disarmed a target. The record is written elsewhere, in the
transaction of what was done.
"""

from __future__ import annotations

from rearguard_controller import json_views, wording
from rearguard_controller.api.services import Services
from rearguard_controller.model import OperatorAction, Rollback, TargetState, Trigger

MOST = 500  # only the newest actions on a target or rollback are searched
_ARMING = ("arm", "disarm")


async def of_rollback(services: Services, rollback: Rollback) -> list[json_views.Action]:
    """What people did to a rollback, oldest first: its trigger by hand, approval, veto, abort, close."""
    done = list(await services.journal.operator_actions(subject=rollback.id, limit=MOST))
    if rollback.trigger is Trigger.MANUAL:
        of_target = await services.journal.operator_actions(subject=rollback.target, limit=MOST)
        done += [each for each in of_target if each.action == "trigger" and each.at == rollback.opened_at]
    return [action(each) for each in reversed(done)]


async def armed_by(services: Services, state: TargetState) -> str | None:
    """Who armed or disarmed a target last; None when nobody did, or the controller itself."""
    if state.armed_changed_at is None:
        return None
    for each in await services.journal.operator_actions(subject=state.target, limit=MOST):
        if each.action in _ARMING and each.at == state.armed_changed_at:
            return each.operator
    return None


async def arming(services: Services, state: TargetState) -> json_views.Arming:
    """Whether a target may be rolled back automatically, why not, and who said so."""
    return json_views.arming(state, services.clock(), armed_by=await armed_by(services, state))


def action(value: OperatorAction) -> json_views.Action:
    """What a person did, as the interface shows it."""
    return {
        "at": wording.moment(value.at),
        "operator": value.operator,
        "action": value.action,
        "subject": value.subject,
        "reason": value.reason,
    }
