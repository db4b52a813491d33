"""The innermost wrapper of a traced ASGI application: it tells the vendors what their middlewares cannot know.

That is the route, once there is one, and why a WebSocket ended.
"""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from rearguard_exporter.apm.tracers import Tracers
from rearguard_exporter.families import UNMATCHED
from rearguard_exporter.fault_barrier import quiet
from rearguard_exporter.frameworks.asgi_copies import MEASURED
from rearguard_exporter.frameworks.asgi_route import route_of

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]


class TracedApp:
    """The application, inside whatever the vendors put around it."""

    def __init__(self, app: Any, tracers: Tracers) -> None:
        self.app = app
        self._tracers = tracers

    async def __call__(
        self, scope: Scope, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
    ) -> None:
        """Serve one request or socket. What the application raises is raised again."""
        opened: list[Any] = []

        async def sending(message: Message) -> None:
            kind = message.get("type")
            if kind == "http.response.start":
                self._name(scope)
            elif kind == "websocket.accept":
                self._open(scope, opened)
            await send(message)

        try:
            await self.app(scope, receive, sending)
        except BaseException as failure:
            self._over(scope, opened, failure)
            raise
        self._over(scope, opened, None)

    @quiet
    def _name(self, scope: Scope) -> None:
        route = route_of(scope)
        if route != UNMATCHED:
            self._tracers.name_request(scope, scope.get("method", ""), route)

    @quiet
    def _open(self, scope: Scope, opened: list[Any]) -> None:
        route = route_of(scope)
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        opened += self._tracers.open_socket(headers, "" if route == UNMATCHED else route)

    @quiet
    def _over(self, scope: Scope, opened: list[Any], failure: BaseException | None) -> None:
        if scope["type"] == "http":
            if failure is not None:
                self._name(scope)
            return
        reason_of = getattr(scope.get(MEASURED), "reason_of", None)
        reason = None if reason_of is None else reason_of(failure)
        if opened and reason is not None:
            self._tracers.close_socket(opened, reason, failure)
