"""The OpenAPI documents, as thin as `kubectl apply` accepts them: they say that the server checks fields itself.

There are no schemas in them, so `kubectl explain` has nothing to tell.
"""

import orjson
from aiohttp import web

from local_cluster.kinds import KINDS, Kind
from local_cluster.objects import Object

_PARAMETERS = [
    {"name": name, "in": "query", "schema": {"type": "string", "uniqueItems": True}}
    for name in ("dryRun", "fieldManager", "fieldValidation", "force")
]


def answer(request: web.Request) -> web.Response | None:
    """Return the document that the request asks for, or None when it is no request for one."""
    match [step for step in request.path.split("/") if step]:
        case ["openapi", "v3"]:
            paths = {path: {"serverRelativeURL": f"/openapi/v3/{path}"} for path in dict.fromkeys(map(_group, KINDS))}
            return _json({"paths": paths})
        case ["openapi", "v3", *rest]:
            kinds = [kind for kind in KINDS if _group(kind) == "/".join(rest)]
            return _json(_document(kinds)) if kinds else None
    return None


def _group(kind: Kind) -> str:
    return f"apis/{kind.api_version}" if kind.group else f"api/{kind.version}"


def _document(kinds: list[Kind]) -> Object:
    paths = {}
    for kind in kinds:
        place = "namespaces/{namespace}/" if kind.namespaced else ""
        paths[f"/{_group(kind)}/{place}{kind.plural}/{{name}}"] = {
            "patch": {
                "x-kubernetes-action": "patch",
                "x-kubernetes-group-version-kind": {"group": kind.group, "version": kind.version, "kind": kind.name},
                "parameters": _PARAMETERS,
                "responses": {"200": {"description": "OK"}},
            }
        }
    return {"openapi": "3.0.0", "info": {"title": "stand-in", "version": "v1.32.4"}, "paths": paths}


def _json(value: Object) -> web.Response:
    return web.Response(body=orjson.dumps(value), headers={"Content-Type": "application/json"})
