"""Routes of Falcon, by WSGI and ASGI: a middleware of Falcon's kind reads `uri_template` once it is known.

It is added by `add_middleware` to an application of Falcon's that is instrumented itself, not to one that something
else wraps. Falcon itself is never imported here.
"""

import sys
from collections.abc import Callable
from typing import Any

from rearguard_exporter.fault_barrier import quiet

OnRoute = Callable[[Any, str], None]
"""Takes note of a route of the request whose environ or scope this is."""


@quiet
def follow_falcon(app: Any, on_route: OnRoute) -> None:
    """Tell the routes of what this application serves, if it is one of Falcon's."""
    falcon = sys.modules.get("falcon")  # imported by whoever has such an application
    if falcon is not None and isinstance(app, falcon.App):
        app.add_middleware(_Reader(on_route))


class _Reader:
    """Falcon calls the first method for WSGI, the second for ASGI and the third for WebSockets."""

    def __init__(self, on_route: OnRoute) -> None:
        self._on_route = on_route

    def process_resource(self, request: Any, *_: Any) -> None:
        self._note(request.env, request.uri_template)

    async def process_resource_async(self, request: Any, *_: Any) -> None:
        self._note(request.scope, request.uri_template)

    async def process_resource_ws(self, request: Any, *_: Any) -> None:
        self._note(request.scope, request.uri_template)

    @quiet
    def _note(self, asked: Any, template: str | None) -> None:
        if template is not None:
            self._on_route(asked, template)
