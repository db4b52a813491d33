"""What the API server adds to an object that does not say it, so that equal intentions are equal objects.

Without this, an undo to a template that `kubectl` read back would make a new ReplicaSet in place of the old one.
"""

import base64
from collections.abc import Callable
from typing import Any

from local_cluster.kinds import (
    AUTOSCALERS,
    CLAIMS,
    DAEMON_SETS,
    DEPLOYMENTS,
    NAMESPACES,
    PODS,
    REPLICA_SETS,
    SECRETS,
    SERVICES,
    STATEFUL_SETS,
    Kind,
)
from local_cluster.objects import Object, copied

_DEFAULT_MODE = 0o644
_STRING_MAPS = {"labels", "annotations", "nodeSelector", "limits", "requests"}
_POD = {
    "restartPolicy": "Always",
    "dnsPolicy": "ClusterFirst",
    "terminationGracePeriodSeconds": 30,
    "schedulerName": "default-scheduler",
}
_PROBE = {"timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3}


def with_defaults(kind: Kind, value: Object) -> Object:
    """Return a copy of the object as the API server would store it."""
    value = _without_blanks(copied(value))
    value.setdefault("metadata", {})
    if fill := _FILLERS.get(kind):
        fill(value)
    return value


def _without_blanks(value: Any) -> Any:
    """Return the value without nulls, empty lists and empty maps of strings: a typed server forgets them."""
    if isinstance(value, dict):
        cleaned = {key: _without_blanks(one) for key, one in value.items()}
        return {
            key: one
            for key, one in cleaned.items()
            if one is not None and one != [] and not (one == {} and key in _STRING_MAPS)
        }
    if isinstance(value, list):
        return [_without_blanks(one) for one in value]
    return value


def _fill(target: Object, defaults: Object) -> None:
    for key, value in defaults.items():
        target.setdefault(key, value)


def fill_pod_spec(spec: Object) -> None:
    """Add the defaults of a pod's specification in place."""
    _fill(spec, _POD)
    spec.setdefault("securityContext", {})
    account = spec.get("serviceAccountName") or spec.get("serviceAccount")
    if account:
        spec["serviceAccountName"] = spec["serviceAccount"] = account
    for field in ("containers", "initContainers"):
        for container in spec.get(field) or []:
            _fill_container(container)
    for volume in spec.get("volumes") or []:
        for source in ("configMap", "secret", "projected", "downwardAPI"):
            if source in volume:
                volume[source].setdefault("defaultMode", _DEFAULT_MODE)


def _fill_container(container: Object) -> None:
    image = str(container.get("image") or "")
    tag = image.rsplit("/", 1)[-1].partition("@")[0].partition(":")[2]
    always = "@" not in image and tag in ("", "latest")
    container.setdefault("imagePullPolicy", "Always" if always else "IfNotPresent")
    container.setdefault("terminationMessagePath", "/dev/termination-log")
    container.setdefault("terminationMessagePolicy", "File")
    container.setdefault("resources", {})
    for port in container.get("ports") or []:
        port.setdefault("protocol", "TCP")
    for variable in container.get("env") or []:
        if field := (variable.get("valueFrom") or {}).get("fieldRef"):
            field.setdefault("apiVersion", "v1")
    for probe in ("readinessProbe", "livenessProbe", "startupProbe"):
        if probe in container:
            _fill(container[probe], _PROBE)
            if http := container[probe].get("httpGet"):
                _fill(http, {"path": "/", "scheme": "HTTP"})


def fill_template(template: Object) -> None:
    """Add the defaults of a pod template in place; the creation time that means nothing here is null."""
    template.setdefault("metadata", {})["creationTimestamp"] = None
    fill_pod_spec(template.setdefault("spec", {}))


def _workload(extra: Object) -> Callable[[Object], None]:
    def fill(value: Object) -> None:
        spec = value.setdefault("spec", {})
        _fill(spec, copied(extra))
        fill_template(spec.setdefault("template", {}))

    return fill


def _deployment(value: Object) -> None:
    _workload({"replicas": 1, "revisionHistoryLimit": 10, "progressDeadlineSeconds": 600})(value)
    strategy = value["spec"].setdefault("strategy", {})
    strategy.setdefault("type", "RollingUpdate")
    if strategy["type"] == "RollingUpdate":
        _fill(strategy.setdefault("rollingUpdate", {}), {"maxSurge": "25%", "maxUnavailable": "25%"})


def _stateful_set(value: Object) -> None:
    _workload({"replicas": 1, "revisionHistoryLimit": 10, "podManagementPolicy": "OrderedReady"})(value)
    strategy = value["spec"].setdefault("updateStrategy", {})
    strategy.setdefault("type", "RollingUpdate")
    if strategy["type"] == "RollingUpdate":
        _fill(strategy.setdefault("rollingUpdate", {}), {"partition": 0})


def _daemon_set(value: Object) -> None:
    _workload({"revisionHistoryLimit": 10})(value)
    strategy = value["spec"].setdefault("updateStrategy", {})
    strategy.setdefault("type", "RollingUpdate")
    if strategy["type"] == "RollingUpdate":
        _fill(strategy.setdefault("rollingUpdate", {}), {"maxSurge": 0, "maxUnavailable": 1})


def _service(value: Object) -> None:
    spec = value.setdefault("spec", {})
    _fill(spec, {"type": "ClusterIP", "sessionAffinity": "None", "internalTrafficPolicy": "Cluster"})
    for port in spec.get("ports") or []:
        _fill(port, {"protocol": "TCP", "targetPort": port.get("port")})
    value.setdefault("status", {"loadBalancer": {}})


def _namespace(value: Object) -> None:
    value.setdefault("spec", {}).setdefault("finalizers", ["kubernetes"])
    value.setdefault("status", {"phase": "Active"})
    labels = value["metadata"].setdefault("labels", {})
    labels["kubernetes.io/metadata.name"] = value["metadata"].get("name", "")


def _secret(value: Object) -> None:
    value.setdefault("type", "Opaque")
    for key, text in (value.pop("stringData", None) or {}).items():
        value.setdefault("data", {})[key] = base64.b64encode(str(text).encode()).decode()


def _claim(value: Object) -> None:
    value.setdefault("spec", {}).setdefault("volumeMode", "Filesystem")
    value.setdefault("status", {"phase": "Bound"})


_FILLERS: dict[Kind, Callable[[Object], None]] = {
    AUTOSCALERS: lambda value: _fill(value.setdefault("spec", {}), {"minReplicas": 1}),
    CLAIMS: _claim,
    DAEMON_SETS: _daemon_set,
    DEPLOYMENTS: _deployment,
    NAMESPACES: _namespace,
    PODS: lambda value: fill_pod_spec(value.setdefault("spec", {})),
    REPLICA_SETS: _workload({"replicas": 1}),
    SECRETS: _secret,
    SERVICES: _service,
    STATEFUL_SETS: _stateful_set,
}
