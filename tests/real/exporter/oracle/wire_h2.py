"""The caller of `wire` over HTTP/2 without TLS: who leaves resets the stream, and keeps the connection until then."""

import socket
import time
from contextlib import suppress
from pathlib import Path

from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import ConnectionTerminated, DataReceived, ResponseReceived, StreamEnded, StreamReset
from h2.exceptions import ProtocolError

from local_stack.process import StackError, wait_until
from real.exporter.oracle.behaviours import Behaviour, Leaves
from real.exporter.oracle.wire import PATIENCE, UNTIL_CALLED, Seen

_STREAM = 1
_OF_HTTP1 = frozenset({"Connection", "Transfer-Encoding"})


def ask(port: int, behaviour: Behaviour, folder: Path, until_called: float = UNTIL_CALLED) -> Seen:
    """Behave as the table says, over HTTP/2."""
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as connection:
        parser = H2Connection()
        parser.initiate_connection()
        length = len(behaviour.body) if behaviour.announced is None else behaviour.announced
        headers = [
            (":method", behaviour.method), (":path", f"/{behaviour.name}"), (":scheme", "http"),
            (":authority", "oracle"),
            *((name.lower(), value) for name, value in behaviour.headers if name not in _OF_HTTP1),
        ]  # fmt: skip
        if behaviour.body and ("Transfer-Encoding", "chunked") not in behaviour.headers:
            headers.append(("content-length", str(length)))
        parser.send_headers(_STREAM, headers, end_stream=not behaviour.body)
        if behaviour.body:
            parser.send_data(_STREAM, behaviour.body, end_stream=behaviour.announced is None)
        connection.sendall(parser.data_to_send())
        if behaviour.leaves in {Leaves.UPLOADING, Leaves.WAITING}:
            _wait_for_handler(folder / f"{behaviour.name}.began", until_called)
            seen = Seen(None, whole=False, left=True)
        else:
            seen = _read(connection, parser, behaviour)
        if seen.left:
            with suppress(ProtocolError, OSError):
                parser.reset_stream(_STREAM, ErrorCodes.CANCEL)
                connection.sendall(parser.data_to_send())
        (folder / f"{behaviour.name}.left").touch()
    return seen


def _wait_for_handler(began: Path, until_called: float) -> None:
    with suppress(StackError):
        wait_until(began.exists, within=until_called, what=f"{began.stem}: the handler runs")


def _read(connection: socket.socket, parser: H2Connection, behaviour: Behaviour) -> Seen:
    status, deadline = None, time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        try:
            data = connection.recv(65536)
            events = parser.receive_data(data)
            connection.sendall(parser.data_to_send())
        except (OSError, ProtocolError):
            break
        for event in events:
            match event:
                case ResponseReceived():
                    status = int(dict(event.headers)[b":status"])
                case DataReceived() if behaviour.leaves is Leaves.READING:
                    return Seen(status, whole=False, left=True)
                case DataReceived():
                    parser.acknowledge_received_data(event.flow_controlled_length, _STREAM)
                case StreamEnded():
                    return Seen(status, whole=True, left=False)
                case StreamReset() | ConnectionTerminated():
                    return Seen(status, whole=False, left=False)
        if not data:
            break
    return Seen(status, whole=False, left=False)
