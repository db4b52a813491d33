"""The ASGI adapter: one wrapper around any ASGI application, which also serves the endpoints.

The route is read when the last byte was sent, from what Starlette and FastAPI left in the scope; no router is walked.
Never here: what counts as an error (http), why a socket ended in general (websocket), text (render).
"""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

from rearguard_exporter.asgi_route import route_of
from rearguard_exporter.asgi_socket import Socket
from rearguard_exporter.faces import Faces, Json
from rearguard_exporter.http import CLIENT_GONE, ENDLESS_TYPES, Exchange
from rearguard_exporter.instruments import Instruments
from rearguard_exporter.quiet import report
from rearguard_exporter.render import asked

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
Answer = Callable[[Scope, Send], Awaitable[None]]

_MEASURED = "rearguard_exporter"  # in a scope: it is measured by an outer wrapper
_SERVER_ERROR = 500


class Measured:
    """The application, measured. What it is asked for besides (its routes, its state) is the application's own."""

    def __init__(self, app: App, instruments: Instruments, faces: Faces, *, own_port: bool) -> None:
        self.app = app
        self._instruments = instruments
        self._faces = faces
        self._entered = False
        self._endpoints: dict[str, Answer] = {"/healthz": self._healthz, "/readyz": self._readyz}
        if not own_port:
            self._endpoints |= {"/metrics": self._metrics, "/api/monitoring/dashboard": self._dashboard}

    def __getattr__(self, name: str) -> Any:
        """As the application has it."""
        if name == "app":  # while being unpickled or copied
            raise AttributeError(name)
        return getattr(self.app, name)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, socket or lifespan."""
        kind = scope["type"]
        if kind == "lifespan":
            await self._lifespan(scope, receive, send)
            return
        if _MEASURED in scope or kind not in {"http", "websocket"}:
            await self.app(scope, receive, send)
            return
        if not self._entered:
            self._enter()  # a server that does without lifespan
        scope[_MEASURED] = True
        excluded = self._instruments.excluded
        if excluded is not None and kind == "websocket" and _path(scope) in excluded:
            await self.app(scope, receive, send)
            return
        if kind == "websocket":
            socket = Socket(self._instruments, scope, receive, send)
            await socket.serve(self.app)
            return
        answer = self._endpoints.get(_path(scope)) if scope["path"].endswith(_ENDINGS) else None
        if answer is not None and scope["method"] in {"GET", "HEAD"}:
            await answer(scope, send)
            return
        if excluded is not None and _path(scope) in excluded:
            await self.app(scope, receive, send)
            return
        await self._serve(scope, receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = Exchange(self._instruments, scope["method"])
        status = 0
        headers: Any = ()
        complete: float | None = None
        streaming = False

        async def sending(message: Message) -> None:
            nonlocal status, headers, complete, streaming
            await send(message)
            kind = message["type"]
            if kind == "http.response.body":
                if message.get("more_body", False):
                    if not streaming:
                        streaming = True
                        exchange.streaming()
                else:
                    complete = time.perf_counter()
                    if status < _SERVER_ERROR:  # else the exception behind it is still to come
                        _end(exchange, scope, status, "", streaming and _is_endless(headers), complete)
            elif kind == "http.response.start":
                status = message["status"]
                headers = message.get("headers", ())

        try:
            await self.app(scope, receive, sending)
        except BaseException as failure:
            if exchange.is_open:
                sent = status or _SERVER_ERROR
                error_type = type(failure).__name__
                if isinstance(failure, asyncio.CancelledError):
                    sent, error_type = CLIENT_GONE, ""  # the caller left, or the server stops
                _end(exchange, scope, sent, error_type, streaming and _is_endless(headers), complete)
            raise
        if exchange.is_open:
            # A body that was not finished: servers answer 500 where there was no head either.
            _end(
                exchange, scope, status or _SERVER_ERROR, "", endless=streaming and _is_endless(headers), at=complete
            )

    async def _lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def sending(message: Message) -> None:
            if message["type"] == "lifespan.startup.complete":
                self._enter()
            await send(message)

        try:
            await self.app(scope, receive, sending)
        finally:
            if self._entered:
                self._entered = False
                await self._faces.leave()

    def _enter(self) -> None:
        self._entered = self._faces.enter()

    async def _metrics(self, scope: Scope, send: Send) -> None:
        form = asked(_header(scope, b"accept"), _header(scope, b"accept-encoding"))
        parts = await self._faces.prepare(form)
        await send(_head(200, form.headers))
        if scope["method"] != "HEAD":
            async for piece in self._faces.stream(parts, form):
                await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    async def _healthz(self, scope: Scope, send: Send) -> None:
        await _send_json(scope, send, 200, self._faces.health())

    async def _readyz(self, scope: Scope, send: Send) -> None:
        ready, body = self._faces.readiness()
        await _send_json(scope, send, 200 if ready else 503, body)

    async def _dashboard(self, scope: Scope, send: Send) -> None:
        await _send_json(scope, send, 200, await asyncio.wrap_future(self._faces.submit_dashboard()))


_ENDINGS = ("/metrics", "/healthz", "/readyz", "/dashboard")


def _end(exchange: Exchange, scope: Scope, status: int, error_type: str, endless: bool, at: float | None) -> None:
    try:
        exchange.end(route_of(scope), status, error_type, endless=endless, at=at, request=scope)
    except Exception:  # noqa: BLE001 - the wall between the exporter and the application
        exchange.leave()
        report("ASGI request")


def _is_endless(headers: Any) -> bool:
    try:
        for name, value in headers:
            if name.lower() == b"content-type":
                return value.split(b";")[0].strip().lower().decode("latin-1") in ENDLESS_TYPES
    except Exception:  # noqa: BLE001 - headers of any shape
        report("ASGI headers")
    return False


def _path(scope: Scope) -> str:
    """The path below the one that the server mounts the application at."""
    path: str = scope["path"]
    root = scope.get("root_path") or ""
    return path[len(root) :] if root and path.startswith(root) else path


def _header(scope: Scope, wanted: bytes) -> str:
    return b",".join(value for name, value in scope["headers"] if name.lower() == wanted).decode("latin-1")


def _head(status: int, headers: Mapping[str, str]) -> Message:
    pairs = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    return {"type": "http.response.start", "status": status, "headers": pairs}


async def _send_json(scope: Scope, send: Send, status: int, document: Json) -> None:
    body = json.dumps(document).encode()
    await send(_head(status, {"Content-Type": "application/json", "Content-Length": str(len(body))}))
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})
