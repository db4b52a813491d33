"""The guard of every route: checks the role by the header alone, before the body is read and the handler runs.

Here: the record of a route, and the guard around every handler.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass

from aiohttp import web
from aiohttp.http import HttpVersion11

from rearguard_controller.api.answers import refuse
from rearguard_controller.api.auth import Gate, Principal, Role
from rearguard_controller.errors import RearguardError

PRINCIPAL = web.RequestKey("principal", Principal)

Handle = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Route:
    """One route.

    Attributes:
        role: who may use it; None: everybody.
        handle: what answers.
        word: the word of `open` in the configuration that lets everybody in.
    """

    method: str
    path: str
    role: Role | None
    handle: Handle
    word: str | None = None

    def needs(self, opened: Collection[str]) -> Role | None:
        """The role that a request needs while `open` of the configuration holds these words; None: no role."""
        return None if self.word in opened else self.role


def register(app: web.Application, gate: Gate, route: Route, opened: Callable[[], Collection[str]]) -> Handle:
    """Add a route. Its role is checked before the body is read, and before the client is told to send it.

    Args:
        app: takes the route.
        gate: knows the tokens.
        route: what is added.
        opened: is called at each request, so that a reload counts at once.

    Returns:
        The route's handler behind its guard.
    """

    def needed() -> Role | None:
        return route.role if route.word is None else route.needs(opened())

    async def guarded(request: web.Request) -> web.StreamResponse:
        role = needed()
        if role is not None:
            await gate.look()
            request[PRINCIPAL] = gate.admit(request.headers.get("Authorization"), role)
        return await route.handle(request)

    async def expect(request: web.Request) -> web.StreamResponse | None:
        role = needed()
        if role is not None:
            await gate.look()
            try:
                gate.admit(request.headers.get("Authorization"), role)
            except RearguardError as error:
                return refuse(request, error)
        if request.version < HttpVersion11:
            return None
        if request.headers.get("Expect", "").lower() != "100-continue":
            raise web.HTTPExpectationFailed
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0
        return None

    app.router.add_route(route.method, route.path, guarded, expect_handler=expect)
    return guarded


def operator_of(request: web.Request) -> str:
    """The name of the token that the request came with, for the audit."""
    return request[PRINCIPAL].name
