"""The WSGI adapter: one wrapper around any WSGI application, which also serves the endpoints.

The route is read when the application starts its response: Flask's from the request that Werkzeug leaves in the
environ, Django's from the request that its handler makes. The exceptions of which they make answers are learned from
their signals. Other applications leave no route: their requests are unmatched.
Never here: what counts as an error (http), text (render).
"""

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from threading import get_ident
from time import perf_counter
from typing import Any

from rearguard_exporter.endpoints.faces import Faces
from rearguard_exporter.excluded_paths import Excluded
from rearguard_exporter.families import UNMATCHED
from rearguard_exporter.fault_barrier import quiet, report
from rearguard_exporter.fork_safety import tell_after_fork
from rearguard_exporter.frameworks.application_proxy import StandIn
from rearguard_exporter.traffic.request import CLIENT_GONE, ENDLESS_TYPES, Lane, Lanes
from rearguard_exporter.values.exemplars import Trace
from rearguard_exporter.values.instruments import Instruments

Environ = dict[str, Any]
App = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]
Answer = Callable[[Environ], tuple[int, Mapping[str, str], bytes]]

_FAILURE = "rearguard_exporter.failure"  # in an environ: the class of what the framework made a 500 of
_MEASURED = "rearguard_exporter.measured"  # in an environ: it is measured by an outer wrapper
_ROUTE = "rearguard_exporter.route"  # in an environ: the route that Django resolved
_CODES = {str(code): code for code in range(100, 1000)}
_ENDLESS = tuple(ENDLESS_TYPES)
_PAUSE = 0.1  # seconds
_FAILED = 500


@dataclass(slots=True)
class _Own:
    """What every request asks its wrapper for; apart, because a stand-in's attributes take longer to read."""

    excluded: Excluded | None
    endpoints: dict[str, Answer]
    lanes: Lanes
    entered: bool = False


class Measured(StandIn):
    """The application, measured. What it is asked for besides is the application's own."""

    OWN = frozenset({"app", "rearguard_faces", "_own"})

    def __init__(self, app: App, instruments: Instruments, faces: Faces, *, own_port: bool) -> None:
        self.app = app
        self.rearguard_faces = faces
        endpoints: dict[str, Answer] = {"/healthz": self._healthz, "/readyz": self._readyz}
        if not own_port:
            endpoints |= {"/metrics": self._metrics, "/api/monitoring/dashboard": self._dashboard}
        self._own = _Own(instruments.excluded, endpoints, Lanes(instruments))
        tell_after_fork(self)
        _follow_django(app)
        _follow_flask()

    def forget_parent(self) -> None:
        """It has served nothing in this process."""
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
        request = _Request(environ, start_response, lanes.of.get(method) or lanes.open(method))
        try:
            body = self.app(environ, request.start)
        except BaseException as failure:
            request.end(failure)
            raise
        kind, wrapper = type(body), environ.get("wsgi.file_wrapper")
        if kind is list or kind is tuple or (wrapper is not None and _is_file(body, wrapper)):
            request.end(None)  # ready, or sent by the server itself, out of our sight
            return body
        request.body = body
        return request

    @quiet
    def _start(self) -> None:
        self._own.entered = True
        self.rearguard_faces.start_without_loop()

    def _metrics(self, environ: Environ) -> tuple[int, Mapping[str, str], bytes]:
        made = self.rearguard_faces.render(environ.get("HTTP_ACCEPT", ""), environ.get("HTTP_ACCEPT_ENCODING", ""))
        return 200, made.headers, made.body

    def _healthz(self, _: Environ) -> tuple[int, Mapping[str, str], bytes]:
        return 200, _JSON, json.dumps(self.rearguard_faces.health()).encode()

    def _readyz(self, _: Environ) -> tuple[int, Mapping[str, str], bytes]:
        ready, body = self.rearguard_faces.readiness()
        return 200 if ready else 503, _JSON, json.dumps(body).encode()

    def _dashboard(self, _: Environ) -> tuple[int, Mapping[str, str], bytes]:
        return 200, _JSON, json.dumps(self.rearguard_faces.dashboard()).encode()


_JSON = {"Content-Type": "application/json"}


def _answered(
    answer: tuple[int, Mapping[str, str], bytes], method: str, start_response: Callable[..., Any]
) -> Iterable[bytes]:
    status, headers, body = answer
    lines = [*headers.items(), ("Content-Length", str(len(body)))]
    start_response(f"{status} {HTTPStatus(status).phrase}", lines)
    return [] if method == "HEAD" else [body]


class _Request:
    """One request: what the application calls as `start_response`, and then the body, watched to its last byte."""

    # What most requests never set stays on the class: an object is made for every request.
    _status = 0
    _route = UNMATCHED
    _headers: Any = None
    _since: float | None = None  # when the first piece of the body was there
    _is_stream = False
    _is_gone = False  # the server could not write to the caller
    _trace: Trace | None = None
    body: Iterable[bytes] = ()

    def __init__(self, environ: Environ, start_response: Callable[..., Any], lane: Lane) -> None:
        self._environ = environ
        self._start_response = start_response
        self._lane: Lane | None = lane  # None when the request is over
        lane.active[0] += 1.0
        self._began = perf_counter()

    def start(self, status: str, headers: Any, exc_info: Any = None) -> Any:
        """What the application calls as `start_response`."""
        try:
            if self._since is None:  # else the head was sent, and stays what it was
                self._status = _CODES.get(status[:3], 0)
                self._headers = headers
            self._route = route_of(self._environ)  # now: Flask takes its request away when its handler returns
            lane = self._lane
            if lane is not None and lane.additions is not None:
                self._trace = lane.additions.trace()  # now: the framework's span ends with its handler
        except Exception:  # noqa: BLE001 - the wall between the exporter and the application
            report("WSGI response")
        if exc_info is None:
            self._write = self._start_response(status, headers)
        else:
            self._write = self._start_response(status, headers, exc_info)
        return self

    def __call__(self, piece: bytes) -> None:
        """What `start` gives the application: as the server's `write`."""
        if self._since is None:
            self._since = perf_counter()
        else:
            self._is_stream = True
        try:
            self._write(piece)
        except OSError:
            self._is_gone = True
            raise

    def __iter__(self) -> Iterator[bytes]:
        try:
            for piece in self.body:
                if self._since is None:
                    self._since = perf_counter()
                else:
                    self._is_stream = True
                yield piece
        except GeneratorExit:
            self._leave()
            raise
        except BaseException as failure:
            self.end(failure)
            raise
        self.end(None)

    def close(self) -> None:
        """As servers call it, also when the caller left."""
        if self._lane is not None:
            self._leave()  # first: what the application does when it is closed is not the answer
        close = getattr(self.body, "close", None)
        self.body = ()  # which may hold our `start`
        if close is not None:
            close()

    def _leave(self) -> None:
        # Servers need not ask again after the last piece of a body whose length they were told, nor take one of HEAD.
        is_whole = hasattr(self.body, "__len__") or self._environ.get("REQUEST_METHOD") == "HEAD"
        self.end(None, is_gone=self._since is not None and not is_whole)

    def end(self, failure: BaseException | None, *, is_gone: bool = False) -> None:
        """The answer is complete, or ended with this exception; with `is_gone` nobody took all of it."""
        lane, self._lane = self._lane, None
        if lane is None:
            return
        try:
            status, since, error_type, at = self._status or _FAILED, self._since, "", perf_counter()
            if is_gone or self._is_gone:
                status = CLIENT_GONE
                self._is_stream = True
            elif failure is not None:
                error_type = type(failure).__name__
                status = status if since is not None else _FAILED
                self._is_stream = True
            elif status >= _FAILED:
                error_type = self._environ.get(_FAILURE, "")
            # A body whose one piece was all, at once, is no stream.
            is_stream = since is not None and (self._is_stream or at - since > _PAUSE)
            endless = is_stream and _is_endless(self._headers)
            if lane.thread != get_ident():  # a server may change threads
                lane = lane.here()
            lane.end(self._route, status, error_type, self._began, at, since, endless, self._environ, self._trace)
        except Exception:  # noqa: BLE001 - as above
            report("WSGI request")


def _is_file(body: object, wrapper: object) -> bool:
    """Whether the server would know this body as what it made itself, and send it in its own way."""
    # A function gives the file back: uWSGI's, which notes it.
    return isinstance(body, wrapper) if isinstance(wrapper, type) else hasattr(body, "read")


def route_of(environ: Mapping[str, Any]) -> str:
    """The template that Flask or Django matched; never the raw path."""
    request = environ.get("werkzeug.request")
    if request is not None:
        rule = getattr(request, "url_rule", None)
        route: str = UNMATCHED if rule is None else rule.rule
    else:
        route = environ.get(_ROUTE, UNMATCHED)
    return route


def _is_endless(headers: Any) -> bool:
    try:
        for name, value in headers:
            if name.lower() == "content-type":
                return str(value).lower().startswith(_ENDLESS)
    except Exception:  # noqa: BLE001 - headers of any shape
        report("WSGI headers")
    return False


@quiet
def _follow_django(app: Any) -> None:
    module = sys.modules.get("django.core.handlers.wsgi")  # imported by whoever has such an application
    if module is None or not isinstance(app, module.WSGIHandler):
        return
    resolve = app.resolve_request

    def resolved(request: Any) -> Any:
        match = resolve(request)
        _note_route(request, match)
        return match

    # Not the request itself: environ and request would hold each other until the garbage collector comes.
    app.resolve_request = resolved
    signals = sys.modules["django.core.signals"]
    signals.got_request_exception.connect(_django_failed, dispatch_uid=_FAILURE)


@quiet
def _note_route(request: Any, match: Any) -> None:
    request.environ[_ROUTE] = f"/{match.route.removeprefix('/')}"


def _django_failed(request: Any = None, **_: Any) -> None:
    failure, environ = sys.exception(), getattr(request, "environ", None)  # a request by ASGI has none
    if isinstance(environ, dict) and failure is not None:
        environ[_FAILURE] = type(failure).__name__


@quiet
def _follow_flask() -> None:
    module = sys.modules.get("flask")
    if module is None:
        return
    module.got_request_exception.connect(_flask_failed)  # the same one twice is one


def _flask_failed(_: Any, exception: BaseException | None = None, **__: Any) -> None:
    module = sys.modules["flask"]
    if exception is not None and module.has_request_context():  # jobs may report theirs without a request
        module.request.environ[_FAILURE] = type(exception).__name__
