"""The WSGI adapter: one wrapper around any WSGI application, which also serves the endpoints.

The route is read when the application starts its response: Flask's from the request that Werkzeug leaves in the
environ, Django's from the request that its handler makes. The exceptions of which they make answers are learned from
their signals. Other applications leave no route: their requests are unmatched.
Never here: what counts as an error (http), text (render).
"""

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from http import HTTPStatus
from typing import Any

from rearguard_exporter.exemplars import Exemplars
from rearguard_exporter.faces import Faces
from rearguard_exporter.http import CLIENT_GONE, ENDLESS_TYPES, Exchange
from rearguard_exporter.instruments import Instruments
from rearguard_exporter.metrics import UNMATCHED
from rearguard_exporter.quiet import quiet, report

Environ = dict[str, Any]
App = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]

_DJANGO = "rearguard_exporter.django"  # in an environ: the request that Django made of it
_FAILURE = "rearguard_exporter.failure"  # in an environ: the class of what the framework made a 500 of
_MEASURED = "rearguard_exporter"  # in an environ: it is measured by an outer wrapper
_FAILED = 500


class Measured:
    """The application, measured. What it is asked for besides is the application's own."""

    def __init__(self, app: App, instruments: Instruments, faces: Faces, *, own_port: bool) -> None:
        self.app = app
        self._instruments = instruments
        self._faces = faces
        self._entered = False
        self._endpoints: dict[str, Callable[[Environ], tuple[int, Mapping[str, str], bytes]]] = {
            "/healthz": self._healthz,
            "/readyz": self._readyz,
        }
        if not own_port:
            self._endpoints |= {"/metrics": self._metrics, "/api/monitoring/dashboard": self._dashboard}
        _follow_django(app)
        _follow_flask()

    def __getattr__(self, name: str) -> Any:
        """As the application has it."""
        if name == "app":  # while being unpickled or copied
            raise AttributeError(name)
        return getattr(self.app, name)

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer one request."""
        if _MEASURED in environ:
            return self.app(environ, start_response)
        environ[_MEASURED] = True
        if not self._entered:
            self._start()
        method = environ.get("REQUEST_METHOD", "")
        answer = self._endpoints.get(environ.get("PATH_INFO", ""))
        if answer is not None and method in {"GET", "HEAD"}:
            return _answered(answer(environ), method, start_response)
        excluded = self._instruments.excluded
        if excluded is not None and environ.get("PATH_INFO", "") in excluded:
            return self.app(environ, start_response)
        request = _Request(Exchange(self._instruments, method), self._instruments.exemplars, environ, start_response)
        try:
            body = self.app(environ, request.start)
        except BaseException as failure:
            request.end(failure)
            raise
        wrapper = environ.get("wsgi.file_wrapper")
        if isinstance(body, list | tuple) or (isinstance(wrapper, type) and isinstance(body, wrapper)):
            request.end(None)  # ready, or sent by the server itself, out of our sight
            return body
        return _Body(body, request)

    @quiet
    def _start(self) -> None:
        self._entered = True
        self._faces.start()

    def _metrics(self, environ: Environ) -> tuple[int, Mapping[str, str], bytes]:
        made = self._faces.render(environ.get("HTTP_ACCEPT", ""), environ.get("HTTP_ACCEPT_ENCODING", ""))
        return 200, made.headers, made.body

    def _healthz(self, _: Environ) -> tuple[int, Mapping[str, str], bytes]:
        return 200, _JSON, json.dumps(self._faces.health()).encode()

    def _readyz(self, _: Environ) -> tuple[int, Mapping[str, str], bytes]:
        ready, body = self._faces.readiness()
        return 200 if ready else 503, _JSON, json.dumps(body).encode()

    def _dashboard(self, _: Environ) -> tuple[int, Mapping[str, str], bytes]:
        return 200, _JSON, json.dumps(self._faces.dashboard()).encode()


_JSON = {"Content-Type": "application/json"}


def _answered(
    answer: tuple[int, Mapping[str, str], bytes], method: str, start_response: Callable[..., Any]
) -> Iterable[bytes]:
    status, headers, body = answer
    lines = [*headers.items(), ("Content-Length", str(len(body)))]
    start_response(f"{status} {HTTPStatus(status).phrase}", lines)
    return [] if method == "HEAD" else [body]


class _Request:
    """One request between its call and the end of its body."""

    __slots__ = ("_environ", "_exchange", "_exemplars", "_headers", "_route", "_start_response", "_status")

    def __init__(
        self, exchange: Exchange, exemplars: Exemplars, environ: Environ, start_response: Callable[..., Any]
    ) -> None:
        self._exchange = exchange
        self._exemplars = exemplars
        self._environ = environ
        self._start_response = start_response
        self._status = 0
        self._route = UNMATCHED
        self._headers: Any = ()

    def start(self, status: str, headers: Any, *rest: Any) -> Any:
        """What the application calls as `start_response`."""
        try:
            code = status[:3]
            self._status = int(code) if code.isascii() and code.isdigit() else 0
            self._headers = headers
            self._route = route_of(self._environ)  # now: Flask takes its request away when its handler returns
            self._exchange.trace = self._exemplars.trace()  # now: the framework's span ends with its handler
        except Exception:  # noqa: BLE001 - the wall between the exporter and the application
            report("WSGI response")
        return self._start_response(status, headers, *rest)

    def streaming(self) -> None:
        """More than one piece comes."""
        self._exchange.streaming()

    @quiet
    def end(self, failure: BaseException | None, *, is_gone: bool = False, streamed: bool = False) -> None:
        """The answer is complete, or ended with this exception; with `is_gone` nobody took all of it."""
        status = self._status or _FAILED
        error_type = ""
        if is_gone:
            status = CLIENT_GONE
        elif failure is not None:
            error_type = type(failure).__name__
            status = status if streamed else _FAILED
        elif status >= _FAILED:
            error_type = self._environ.get(_FAILURE, "")
        self._exchange.end(
            self._route, status, error_type, endless=streamed and _is_endless(self._headers), request=self._environ
        )


class _Body:
    """The body of an answer, watched to its last byte."""

    __slots__ = ("_body", "_iterator", "_pieces", "_request")

    def __init__(self, body: Iterable[bytes], request: _Request) -> None:
        self._body = body
        self._request: _Request | None = request
        self._iterator: Iterator[bytes] | None = None
        self._pieces = 0

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        try:
            if self._iterator is None:
                self._iterator = iter(self._body)
            piece = next(self._iterator)
        except StopIteration:
            self._end(None)
            raise
        except BaseException as failure:
            self._end(failure)
            raise
        self._pieces += 1
        if self._pieces == 1 and self._request is not None:
            self._request.streaming()
        return piece

    def close(self) -> None:
        """As servers call it, also when the caller left."""
        try:
            close = getattr(self._body, "close", None)
            if close is not None:
                close()
        finally:
            if self._request is not None:
                # Servers need not ask again after the last piece of a body whose length they were told.
                length = getattr(self._body, "__len__", None)
                self._end(None, is_gone=self._iterator is not None and length is None)

    def _end(self, failure: BaseException | None, *, is_gone: bool = False) -> None:
        request, self._request = self._request, None
        if request is not None:
            request.end(failure, is_gone=is_gone, streamed=self._pieces > 0)


def route_of(environ: Mapping[str, Any]) -> str:
    """The template that Flask or Django matched; never the raw path."""
    request = environ.get("werkzeug.request")
    if request is not None:
        rule = getattr(request, "url_rule", None)
        return UNMATCHED if rule is None else str(rule.rule)
    request = environ.get(_DJANGO)
    match = getattr(request, "resolver_match", None)
    if match is None:
        return UNMATCHED
    return f"/{match.route.removeprefix('/')}"


def _is_endless(headers: Any) -> bool:
    try:
        for name, value in headers:
            if name.lower() == "content-type":
                return value.partition(";")[0].strip().lower() in ENDLESS_TYPES
    except Exception:  # noqa: BLE001 - headers of any shape
        report("WSGI headers")
    return False


@quiet
def _follow_django(app: Any) -> None:
    module = sys.modules.get("django.core.handlers.wsgi")  # imported by whoever has such an application
    if module is None or not isinstance(app, module.WSGIHandler):
        return
    made_by = app.request_class

    def kept(environ: Environ) -> Any:
        request = environ[_DJANGO] = made_by(environ)
        return request

    app.request_class = kept
    signals = sys.modules["django.core.signals"]
    signals.got_request_exception.connect(_django_failed, dispatch_uid=_FAILURE)


def _django_failed(request: Any = None, **_: Any) -> None:
    failure = sys.exception()
    if request is not None and failure is not None:
        request.environ[_FAILURE] = type(failure).__name__


@quiet
def _follow_flask() -> None:
    module = sys.modules.get("flask")
    if module is None:
        return
    module.got_request_exception.connect(_flask_failed)  # the same one twice is one


def _flask_failed(_: Any, exception: BaseException | None = None, **__: Any) -> None:
    module = sys.modules["flask"]
    if exception is not None:
        module.request.environ[_FAILURE] = type(exception).__name__
