"""One WebSocket connection as metrics: its opening, its messages, its end and the reason of that.

The adapters of all frameworks report to a `Connection` what happens.
"""

import time
from enum import StrEnum, unique

from rearguard_exporter.values.instruments import Instruments


@unique
class Reason(StrEnum):
    """Why a connection ended."""

    CLEAN = "clean"  # a closing handshake, with whatever code the application or the peer chose; a refusal too
    GOING_AWAY = "going_away"  # the page was left, or the server shuts down
    ABNORMAL = "abnormal"  # the connection vanished without a closing handshake
    ERROR = "error"  # the handler failed, the service closed with a fault, or one side broke the protocol
    TIMEOUT = "timeout"  # no answer in time


# RFC 6455, 7.4.1, and the IANA registry of close codes.
_GOING_AWAY = frozenset({1001, 1012})
_ABNORMAL = frozenset({1006})
_PROTOCOL = frozenset({1002, 1003, 1007, 1009, 1010, 1015})
_FAULT = frozenset({1011, 1013, 1014})  # faults if the service sent them; a peer may send them for any reason


def reason_of_code(code: object, *, sent: bool) -> Reason:
    """The reason that a close code stands for, if the service `sent` it, or else received it.

    A refusal (1008), codes of applications (3000 to 4999), a missing code and anything that is no code are clean.
    """
    if not isinstance(code, int):
        return Reason.CLEAN
    if code in _GOING_AWAY:
        return Reason.GOING_AWAY
    if code in _ABNORMAL:
        return Reason.ABNORMAL
    return Reason.ERROR if code in _PROTOCOL or (sent and code in _FAULT) else Reason.CLEAN


class Connection:
    """One open connection on one route. `close` may be called more than once; the first counts."""

    __slots__ = ("_active", "_began", "_instruments", "_open", "_received", "_route", "_sent")

    def __init__(self, instruments: Instruments, route: str) -> None:
        self._instruments = instruments
        self._route = route
        self._received = instruments.socket_messages.child(route, "receive")
        self._sent = instruments.socket_messages.child(route, "transmit")
        self._active = instruments.socket_active.child(route)
        for reason in Reason:  # at 0 before they first happen, so that the first one is an increase
            instruments.socket_disconnects.child(route, reason)
        instruments.socket_connections.child(route).inc()
        self._active.inc()
        self._open = True
        self._began = time.perf_counter()

    def received(self) -> None:
        """Count a text or binary message that came in."""
        self._received.inc()

    def sent(self) -> None:
        """Count a text or binary message that went out."""
        self._sent.inc()

    def close(self, reason: Reason) -> None:
        """End the connection for this reason."""
        if not self._open:
            return
        self._open = False
        self._active.dec()
        self._instruments.socket_disconnects.child(self._route, reason).inc()
        self._instruments.socket_duration.child(self._route).observe(time.perf_counter() - self._began)
