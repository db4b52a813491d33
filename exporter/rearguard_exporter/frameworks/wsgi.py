"""The WSGI adapter: one wrapper around any WSGI application, which also serves the endpoints.

The route is read when the application starts its response.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from time import perf_counter
from typing import Any

from rearguard_exporter.endpoints.endpoints import DASHBOARD, HEALTH, METRICS, READINESS
from rearguard_exporter.endpoints.several_processes import warn_if_shared
from rearguard_exporter.fault_barrier import quiet, report
from rearguard_exporter.fork_safety import tell_after_fork
from rearguard_exporter.frameworks.application_proxy import ApplicationProxy
from rearguard_exporter.frameworks.monitor_parts import MonitorParts
from rearguard_exporter.frameworks.wsgi_route import failure_of, follow_django, follow_flask, route_of
from rearguard_exporter.traffic.excluded_paths import ExcludedPaths
from rearguard_exporter.traffic.lanes import Lanes
from rearguard_exporter.traffic.request import SERVER_ERROR, MeasuredRequest, content_type_in

Environ = dict[str, Any]
App = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]
Answer = Callable[[Environ], tuple[int, Mapping[str, str], bytes]]

_MEASURED = "rearguard_exporter.measured"  # in an environ: it is measured by an outer wrapper
_CODES = {str(code): code for code in range(100, 1000)}


def instrument(app: App, parts: MonitorParts) -> "MeasuredApp":
    """The application, measured. One that is measured already is returned as it is."""
    if isinstance(app, MeasuredApp):
        if app.rearguard_parts is not parts:
            parts.warn_of_second_monitor()
        return app
    return MeasuredApp(app, parts)


@dataclass(slots=True)
class _Own:
    """What every request needs of its wrapper. It is apart because attributes of a proxy take longer to read."""

    excluded: ExcludedPaths | None
    endpoints: dict[str, Answer]
    lanes: Lanes
    entered: bool = False


class MeasuredApp(ApplicationProxy):
    """The application, measured. Its other attributes are the application's own."""

    OWN = frozenset({"app", "rearguard_parts", "_own"})

    def __init__(self, app: App, parts: MonitorParts) -> None:
        self.app = app
        self.rearguard_parts = parts
        endpoints: dict[str, Answer] = {HEALTH: self._healthz, READINESS: self._readyz}
        if not parts.has_own_port:
            endpoints |= {METRICS: self._metrics, DASHBOARD: self._dashboard}
        self._own = _Own(parts.excluded, endpoints, Lanes(parts.instruments))
        tell_after_fork(self)
        follow_django(app)
        follow_flask()

    def forget_parent(self) -> None:
        """In a forked process it has served nothing yet."""
        self._own.entered = False

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer one request."""
        if _MEASURED in environ:
            return self.app(environ, start_response)
        environ[_MEASURED] = True
        own = self._own
        if not own.entered:
            self._start()
        method = environ.get("REQUEST_METHOD", "")
        if environ.get("PATH_INFO") in own.endpoints and method in {"GET", "HEAD"}:
            answer = own.endpoints[environ["PATH_INFO"]]
            return _answered(answer(environ), method, start_response)
        if own.excluded is not None and environ.get("PATH_INFO", "") in own.excluded:
            return self.app(environ, start_response)
        lanes = own.lanes
        request = _Request(lanes.of.get(method) or lanes.open(method), environ, start_response)
        try:
            body = self.app(environ, request.start)
        except BaseException as failure:
            request.failed(failure)
            raise
        kind, wrapper = type(body), environ.get("wsgi.file_wrapper")
        if kind is list or kind is tuple or (wrapper is not None and _is_file(body, wrapper)):
            request.end()  # ready, or sent by the server itself, out of our sight
            return body
        request.body = body
        return request

    @quiet
    def _start(self) -> None:
        self._own.entered = True
        self.rearguard_parts.lifecycle.start_without_loop()

    def _metrics(self, environ: Environ) -> tuple[int, Mapping[str, str], bytes]:
        warn_if_shared(says_so=bool(environ.get("wsgi.multiprocess")))
        endpoint = self.rearguard_parts.endpoints.metrics
        made = endpoint.render(environ.get("HTTP_ACCEPT", ""), environ.get("HTTP_ACCEPT_ENCODING", ""))
        return 200, made.headers, made.body

    def _healthz(self, _: Environ) -> tuple[int, Mapping[str, str], bytes]:
        return 200, _JSON, json.dumps(self.rearguard_parts.endpoints.health.health()).encode()

    def _readyz(self, _: Environ) -> tuple[int, Mapping[str, str], bytes]:
        ready, body = self.rearguard_parts.endpoints.health.readiness()
        return 200 if ready else 503, _JSON, json.dumps(body).encode()

    def _dashboard(self, _: Environ) -> tuple[int, Mapping[str, str], bytes]:
        return 200, _JSON, json.dumps(self.rearguard_parts.endpoints.dashboard.document()).encode()


_JSON = {"Content-Type": "application/json"}


def _answered(
    answer: tuple[int, Mapping[str, str], bytes], method: str, start_response: Callable[..., Any]
) -> Iterable[bytes]:
    status, headers, body = answer
    lines = [*headers.items(), ("Content-Length", str(len(body)))]
    start_response(f"{status} {HTTPStatus(status).phrase}", lines)
    return [] if method == "HEAD" else [body]


class _Request(MeasuredRequest):
    """One request: what the application calls as `start_response`, and then the body, watched to its last byte."""

    __slots__ = ("_headers", "_write", "body")
    body: Iterable[bytes]
    _headers: Any  # absent until the application starts its response

    @property
    def reported_error(self) -> str:  # type: ignore[override]  # frameworks may report it until the request ends
        """The class of the exception that Flask or Django answered."""
        return failure_of(self.subject)

    def content_type(self) -> str:
        """As the headers say."""
        return content_type_in(getattr(self, "_headers", ()))

    def start(self, status: str, headers: Any, exc_info: Any = None) -> Any:
        """What the application calls as `start_response`."""
        try:
            if self.since is None:  # else the head was sent, and stays what it was
                self.status = _CODES.get(status[:3], 0)
                self._headers = headers
            self.route = route_of(self.subject)  # now: Flask takes its request away when its handler returns
            extras = self.lane.extras
            if extras is not None and self.is_open:
                self.trace = extras.trace()  # now: the framework's span ends with its handler
        except Exception:  # noqa: BLE001 - the wall between the exporter and the application
            report("WSGI response")
        if exc_info is None:
            self._write = self.forward(status, headers)
        else:
            self._write = self.forward(status, headers, exc_info)
        return self

    def __call__(self, piece: bytes) -> None:
        """The server's `write`, which `start` returns to the application."""
        if self.since is None:
            self.since = perf_counter()
        else:
            self.is_stream = True
        try:
            self._write(piece)
        except OSError:
            self.client_left = True
            raise

    def __iter__(self) -> Iterator[bytes]:
        try:
            for piece in self.body:
                if self.since is None:
                    self.since = perf_counter()
                else:
                    self.is_stream = True
                yield piece
        except GeneratorExit:
            self._leave()
            raise
        except BaseException as failure:
            self.failed(failure)
            raise
        self.change_thread()  # servers may ask for a body in another thread than they called the application in
        self.end()

    def close(self) -> None:
        """Servers call this at the end, also if the caller left."""
        if self.is_open:
            self._leave()  # first: what the application does when its body is closed is no part of the answer
        close = getattr(self.body, "close", None)
        self.body = ()  # it may hold our `start`, and so this object
        if close is not None:
            close()

    def _leave(self) -> None:
        # A server that knows the length need not ask again after the last piece. For HEAD it need not ask at all.
        is_whole = hasattr(self.body, "__len__") or self.subject.get("REQUEST_METHOD") == "HEAD"
        if self.since is not None and not is_whole:
            self.client_left = True
        self.change_thread()
        self.end()

    def failed(self, failure: BaseException) -> None:
        """The application raised."""
        self.change_thread()
        if self.since is None:
            self.status = SERVER_ERROR  # servers send the head with the first piece, so it was not sent
        self.end(failure)


def _is_file(body: object, wrapper: object) -> bool:
    """Whether the server made this body with its `wsgi.file_wrapper`, and so sends it in its own way."""
    # uWSGI's is a function, which notes the file and returns it.
    return isinstance(body, wrapper) if isinstance(wrapper, type) else hasattr(body, "read")
