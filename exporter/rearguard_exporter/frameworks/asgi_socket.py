"""One WebSocket of an ASGI application, from the handshake to the reason of its end.

A handshake that the application refuses is an ordinary request, answered 403 or as the application says.
"""

from collections.abc import Awaitable, Callable, Coroutine, MutableMapping
from typing import Any

from rearguard_exporter.fault_barrier import quiet, report
from rearguard_exporter.frameworks.asgi_caller import is_cancelled_by_server, is_of_lost_connection
from rearguard_exporter.frameworks.asgi_loop import running_loop
from rearguard_exporter.frameworks.asgi_route import route_of
from rearguard_exporter.traffic.request import SERVER_ERROR, MeasuredRequest
from rearguard_exporter.traffic.websocket import Connection, Reason, reason_of_code

Message = MutableMapping[str, Any]

_REFUSED = 403
_NO_CODE = 1005
_LOST = 1006
_PING_TIMEOUT = "ping timeout"  # in the reason with which servers close on a peer that answers no ping
_MOST_UNREAD = 100  # messages before the one that tells of the end; servers stop reading long before


class Handshake(MeasuredRequest):
    """The request that a socket begins with."""

    __slots__ = ("reason_of",)
    reason_of: Callable[[BaseException | None], Reason | None]  # why the socket ends, for who asks before its end
    route_of = staticmethod(route_of)


class Socket:
    """Stands between the server and the application."""

    __slots__ = (
        "_connection", "_ended", "_handshake", "_is_silent", "_lost", "_receive", "_send", "_told",
    )  # fmt: skip

    def __init__(
        self,
        handshake: Handshake,
        receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
    ) -> None:
        self._receive = receive
        self._send = send
        self._handshake = handshake
        self._connection: Connection | None = None
        self._ended: Reason | None = None  # as the first closing message says
        self._is_silent = False  # the application waits for a message
        self._lost = False  # a message found nobody to be sent to
        self._told: Reason | None = None  # to who asked before the end

    async def serve(self, app: Callable[..., Awaitable[None]], *, is_traced: bool = False) -> None:
        """Run the application on this socket. What it raises is raised again.

        `is_traced`: the handshake has `reason_of` meanwhile.
        """
        if is_traced:
            self._handshake.reason_of = self.reason_of
        try:
            await app(self._handshake.subject, self.receive, self.send)
        except BaseException as failure:
            self._over(failure)
            raise
        self._over(None)

    async def receive(self) -> Message:
        """The next message for the application."""
        self._is_silent = True
        message = await self._receive()
        self._is_silent = False
        self._received(message)
        return message

    async def send(self, message: Message) -> None:
        """Send a message of the application."""
        before, is_closing = (self._ended, self._handshake.status), message.get("type") == "websocket.close"
        if is_closing:
            self._closing(message)  # before: the server may tell of the end while it sends
        try:
            await self._send(message)
        except Exception as failure:
            self._lost = self._lost or is_of_lost_connection(failure)
            if is_closing:  # the server refused its code, so nothing was closed
                self._ended, self._handshake.status = before
            raise
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
            self._handshake.leave()
            self._connection = Connection(
                self._handshake.lane.instruments, self._handshake.route or route_of(self._handshake.subject)
            )
        elif kind == "websocket.http.response.start":
            self._handshake.status = message["status"] if isinstance(message["status"], int) else SERVER_ERROR

    @quiet
    def _closing(self, message: Message) -> None:
        if self._connection is None:
            self._handshake.status = _REFUSED
        elif self._ended is None:
            self._ended = reason_of_code(message.get("code", 1000), sent=True)

    @quiet
    def _over(self, failure: BaseException | None) -> None:
        if self._connection is not None:
            self._connection.close(self._told or self._surely(failure))
            return
        if self._handshake.status:  # it was answered: what is raised after that is no fault of the answer
            self._handshake.end()
            return
        self._handshake.client_left = self._ended is not None or self._lost or is_cancelled_by_server(failure)
        self._handshake.end(failure)

    def reason_of(self, failure: BaseException | None) -> Reason | None:
        """Why the socket ends, now that its handler returned or raised `failure`; None if it was never one."""
        if self._connection is None:
            return None
        self._told = self._surely(failure)
        return self._told

    def _surely(self, failure: BaseException | None) -> Reason:
        try:
            return self._reason(failure)
        except Exception:  # noqa: BLE001 - a server of any kind; the connection is over in any case
            report("ASGI socket")
            return self._why(self._ended, failure)

    def _reason(self, failure: BaseException | None) -> Reason:
        ended = self._ended
        is_told = self._lost or failure is None or _is_disconnect(failure) or is_cancelled_by_server(failure)
        if ended is None and is_told:
            ended = self._unread() or (Reason.ABNORMAL if self._lost else None)
        return self._why(ended, failure)

    def _why(self, ended: Reason | None, failure: BaseException | None) -> Reason:
        if ended is not None:
            return ended  # what is raised after the end is a consequence of it
        if is_cancelled_by_server(failure):
            return Reason.GOING_AWAY
        if isinstance(failure, TimeoutError) and self._is_silent:
            return Reason.TIMEOUT
        if _is_disconnect(failure):
            return Reason.ABNORMAL
        return Reason.ERROR if failure is not None else Reason.CLEAN

    def _unread(self) -> Reason | None:
        """Why the peer left, if the server knows it without waiting. The application ended without asking.

        Applications that only send learn no more than that nobody is there, even if a page was left in good order.
        """
        server = getattr(self._receive, "__self__", None)
        goodbye = getattr(server, "close_rcvd", None)  # of uvicorn's older protocol, which tells nothing at once
        if goodbye is not None:
            return reason_of_code(goodbye.code, sent=False)
        if running_loop() is None:
            return None  # other event loops do not bear a question that is given up
        for _ in range(_MOST_UNREAD):
            message = _at_once(self._receive())
            if message is None:
                return None
            if message["type"] == "websocket.disconnect":
                return _reason_of(message, server)
        return None


def _at_once(asked: Awaitable[Message]) -> Message | None:
    """The message that is there without waiting; None if there is none."""
    if not isinstance(asked, Coroutine):
        return None
    try:
        asked.send(None)
    except StopIteration as told:
        message: Message = told.value
        return message
    except Exception:  # noqa: BLE001 - a server that is asked once too often
        report("ASGI receive")
    finally:
        asked.close()
    return None


def _reason_of(message: Message, server: object) -> Reason:
    code = message.get("code")
    code = _NO_CODE if code is None else code
    told = str(message.get("reason") or "")
    if code == _NO_CODE and "reason" not in message and type(server).__module__.startswith("uvicorn."):
        # This is no close frame without a code: it is how uvicorn's default protocol tells of a lost connection.
        sent = getattr(getattr(server, "conn", None), "close_sent", None)
        told = str(getattr(sent, "reason", ""))
        code = _LOST
    return Reason.TIMEOUT if _PING_TIMEOUT in told else reason_of_code(code, sent=False)


def _is_disconnect(failure: BaseException | None) -> bool:
    """Whether Starlette raised it. It does so for the OSError of a server whose peer is gone."""
    return type(failure).__name__ == "WebSocketDisconnect"
