"""Scopes that a middleware copies: the router leaves the route in the copy, where the wrapper does not see it.

If somebody else's middleware stands before the router of Starlette or FastAPI, the router's entrance is wrapped.
There the measured request, which every copy carries, learns which scope the route will be in.
"""

from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import Any, Final

from rearguard_exporter.fault_barrier import log, report
from rearguard_exporter.traffic.request import MeasuredRequest

MEASURED: Final = "rearguard_exporter"
"""In a scope: it is measured by an outer wrapper. Its value is the request, or True if it is not to be measured."""

_KNOWN = ("starlette.", "fastapi.", "rearguard_exporter.")  # modules whose middleware copies no scope
_DEEPEST = 8  # mounts in mounts; a router may be mounted in itself
_MOST = 200  # objects that are looked at to find the router


def watch_router(app: object) -> None:
    """Find the route of requests whose scope a middleware of this application copies. May be repeated."""
    try:
        _watch(app, _DEEPEST)
    except Exception:  # noqa: BLE001 - an application of any shape
        report("the application's middleware")


def _watch(app: object, depth: int) -> None:
    router, is_behind_others = _router_below(app)
    if router is None:
        return
    if is_behind_others and not isinstance(router.middleware_stack, _Entrance):
        router.middleware_stack = _Entrance(router.middleware_stack)
    for route in (router.routes or ()) if depth else ():
        if hasattr(route, "routes") and hasattr(route, "app"):  # a mount: what it holds may have middleware, too
            _watch(route.app, depth - 1)


class _Entrance:
    """Stands where requests enter the router."""

    def __init__(self, router: Callable[..., Awaitable[None]]) -> None:
        self._router = router
        self._has_told = False

    def __call__(self, scope: Any, receive: Any, send: Any) -> Awaitable[None]:
        request = scope.get(MEASURED)
        if isinstance(request, MeasuredRequest) and request.subject is not scope:
            request.subject = scope
            if not self._has_told:
                self._has_told = True
                log.warning(
                    "rearguard_exporter: a middleware of this application passes on a copy of the scope; routes are "
                    "read from the copy. Other tools that read the scope will not find them: pass on the scope itself"
                )
        return self._router(scope, receive, send)


def _router_below(app: object) -> tuple[Any, bool]:
    """The router of the first application of Starlette's below, and whether others' middleware stands before it."""
    waiting, seen = [(app, False)], {id(app)}
    for each, is_behind in waiting:
        if len(waiting) > _MOST:
            break
        if hasattr(each, "routes") and hasattr(each, "middleware_stack"):
            router = getattr(each, "router", each)
            added = [middleware.cls for middleware in getattr(each, "user_middleware", ())]
            return router, is_behind or not all(_is_known(middleware) for middleware in added)
        is_foreign = is_behind or not _is_known(each if hasattr(each, "__code__") else type(each))
        for below in _held_by(each):
            if callable(below) and not isinstance(below, type) and id(below) not in seen:
                seen.add(id(below))
                waiting.append((below, is_foreign))
    return None, False


def _held_by(middleware: Any) -> Iterator[Any]:
    """What a middleware may call next: an attribute, or a variable of the function around it."""
    if isinstance(middleware, partial):
        yield from (middleware.func, *middleware.args, *middleware.keywords.values())
    yield getattr(middleware, "__self__", None)
    yield from vars(middleware).values() if hasattr(middleware, "__dict__") else ()
    for cell in getattr(middleware, "__closure__", None) or ():
        yield cell.cell_contents


def _is_known(middleware: Any) -> bool:
    return str(getattr(middleware, "__module__", "")).startswith(_KNOWN)
