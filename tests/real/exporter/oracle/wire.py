"""A caller on a raw socket who behaves as the table of behaviours says, and what this caller saw."""

import socket
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import h11

from local_stack.process import StackError, wait_until
from real.exporter.oracle.behaviours import Behaviour, Leaves

PATIENCE = 8.0  # seconds for each step
UNTIL_CALLED = 15.0  # seconds until a handler runs whose request is not whole yet
UNCALLED = 0.5  # seconds until a caller leaves a server that calls no handler before its request is whole


@dataclass(frozen=True)
class Seen:
    """What a caller saw."""

    status: int | None  # of the head that came; None if none came
    whole: bool  # the body came to its proper end
    left: bool  # the caller left before that


def ask(port: int, behaviour: Behaviour, folder: Path, until_called: float = UNTIL_CALLED) -> Seen:
    """Behave as the table says, over HTTP/1.1."""
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as connection:
        if behaviour.leaves is Leaves.READING:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        seen = _Exchange(connection, behaviour, folder, until_called).run()
    (folder / f"{behaviour.name}.left").touch()
    return seen


class _Exchange:
    def __init__(self, connection: socket.socket, behaviour: Behaviour, folder: Path, until_called: float) -> None:
        self._socket = connection
        self._parser = h11.Connection(h11.CLIENT)
        self._behaviour = behaviour
        self._until_called = until_called
        self._began = folder / f"{behaviour.name}.began"

    def run(self) -> Seen:
        """Ask, and read as long as the caller stays."""
        asked, leaves = self._behaviour, self._behaviour.leaves
        length = len(asked.body) if asked.announced is None else asked.announced
        headers = [("Host", "oracle"), *asked.headers]
        if asked.body and ("Transfer-Encoding", "chunked") not in headers:
            headers.append(("Content-Length", str(length)))
        self._send(h11.Request(method=asked.method, target=f"/{asked.name}", headers=headers))
        if ("Expect", "100-continue") in asked.headers and not isinstance(
            self._parser.next_event(), h11.InformationalResponse
        ):
            first = self._event()
            if not isinstance(first, h11.InformationalResponse):
                return self._read(first)
        if asked.body:
            self._send(h11.Data(data=asked.body))
        if leaves in {Leaves.UPLOADING, Leaves.WAITING}:
            with suppress(StackError):  # some servers call no application before the whole body is there
                wait_until(self._began.exists, within=self._until_called, what=f"{asked.name}: the handler runs")
            return Seen(None, whole=False, left=True)
        self._send(h11.EndOfMessage())
        return self._read(self._event())

    def _read(self, event: object) -> Seen:
        status = None
        while True:
            match event:
                case h11.Response():
                    status = event.status_code
                case h11.Data() if self._behaviour.leaves is Leaves.READING:
                    return Seen(status, whole=False, left=True)
                case h11.EndOfMessage():
                    return Seen(status, whole=True, left=False)
                case None:
                    return Seen(status, whole=False, left=False)
            event = self._event()

    def _send(self, event: object) -> None:
        with suppress(ConnectionError):  # the server answers early, or hangs up: the reading shows it
            self._socket.sendall(self._parser.send(event))

    def _event(self) -> object:
        """The next event; None if the server hangs up instead."""
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                event = self._parser.next_event()
                if event is not h11.NEED_DATA:
                    return event
                self._parser.receive_data(self._socket.recv(65536))
            except (OSError, h11.RemoteProtocolError):  # also: nothing comes any more
                return None
            assert time.monotonic() < deadline
