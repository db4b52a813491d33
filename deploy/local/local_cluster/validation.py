"""What an object must keep to before it is stored: names, the match of selector and labels, fields that stay.

Real validation has thousands of rules; these are the ones that a writer of workloads meets. Unknown and mistyped
fields are found by `schemas`.
"""

import re

from local_cluster.errors import bad_request, invalid
from local_cluster.kinds import DAEMON_SETS, DEPLOYMENTS, NAMESPACES, REPLICA_SETS, SERVICES, STATEFUL_SETS, Kind
from local_cluster.objects import Object, name_of
from local_cluster.selectors import matches

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_LABEL_LIMIT, _SUBDOMAIN_LIMIT = 63, 253
_WORKLOADS = (DEPLOYMENTS, REPLICA_SETS, STATEFUL_SETS, DAEMON_SETS)
_LABEL_SAYS = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end "
    "with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
_SUBDOMAIN_SAYS = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start "
    "and end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)


def check_new(kind: Kind, value: Object) -> None:
    """Raise `ApiError` 422 when the object may not be created like this."""
    metadata = value["metadata"]
    name = metadata.get("name") or metadata.get("generateName")
    if not name:
        why = "Required value: name or generateName is required"
        raise invalid(kind, "", "metadata.name", why, cause="FieldValueRequired")
    if problem := _name_problem(kind, str(name) if metadata.get("name") else f"{name}x"):
        raise invalid(kind, str(name), "metadata.name", f'Invalid value: "{name}": {problem}')
    _check_workload(kind, value)


def _name_problem(kind: Kind, name: str) -> str:
    if kind.group == "rbac.authorization.k8s.io":
        return "may not contain '/' or '%'" if re.search(r"[/%]", name) else ""
    if kind in (NAMESPACES, SERVICES):
        pattern, limit, says = _LABEL, _LABEL_LIMIT, _LABEL_SAYS
    else:
        pattern, limit, says = _SUBDOMAIN, _SUBDOMAIN_LIMIT, _SUBDOMAIN_SAYS
    if len(name) > limit:
        return f"must be no more than {limit} bytes"
    return "" if pattern.fullmatch(name) else says


def check_change(kind: Kind, value: Object, stored: Object) -> None:
    """Raise `ApiError` 422 when the stored object may not become `value`."""
    if kind in _WORKLOADS:
        if value["spec"].get("selector") != stored["spec"].get("selector"):
            raise invalid(kind, name_of(value), "spec.selector", "Invalid value: field is immutable")
        _check_workload(kind, value)


def _check_workload(kind: Kind, value: Object) -> None:
    if kind not in _WORKLOADS:
        return
    spec, name = value["spec"], value["metadata"].get("name") or ""
    if not spec.get("selector"):
        raise invalid(kind, name, "spec.selector", "Required value", cause="FieldValueRequired")
    if int(spec.get("replicas") or 0) < 0:
        why = f"Invalid value: {spec['replicas']}: must be greater than or equal to 0"
        raise invalid(kind, name, "spec.replicas", why)
    template = spec["template"]
    labels = template["metadata"].get("labels") or {}
    if not matches(spec["selector"], labels):
        why = f"Invalid value: {labels}: `selector` does not match template `labels`"
        raise invalid(kind, name, "spec.template.metadata.labels", why)
    if not template["spec"].get("containers"):
        raise invalid(kind, name, "spec.template.spec.containers", "Required value", cause="FieldValueRequired")
    for place, container in enumerate(template["spec"]["containers"]):
        for field in ("name", "image"):
            if not container.get(field):
                path = f"spec.template.spec.containers[{place}].{field}"
                raise invalid(kind, name, path, "Required value", cause="FieldValueRequired")


def check_body(kind: Kind, value: object, namespace: str, name: str) -> Object:
    """Return the body as an object for this path, with its namespace; raises `ApiError` 400 when it is another's."""
    if not isinstance(value, dict) or not isinstance(value.get("metadata") or {}, dict):
        raise bad_request("the body is no object of the API")
    for field, right in (("apiVersion", kind.api_version), ("kind", kind.name)):
        if value.get(field, right) != right:
            raise bad_request(f"the {field} in the data ({value[field]}) does not match the expected one ({right})")
    metadata = {key: one for key, one in (value.get("metadata") or {}).items() if one is not None}
    if kind.namespaced:
        if metadata.get("namespace", namespace) != namespace:
            raise bad_request("the namespace of the provided object does not match the namespace sent on the request")
        metadata["namespace"] = namespace
    else:
        metadata.pop("namespace", None)
    if name and metadata.setdefault("name", name) != name:
        raise bad_request(f"the name of the object ({metadata['name']}) does not match the name on the URL ({name})")
    return {**value, "metadata": metadata}
