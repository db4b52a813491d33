"""A port of its own for the exposition and the dashboard, served by the standard library in a thread.

It is for applications that must not show their figures on their public port.
"""

import errno
import io
import json
import socket
import socketserver
import sys
import threading
import time
import weakref
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol
from urllib.parse import urlsplit

from rearguard_exporter.endpoints.dashboard import Dashboard
from rearguard_exporter.endpoints.endpoints import DASHBOARD, METRICS
from rearguard_exporter.endpoints.held_connections import HeldConnections
from rearguard_exporter.endpoints.metrics import MetricsEndpoint
from rearguard_exporter.exposition.accept import SCRAPE_TIMEOUT, seconds_allowed
from rearguard_exporter.fault_barrier import log, quiet, report
from rearguard_exporter.fork_safety import tell_after_fork

MOST_CONNECTIONS = 16
"""Connections served at once, a thread each. Beyond, the idlest of the greediest address makes room."""

REQUEST_SECONDS = 10.0
"""Seconds that a connection has to bring its next request, and to take an answer."""

ROOM_SECONDS = 1.0
"""Seconds that a connection which makes room has to end, before another one must."""

_TEXT = {"Content-Type": "text/plain"}

RETRY = 0.5  # seconds between two looks at whether a port that was taken is free

_ports: "weakref.WeakSet[OwnPort]" = weakref.WeakSet()  # of this process


class Shown(Protocol):
    """What the port serves."""

    @property
    def metrics(self) -> MetricsEndpoint:
        """What makes `/metrics`."""

    @property
    def dashboard(self) -> Dashboard | None:
        """What makes the dashboard; None: it is not served."""


class Protection(Protocol):
    """TLS for the port."""

    def wrap(self, connection: socket.socket) -> socket.socket:
        """The connection, protected; the handshake follows, in the connection's own thread.

        Raises:
            OSError: it cannot be.
        """

    def admits(self, connection: socket.socket) -> bool:
        """Whether the client is let in, once hands were shaken.

        Raises:
            OSError: hands could not be shaken.
        """


class OwnPort:
    """A listening port. If another process has it (the one that this one replaces), it waits until the port is free.

    The port belongs to the process that opened it. A forked process closes its copy, so that the port is free when
    the parent ends. Within a process, a port passes from a monitor that serves nothing (`is_idle`) to a newer one, or
    to one that serves: a program that a server imports once more makes its monitor twice. The other one waits.

    Raises:
        OSError: the port cannot be opened, for another reason than that it is taken.
    """

    def __init__(
        self,
        shown: Shown,
        host: str,
        port: int,
        is_idle: Callable[[], bool],
        tls: Protection | None = None,
        *,
        is_shared: bool = False,
    ) -> None:
        self._shown = shown
        self._tls = tls
        self._is_idle = is_idle
        self._wanted = (host, port)
        self._lock = threading.Lock()
        self._is_over = threading.Event()
        self._http = self._bind()
        if self._http is None and self._take_over():
            self._http = self._bind()
        self.is_parents = False
        tell_after_fork(self)
        _ports.add(self)
        if self._http is None and not is_shared:  # else the process that has it answers for this one, too
            log.warning("rearguard_exporter: %s:%s is taken; nothing is exposed until it is free", *self._wanted)
        self._thread = threading.Thread(target=self._run, args=(self._http,), name="rearguard-listen", daemon=True)
        self._thread.start()

    @property
    def address(self) -> tuple[str, int] | None:
        """Host and port, also if port 0 was asked for; None while another process has the port."""
        http = self._http  # another thread may make it None
        return None if http is None else (self._wanted[0], http.server_port)

    def forget_parent(self) -> None:
        """The thread that serves belongs to the parent, and so does the port."""
        self.is_parents = True
        if self._http is not None:
            self._http.server_close()

    def close(self) -> None:
        """Stop serving and free the port, if it is this process's."""
        if self.is_parents:
            return
        with self._lock:
            self._is_over.set()
        self._let_port_go()
        self._thread.join()

    def _let_port_go(self) -> None:
        with self._lock:
            http, self._http = self._http, None
        if http is not None:
            http.is_over = True
            http.shutdown()  # returns once the thread has begun to serve, and ended it
            http.server_close()

    def _take_over(self) -> bool:
        for other in list(_ports):
            address = None if other is self or other.is_parents else other.address
            if address is not None and address[1] == self._wanted[1] and other._is_idle():  # noqa: SLF001 - of the same class
                other._let_port_go()  # noqa: SLF001
                log.info("rearguard_exporter: %s:%s passes to another monitor of this process", *self._wanted)
                return True
        return False

    def _bind(self) -> "_Http | None":
        held = HeldConnections()
        try:
            bound = type("_Bound", (_Handler,), {"shown": self._shown, "held": held, "tls": self._tls})
            http = _Http(self._wanted, bound, held, self._tls)
        except OSError as failure:
            if failure.errno != errno.EADDRINUSE:
                raise
            return None
        self._wanted = (self._wanted[0], http.server_port)  # also if any port would do: the same one again
        return http

    @quiet
    def _run(self, http: "_Http | None") -> None:
        while True:
            if http is not None:
                http.serve_forever(poll_interval=0.1)  # until the port is let go
            if self._is_over.wait(RETRY):
                return
            if not self._is_idle():
                self._take_over()
            with self._lock:
                http = None if self._is_over.is_set() else self._bind()
                self._http = http


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 2 * MOST_CONNECTIONS  # with the usual five, some of a small crowd would wait for a second

    def __init__(
        self,
        address: tuple[str, int],
        handler: type[BaseHTTPRequestHandler],
        held: HeldConnections,
        tls: Protection | None,
    ) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self._free = threading.BoundedSemaphore(MOST_CONNECTIONS)
        self.held = held
        self.is_over = False
        self._tls = tls
        super().__init__(address, handler)

    def server_bind(self) -> None:
        """As HTTPServer, but without asking a name server for this host's name, which may take long."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address[:2]  # type: ignore[assignment]  # never a Unix path

    def get_request(self) -> tuple[socket.socket, Any]:
        """The next connection, protected where the port is.

        Raises:
            OSError: it ended meanwhile.
        """
        connection, address = super().get_request()
        if self._tls is None:
            return connection, address
        try:
            return self._tls.wrap(connection), address
        except OSError:
            connection.close()
            raise

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve the connection in a thread, once there is room for it."""
        while not self._free.acquire(blocking=False):
            self.held.end_idlest(client_address[0])
            if self._free.acquire(timeout=ROOM_SECONDS):
                break
            if self.is_over:
                self.shutdown_request(request)
                return
        self.held.enter(request, client_address[0])
        try:
            super().process_request(request, client_address)
        except BaseException:  # no thread was to be had
            self._let_go(request)
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve the connection."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._let_go(request)

    def _let_go(self, request: Any) -> None:
        self.held.leave(request)
        self._free.release()

    def handle_error(self, request: object, client_address: object) -> None:  # noqa: ARG002 - the base class's shape
        """Log at debug level only: a scraper that hangs up is no fault."""
        log.debug("rearguard_exporter: connection of %s ended badly", client_address, exc_info=sys.exception())


class _Reader(io.RawIOBase):
    """Reads a connection until `deadline`, so that a peer that sends slowly gets no more time than a silent one."""

    def __init__(self, connection: socket.socket) -> None:
        self.deadline = 0.0
        self._connection = connection

    def readable(self) -> bool:
        """Always."""
        return True

    def readinto(self, buffer: Any) -> int:
        """The number of bytes read; 0 at the end.

        Raises:
            TimeoutError: the deadline has passed.
        """
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._connection.settimeout(left)
        return self._connection.recv_into(buffer)


class _Handler(BaseHTTPRequestHandler):
    """Answers the requests of one connection, until it ends."""

    protocol_version = "HTTP/1.1"
    shown: Shown
    held: HeldConnections
    tls: Protection | None

    def setup(self) -> None:
        """Read within the limits."""
        super().setup()
        self.connection.settimeout(REQUEST_SECONDS)
        self._is_admitted = self.tls is None or self.tls.admits(self.connection)
        self.rfile.close()
        self._reader = _Reader(self.connection)
        self.rfile = io.BufferedReader(self._reader)

    def handle_one_request(self) -> None:
        """Give the next request its time."""
        self._reader.deadline = time.monotonic() + REQUEST_SECONDS
        self.held.waits(self.connection)
        super().handle_one_request()

    def do_GET(self) -> None:
        """Answer a request."""
        self._reply(*self._made())

    def do_HEAD(self) -> None:
        """As `do_GET`, without the body."""
        self._reply(*self._made())

    def __getattr__(self, name: str) -> Any:
        """The base class looks for a function `do_METHOD`: all other methods are refused."""
        if name.startswith("do_"):
            return self.refuse
        raise AttributeError(name)

    def refuse(self) -> None:
        """Answer any other method."""
        self.close_connection = True  # a body may follow, which nobody reads
        if urlsplit(self.path).path in self._paths():
            refused = {**_TEXT, "Allow": "GET, HEAD", "Connection": "close"}
            self._reply(HTTPStatus.METHOD_NOT_ALLOWED, refused, b"GET, HEAD\n")
        else:
            self._reply(HTTPStatus.NOT_FOUND, {**_TEXT, "Connection": "close"}, self._unknown())

    def _made(self) -> tuple[HTTPStatus, dict[str, str], bytes]:
        self.held.renders(self.connection)
        self.connection.settimeout(REQUEST_SECONDS)
        try:
            status, headers, body = self._answer(urlsplit(self.path).path)
        except Exception:  # noqa: BLE001 - one failed scrape must not end the connection thread with a traceback
            report("listen")
            status, headers, body = HTTPStatus.INTERNAL_SERVER_ERROR, {}, b"not available\n"
        self.held.waits(self.connection)
        return status, headers, body

    def _reply(self, status: HTTPStatus, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _paths(self) -> tuple[str, ...]:
        return (METRICS,) if self.shown.dashboard is None else (METRICS, DASHBOARD)

    def _unknown(self) -> bytes:
        return f"{', '.join(self._paths())}\n".encode()

    def _answer(self, path: str) -> tuple[HTTPStatus, dict[str, str], bytes]:
        if not self._is_admitted:
            return HTTPStatus.FORBIDDEN, _TEXT, b"the certificate has no name that is let in\n"
        if path == METRICS:
            accept = ",".join(self.headers.get_all("Accept", ()))
            encoding = ",".join(self.headers.get_all("Accept-Encoding", ()))
            seconds = seconds_allowed(self.headers.get(SCRAPE_TIMEOUT, ""))
            made = self.shown.metrics.submit(accept, encoding, seconds).result()
            return HTTPStatus.OK, made.headers, made.body
        if path == DASHBOARD and self.shown.dashboard is not None:
            body = json.dumps(self.shown.dashboard.submit().result()).encode()
            return HTTPStatus.OK, {"Content-Type": "application/json"}, body
        return HTTPStatus.NOT_FOUND, _TEXT, self._unknown()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the base class's
        """Log nothing: there is a scrape every few seconds."""
