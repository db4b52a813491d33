"""The tables that `kubectl get` prints: the server chooses the columns."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from local_cluster.kinds import (
    CORE_EVENTS,
    DAEMON_SETS,
    DEPLOYMENTS,
    NAMESPACES,
    PODS,
    REPLICA_SETS,
    SERVICES,
    STATEFUL_SETS,
    Kind,
)
from local_cluster.objects import Object, is_going, name_of, read_time

_Cells = Callable[[Object], list[Any]]


def wants_table(accept: str) -> bool:
    """Return true when the header `Accept` prefers a table."""
    return "as=Table" in accept.partition(",")[0]


def as_table(kind: Kind, value: Object, *, include: str) -> Object:
    """Return an object or a list as a table; `include` says how much of each object its row holds."""
    items = value["items"] if value["kind"] == f"{kind.name}List" else [value]
    names, cells = _COLUMNS.get(kind, ((), lambda _: []))
    last = () if kind == CORE_EVENTS else ("Age",)
    columns = [_column(name) for name in ("Name", *names, *last)]
    rows = [
        {
            "cells": [name_of(one), *cells(one), *(age(one["metadata"].get("creationTimestamp")) for _ in last)],
            **_object(one, include),
        }
        for one in items
    ]
    metadata = {key: value["metadata"][key] for key in _LIST_FIELDS if key in value["metadata"]}
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": metadata,
        "columnDefinitions": columns,
        "rows": rows,
    }


_LIST_FIELDS = ("resourceVersion", "continue", "remainingItemCount")


def _column(name: str) -> Object:
    return {
        "name": name,
        "type": "string",
        "format": "name" if name == "Name" else "",
        "description": "",
        "priority": 0,
    }


def _object(value: Object, include: str) -> Object:
    if include == "None":
        return {}
    if include == "Object":
        return {"object": value}
    partial = {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": value["metadata"]}
    return {"object": partial}


def age(moment: str | None) -> str:
    """Return how long ago the moment is, as `kubectl` writes it."""
    if not moment:
        return "<unknown>"
    seconds = max(int((datetime.now(UTC) - read_time(moment)).total_seconds()), 0)
    for size, letter in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= 2 * size:
            return f"{seconds // size}{letter}"
    return f"{seconds}s"


def _status(value: Object, field: str) -> int:
    return int((value.get("status") or {}).get(field) or 0)


def _deployment(value: Object) -> list[Any]:
    ready = f"{_status(value, 'readyReplicas')}/{value['spec']['replicas']}"
    return [ready, _status(value, "updatedReplicas"), _status(value, "availableReplicas")]


def _replica_set(value: Object) -> list[Any]:
    return [value["spec"]["replicas"], _status(value, "replicas"), _status(value, "readyReplicas")]


def _daemon_set(value: Object) -> list[Any]:
    fields = ("desiredNumberScheduled", "currentNumberScheduled", "numberReady", "updatedNumberScheduled")
    return [*(_status(value, field) for field in fields), _status(value, "numberAvailable")]


def _pod(value: Object) -> list[Any]:
    states = (value.get("status") or {}).get("containerStatuses") or []
    ready = f"{sum(one['ready'] for one in states)}/{len(value['spec']['containers'])}"
    waiting = [one["state"]["waiting"]["reason"] for one in states if "waiting" in one["state"]]
    phase = "Terminating" if is_going(value) else next(iter(waiting), value["status"].get("phase", "Unknown"))
    return [ready, phase, sum(one["restartCount"] for one in states)]


def _service(value: Object) -> list[Any]:
    ports = ",".join(f"{one.get('port')}/{one.get('protocol')}" for one in value["spec"].get("ports") or [])
    return [value["spec"].get("type"), value["spec"].get("clusterIP", "<none>"), "<none>", ports or "<none>"]


def _event(value: Object) -> list[Any]:
    about = value.get("involvedObject") or {}
    text = f"{about.get('kind', '').lower()}/{about.get('name', '')}"
    return [age(value.get("lastTimestamp")), value.get("type"), value.get("reason"), text, value.get("message")]


_COLUMNS: dict[Kind, tuple[tuple[str, ...], _Cells]] = {
    CORE_EVENTS: (("Last Seen", "Type", "Reason", "Object", "Message"), _event),
    DAEMON_SETS: (("Desired", "Current", "Ready", "Up-to-date", "Available"), _daemon_set),
    DEPLOYMENTS: (("Ready", "Up-to-date", "Available"), _deployment),
    NAMESPACES: (("Status",), lambda value: [(value.get("status") or {}).get("phase")]),
    PODS: (("Ready", "Status", "Restarts"), _pod),
    REPLICA_SETS: (("Desired", "Current", "Ready"), _replica_set),
    SERVICES: (("Type", "Cluster-IP", "External-IP", "Port(s)"), _service),
    STATEFUL_SETS: (
        ("Ready",),
        lambda value: [f"{_status(value, 'readyReplicas')}/{value['spec']['replicas']}"],
    ),
}
