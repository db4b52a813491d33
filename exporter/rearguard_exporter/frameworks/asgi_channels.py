"""Routes of Channels: its router passes on a copy of the scope that has a route's arguments, but not its pattern.

So what each route leads to is wrapped, and tells the measured request, which every copy carries, its pattern.
Never here: routes of Starlette and FastAPI (asgi_route, asgi_copies).
"""

import functools
import sys
from collections.abc import Callable, Iterator
from typing import Any

from rearguard_exporter.fault_barrier import report
from rearguard_exporter.frameworks.asgi_copies import MEASURED
from rearguard_exporter.traffic.request import MeasuredRequest

_ABOVE = "rearguard_exporter.above"  # in a copy of a scope: the patterns of the routers passed so far
_WATCHED = "rearguard_exporter_watched"
_DEEPEST = 12  # applications in applications


def watch_channels(app: object) -> None:
    """Learn the routes of Channels' routers in this application. May be repeated."""
    module = sys.modules.get("channels.routing")  # imported by whoever has such an application
    if module is None:
        return
    try:
        for router in list(_routers(app, module.URLRouter, _DEEPEST)):
            for route in router.routes:
                if not hasattr(route.callback, _WATCHED):
                    route.callback = _telling(route.callback, str(route.pattern))
    except Exception:  # noqa: BLE001 - an application of any shape
        report("Channels' routes")


def _telling(application: Callable[..., Any], pattern: str) -> Callable[..., Any]:
    @functools.wraps(application)
    def told(scope: Any, receive: Any, send: Any) -> Any:
        try:
            scope[_ABOVE] = template = scope.get(_ABOVE, "") + pattern
            request = scope.get(MEASURED)
            if isinstance(request, MeasuredRequest) and not scope["path_remaining"]:
                request.route = f"/{template.removeprefix('/')}"
        except Exception:  # noqa: BLE001 - the wall between the exporter and the application
            report("Channels' route")
        return application(scope, receive, send)

    setattr(told, _WATCHED, True)
    return told


def _routers(app: Any, kind: Any, depth: int) -> Iterator[Any]:
    """Each of Channels' routers among what `app` holds: its attributes, and the values of those that are mappings."""
    if not callable(app) or not depth:
        return
    if isinstance(app, kind):
        yield app
        for route in app.routes:
            yield from _routers(getattr(route.callback, "__wrapped__", route.callback), kind, depth - 1)
        return
    for value in list(getattr(app, "__dict__", {}).values()):
        for inner in value.values() if isinstance(value, dict) else (value,):
            yield from _routers(inner, kind, depth - 1)
