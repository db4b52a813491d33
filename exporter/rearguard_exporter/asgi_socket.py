"""One WebSocket of an ASGI application, from the handshake to the reason of its end.

A handshake that the application refuses is an ordinary request, answered 403 or as the application says.
Never here: what a close code means (websocket), requests (asgi).
"""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from rearguard_exporter.asgi_route import route_of
from rearguard_exporter.http import CLIENT_GONE, Exchange
from rearguard_exporter.instruments import Instruments
from rearguard_exporter.quiet import quiet
from rearguard_exporter.websocket import Connection, Reason, reason_of_code

Message = MutableMapping[str, Any]

_REFUSED = 403
_FAILED = 500
_NO_CODE = 1005
_LOST = 1006
_PING_TIMEOUT = "ping timeout"  # in the reason with which servers close on a peer that answers no ping


class Socket:
    """Stands between the server and the application."""

    __slots__ = ("_connection", "_ended", "_exchange", "_instruments", "_receive", "_scope", "_send", "_status")

    def __init__(
        self,
        instruments: Instruments,
        exchange: Exchange,
        scope: MutableMapping[str, Any],
        receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
    ) -> None:
        self._instruments = instruments
        self._scope = scope
        self._receive = receive
        self._send = send
        self._exchange = exchange
        self._connection: Connection | None = None
        self._ended: Reason | None = None  # as the first closing message says
        self._status = 0

    async def serve(self, app: Callable[..., Awaitable[None]]) -> None:
        """Run the application on this socket. What it raises is raised."""
        try:
            await app(self._scope, self.receive, self.send)
        except BaseException as failure:
            self._over(failure)
            raise
        self._over(None)

    async def receive(self) -> Message:
        """The next message for the application."""
        message = await self._receive()
        self._received(message)
        return message

    async def send(self, message: Message) -> None:
        """A message of the application."""
        if message["type"] == "websocket.close":
            self._closing(message)  # before: the server may tell of the end while it sends
        await self._send(message)
        self._sent(message)

    @quiet
    def _received(self, message: Message) -> None:
        kind = message["type"]
        if kind == "websocket.receive" and self._connection is not None:
            self._connection.received()
        elif kind == "websocket.disconnect" and self._ended is None:
            self._ended = _reason_of(message, getattr(self._receive, "__self__", None))

    @quiet
    def _sent(self, message: Message) -> None:
        kind = message["type"]
        if kind == "websocket.send" and self._connection is not None:
            self._connection.sent()
        elif kind == "websocket.accept" and self._connection is None:
            self._exchange.leave()
            self._connection = Connection(self._instruments, route_of(self._scope))
        elif kind == "websocket.http.response.start":
            self._status = message["status"]

    @quiet
    def _closing(self, message: Message) -> None:
        if self._connection is None:
            self._status = _REFUSED
        elif self._ended is None:
            self._ended = reason_of_code(message.get("code", 1000), sent=True)

    @quiet
    def _over(self, failure: BaseException | None) -> None:
        if self._connection is not None:
            self._connection.close(_why(self._ended, failure))
            return
        status, error_type = self._status, ""
        if not status and self._ended is not None:
            status = CLIENT_GONE
        elif not status:
            status = CLIENT_GONE if isinstance(failure, asyncio.CancelledError) else _FAILED
            error_type = type(failure).__name__ if failure is not None and status == _FAILED else ""
        self._exchange.end(route_of(self._scope), status, error_type, request=self._scope)


def _reason_of(message: Message, server: object) -> Reason:
    code = message.get("code")
    code = _NO_CODE if code is None else code
    told = str(message.get("reason") or "")
    if code == _NO_CODE and "reason" not in message and type(server).__module__.startswith("uvicorn."):
        # Not a close frame without a code: uvicorn's default protocol says so of connections that are lost.
        sent = getattr(getattr(server, "conn", None), "close_sent", None)
        told = str(getattr(sent, "reason", ""))
        code = _LOST
    return Reason.TIMEOUT if _PING_TIMEOUT in told else reason_of_code(code, sent=False)


def _why(ended: Reason | None, failure: BaseException | None) -> Reason:
    if ended is not None:
        return ended  # what is raised after the end is a consequence of it
    if isinstance(failure, asyncio.CancelledError):
        return Reason.GOING_AWAY
    if isinstance(failure, TimeoutError):
        return Reason.TIMEOUT
    # Servers raise an OSError for what is sent to a peer that vanished; Starlette makes its own exception of it.
    if isinstance(failure, OSError) or type(failure).__name__ == "WebSocketDisconnect":
        return Reason.ABNORMAL
    return Reason.ERROR if failure is not None else Reason.CLEAN
