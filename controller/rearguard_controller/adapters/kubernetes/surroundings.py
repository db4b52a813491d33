"""What surrounds a workload, asked of the API server: its owners, and the room in its namespace.

Here: asking, only when a rollback is near, and pausing an owner. The rules stand in `owners`, `pauses`, `capacity`.
"""

from __future__ import annotations

import asyncio

from rearguard_controller.adapters.foreign_json import ShapeError
from rearguard_controller.adapters.kubernetes import capacity, events, pauses
from rearguard_controller.adapters.kubernetes.api import Api, ApiError, Document
from rearguard_controller.adapters.kubernetes.capacity import Move, sentences
from rearguard_controller.adapters.kubernetes.orders import Done
from rearguard_controller.adapters.kubernetes.permissions import may
from rearguard_controller.errors import SourceError
from rearguard_controller.model import LEFT_PAUSED, KubernetesRelease, Owner, Ownership, Room

AGAIN = 0.2  # seconds after which a pause is tried again whose object changed meanwhile
_QUOTAS = "/api/v1/namespaces/{}/resourcequotas"
_AUTOSCALERS = "/apis/autoscaling/v2/namespaces/{}/horizontalpodautoscalers"
_BUDGETS = "/apis/policy/v1/namespaces/{}/poddisruptionbudgets"


async def unpausable(api: Api, owners: tuple[Owner, ...]) -> str:
    """Why one of these owners cannot be paused, as one clause; empty if all can, or are paused already."""
    for owner in owners:
        if not owner.can_pause:
            return f"the controller knows no way to pause {owner}"
        try:
            document = await api.get(pauses.path_of_owner(owner))
        except ApiError as error:
            if error.is_missing:
                return f"this cluster has no {owner.kind} {owner.namespace}/{owner.name}"
            return f"its {owner.kind} cannot be read: {error.message.rstrip('.')}"
        except SourceError as error:
            return f"its {owner.kind} cannot be read: {error.message.rstrip('.')}"
        why = "" if pauses.is_paused(owner, document) else pauses.contested(owner, document)
        if why := why or await _unpatchable(api, owner):
            return why
    return ""


async def _unpatchable(api: Api, owner: Owner) -> str:
    """Why the account may not pause an owner; empty if it may, or that cannot be asked."""
    _, _, group, _, _, namespace, plural, name = pauses.path_of_owner(owner).split("/")  # /apis/GROUP/VERSION/...
    try:
        if await may(api, namespace, "patch", plural, name, group=group):
            return ""
    except SourceError:
        return ""
    return (
        f"the controller's account may not patch {plural} {name} in {namespace}: apply the component that pauses"
        f" {owner.tool} (deploy/kubernetes/components/pause-...)"
    )


async def pause_all(api: Api, release: KubernetesRelease, uid: str, owners: tuple[Owner, ...], rollback: str) -> Done:
    """Pause all owners of a workload, and tell of each in an Event on it. `uid` is the workload's.

    Raises:
        SourceError: it could not be asked.
    """
    why = await unpausable(api, owners)
    if why:
        return Done(False, f"{Ownership(owners)} owns {release.workload} and cannot be paused: {why}")
    said = []
    for owner in owners:
        done = await pause(api, owner, rollback)
        said.append(done.detail)
        if not done.ok:
            return Done(False, ". ".join(said))
        await events.tell(api, release, uid, "OwnerPaused", done.detail)
    return Done(True, ". ".join(said) or f"nobody owns {release.workload}: there was nothing to pause")


async def pause(api: Api, owner: Owner, rollback: str) -> Done:
    """Pause one owner, unless it is paused; how a person lets it go on is in the detail.

    Raises:
        SourceError: it could not be asked.
    """
    while True:
        document = await api.get(pauses.path_of_owner(owner))
        if pauses.is_paused(owner, document):
            if pauses.was_paused_for(document, rollback):
                return Done(True, _left(owner, document))
            return Done(True, f"{owner} was paused already")
        why = pauses.contested(owner, document)
        if why:
            return Done(False, f"{owner} cannot be paused: {why}")
        try:
            changed = await api.patch(pauses.path_of_owner(owner), pauses.pause(owner, document, rollback))
        except ApiError as error:
            if not error.is_conflict:
                raise
            await asyncio.sleep(error.wait or AGAIN)
        except ShapeError as error:
            raise SourceError(f"{owner} cannot be read: {error}.") from None
        else:
            return Done(True, _left(owner, changed))


async def room(api: Api, move: Move) -> Room:
    """Whether a version's pods would find room."""
    quotas, autoscalers, budgets = await asyncio.gather(
        *(_listed(api, path.format(move.release.namespace)) for path in (_QUOTAS, _AUTOSCALERS, _BUDGETS))
    )
    reckoned = [capacity.of_quota(each, move) for each in quotas[0]]
    notes = [capacity.of_autoscaler(each, move) for each in autoscalers[0]]
    notes += [capacity.of_budget(each, move) for each in budgets[0]]
    unasked = [
        f"Not known: {what}, {fault}"
        for what, (_, fault) in (
            ("room in quotas", quotas),
            ("limits of autoscalers", autoscalers),
            ("disruption budgets", budgets),
        )
        if fault
    ]
    return Room(
        full=(*capacity.of_workload(move), *sentences([full for full, _ in reckoned])),
        notes=sentences(notes),
        unknown=(*sentences([unknown for _, unknown in reckoned]), *unasked),
    )


async def _listed(api: Api, path: str) -> tuple[list[Document], str]:
    """The objects of a list, and why they are not known."""
    try:
        return [each async for page, _ in api.pages(path) for each in page], ""
    except (SourceError, ShapeError) as error:
        return [], error.message if isinstance(error, SourceError) else f"{error}."


def _left(owner: Owner, document: Document) -> str:
    late = ""
    if pauses.is_at_work(owner, document):
        late = ". A sync that began before goes on, and may still put the version back"
    return (
        f"{LEFT_PAUSED}: {owner}{late}. Once what it deploys is mended, let it go on:"
        f" {pauses.going_on(owner, document)}"
    )
