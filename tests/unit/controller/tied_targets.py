"""Three targets whose policy ties them together."""

from rearguard_controller.model import OnFailure

from .factories import hook, policy, target

NAMES = ("checkout", "payments", "search")


def member(name, **fields):
    tie = policy(together=NAMES, as_one=fields.pop("as_one", True), veto=fields.pop("veto", 0.0))
    before = (hook("drain", undo=True, on_failure=OnFailure.STOP),)
    match = {"service_name": name, "deployment_environment_name": "production"}
    return target(name=name, policy=tie, before=before, match=(match,), telemetry=match, **fields)
