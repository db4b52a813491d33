"""Reviews: questions about the asker's own access, answered from the same roles that requests are checked by."""

from http import HTTPStatus
from typing import Any

from aiohttp import web

from local_cluster.access import Access, User, Wish
from local_cluster.errors import ApiError, bad_request, forbidden
from local_cluster.objects import Object

_AUTHORIZATION, _AUTHENTICATION = "authorization.k8s.io", "authentication.k8s.io"
_RULE_FIELDS = ("verbs", "apiGroups", "resources", "resourceNames")


def answer(access: Access, request: web.Request, user: User, body: Any) -> Object | None:
    """Return the review with its status, or None when the request is for none; raises `ApiError`: 400, 403."""
    match [step for step in request.path.split("/") if step]:
        case ["apis", group, "v1", review] if group in (_AUTHORIZATION, _AUTHENTICATION) and request.method == "POST":
            pass
        case _:
            return None
    spec = (body or {}).get("spec") or {}
    match review:
        case "selfsubjectaccessreviews":
            status = _decision(access, user, spec)
        case "subjectaccessreviews":
            if not access.allows(user, Wish("create", group, review)):
                raise forbidden(user.name, "create", review, group)
            status = _decision(access, User(spec.get("user", ""), tuple(spec.get("groups") or ())), spec)
        case "selfsubjectrulesreviews":
            status = _rules(access, user, spec.get("namespace", ""))
        case "selfsubjectreviews":
            status = {"userInfo": {"username": user.name, "groups": list(user.groups)}}
        case _:
            raise ApiError(HTTPStatus.NOT_FOUND, "NotFound", "the server could not find the requested resource")
    return {**(body or {}), "status": status}


def _decision(access: Access, user: User, spec: Object) -> Object:
    if asked := spec.get("resourceAttributes"):
        part = asked.get("subresource")
        wish = Wish(
            asked.get("verb", ""),
            asked.get("group", ""),
            f"{asked.get('resource', '')}/{part}" if part else asked.get("resource", ""),
            asked.get("namespace", ""),
            asked.get("name", ""),
        )
        return {"allowed": access.allows(user, wish)}
    if "nonResourceAttributes" in spec:
        return {"allowed": access.is_master(user)}
    raise bad_request("spec.resourceAttributes or spec.nonResourceAttributes is required")


def _rules(access: Access, user: User, namespace: str) -> Object:
    if access.is_master(user):
        rules: list[Object] = [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}]
    else:
        rules = [
            {field: rule[field] for field in _RULE_FIELDS if rule.get(field)}
            for rule in access.rules(user, namespace)
            if rule.get("resources")
        ]
    return {"resourceRules": rules, "nonResourceRules": [], "incomplete": False}
