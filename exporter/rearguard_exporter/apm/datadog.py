"""Datadog: its tracer, given our tags once in a process, and what it is told of applications.

Its integrations see Flask and Django by WSGI, and `trace_app` sees aiohttp. Around any other application stands its
middleware, unless the application is traced already. A WebSocket is one span, because its middleware makes a trace
of each message, and forgets what the handler raises.
"""

import os
import sys
import time
from collections.abc import Mapping
from importlib import import_module
from types import MemberDescriptorType
from typing import Any, Final

import ddtrace
from ddtrace.propagation.http import HTTPPropagator
from ddtrace.trace import TraceFilter, tracer

from rearguard_exporter.apm.tags import Tags
from rearguard_exporter.apm.tracer import Operation
from rearguard_exporter.fault_barrier import log, quiet, report

UNTRACED: Final = "rearguard.untraced"
"""The tag of a trace that is dropped before it is sent."""

_COMPONENT: Final = "rearguard"
_DEPTH: Final = 8  # wrappers that are looked through for what traces already
_MOST_TEXT: Final = 5000  # characters of a statement

_DRIVERS: Final = {
    "sqlite": ("sqlite3",),
    "postgresql": ("psycopg", "psycopg2", "asyncpg"),
    "mysql": ("pymysql", "MySQLdb", "mysql.connector", "aiomysql"),
    "mariadb": ("mariadb", "pymysql", "MySQLdb"),
}
"""By `db.system.name`, the drivers below SQLAlchemy: Datadog's own set-up traces these, not SQLAlchemy."""

_profilers: list[Any] = []  # the one that was started here


class _Dropping(TraceFilter):
    """Drops the traces of the exporter's own endpoints."""

    def process_trace(self, trace: list[Any]) -> list[Any] | None:
        """The trace, or None to drop it."""
        return None if any(span.get_tag(UNTRACED) for span in trace) else trace


def set_up(tags: Tags, *, is_profiling: bool = False) -> bool:
    """Give the tracer our tags, and make it see Flask and Django. False if it is of no use.

    The tracer is one for the process, whoever uses it first, and an integration that is on already stays as it is.
    """
    try:
        config = ddtrace.config
        if tags.service:
            config.service = tags.service
        if tags.environment:
            config.env = tags.environment
        if tags.version:
            config.version = tags.version
        _drop_untraced()
        ddtrace.patch(raise_errors=False, django=True, flask=True)
    except Exception:  # noqa: BLE001 - the environment is at fault, or another version of the SDK
        report("setting up Datadog's tracer")
        return False
    if is_profiling and os.environ.get("DD_PROFILING_ENABLED", "").lower() not in {"0", "false"}:
        _profile(tags)
    return True


def _drop_untraced() -> None:
    """Add our filter to those that the application has."""
    known = list(getattr(getattr(tracer, "_span_aggregator", None), "user_processors", ()))
    if not any(isinstance(one, _Dropping) for one in known):
        tracer.configure(trace_processors=[*known, _Dropping()])


def _profile(tags: Tags) -> None:
    if _profilers:
        return
    try:
        profiler: Any = import_module("ddtrace.profiling").Profiler  # it is heavy, and not everywhere there
        is_running = getattr(profiler, "_active_instance", None) is not None  # the application started one
        # One that is made gives its tags to whichever runs; a second one that starts is an error in the log.
        _profilers.append(profiler(service=tags.service, env=tags.environment, version=tags.version))
        if not is_running:
            _profilers[0].start()
    except Exception as failure:  # noqa: BLE001 - as above
        log.warning("rearguard_exporter: Datadog's profiler does not start (%s)", type(failure).__name__)


def _follow_failures() -> None:
    """Learn from Flask and Django what a handler raised: Datadog counts errors by what the first span says."""
    flask, django = sys.modules.get("flask"), sys.modules.get("django.core.signals")
    if flask is not None:
        flask.got_request_exception.connect(_flask_failed)  # connected twice, it is called once
    if django is not None:
        django.got_request_exception.connect(_django_failed, dispatch_uid=_COMPONENT)


def _flask_failed(_: Any, exception: BaseException | None = None, **__: Any) -> None:
    _note_failure(exception)


def _django_failed(**_: Any) -> None:
    _note_failure(sys.exception())


@quiet
def _note_failure(failure: BaseException | None) -> None:
    span = tracer.current_root_span()
    if span is not None and failure is not None and span.get_tag("error.type") is None:
        span.set_exc_info(type(failure), failure, failure.__traceback__)


class DatadogTracer:
    """What Datadog is told of applications and databases."""

    def around_asgi(self, app: Any) -> Any:
        """The application inside Datadog's middleware, where nothing of Datadog sees it."""
        _follow_failures()
        return _AsgiTraced(app)

    def around_wsgi(self, app: Any) -> Any:
        """The application; inside Datadog's middleware if it is neither Flask nor Django."""
        _follow_failures()
        if any(_is_seen_by_wsgi(inner) for inner in _layers(app)):
            return app
        from ddtrace.contrib.wsgi import DDWSGIMiddleware  # noqa: PLC0415 - after the tags are set: it reads them

        return DDWSGIMiddleware(app)

    def around_aiohttp(self, app: Any) -> None:
        """Make Datadog's own middleware see it; a second call, also the application's, changes nothing."""
        trace_app: Any = import_module("ddtrace.contrib.aiohttp").trace_app
        ddtrace.patch(raise_errors=False, aiohttp=True)  # the client, too; without it `trace_app` lacks its settings
        trace_app(app)

    def name_request(self, scope: Any, method: str, route: str) -> None:
        """Name the span of the request after its route."""
        from ddtrace.contrib.asgi import span_from_scope  # noqa: PLC0415 - as above

        if not scope.get("datadog", {}).get("request_spans"):
            return  # another middleware of Datadog's traces it, and names it
        span = span_from_scope(scope)
        if span is not None:
            span.resource = f"{method} {route}"
            span.set_tag("http.route", route)

    def open_socket(self, headers: Mapping[str, str], route: str) -> Any:
        """A span that lasts until the socket ends; none where Datadog's middleware traces its messages."""
        parent = tracer.current_span()
        if parent is None:
            extract: Any = HTTPPropagator.extract
            tracer.context_provider.activate(extract(dict(headers)))
        span = tracer.start_span(
            "websocket.connection",
            child_of=tracer.context_provider.active(),
            resource=f"websocket {route}",
            span_type="web",
            activate=True,
        )
        span.set_tag("component", _COMPONENT)
        span.set_tag("span.kind", "server")
        if route:
            span.set_tag("http.route", route)
        return span

    def close_socket(self, opened: Any, reason: str, failure: BaseException | None) -> None:
        """End the span, with the reason, and with the error if a failing handler is the reason."""
        opened.set_tag("websocket.close_reason", reason)
        if failure is not None and reason == "error":
            opened.set_exc_info(type(failure), failure, failure.__traceback__)
        elif reason == "error":
            opened.error = 1
        opened.finish()

    def add_operation(self, operation: Operation) -> None:
        """A span, unless Datadog's own integration makes one."""
        if any(getattr(sys.modules.get(name), "_datadog_patch", False) for name in _drivers_of(operation)):
            return
        ended = time.time_ns()
        span = tracer.start_span(
            f"{operation.system}.query",
            child_of=tracer.context_provider.active(),
            resource=operation.statement[:_MOST_TEXT],
            span_type="sql",
        )
        span.start_ns = ended - int(operation.seconds * 1e9)
        for name, value in (
            ("component", _COMPONENT),
            ("span.kind", "client"),
            ("db.system", operation.system),
            ("db.name", operation.namespace),
        ):
            span.set_tag(name, value)
        if operation.failure is not None:
            failure = operation.failure
            span.set_exc_info(type(failure), failure, failure.__traceback__)
        span.finish(ended / 1e9)


class _AsgiTraced:
    """An ASGI application; its requests are traced here if nothing of Datadog does so inside it."""

    def __init__(self, app: Any) -> None:
        self.app = app
        self._kind: Any = import_module("ddtrace.contrib.asgi").TraceMiddleware  # after the tags: it reads them
        self._traced = self._kind(app)
        self._is_seen: bool | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one request or socket."""
        if scope["type"] != "http" or "datadog" in scope or self._has_own():
            await self.app(scope, receive, send)
        else:
            await self._traced(scope, receive, send)

    def _has_own(self) -> bool:
        """Whether the application is traced inside. Asked at its first request: frameworks are patched by then."""
        if self._is_seen is None:
            self._is_seen = any(self._traces(inner) for inner in _layers(self.app))
        return self._is_seen

    def _traces(self, app: Any) -> bool:
        if isinstance(app, self._kind):
            return True
        added = getattr(app, "user_middleware", ())
        if any(getattr(one, "cls", None) is self._kind for one in added):
            return True
        module = sys.modules.get("fastapi")
        return module is not None and getattr(module, "_datadog_patch", False) and isinstance(app, module.FastAPI)


def _drivers_of(operation: Operation) -> tuple[str, ...]:
    """The modules of which Datadog may trace this operation."""
    if operation.library != "sqlalchemy":
        return (operation.library,)
    return _DRIVERS.get(operation.system, ())


def _is_seen_by_wsgi(app: Any) -> bool:
    flask, django = sys.modules.get("flask"), sys.modules.get("django.core.handlers.base")
    kinds = tuple(
        kind for kind in (getattr(flask, "Flask", None), getattr(django, "BaseHandler", None)) if kind is not None
    )
    return isinstance(app, kinds) if kinds else False


def _layers(app: Any) -> Any:
    """The application, and what it wraps: Flask's bound `wsgi_app`, and objects with an application in them."""
    for _ in range(_DEPTH):
        if app is None:
            return
        yield app
        owner = getattr(app, "__self__", None)
        if owner is not None:
            yield owner
        app = next((inner for name in ("app", "application", "wsgi_app") if callable(inner := _own(app, name))), None)


def _own(app: Any, name: str) -> Any:
    """The attribute that the object itself has; None without one. Proxies are not asked: they invent attributes."""
    if isinstance(getattr(type(app), name, None), MemberDescriptorType):  # in `__slots__`
        return getattr(app, name, None)
    return getattr(app, "__dict__", {}).get(name)
