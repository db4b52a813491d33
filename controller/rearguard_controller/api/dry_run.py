"""What a rollback would do, before anything is done: commands with their placeholders filled, and what cannot run.

Here: filling in, and looking whether a program is there and an address takes a connection. Nothing is run or sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from rearguard_controller import json_views
from rearguard_controller.adapters.actions import reach
from rearguard_controller.adapters.actions.context import ActionContext, Refused, fill_address, fill_argument
from rearguard_controller.model import CommandAction, CommandRelease, Decision, HttpAction, Step

NO_ID = "ROLLBACK_ID"  # stands where a rollback's id will stand


async def shown(decision: Decision, plan: Sequence[Step]) -> json_views.DryRun:
    """The decision and the plan. The detail of a step says why it could not be carried out, if something is known."""
    context = ActionContext(
        target=decision.target,
        from_version=decision.from_version or "",
        to_version=decision.to_version or "",
        rollback_id=NO_ID,
    )
    steps = await asyncio.gather(*(_step(step, context) for step in plan))
    return {"dry_run": True, "decision": json_views.decision(decision), "plan": list(steps)}


async def _step(step: Step, context: ActionContext) -> json_views.Step:
    told = json_views.step(step)
    action = step.action.rollback if isinstance(step.action, CommandRelease) else step.action
    if not isinstance(action, CommandAction | HttpAction) or told["action"] is None:
        return told
    if not context.to_version:
        return told
    try:
        if "command" in told["action"]:
            told["action"]["command"] = [fill_argument(each, context) for each in told["action"]["command"]]
        if "http" in told["action"]:
            told["action"]["http"]["url"] = fill_address(told["action"]["http"]["url"], context)
    except Refused as error:
        return {**told, "detail": f"It could not be carried out: {error}."}
    obstacle = await reach.obstacle(action, context)
    return {**told, "detail": f"It could not be carried out: {obstacle}."} if obstacle else told
