"""Commands and requests: where the controller touches the world.

Here: running a configured action and saying how it went. A failing action is a value, never an exception; only
reading a version raises, because there is no version to hand back.
Never here: which action comes next, what its failure means for a rollback, or where its result is kept.
"""

from rearguard_controller.adapters.actions.actions import Actions
from rearguard_controller.adapters.actions.context import (
    VERSION_PATTERN,
    ActionContext,
    ActionResult,
    is_version,
    shown,
)
from rearguard_controller.adapters.actions.survivors import Survivors, state_folder

__all__ = [
    "VERSION_PATTERN",
    "ActionContext",
    "ActionResult",
    "Actions",
    "Survivors",
    "is_version",
    "shown",
    "state_folder",
]
