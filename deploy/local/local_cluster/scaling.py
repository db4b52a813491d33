"""The scale of a workload: an object of its own with the number of pods, read and written through the workload."""

from typing import Any

from local_cluster.errors import bad_request, invalid
from local_cluster.kinds import Kind
from local_cluster.objects import Object, copied, name_of


def as_scale(value: Object) -> Object:
    """Return the scale of a workload."""
    kept = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    labels = (value["spec"].get("selector") or {}).get("matchLabels") or {}
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {key: value["metadata"][key] for key in kept if key in value["metadata"]},
        "spec": {"replicas": value["spec"]["replicas"]},
        "status": {
            "replicas": int((value.get("status") or {}).get("replicas") or 0),
            "selector": ",".join(f"{key}={text}" for key, text in labels.items()),
        },
    }


def with_scale(kind: Kind, workload: Object, scale: Any) -> Object:
    """Return the workload with the number of pods that the scale says; raises `ApiError`: 400, 422."""
    try:
        size = int((scale.get("spec") or {}).get("replicas") or 0)
    except (AttributeError, TypeError, ValueError):
        raise bad_request("the body is no Scale") from None
    if size < 0:
        why = f"Invalid value: {size}: must be greater than or equal to 0"
        raise invalid(kind, name_of(workload), "spec.replicas", why)
    scaled = copied(workload)
    scaled["spec"]["replicas"] = size
    if version := (scale.get("metadata") or {}).get("resourceVersion"):
        scaled["metadata"]["resourceVersion"] = version
    return scaled
