"""Leading traffic away from pods inside a cluster, and back: asked of the API server.

Here: looking, changing, and what a failure means. The rules stand in `drains`.
"""

from __future__ import annotations

import asyncio

from rearguard_controller.adapters.foreign_json import ShapeError, mapping
from rearguard_controller.adapters.kubernetes import drains
from rearguard_controller.adapters.kubernetes.api import Api, ApiError, Document
from rearguard_controller.adapters.kubernetes.drains import Kept, NotDrainableError
from rearguard_controller.adapters.kubernetes.orders import Done
from rearguard_controller.adapters.kubernetes.permissions import may
from rearguard_controller.adapters.kubernetes.troubles import pod
from rearguard_controller.errors import SourceError
from rearguard_controller.model import Drain, Labels
from rearguard_controller.wording import span

AGAIN = 0.2  # seconds after which a change is tried again whose object changed meanwhile
PAUSE = 1.0  # seconds after which an API server that is away is asked again
RIGHTS = "deploy/kubernetes/components/drain"


async def carry_out(api: Api, it: Drain, rollback: str) -> Done:
    """Drain, or put back what was before, within its limit. Asked again after any failure it looks first."""
    step, last = _put_back if it.restore else _lead_away, "the API server gave no answer"
    try:
        async with asyncio.timeout(it.timeout):
            while True:
                try:
                    return await step(api, it, rollback)
                except ApiError as error:
                    if not (error.passes or error.is_conflict):
                        return Done(False, f"{it} was not changed: {_told(it, error)}")
                    last = error.message.rstrip(".")
                    await asyncio.sleep(error.wait or (AGAIN if error.is_conflict else PAUSE))
    except TimeoutError:
        return Done(False, f"{it} was not changed within {span(it.timeout)}: {last}", timed_out=True)
    except NotDrainableError as error:
        return Done(False, f"{it} was not changed: {error}")
    except ShapeError as error:
        return Done(False, f"{it} cannot be read: {error}")
    except SourceError as error:
        return Done(False, f"{it} was not changed: {error.message.rstrip('.')}")


async def obstacle(api: Api, it: Drain) -> str:
    """Why an object cannot be drained, found out without changing anything; empty if it can."""
    resource, _, group = drains.resource_of(it).partition(".")
    try:
        if not await may(api, it.namespace, "patch", resource, it.name, group=group):
            return f"the controller's account may not patch {resource} in namespace {it.namespace}: see {RIGHTS}"
        document = await api.get(drains.path_of(it))
        drains.kept(it, document)
        drains.changes(it, document)
    except NotDrainableError as error:
        return f"{it} cannot be drained: {error}"
    except ApiError as error:
        return _told(it, error)
    except SourceError as error:
        return error.message.rstrip(".")
    return ""


async def _lead_away(api: Api, it: Drain, rollback: str) -> Done:
    document = await api.get(drains.path_of(it))
    kept = drains.kept(it, document)
    if kept is not None and not drains.are(kept.changes, document, before=True):
        if kept.rollback != rollback:
            raise NotDrainableError(f"rollback {kept.rollback} drains it. {drains.by_hand(it, kept.changes)}")
        if drains.are(kept.changes, document, before=False):
            return Done(True, f"{it} is drained already")
        raise NotDrainableError(f"somebody else changed it meanwhile: {drains.by_hand(it, kept.changes)}")
    found = drains.changes(it, document)
    if not found:
        return Done(True, f"{it} is so already: nothing was changed")
    left = await _left(api, it, document) if it.service else ""
    await _patch(api, it, document, drains.drained(it, document, found, rollback))
    said = [f"{each.backend or 'selector'}: {_shown(each.before)} -> {_shown(each.after)}" for each in found]
    return Done(True, f"{it} is drained{left}", "\n".join(said))


async def _put_back(api: Api, it: Drain, rollback: str) -> Done:
    try:
        document = await api.get(drains.path_of(it))
    except ApiError as error:
        if not error.is_missing:
            raise
        return Done(True, f"{it} is gone: there is nothing to put back")
    kept: Kept | None = drains.kept(it, document)
    if kept is None or kept.rollback != rollback:
        return Done(True, f"{it} is not drained by this rollback: there is nothing to put back")
    if drains.are(kept.changes, document, before=True):
        await _patch(api, it, document, drains.restored(it, document, ()))
        return Done(True, f"{it} is as it was before: somebody else put it back")
    if not drains.are(kept.changes, document, before=False):
        raise NotDrainableError(f"somebody else changed it meanwhile: {drains.by_hand(it, kept.changes)}")
    await _patch(api, it, document, drains.restored(it, document, kept.changes))
    return Done(True, f"{it} is as it was before")


async def _patch(api: Api, it: Drain, document: Document, operations: list[Document]) -> None:
    """Patch; a conflict without a change of the object is the server's word on the patch itself.

    Raises:
        ApiError: `is_conflict` only if the object has changed since it was read.
        NotDrainableError: the server does not take the patch.
    """
    try:
        await api.patch(drains.path_of(it), operations)
    except ApiError as error:
        if error.is_conflict and _version(await api.get(drains.path_of(it))) == _version(document):
            raise NotDrainableError(error.message.rstrip(".")) from None
        raise


async def _left(api: Api, it: Drain, document: Document) -> str:
    """How many ready pods a narrowed Service keeps.

    Raises:
        NotDrainableError: too few.
    """
    selector = {**_texts(mapping(document.get("spec"), "spec").get("selector")), **it.selector}
    asked = ",".join(f"{name}={value}" for name, value in selector.items())
    pods = [
        pod(each)
        async for page, _ in api.pages(f"/api/v1/namespaces/{it.namespace}/pods", {"labelSelector": asked})
        for each in page
    ]
    ready = sum(each.ready and not each.going for each in pods)
    if ready < it.least:
        raise NotDrainableError(
            f"{ready} ready pods have {asked}, and it needs {it.least}: its requests would have nowhere to go"
        )
    return f": {ready} ready pods are left to it"


def _told(it: Drain, error: ApiError) -> str:
    if error.is_missing:
        more = "" if it.service else ", or this cluster has no Gateway API (gateway.networking.k8s.io/v1)"
        return f"there is no {it}{more}"
    if error.is_refusal:
        return f"{error.message.rstrip('.')}: see {RIGHTS}"
    return error.message.rstrip(".")


def _shown(value: object) -> str:
    if isinstance(value, dict):
        return ",".join(f"{name}={each}" for name, each in value.items())
    return str(drains.DEFAULT_WEIGHT if value is None else value)


def _texts(value: object) -> Labels:
    return {str(name): str(each) for name, each in value.items()} if isinstance(value, dict) else {}


def _version(document: Document) -> object:
    return mapping(document.get("metadata"), "metadata").get("resourceVersion")
