"""The two shapes of one event: `v1`, in which it is stored, and `events.k8s.io/v1`."""

from dataclasses import replace

from local_cluster.kinds import CORE_EVENTS, EVENTS
from local_cluster.objects import Object
from local_cluster.request import Asked

_CORE_TO_NEW = {
    "involvedObject": "regarding",
    "message": "note",
    "source": "deprecatedSource",
    "firstTimestamp": "deprecatedFirstTimestamp",
    "lastTimestamp": "deprecatedLastTimestamp",
    "count": "deprecatedCount",
    "reportingComponent": "reportingController",
}
_NEW_TO_CORE = {new: core for core, new in _CORE_TO_NEW.items()}


def as_stored(asked: Asked) -> Asked:
    """Return the same question for the kind under which its objects are stored."""
    return replace(asked, kind=CORE_EVENTS) if asked.kind == EVENTS else asked


def to_core(value: Object) -> Object:
    """Return an event, or a patch of one, in the stored shape."""
    renamed = {_NEW_TO_CORE.get(key, key): one for key, one in value.items()}
    if "apiVersion" in renamed:
        renamed["apiVersion"] = CORE_EVENTS.api_version
    return renamed


def to_new(value: Object) -> Object:
    """Return a stored event, or a list of them, as `events.k8s.io/v1`; anything else as it is."""
    if value.get("kind") == f"{CORE_EVENTS.name}List":
        return {**value, "apiVersion": EVENTS.api_version, "items": [to_new(one) for one in value["items"]]}
    if value.get("kind") != CORE_EVENTS.name:
        return value
    return {**{_CORE_TO_NEW.get(key, key): one for key, one in value.items()}, "apiVersion": EVENTS.api_version}
