"""Discovery: which groups, versions and kinds there are, as one aggregated document or as the older plain ones."""

from collections.abc import Iterator

import orjson
from aiohttp import web

from local_cluster.kinds import KINDS, Kind
from local_cluster.objects import Object

_AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
_VERBS = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]
_VERSION = {
    "major": "1",
    "minor": "32",
    "gitVersion": "v1.32.4+stand-in",
    "gitCommit": "",
    "gitTreeState": "",
    "buildDate": "2025-04-22T00:00:00Z",
    "goVersion": "",
    "compiler": "",
    "platform": "linux/amd64",
}
# Reviews are asked, never stored.
_REVIEWS = {
    "authorization.k8s.io": {
        "selfsubjectaccessreviews": "SelfSubjectAccessReview",
        "selfsubjectrulesreviews": "SelfSubjectRulesReview",
        "subjectaccessreviews": "SubjectAccessReview",
    },
    "authentication.k8s.io": {"tokenreviews": "TokenReview", "selfsubjectreviews": "SelfSubjectReview"},
}
# What `kubectl get all` means.
_ALL = {"pods", "services", "deployments", "replicasets", "statefulsets", "daemonsets", "jobs", "cronjobs"}
_ALL |= {"horizontalpodautoscalers", "replicationcontrollers"}
_SCALE = {"group": "autoscaling", "version": "v1", "kind": "Scale"}
_PARTS = {
    "eviction": {"group": "policy", "version": "v1", "kind": "Eviction"},
    "scale": _SCALE,
    "token": {"group": "authentication.k8s.io", "version": "v1", "kind": "TokenRequest"},
}


def answer(request: web.Request) -> web.Response | None:
    """Return the document that a discovery request asks for, or None when it is no such request."""
    wants_aggregated = "APIGroupDiscoveryList" in request.headers.get("Accept", "")
    match [step for step in request.path.split("/") if step]:
        case ["version"]:
            return _json(_VERSION)
        case ["api"]:
            return _aggregated(core=True) if wants_aggregated else _json({"kind": "APIVersions", "versions": ["v1"]})
        case ["apis"]:
            return _aggregated(core=False) if wants_aggregated else _json(_group_list())
        case ["apis", group] if group in _versions():
            return _json({"kind": "APIGroup", "apiVersion": "v1", **_group(group)})
        case ["api", "v1"]:
            return _json(_resource_list("", "v1"))
        case ["apis", group, version] if version in _versions().get(group, ()):
            return _json(_resource_list(group, version))
    return None


def _json(value: Object, media: str = "application/json") -> web.Response:
    return web.Response(body=orjson.dumps(value), headers={"Content-Type": media})


def _versions() -> dict[str, list[str]]:
    versions: dict[str, list[str]] = {}
    for kind in KINDS:
        known = versions.setdefault(kind.group, [])
        if kind.version not in known:
            known.append(kind.version)
    return {**versions, **{group: ["v1"] for group in _REVIEWS}}


def _group(group: str) -> Object:
    versions = [{"groupVersion": f"{group}/{version}", "version": version} for version in _versions()[group]]
    return {"name": group, "versions": versions, "preferredVersion": versions[0]}


def _group_list() -> Object:
    groups = [_group(group) for group in _versions() if group]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}


def _kinds(group: str, version: str) -> list[Kind]:
    return [kind for kind in KINDS if (kind.group, kind.version) == (group, version)]


def _resource_list(group: str, version: str) -> Object:
    resources: list[Object] = []
    for kind in _kinds(group, version):
        shared = {"namespaced": kind.namespaced}
        entry = {**shared, "name": kind.plural, "singularName": kind.name.lower(), "kind": kind.name, "verbs": _VERBS}
        entry.update(_names(kind))
        resources.append(entry)
        for part in kind.parts:
            what = _PARTS.get(part, {"kind": kind.name})
            verbs = ["create"] if part in ("eviction", "token") else ["get", "patch", "update"]
            resources.append({**shared, "name": f"{kind.plural}/{part}", "singularName": "", "verbs": verbs, **what})
    for plural, name in _REVIEWS.get(group, {}).items():
        entry = {"name": plural, "singularName": name.lower(), "namespaced": False, "kind": name, "verbs": ["create"]}
        resources.append(entry)
    group_version = f"{group}/{version}" if group else version
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": resources}


def _names(kind: Kind) -> Object:
    names: Object = {"shortNames": list(kind.short)} if kind.short else {}
    return {**names, "categories": ["all"]} if kind.plural in _ALL else names


def _aggregated(*, core: bool) -> web.Response:
    items = [
        {
            "metadata": {"name": group, "creationTimestamp": None},
            "versions": [
                {"version": version, "resources": list(_entries(group, version)), "freshness": "Current"}
                for version in versions
            ],
        }
        for group, versions in _versions().items()
        if bool(group) is not core
    ]
    document = {
        "kind": "APIGroupDiscoveryList",
        "apiVersion": "apidiscovery.k8s.io/v2",
        "metadata": {},
        "items": items,
    }
    return _json(document, _AGGREGATED)


def _entries(group: str, version: str) -> Iterator[Object]:
    for kind in _kinds(group, version):
        entry: Object = {
            "resource": kind.plural,
            "responseKind": {"group": group, "version": version, "kind": kind.name},
            "scope": "Namespaced" if kind.namespaced else "Cluster",
            "singularResource": kind.name.lower(),
            "verbs": _VERBS,
        }
        entry.update(_names(kind))
        if kind.parts:
            entry["subresources"] = [
                {
                    "subresource": part,
                    "responseKind": _PARTS.get(part, entry["responseKind"]),
                    "verbs": ["create"] if part in ("eviction", "token") else ["get", "patch", "update"],
                }
                for part in kind.parts
            ]
        yield entry
    for plural, name in _REVIEWS.get(group, {}).items():
        yield {
            "resource": plural,
            "responseKind": {"group": group, "version": version, "kind": name},
            "scope": "Cluster",
            "singularResource": name.lower(),
            "verbs": ["create"],
        }
