"""What a request asks for: the object or list its path names, and the verb by which access is decided."""

import re
from dataclasses import dataclass

from aiohttp import web

from local_cluster.errors import method_not_allowed, no_such_path
from local_cluster.kinds import BY_PATH, NAMESPACES, Kind

_ONLY = re.compile(r"(^|,)metadata\.name==?(?P<name>[^,=]+)(,|$)")
_CREATED_PARTS = ("eviction", "token")
_VERBS_OF_ONE = {"GET": "get", "PUT": "update", "PATCH": "patch", "DELETE": "delete", "POST": "create"}
_VERBS_OF_MANY = {"GET": "list", "POST": "create", "DELETE": "deletecollection"}


@dataclass(frozen=True, slots=True)
class Asked:
    """A request for objects of one kind; `name` is empty for many, `part` is a subresource such as `status`."""

    kind: Kind
    namespace: str
    name: str
    part: str
    verb: str
    only: str = ""  # the one name that the field selector of a list or watch leaves

    @property
    def resource(self) -> str:
        """The resource as roles name it: `deployments`, `deployments/scale`."""
        return f"{self.kind.plural}/{self.part}" if self.part else self.kind.plural


def read_request(request: web.Request) -> Asked:
    """Return what is asked; raises `ApiError`: 404 for an unknown path, 405 for a method it has not."""
    steps = [step for step in request.path.split("/") if step]
    match steps:
        case ["api", version, *rest]:
            group = ""
        case ["apis", group, version, *rest]:
            pass
        case _:
            raise no_such_path()
    namespace = ""
    if len(rest) > 2 and rest[0] == NAMESPACES.plural and rest[2] not in NAMESPACES.parts:  # noqa: PLR2004
        namespace, rest = rest[1], rest[2:]
    plural, name, part = (*rest, "", "", "")[:3]
    kind = BY_PATH.get((group, version, plural))
    if kind is None or len(rest) > 3 or (part and part not in kind.parts):  # noqa: PLR2004
        raise no_such_path()
    verbs = _VERBS_OF_ONE if name else _VERBS_OF_MANY
    verb = verbs.get(request.method, "")
    if not verb or (request.method == "POST" and bool(name) != (part in _CREATED_PARTS)):
        raise method_not_allowed()
    if verb in ("list", "get") and wants(request, "watch"):
        verb = "watch"
    only = _ONLY.search(request.query.get("fieldSelector", "")) if verb in ("list", "watch") else None
    return Asked(kind, namespace, name, part, verb, only["name"] if only else "")


def wants(request: web.Request, flag: str) -> bool:
    """Return true when the query has this flag set."""
    return request.query.get(flag, "").lower() in ("true", "1")
