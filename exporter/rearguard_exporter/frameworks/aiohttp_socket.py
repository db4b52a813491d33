"""One WebSocket of an aiohttp application, from its preparation to the reason of its end.

aiohttp has no hook for messages, so the methods of each socket object are replaced.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import WebSocketError, WSCloseCode, WSMsgType, web

from rearguard_exporter.fault_barrier import report
from rearguard_exporter.traffic.websocket import Connection, Reason, reason_of_code

_MESSAGES = frozenset({WSMsgType.TEXT, WSMsgType.BINARY})
_STOPPING: web.AppKey[asyncio.Event] = web.AppKey("rearguard_exporter.stopping", asyncio.Event)


def note_shutdown(app: web.Application) -> None:
    """Note when the application stops. aiohttp cancels handlers of sockets then, as it does when a peer vanishes."""
    stopping = app[_STOPPING] = asyncio.Event()

    async def stop(_: web.Application) -> None:
        stopping.set()

    app.on_shutdown.insert(0, stop)


def is_gone(request: web.Request) -> bool:
    """Whether the connection of this request is closed."""
    return request.transport is None or request.transport.is_closing()


def is_stopping(request: web.Request) -> bool:
    """Whether the application of this request stops."""
    stopping = request.config_dict.get(_STOPPING)
    return stopping is not None and stopping.is_set()


def is_cancelled() -> bool:
    """Whether somebody cancelled the task that asks. A CancelledError without that is the application's own."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


class Link:
    """A request that became a socket."""

    __slots__ = ("_connection", "_is_silent", "_lost", "_request", "asked", "said", "socket")

    def __init__(self, socket: web.WebSocketResponse, connection: Connection, request: web.Request) -> None:
        self.socket = socket
        self._connection = connection
        self._request = request
        self._lost = False  # a message found nobody to be sent to
        self._is_silent = False  # the handler waited for a message in vain
        self.asked: object = None
        """The first code with which the application closed the socket; the peer has to confirm it."""
        self.said: object = None
        """The code with which the peer closed the socket, or made aiohttp close it."""

    def follow(self) -> None:
        """From now on, count messages and note who closes the socket."""
        socket: Any = self.socket
        socket.receive = self._receiving(socket.receive)
        socket.close = self._closing(socket.close)
        socket.write_eof = self._ending(socket.write_eof)
        # Every other way out (send_json …) goes through these.
        socket.send_str = self._sending(socket.send_str)
        socket.send_bytes = self._sending(socket.send_bytes)
        if hasattr(socket, "send_frame"):  # from aiohttp 3.11
            socket.send_frame = self._sending_frame(socket.send_frame)

    def over(self, failure: BaseException | None) -> None:
        """The handler returned or raised."""
        try:
            reason = self.why(failure)
        except Exception:  # noqa: BLE001 - a socket of any kind; it is closed in any case
            report("aiohttp socket")
            reason = Reason.CLEAN if failure is None else Reason.ERROR
        self._connection.close(reason)

    def why(self, failure: BaseException | None) -> Reason:
        """The reason of the end, now that the handler returned or raised `failure`."""
        if self.said is not None:
            return reason_of_code(self.said, sent=False)  # what is raised after the end is a consequence of it
        was_cancelled = isinstance(failure, asyncio.CancelledError) and is_cancelled()
        if was_cancelled and is_stopping(self._request):
            return Reason.GOING_AWAY
        if isinstance(self.socket.exception(), TimeoutError):
            return Reason.TIMEOUT
        code: object = self.socket.close_code
        if code is None and (self._lost or was_cancelled or failure is None):
            code = _unread(self.socket)
        if code is None:
            return self._by_failure(failure)
        reason = reason_of_code(code, sent=False)
        if reason is Reason.CLEAN and self.asked is not None:
            return reason_of_code(self.asked, sent=True)  # the peer merely confirmed what the application asked for
        return reason

    def _by_failure(self, failure: BaseException | None) -> Reason:
        if isinstance(failure, TimeoutError) and self._is_silent:
            return Reason.TIMEOUT
        gone = is_gone(self._request)
        was_cancelled = isinstance(failure, asyncio.CancelledError) and is_cancelled()
        if self._lost or (gone and (was_cancelled or isinstance(failure, ConnectionResetError))):
            return Reason.ABNORMAL
        if failure is not None:
            return Reason.ERROR
        # No closing handshake yet: aiohttp does it with 1000 after the handler, if anybody is there.
        return Reason.ABNORMAL if gone else Reason.CLEAN

    def _ending(self, write_eof: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def noted(*args: Any, **kwargs: Any) -> Any:
            self.over(None)  # aiohttp calls it once the handler has returned
            return await write_eof(*args, **kwargs)

        return noted

    def _closing(self, close: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def noted(*, code: int = WSCloseCode.OK, **kwargs: Any) -> Any:
            if self.asked is None:
                self.asked = code
            return await close(code=code, **kwargs)

        return noted

    def _receiving(self, receive: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def counted(*args: Any, **kwargs: Any) -> Any:
            self._is_silent = True
            message = await receive(*args, **kwargs)
            self._is_silent = False
            if message.type in _MESSAGES:
                self._connection.received()
            elif message.type is WSMsgType.CLOSE:
                self.said = message.data
            elif message.type is WSMsgType.ERROR and isinstance(message.data, WebSocketError):
                self.said = message.data.code  # which aiohttp tells the peer that broke the protocol
            return message

        return counted

    def _sending(self, send: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
        async def counted(*args: Any, **kwargs: Any) -> None:
            try:
                await send(*args, **kwargs)
            except ConnectionResetError:
                self._lost = True
                raise
            self._connection.sent()

        return counted

    def _sending_frame(self, send: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
        counting = self._sending(send)

        async def counted(message: bytes, opcode: WSMsgType, *args: Any, **kwargs: Any) -> None:
            await (counting if opcode in _MESSAGES else send)(message, opcode, *args, **kwargs)

        return counted


def _unread(socket: web.WebSocketResponse) -> object:
    """The close code of the peer, if it came in but the handler, which only sends, never read it."""
    reader = getattr(socket, "_reader", None)
    for message, _ in reversed(getattr(reader, "_buffer", ())):
        if message.type is WSMsgType.CLOSE:
            code: object = message.data
            return code
    return None
