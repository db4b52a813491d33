"""The WSGI adapter: one wrapper around any WSGI application, which also serves the endpoints."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from rearguard_exporter.endpoints.endpoints import (
    DASHBOARD,
    HEALTH,
    METHODS,
    METRICS,
    READINESS,
    READING,
    SCRIPT,
    VITALS,
)
from rearguard_exporter.endpoints.several_processes import warn_if_shared
from rearguard_exporter.endpoints.untraced import leave_untraced
from rearguard_exporter.exposition.accept import SCRAPE_TIMEOUT, seconds_allowed
from rearguard_exporter.fault_barrier import quiet
from rearguard_exporter.fork_safety import tell_after_fork
from rearguard_exporter.frameworks.application_proxy import ApplicationProxy
from rearguard_exporter.frameworks.monitor_parts import MonitorParts
from rearguard_exporter.frameworks.wsgi_beacons import beacon_answer, script_answer
from rearguard_exporter.frameworks.wsgi_request import WsgiRequest
from rearguard_exporter.frameworks.wsgi_route import NOTES, follow_frameworks
from rearguard_exporter.frameworks.wsgi_upload import watch
from rearguard_exporter.traffic.excluded_paths import ExcludedPaths
from rearguard_exporter.traffic.lanes import Lanes

Environ = dict[str, Any]
App = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]
Answer = Callable[[Environ], tuple[int, Mapping[str, str], bytes]]

_SCRAPE_TIMEOUT = f"HTTP_{SCRAPE_TIMEOUT.upper().replace('-', '_')}"


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

    app: App  # inside the vendors' middlewares, where there are any
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
        if parts.endpoints.beacons is not None:
            endpoints |= {
                SCRIPT: script_answer(parts.endpoints.beacons),
                VITALS: beacon_answer(parts.endpoints.beacons),
            }
        traced = parts.tracers.around_wsgi(app) if parts.tracers else app
        self._own = _Own(traced, parts.excluded, endpoints, Lanes(parts.instruments))
        tell_after_fork(self)
        follow_frameworks(app)

    def forget_parent(self) -> None:
        """In a forked process it has served nothing yet."""
        self._own.entered = False

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer one request."""
        if NOTES in environ:  # it is measured by an outer wrapper
            return self.app(environ, start_response)
        environ[NOTES] = {}
        own = self._own
        if not own.entered:
            self._start()
        method = environ.get("REQUEST_METHOD", "")
        if environ.get("PATH_INFO") in own.endpoints and method in METHODS.get(environ["PATH_INFO"], READING):
            answer = own.endpoints[environ["PATH_INFO"]]
            leave_untraced()
            return _answered(answer(environ), method, start_response)
        if own.excluded is not None and environ.get("PATH_INFO", "") in own.excluded:
            return own.app(environ, start_response)
        kind = method, environ.get("wsgi.url_scheme", "http")
        request = WsgiRequest(own.lanes.of.get(kind) or own.lanes.open(*kind), environ, start_response)
        if method != "GET" and (environ.get("CONTENT_LENGTH") or "HTTP_TRANSFER_ENCODING" in environ):
            watch(environ, request)
        try:
            body = own.app(environ, request.start)
        except BaseException as failure:
            request.failed(failure)
            raise
        made = type(body)
        if made is list or made is tuple:
            return request.ready(body)
        wrapper = environ.get("wsgi.file_wrapper")
        if wrapper is not None and _is_file(body, wrapper):
            if isinstance(wrapper, type):
                request.follow_file(body)
            else:
                request.end()  # sent by the server itself, out of our sight
            return body
        request.body = body
        return request

    @quiet
    def _start(self) -> None:
        self._own.entered = True
        self.rearguard_parts.lifecycle.start_without_loop()

    def _metrics(self, environ: Environ) -> tuple[int, Mapping[str, str], bytes]:
        if not self.rearguard_parts.shows_workers:
            warn_if_shared(says_so=bool(environ.get("wsgi.multiprocess")))
        endpoint = self.rearguard_parts.endpoints.metrics
        accept, encoding = environ.get("HTTP_ACCEPT", ""), environ.get("HTTP_ACCEPT_ENCODING", "")
        made = endpoint.render(accept, encoding, seconds_allowed(environ.get(_SCRAPE_TIMEOUT, "")))
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
    lines = (
        [*headers.items()]
        if status == HTTPStatus.NO_CONTENT
        else [*headers.items(), ("Content-Length", str(len(body)))]
    )
    start_response(f"{status} {HTTPStatus(status).phrase}", lines)
    return [] if method == "HEAD" else [body]


def _is_file(body: object, wrapper: object) -> bool:
    """Whether the server made this body with its `wsgi.file_wrapper`, and so sends it in its own way."""
    # uWSGI's is a function, which notes the file and returns it.
    return isinstance(body, wrapper) if isinstance(wrapper, type) else hasattr(body, "read")
