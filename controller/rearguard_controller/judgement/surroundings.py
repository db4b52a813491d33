"""May a workload be changed, and would the other version find room? Questions about what surrounds a target. Pure.

Here: other tools that own a workload of Kubernetes, and the room in its namespace; each answer with its remedy.
"""

from __future__ import annotations

from typing import assert_never

from rearguard_controller.judgement.case import Case
from rearguard_controller.model import (
    KubernetesRelease,
    OwnerRule,
    Ownership,
    OwnerTool,
    Reason,
    ReasonCode,
    Target,
    TargetFacts,
)
from rearguard_controller.wording import because

GUIDE = "docs/kubernetes.md#owners"


def owner_allows(case: Case) -> Reason:
    """Whether the version may be changed, or somebody would put it back."""
    return owner_allows_of(case.target, case.facts.target)


def owner_allows_of(target: Target, known: TargetFacts) -> Reason:
    """Whether the version may be changed: if only a command of the target's own changes it, it may."""
    code, release = ReasonCode.OWNER_ALLOWS, target.release
    if not release.changes:
        return Reason(code, True, "The target is only observed: its file names no way to put a version back.")
    if not isinstance(release, KubernetesRelease):
        detail = "Versions are changed by this target's own command; no other owner is known that would take it back."
        return Reason(code, True, detail)
    owned = known.ownership
    if owned is None or owned.fault:
        fault = "it was not asked" if owned is None else owned.fault
        return Reason(code, None, f"It is not known who else changes {release.workload}{because(fault)}")
    if not owned.owners:
        return Reason(code, True, f"No other tool was found that would put the version of {release.workload} back.")
    return _of_owned(release, owned)


def _of_owned(release: KubernetesRelease, owned: Ownership) -> Reason:
    code, said = ReasonCode.OWNER_ALLOWS, f"{owned} owns {release.workload}"
    match release.owner:
        case OwnerRule.REFUSE:
            return Reason(code, False, f"{said} and would put its version back.")
        case OwnerRule.IGNORE:
            return Reason(code, True, f"{said}; by `owner: ignore` it is changed all the same, and may be put back.")
        case OwnerRule.PAUSE:
            fixed = next((each for each in owned.owners if not each.can_pause), None)
            why = owned.unpausable or ("" if fixed is None else f"the controller knows no way to pause {fixed}")
            if why:
                return Reason(code, False, f"{said} and cannot be paused: {why}.")
            return Reason(code, True, f"{said}; it is paused before the change, and stays so until a person acts.")
    assert_never(release.owner)


def ask_the_owner(case: Case) -> str:
    """Remedy of `owner_allows`."""
    return ask_the_owner_of(case.target, case.facts.target)


def ask_the_owner_of(target: Target, known: TargetFacts) -> str:
    """What to do about an owner: let it be paused, or go back by its own tool."""
    release, owned = target.release, known.ownership
    if not release.changes:
        return f"Give the release of {target.name} a command with `rollback`, or kubernetes: docs/configuration.md."
    if not isinstance(release, KubernetesRelease):
        return f"Whoever owns the version of {target.name} would have to let it be changed."
    if owned is None or owned.fault:
        return f"The API server would have to say who owns {release.workload}."
    if release.owner is OwnerRule.REFUSE and all(each.can_pause for each in owned.owners):
        return f"Set `owner: pause` in the release of {target.name}, so that it is paused first: {GUIDE}."
    if any(each.tool in (OwnerTool.HELM, OwnerTool.ARGO_ROLLOUTS) for each in owned.owners):
        return f"Go back by its own tool: release kind `command` with the recipe of {GUIDE}."
    return f"Go back by its own tool (release kind `command`), or set `owner: ignore` if it does no harm: {GUIDE}."


def capacity_suffices(case: Case) -> Reason:
    """Whether there is room for the destination. What could not be asked does not stand in the way."""
    code, release, room = ReasonCode.CAPACITY_SUFFICES, case.target.release, case.facts.target.room
    if not release.changes:
        return Reason(code, True, "Capacity is not asked of a target that is only observed.")
    if not isinstance(release, KubernetesRelease):
        return Reason(code, True, "Capacity is not asked of a target that is changed by a command.")
    if room is None:
        return Reason(code, None, "Room is asked for once nothing else stands in the way.", unknown_blocks=False)
    if room.full:
        return Reason(code, False, " ".join((*room.full, *room.notes)))
    if room.unknown:
        return Reason(code, None, " ".join((*room.unknown, *room.notes)), unknown_blocks=False)
    nothing = f"Nothing in namespace {release.namespace} keeps the pods of {release.workload} from coming up."
    return Reason(code, True, " ".join((nothing, *room.notes)))


def make_room(case: Case) -> str:
    """Remedy of `capacity_suffices`."""
    version = "the version to go back to" if case.destination is None else case.destination.version
    return f"There would have to be room for {version}."
