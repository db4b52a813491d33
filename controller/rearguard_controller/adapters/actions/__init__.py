"""Commands and requests: where the controller touches the world.

Here: running a configured action and saying how it went. A failing action is a value, never an exception; only
reading a version raises, because there is no version to hand back.
"""

from rearguard_controller.adapters.actions.actions import Actions
from rearguard_controller.adapters.actions.context import (
    ActionContext,
    ActionResult,
    shown,
)
from rearguard_controller.adapters.actions.shortage import Shortages
from rearguard_controller.adapters.actions.survivors import Survivors, state_folder

__all__ = [
    "ActionContext",
    "ActionResult",
    "Actions",
    "Shortages",
    "Survivors",
    "shown",
    "state_folder",
]
