"""Routes of Pyramid: a subscriber to its event after the match reads the route's pattern.

It is added to an application of Pyramid's that is instrumented itself, not to one that something else wraps. What
Pyramid finds by traversal alone has no route. Pyramid itself is never imported here, but for its parts.
"""

import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any

from rearguard_exporter.fault_barrier import quiet

OnRoute = Callable[[Any, str], None]
"""Takes note of a route of the request whose environ this is."""


@quiet
def follow_pyramid(app: Any, on_route: OnRoute) -> None:
    """Tell the routes of what this application serves, if it is one of Pyramid's."""
    router = sys.modules.get("pyramid.router")  # imported by whoever has such an application
    if router is None or not isinstance(app, router.Router):
        return

    @quiet
    def matched(event: Any) -> None:
        route = event.request.matched_route
        if route is not None:
            on_route(event.request.environ, f"/{route.pattern.removeprefix('/')}")

    configurator = import_module("pyramid.config").Configurator(registry=app.registry, autocommit=True)
    configurator.add_subscriber(matched, import_module("pyramid.events").BeforeTraversal)
