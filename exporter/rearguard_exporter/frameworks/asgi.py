"""The ASGI adapter: one wrapper around any ASGI application, which also serves the endpoints.

The route is read when the last byte was sent, from what Starlette and FastAPI leave in the scope.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from rearguard_exporter.endpoints.endpoints import (
    DASHBOARD,
    HEALTH,
    METHODS,
    METRICS,
    READINESS,
    READING,
    SCRIPT,
    VITALS,
)
from rearguard_exporter.endpoints.several_processes import warn_if_shared
from rearguard_exporter.endpoints.sums import Json
from rearguard_exporter.endpoints.untraced import leave_untraced
from rearguard_exporter.exposition.accept import SCRAPE_TIMEOUT, asked, seconds_allowed
from rearguard_exporter.fault_barrier import log, quiet
from rearguard_exporter.fork_safety import tell_after_fork
from rearguard_exporter.frameworks.application_proxy import ApplicationProxy
from rearguard_exporter.frameworks.asgi_beacons import beacon_answer, script_answer
from rearguard_exporter.frameworks.asgi_channels import watch_channels
from rearguard_exporter.frameworks.asgi_copies import MEASURED, watch_router
from rearguard_exporter.frameworks.asgi_loop import beside_loop, running_loop
from rearguard_exporter.frameworks.asgi_request import Request, request_class
from rearguard_exporter.frameworks.asgi_socket import Handshake, Socket
from rearguard_exporter.frameworks.asgi_told import note_route, watch_frameworks
from rearguard_exporter.frameworks.asgi_traced import TracedApp
from rearguard_exporter.frameworks.falcon import follow_falcon
from rearguard_exporter.frameworks.monitor_parts import MonitorParts
from rearguard_exporter.traffic.excluded_paths import ExcludedPaths
from rearguard_exporter.traffic.lanes import Lanes

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
Answer = Callable[[Scope, Receive, Send], Awaitable[None]]

_SCRAPE_TIMEOUT = SCRAPE_TIMEOUT.lower().encode()


def instrument(app: App, parts: MonitorParts) -> "MeasuredApp":
    """The application, measured. One that is measured already is returned as it is."""
    if isinstance(app, MeasuredApp):
        if app.rearguard_parts is not parts:
            parts.warn_of_second_monitor()
        return app
    return MeasuredApp(app, parts)


@dataclass(slots=True)
class _Own:
    """What every request needs of its wrapper. It is apart because attributes of a proxy take longer to read."""

    app: App  # inside the vendors' middlewares, where there are any
    excluded: ExcludedPaths | None
    endpoints: dict[str, Answer]
    lanes: Lanes
    is_traced: bool = False
    entered: bool = False
    is_simple: bool = False  # entered, and no paths are excluded
    request: type[Request] = Request  # of the server that called first

    def enter(self, has_entered: bool) -> None:
        self.entered = has_entered
        self.is_simple = has_entered and self.excluded is None


class MeasuredApp(ApplicationProxy):
    """The application, measured. Its other attributes (routes, state) are the application's own."""

    OWN = frozenset({"app", "rearguard_parts", "_own", "_loop"})

    def __init__(self, app: App, parts: MonitorParts) -> None:
        self.app = app
        self.rearguard_parts = parts
        endpoints: dict[str, Answer] = {HEALTH: self._healthz, READINESS: self._readyz}
        if not parts.has_own_port:
            endpoints |= {METRICS: self._metrics, DASHBOARD: self._dashboard}
        if parts.endpoints.beacons is not None:
            endpoints |= {
                SCRIPT: script_answer(parts.endpoints.beacons),
                VITALS: beacon_answer(parts.endpoints.beacons),
            }
        tracers = parts.tracers
        traced = tracers.around_asgi(TracedApp(app, tracers)) if tracers else app
        self._own = _Own(traced, parts.excluded, endpoints, Lanes(parts.instruments), bool(tracers))
        follow_falcon(app, note_route)
        tell_after_fork(self)

    def forget_parent(self) -> None:
        """In a forked process, or on a new event loop, it has served nothing yet."""
        self._own.enter(False)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, socket or lifespan. What the application raises is raised again."""
        own = self._own
        if not own.is_simple or scope["type"] != "http" or MEASURED in scope:
            if await self._is_served(scope, receive, send):
                return
        elif (_path(scope) if scope.get("root_path") else scope["path"]) in own.endpoints and (
            await self._is_answered(scope, receive, send)
        ):
            return
        kind = scope["method"], scope.get("scheme", "http")
        request = own.request(own.lanes.of.get(kind) or own.lanes.open(*kind), scope, send)
        scope[MEASURED] = request
        request.ask = receive
        try:
            await own.app(scope, request.receive, request.send)
            if request.is_open:
                request.over()
        except BaseException as failure:
            if request.is_open:
                request.failed(failure)
            raise
        finally:
            request.subject = None  # the scope has the request: no cycle stays for the garbage collector

    async def _is_served(self, scope: Scope, receive: Receive, send: Send) -> bool:
        """Serve what is no request to be measured. True if it was served."""
        kind = scope["type"]
        if kind == "lifespan":
            await self._lifespan(scope, receive, send)
            return True
        if MEASURED in scope or kind not in {"http", "websocket"}:
            await self.app(scope, receive, send)
            return True
        if not self._own.entered:
            self._enter(receive)  # a server that does without lifespan
        if kind == "http" and await self._is_answered(scope, receive, send):
            return True
        if self._own.excluded is not None and _path(scope) in self._own.excluded:
            scope[MEASURED] = True
            await self._own.app(scope, receive, send)
            return True
        if kind == "websocket":
            handshake = scope[MEASURED] = Handshake(self._own.lanes.open("GET", scope.get("scheme", "ws")), scope)
            try:
                await Socket(handshake, receive, send).serve(self._own.app, is_traced=self._own.is_traced)
            finally:
                handshake.subject = None
                handshake.reason_of = _no_reason  # as above: no cycle
            return True
        return False

    async def _is_answered(self, scope: Scope, receive: Receive, send: Send) -> bool:
        """Answer a request for one of the exporter's endpoints. True if it was one."""
        path = _path(scope)
        answer = self._own.endpoints.get(path)
        if answer is None or scope["method"] not in METHODS.get(path, READING):
            return False
        scope[MEASURED] = True
        if self._own.entered and self._loop is not None and self._loop.is_closed():
            self._enter(receive)  # the loop before ended without cancelling its tasks, so nobody told us
        leave_untraced()
        await answer(scope, receive, send)
        return True

    async def _lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def sending(message: Message) -> None:
            kind = message["type"]
            if kind == "lifespan.startup.complete":
                self._enter(receive)
            elif kind.startswith("lifespan.shutdown."):
                await self._leave()  # before the server hears of it: hypercorn cancels what still runs then
            await send(message)

        try:
            await self.app(scope, receive, sending)
        finally:
            await self._leave()

    async def _leave(self) -> None:
        if self._own.entered:
            self._own.enter(False)
            lifecycle = self.rearguard_parts.lifecycle
            await (lifecycle.leave() if self._loop is not None else beside_loop(lifecycle.stop))

    def _enter(self, receive: Receive) -> None:
        watch_router(self.app)
        watch_channels(self.app)
        watch_frameworks()
        self._own.request = request_class(receive)
        self._loop = running_loop()
        if self._loop is not None:
            self._own.enter(self.rearguard_parts.lifecycle.enter(self.forget_parent))
            return
        self._own.enter(True)
        log.warning(
            "rearguard_exporter: this application runs on an event loop that is not asyncio's: its requests are "
            "measured, the loop's lag is not; checks that are coroutine functions run on a loop of the exporter's"
        )
        self._start_without_loop()

    @quiet
    def _start_without_loop(self) -> None:
        self.rearguard_parts.lifecycle.start_without_loop()

    async def _metrics(self, scope: Scope, _: Receive, send: Send) -> None:
        form = asked(_header(scope, b"accept"), _header(scope, b"accept-encoding"))
        if not self.rearguard_parts.shows_workers:
            warn_if_shared()
        endpoint = self.rearguard_parts.endpoints.metrics
        seconds = seconds_allowed(_header(scope, _SCRAPE_TIMEOUT))
        if self._loop is None:
            await self._metrics_at_once(scope, send, seconds)
            return
        rendering = await endpoint.shared(form, seconds)
        if scope["method"] == "HEAD":
            await send(_head(200, form.headers))
            await send({"type": "http.response.body", "body": b""})
            return

        async def write(piece: bytes) -> None:
            await send({"type": "http.response.body", "body": piece, "more_body": True})

        await send(_head(200, form.headers | {"Content-Length": str(rendering.size)}))
        if await endpoint.send(rendering, write):  # else the server closes the connection: the body is not whole
            await send({"type": "http.response.body", "body": b""})

    async def _metrics_at_once(self, scope: Scope, send: Send, seconds: float) -> None:
        accept, encoding = _header(scope, b"accept"), _header(scope, b"accept-encoding")
        made = await beside_loop(partial(self.rearguard_parts.endpoints.metrics.render, accept, encoding, seconds))
        await send(_head(200, made.headers))
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else made.body})

    async def _healthz(self, scope: Scope, _: Receive, send: Send) -> None:
        await _send_json(scope, send, 200, self.rearguard_parts.endpoints.health.health())

    async def _readyz(self, scope: Scope, _: Receive, send: Send) -> None:
        ready, body = self.rearguard_parts.endpoints.health.readiness()
        await _send_json(scope, send, 200 if ready else 503, body)

    async def _dashboard(self, scope: Scope, _: Receive, send: Send) -> None:
        making = self.rearguard_parts.endpoints.dashboard.submit()
        document = await (asyncio.wrap_future(making) if self._loop is not None else beside_loop(making.result))
        await _send_json(scope, send, 200, document)


def _no_reason(_: BaseException | None) -> None:
    """The socket is over."""


def _path(scope: Scope) -> str:
    """The path, without the prefix at which the server mounts the application."""
    path: str = scope["path"]
    root = scope.get("root_path")
    if not root or not path.startswith(root):
        return path  # some servers leave the prefix out
    below = path[len(root) :]
    return below if below[:1] in {"/", ""} else path  # /api is no part of /apis


def _header(scope: Scope, wanted: bytes) -> str:
    return b",".join(value for name, value in scope["headers"] if name.lower() == wanted).decode("latin-1")


def _head(status: int, headers: Mapping[str, str]) -> Message:
    pairs = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    return {"type": "http.response.start", "status": status, "headers": pairs}


async def _send_json(scope: Scope, send: Send, status: int, document: Json) -> None:
    body = json.dumps(document).encode()
    await send(_head(status, {"Content-Type": "application/json", "Content-Length": str(len(body))}))
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})
