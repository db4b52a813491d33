"""The nouns as the JSON that users meet: API answers, the command line, commands' standard input.

Here: each answer declared once, as a TypedDict whose fields say what they mean, with the function that makes it. JSON
Schema and the OpenAPI document are derived from these types (`api.schemas`). They are TypedDicts read by the standard
library, not msgspec Structs: an answer stays a plain dict, which mypy checks key by key and orjson writes unchanged,
and fields and words keep their order in the document, where msgspec sorts them.
Times are RFC 3339 in UTC; unknown is null; nothing secret.
"""

from rearguard_controller.json_views.decisions import (
    ActiveTrigger,
    Alert,
    Decision,
    DecisionPage,
    Evidence,
    alert,
    decision,
    evidence,
)
from rearguard_controller.json_views.overviews import (
    HEARTBEAT_LATE,
    Accepted,
    Alive,
    Dashboard,
    Figure,
    Pressed,
    Ready,
    Reloaded,
    Status,
    TargetHealth,
    heartbeat,
)
from rearguard_controller.json_views.releases import Release, Releases, release, remembered, serving
from rearguard_controller.json_views.rollbacks import (
    Action,
    ActionPage,
    DryRun,
    Rollback,
    RollbackInFull,
    RollbackPage,
    Step,
    Triggered,
    action,
    rollback,
    step,
)
from rearguard_controller.json_views.targets import (
    Arming,
    ArmingOfAll,
    Drill,
    DrillPage,
    Target,
    arming,
    drill,
    standing,
    target,
    worst,
)
from rearguard_controller.json_views.terms import Json, Time

__all__ = [
    "HEARTBEAT_LATE",
    "Accepted",
    "Action",
    "ActionPage",
    "ActiveTrigger",
    "Alert",
    "Alive",
    "Arming",
    "ArmingOfAll",
    "Dashboard",
    "Decision",
    "DecisionPage",
    "Drill",
    "DrillPage",
    "DryRun",
    "Evidence",
    "Figure",
    "Json",
    "Pressed",
    "Ready",
    "Release",
    "Releases",
    "Reloaded",
    "Rollback",
    "RollbackInFull",
    "RollbackPage",
    "Status",
    "Step",
    "Target",
    "TargetHealth",
    "Time",
    "Triggered",
    "action",
    "alert",
    "arming",
    "decision",
    "drill",
    "evidence",
    "heartbeat",
    "release",
    "remembered",
    "rollback",
    "serving",
    "standing",
    "step",
    "target",
    "worst",
]
