"""The few bodies that `kubectl` sends in no other way than as protobuf, read as JSON objects.

Those of `kubectl create namespace|serviceaccount|configmap|secret|deployment|role|rolebinding|token`, of `kubectl
auth`, and of Helm.
A field that is not listed here is an error, never dropped.
"""

import base64
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

from local_cluster.errors import ApiError, bad_request
from local_cluster.objects import Object

_MAGIC = b"k8s\x00"
_TEXT, _NUMBER, _FLAG, _BYTES, _SKIP = "text", "number", "flag", "bytes", "skip"
_MAP, _DATA = "map", "data"  # from text to text, and to bytes, which JSON has in base64
_MANY = "*"  # after the type: a repeated field

_Fields = dict[int, tuple[str, str]]
_MESSAGES: dict[str, _Fields] = {
    "Unknown": {1: ("type", "Type"), 2: ("raw", _BYTES), 3: ("", _SKIP), 4: ("", _SKIP)},
    "Type": {1: ("apiVersion", _TEXT), 2: ("kind", _TEXT)},
    "Meta": {
        1: ("name", _TEXT),
        2: ("generateName", _TEXT),
        3: ("namespace", _TEXT),
        4: ("", _SKIP),
        5: ("uid", _TEXT),
        6: ("resourceVersion", _TEXT),
        7: ("", _SKIP),
        8: ("", _SKIP),
        11: ("labels", _MAP),
        12: ("annotations", _MAP),
    },
    "Namespace": {1: ("metadata", "Meta"), 2: ("", _SKIP), 3: ("", _SKIP)},
    "ServiceAccount": {1: ("metadata", "Meta")},
    "ConfigMap": {1: ("metadata", "Meta"), 2: ("data", _MAP)},
    "Secret": {1: ("metadata", "Meta"), 2: ("data", _DATA), 3: ("type", _TEXT), 4: ("stringData", _MAP)},
    "DeleteOptions": {1: ("gracePeriodSeconds", _NUMBER), 4: ("propagationPolicy", _TEXT), 5: ("dryRun", "text*")},
    "TokenRequest": {1: ("metadata", "Meta"), 2: ("", _SKIP), 3: ("", _SKIP)},
    "Role": {1: ("metadata", "Meta"), 2: ("rules", "Rule*")},
    "ClusterRole": {1: ("metadata", "Meta"), 2: ("rules", "Rule*")},
    "Rule": {
        1: ("verbs", "text*"),
        2: ("apiGroups", "text*"),
        3: ("resources", "text*"),
        4: ("resourceNames", "text*"),
        5: ("nonResourceURLs", "text*"),
    },
    "RoleBinding": {1: ("metadata", "Meta"), 2: ("subjects", "Subject*"), 3: ("roleRef", "RoleRef")},
    "ClusterRoleBinding": {1: ("metadata", "Meta"), 2: ("subjects", "Subject*"), 3: ("roleRef", "RoleRef")},
    "Subject": {1: ("kind", _TEXT), 2: ("apiGroup", _TEXT), 3: ("name", _TEXT), 4: ("namespace", _TEXT)},
    "RoleRef": {1: ("apiGroup", _TEXT), 2: ("kind", _TEXT), 3: ("name", _TEXT)},
    "Deployment": {1: ("metadata", "Meta"), 2: ("spec", "DeploymentSpec"), 3: ("", _SKIP)},
    "DeploymentSpec": {
        1: ("replicas", _NUMBER),
        2: ("selector", "Selector"),
        3: ("template", "Template"),
        4: ("", _SKIP),
        5: ("minReadySeconds", _NUMBER),
        7: ("paused", _FLAG),
    },
    "Selector": {1: ("matchLabels", _MAP)},
    "Template": {1: ("metadata", "Meta"), 2: ("spec", "PodSpec")},
    "PodSpec": {
        2: ("containers", "Container*"),
        3: ("restartPolicy", _TEXT),
        6: ("dnsPolicy", _TEXT),
        8: ("serviceAccountName", _TEXT),
        9: ("serviceAccount", _TEXT),
        10: ("nodeName", _TEXT),
        11: ("", _SKIP),
        12: ("", _SKIP),
        13: ("", _SKIP),
        16: ("hostname", _TEXT),
        17: ("subdomain", _TEXT),
        19: ("schedulerName", _TEXT),
        24: ("", _SKIP),
    },
    "Container": {
        1: ("name", _TEXT),
        2: ("image", _TEXT),
        3: ("command", "text*"),
        4: ("args", "text*"),
        5: ("workingDir", _TEXT),
        6: ("ports", "Port*"),
        8: ("", _SKIP),
        13: ("terminationMessagePath", _TEXT),
        14: ("imagePullPolicy", _TEXT),
        16: ("", _SKIP),
        17: ("", _SKIP),
        18: ("", _SKIP),
        20: ("terminationMessagePolicy", _TEXT),
    },
    "Port": {
        1: ("name", _TEXT),
        2: ("", _SKIP),
        3: ("containerPort", _NUMBER),
        4: ("protocol", _TEXT),
        5: ("hostIP", _TEXT),
    },
    "SelfSubjectAccessReview": {1: ("metadata", "Meta"), 2: ("spec", "AccessSpec"), 3: ("", _SKIP)},
    "AccessSpec": {1: ("resourceAttributes", "Attributes"), 2: ("nonResourceAttributes", "Path")},
    "Attributes": {
        1: ("namespace", _TEXT),
        2: ("verb", _TEXT),
        3: ("group", _TEXT),
        4: ("version", _TEXT),
        5: ("resource", _TEXT),
        6: ("subresource", _TEXT),
        7: ("name", _TEXT),
    },
    "Path": {1: ("path", _TEXT), 2: ("verb", _TEXT)},
    "SelfSubjectRulesReview": {1: ("metadata", "Meta"), 2: ("spec", "RulesSpec"), 3: ("", _SKIP)},
    "RulesSpec": {1: ("namespace", _TEXT)},
    "SelfSubjectReview": {1: ("metadata", "Meta"), 2: ("", _SKIP)},
}


def read_protobuf(data: bytes) -> Object:
    """Return the object in a protobuf body; raises `ApiError`: 400 for a broken one, 415 for what is not listed."""
    if not data.startswith(_MAGIC):
        raise bad_request("the body is no protobuf of Kubernetes")
    try:
        envelope = _message("Unknown", data[len(_MAGIC) :])
        kind = envelope["type"]["kind"]
        return {**envelope["type"], **_message(kind, envelope.get("raw", b""))}
    except (IndexError, UnicodeDecodeError, KeyError):
        raise bad_request("the protobuf of the body is broken") from None


def _unsupported(what: str) -> ApiError:
    message = f"the stand-in cluster reads no protobuf of {what}; use a manifest: kubectl create -f, kubectl apply -f"
    return ApiError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "UnsupportedMediaType", message)


def _message(name: str, data: bytes) -> Object:
    fields = _MESSAGES.get(name)
    if fields is None:
        raise _unsupported(name)
    value: Object = {}
    for number, content in _parts(data):
        if number not in fields:
            raise _unsupported(f"{name}, field {number}")
        field, kind = fields[number]
        if kind == _SKIP:
            continue
        one = _value(kind.removesuffix(_MANY), content)
        if kind.endswith(_MANY):
            value.setdefault(field, []).append(one)
        elif kind in (_MAP, _DATA):
            value.setdefault(field, {}).update(one)
        elif one != "":
            value[field] = one
    return value


def _value(kind: str, content: Any) -> Any:
    match kind:
        case "text":
            return content.decode()
        case "bytes" | "number":
            return content
        case "flag":
            return bool(content)
        case "map":
            pair = dict(_parts(content))
            return {pair.get(1, b"").decode(): pair.get(2, b"").decode()}
        case "data":
            pair = dict(_parts(content))
            return {pair.get(1, b"").decode(): base64.b64encode(pair.get(2, b"")).decode()}
    return _message(kind, content)


def _parts(data: bytes) -> Iterator[tuple[int, Any]]:
    place = 0
    while place < len(data):
        tag, place = _varint(data, place)
        match tag & 7:
            case 0:
                content, place = _varint(data, place)
                yield tag >> 3, content
            case 2:
                size, place = _varint(data, place)
                yield tag >> 3, data[place : place + size]
                place += size
            case wire:
                raise _unsupported(f"wire type {wire}")


def _varint(data: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[place]
        value |= (byte & 0x7F) << shift
        place, shift = place + 1, shift + 7
        if byte < 0x80:  # noqa: PLR2004 - the highest bit says that more follow
            return value, place
