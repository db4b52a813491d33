"""WebSockets: what callers and handlers do, the reason that is true, and the one that was recorded."""

import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import requests
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from local_stack.process import StackError, wait_until
from real.exporter.conftest import Scrape
from real.exporter.oracle.limits import SocketLimit
from real.exporter.oracle.servers import Served

_ENDS = "websocket_server_disconnects_total"
_PATIENCE = 12.0  # seconds until an end is recorded; the slowest server needs ten


@dataclass(frozen=True)
class SocketBehaviour:
    """One connection: `/ws/<name>` is asked for, and `then` is what the caller does once it has a message."""

    name: str
    reason: str  # that is true
    then: str = "reads"  # reads, vanishes, or the code with which the caller closes


TABLE = (
    SocketBehaviour("talks", "clean", "1000"),
    SocketBehaviour("page", "going_away", "1001"),
    SocketBehaviour("lost", "abnormal", "vanishes"),
    SocketBehaviour("only_sends", "abnormal", "vanishes"),
    SocketBehaviour("in_group", "abnormal", "vanishes"),  # a task of its task group reads
    SocketBehaviour("closes", "clean"),
    SocketBehaviour("closes_1011", "error"),
    SocketBehaviour("raises", "error"),
    SocketBehaviour("cancels", "error"),  # it awaits a task that it has cancelled
    SocketBehaviour("group", "error"),
    SocketBehaviour("os_error", "error"),  # of a connection of its own
)


def wrong_reasons(served: Served, limit_of: Callable[[str], SocketLimit | None]) -> dict[str, tuple[str, list[str]]]:
    """Each behaviour whose recorded reason is neither the true one nor its limit's: the true one, what was recorded.

    Behaviours whose limit is that no end is recorded are left out.
    """
    wrong = {}
    for each in TABLE:
        limit = limit_of(each.name)
        if limit is not None and limit.recorded is None:
            continue
        before = _ends(served)
        _behave(served.port, each)
        with suppress(StackError):  # an end that is not recorded is a wrong one
            wait_until(lambda before=before: _ends(served) != before, within=_PATIENCE, what="an end")
        after = _ends(served)
        recorded = [reason for reason, count in after.items() if count > before.get(reason, 0)]
        if recorded not in ([each.reason], [limit.recorded if limit is not None else each.reason]):
            wrong[each.name] = (each.reason, recorded)
    return wrong


def reasons_of_vanished(served: Served, callers: int) -> dict[str, float]:
    """Why the sockets of this many callers ended who vanished from a handler that only sends, one after the other."""
    [asked] = [each for each in TABLE if each.name == "only_sends"]
    for at in range(callers):
        _behave(served.port, asked)
        wait_until(lambda at=at: sum(_ends(served).values()) > at, within=_PATIENCE, what="an end")
    return {reason: count for reason, count in _ends(served).items() if count}


def routes(served: Served) -> set[str]:
    """The routes of all connections."""
    return {sample.labels["http_route"] for sample in _scrape(served).all(_ENDS)}


def _scrape(served: Served) -> Scrape:
    headers = {"Connection": "close"}
    return Scrape(requests.get(f"http://127.0.0.1:{served.port}/metrics", timeout=10, headers=headers).text)


def _ends(served: Served) -> dict[str, float]:
    counts: dict[str, float] = {}
    for sample in _scrape(served).all(_ENDS):
        counts[sample.labels["reason"]] = counts.get(sample.labels["reason"], 0.0) + sample.value
    return counts


def _behave(port: int, asked: SocketBehaviour) -> None:
    with connect(f"ws://127.0.0.1:{port}/ws/{asked.name}", ping_interval=None, close_timeout=5) as caller:
        assert caller.recv(timeout=10) == "hello"
        match asked.then:
            case "vanishes":
                caller.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                caller.socket.close()  # a reset, and no closing handshake
            case "reads":
                with suppress(ConnectionClosed, TimeoutError):  # some servers leave the connection open
                    while True:
                        caller.recv(timeout=3)
            case code:
                caller.close(int(code))


def refused(port: int) -> int | None:
    """The status with which a handshake is refused; None if it is not."""
    try:
        with connect(f"ws://127.0.0.1:{port}/ws/refuses", ping_interval=None):
            return None
    except InvalidStatus as refusal:
        return refusal.response.status_code
