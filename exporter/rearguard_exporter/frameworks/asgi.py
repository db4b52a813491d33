"""The ASGI adapter: one wrapper around any ASGI application, which also serves the endpoints.

The route is read when the last byte was sent, from what Starlette and FastAPI left in the scope; no router is walked.
Never here: what counts as an error (http), why a socket ended in general (websocket), text (render).
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass
from time import perf_counter
from traceback import walk_tb
from typing import Any

from rearguard_exporter.endpoints.faces import Faces, Json
from rearguard_exporter.excluded_paths import Excluded
from rearguard_exporter.exposition.render import asked
from rearguard_exporter.fault_barrier import quiet, report
from rearguard_exporter.fork_safety import tell_after_fork
from rearguard_exporter.frameworks.application_proxy import StandIn
from rearguard_exporter.frameworks.asgi_route import route_of
from rearguard_exporter.frameworks.asgi_socket import Socket
from rearguard_exporter.traffic.request import CLIENT_GONE, ENDLESS_TYPES, Exchange, Lane, Lanes
from rearguard_exporter.values.instruments import Instruments

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
Answer = Callable[[Scope, Send], Awaitable[None]]

_MEASURED = "rearguard_exporter"  # in a scope: it is measured by an outer wrapper
_SERVER_ERROR = 500
_PATIENCE = 1.0  # seconds after an answer of 500 until the exception behind it is not waited for any more
_SENT_BY_SERVER = ("http.response.pathsend", "http.response.zerocopysend")  # extensions: bodies that are files


@dataclass(slots=True)
class _Own:
    """What every request asks its wrapper for; apart, because a stand-in's attributes take longer to read."""

    excluded: Excluded | None
    endpoints: dict[str, Answer]
    lanes: Lanes
    entered: bool = False


class Measured(StandIn):
    """The application, measured. What it is asked for besides (its routes, its state) is the application's own."""

    OWN = frozenset({"app", "rearguard_faces", "_instruments", "_own", "_loop"})

    def __init__(self, app: App, instruments: Instruments, faces: Faces, *, own_port: bool) -> None:
        self.app = app
        self._instruments = instruments
        self.rearguard_faces = faces
        endpoints: dict[str, Answer] = {"/healthz": self._healthz, "/readyz": self._readyz}
        if not own_port:
            endpoints |= {"/metrics": self._metrics, "/api/monitoring/dashboard": self._dashboard}
        self._own = _Own(instruments.excluded, endpoints, Lanes(instruments))
        tell_after_fork(self)

    def forget_parent(self) -> None:
        """It has served nothing in this process, or on the loop that is there now."""
        self._own.entered = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, socket or lifespan. What the application raises is raised."""
        own = self._own
        if not own.entered or scope["type"] != "http" or _MEASURED in scope or own.excluded is not None:
            if await self._is_served(scope, receive, send):
                return
        elif (_path(scope) if scope.get("root_path") else scope["path"]) in own.endpoints and (
            await self._is_answered(scope, send)
        ):
            return
        scope[_MEASURED] = True
        method = scope["method"]
        request = _Request(own.lanes.of.get(method) or own.lanes.open(method), scope, send)
        try:
            await self.app(scope, receive, request.send)
        except BaseException as failure:
            if request.is_open:
                request.lane = request.lane.here()  # not so where an abandoned one is collected
                request.end(*_outcome(failure, request.status, send))
            raise
        if request.is_open:  # a body that was not finished: servers answer 500 where there was no head either
            request.end(request.status, "")

    async def _is_served(self, scope: Scope, receive: Receive, send: Send) -> bool:
        """Serve what is no request to be measured."""
        kind = scope["type"]
        if kind == "lifespan":
            await self._lifespan(scope, receive, send)
            return True
        if _MEASURED in scope or kind not in {"http", "websocket"}:
            await self.app(scope, receive, send)
            return True
        if not self._own.entered:
            self._enter()  # a server that does without lifespan
        if kind == "http" and await self._is_answered(scope, send):
            return True
        if self._own.excluded is not None and _path(scope) in self._own.excluded:
            scope[_MEASURED] = True
            await self.app(scope, receive, send)
            return True
        if kind == "websocket":
            scope[_MEASURED] = True
            socket = Socket(self._instruments, Exchange(self._own.lanes.open("GET")), scope, receive, send)
            await socket.serve(self.app)
            return True
        return False

    async def _is_answered(self, scope: Scope, send: Send) -> bool:
        """Answer what asks for one of our endpoints."""
        answer = self._own.endpoints.get(_path(scope))
        if answer is None or scope["method"] not in {"GET", "HEAD"}:
            return False
        scope[_MEASURED] = True
        if self._own.entered and self._loop.is_closed():
            self._enter()  # of the loop before, which ended without cancelling what ran on it, nobody told
        await answer(scope, send)
        return True

    async def _lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def sending(message: Message) -> None:
            kind = message["type"]
            if kind == "lifespan.startup.complete":
                self._enter()
            elif kind.startswith("lifespan.shutdown."):
                await self._leave()  # before the server hears of it: hypercorn cancels what still runs then
            await send(message)

        try:
            await self.app(scope, receive, sending)
        finally:
            await self._leave()

    async def _leave(self) -> None:
        if self._own.entered:
            self._own.entered = False
            await self.rearguard_faces.leave()

    def _enter(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._own.entered = self.rearguard_faces.enter(self.forget_parent)

    async def _metrics(self, scope: Scope, send: Send) -> None:
        form = asked(_header(scope, b"accept"), _header(scope, b"accept-encoding"))
        parts = await self.rearguard_faces.prepare(form)
        await send(_head(200, form.headers))
        if scope["method"] != "HEAD":
            async for piece in self.rearguard_faces.stream(parts, form):
                await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    async def _healthz(self, scope: Scope, send: Send) -> None:
        await _send_json(scope, send, 200, self.rearguard_faces.health())

    async def _readyz(self, scope: Scope, send: Send) -> None:
        ready, body = self.rearguard_faces.readiness()
        await _send_json(scope, send, 200 if ready else 503, body)

    async def _dashboard(self, scope: Scope, send: Send) -> None:
        await _send_json(scope, send, 200, await asyncio.wrap_future(self.rearguard_faces.submit_dashboard()))


class _Request:
    """One request: what the application calls as `send`, which sees the answer to its last byte."""

    __slots__ = ("_began", "_complete", "_head", "_scope", "_send", "_since", "is_open", "lane", "status")

    def __init__(self, lane: Lane, scope: Scope, send: Send) -> None:
        self.lane = lane
        self.is_open = True
        self._scope = scope
        self._send = send
        self.status = 0  # as it was sent
        self._head: Message | None = None
        self._since: float | None = None  # when the head was sent of a body that comes in pieces
        self._complete: float | None = None
        lane.active[0] += 1.0
        self._began = perf_counter()

    def send(self, message: Message) -> Awaitable[None]:
        """As the server's `send`."""
        kind = message.get("type")
        if kind == "http.response.body":
            return self._send_body(message)
        if kind == "http.response.start":
            status = message.get("status")
            self.status = status if isinstance(status, int) else 0
            self._head = message
        elif kind in _SENT_BY_SERVER:
            return self._send_body(message)
        return self._send(message)

    async def _send_body(self, message: Message) -> None:
        await self._send(message)
        if message.get("more_body", False):
            self._since = self._since or perf_counter()
        elif self.is_open:
            at = perf_counter()
            if self.status != _SERVER_ERROR:
                self.end(self.status, "", at)
            else:
                self._complete = at
                self._await_failure()

    @quiet
    def _await_failure(self) -> None:
        # Frameworks answer 500 and then raise what it is about; where nothing is raised, work may still go on behind.
        asyncio.get_running_loop().call_later(_PATIENCE, self._give_up)

    def _give_up(self) -> None:
        if self.is_open:
            self.end(_SERVER_ERROR, "")

    def end(self, status: int, error_type: str, at: float | None = None) -> None:
        """The request was answered then, or when its body was complete, or now."""
        self.is_open = False
        try:
            since = self._since
            endless = since is not None and _is_endless(self._head)
            at = at or self._complete or perf_counter()
            self.lane.end(route_of(self._scope), status, error_type, self._began, at, since, endless, self._scope)
        except Exception:  # noqa: BLE001 - the wall between the exporter and the application
            report("ASGI request")


def _outcome(failure: BaseException, sent: int, send: Send) -> tuple[int, str]:
    # Starlette raises the second where a handler reads a body of which the rest never comes.
    if isinstance(failure, asyncio.CancelledError) or type(failure).__name__ == "ClientDisconnect":
        return CLIENT_GONE, ""  # the caller left, or the server stops
    if isinstance(failure, OSError) and _is_of(failure, send):
        return CLIENT_GONE, ""  # as ASGI 2.4 has servers say so
    return sent or _SERVER_ERROR, type(failure).__name__


def _is_of(failure: BaseException, function: Callable[..., Any]) -> bool:
    """Whether it was raised in a call of this function."""
    code = getattr(function, "__code__", None)  # none of what is not written in Python
    return any(frame.f_code is code for frame, _ in walk_tb(failure.__traceback__))


def _is_endless(head: Any) -> bool:
    try:
        for name, value in head.get("headers", ()):
            if name.lower() == b"content-type":
                return value.split(b";")[0].strip().lower().decode("latin-1") in ENDLESS_TYPES
    except Exception:  # noqa: BLE001 - headers of any shape
        report("ASGI headers")
    return False


def _path(scope: Scope) -> str:
    """The path below the one that the server mounts the application at."""
    path: str = scope["path"]
    root = scope.get("root_path")
    if not root or not path.startswith(root):
        return path  # of servers that leave it out
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
