"""The route of an ASGI request: a template, read from what the framework leaves in the scope.

Starlette leaves the matched route. FastAPI, from 0.137 on, also leaves the context of an included router, because
the route alone lacks the router's prefix. Litestar leaves the template itself. Mounts leave only the raw prefix, so
the mounts of a router are read once, to tell parameters in the prefix from its text. If nothing is left (plain ASGI,
an old Starlette) the request is unmatched.
Never here: walking a router for each request.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from weakref import ref

from rearguard_exporter.families import UNMATCHED

_Tree = tuple[tuple[tuple[str, ...], Any], ...]  # of each mount: the segments of its template, and the mounts below

_DEEPEST = 8  # mounts in mounts; a router may be mounted in itself
_mounts: dict[int, tuple[ref[Any], int, _Tree]] = {}  # by the router's id (it has no hash); how many routes it had


def route_of(scope: Mapping[str, Any]) -> str:
    """The template with the prefixes of mounts and included routers, never the raw path."""
    if "app_root_path" not in scope and "fastapi" not in scope:  # no mount and no included router: most requests
        try:
            template = scope["route"].path_format
        except (KeyError, AttributeError):
            pass
        else:
            if type(template) is str:
                return template
    route = scope.get("route")
    left = scope.get("fastapi")
    if left:
        context = left.get("effective_route_context")
        if context is not None:
            route = getattr(context, "starlette_route", None) or context
    base = scope.get("app_root_path")  # set by mounts only: what the server mounts the application at
    template = getattr(route, "path_format", None)
    if template is None:
        template = getattr(route, "path", None)
    if not isinstance(template, str):
        template = scope.get("path_template")  # Litestar's
    if not isinstance(template, str):
        if base is None:
            return UNMATCHED
        template = "/{path}"  # the mount left nothing but its prefix: FastAPI's, and an old Starlette's
    if base is None:
        return template
    prefix = mount_of(scope)
    # If the route is the mount itself, the prefix has its path already. Nothing below matched, or below is no router.
    return f"{prefix}/{{path}}" if _is_mount(route) else prefix + template


def mount_of(scope: Mapping[str, Any]) -> str:
    """The template of the mounts that led here; empty if there was none. The server's own prefix is no part of it."""
    base = scope.get("app_root_path")
    if base is None:
        return ""
    raw, params = scope["root_path"][len(base) :], scope.get("path_params")
    return _template_of(raw, params, scope.get("router")) if params else str(raw)


def _is_mount(route: Any) -> bool:
    return hasattr(route, "routes") and hasattr(route, "app")


def _template_of(raw: str, params: Mapping[str, Any], router: Any) -> str:
    """The prefix of the mounts, with its parameters as `{name}`.

    The mounts are matched again, because a parameter of the route may hide one of theirs.
    """
    found = _matched(_mounts_of(router), raw.split("/")[1:]) if router is not None else None
    if found is not None:
        return found
    # The router does not show this mount. The names of its parameters are bounded, if not pretty.
    return "".join(f"/{{{name}}}" for name in params if name != "path") or "/{mount}"


def _mounts_of(router: Any) -> _Tree:
    number, count = id(router), len(router.routes)
    known = _mounts.get(number)
    if known is None or known[0]() is not router or known[1] != count:
        gone = ref(router, lambda _: _mounts.pop(number, None))
        known = _mounts[number] = (gone, count, _tree(router.routes, _DEEPEST))
    return known[2]


def _tree(routes: Iterable[Any], depth: int) -> _Tree:
    mounts = [route for route in routes if _is_mount(route)] if depth else []
    return tuple((_segments(mount), _tree(mount.routes or (), depth - 1)) for mount in mounts)


def _segments(mount: Any) -> tuple[str, ...]:
    template: str = getattr(mount, "path_format", "")  # Starlette's Host has none
    return tuple(template.removesuffix("/{path}").split("/")[1:])


def _matched(tree: _Tree, raw: Sequence[str]) -> str | None:
    for segments, below in tree:
        size = len(segments)
        if size > len(raw) or any(mine != its and mine[:1] != "{" for mine, its in zip(segments, raw, strict=False)):
            continue
        rest = "" if size == len(raw) else _matched(below, raw[size:])
        if rest is not None:
            return "".join(f"/{segment}" for segment in segments) + rest
    return None
