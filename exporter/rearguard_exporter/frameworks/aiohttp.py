"""The aiohttp adapter: one middleware, one signal, the endpoints, and background work tied to the application.

It reads everything from what aiohttp leaves on the request, and walks no router.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from time import perf_counter
from typing import Any

from aiohttp import hdrs, web

from rearguard_exporter.endpoints.endpoints import DASHBOARD, HEALTH, METRICS, READINESS
from rearguard_exporter.endpoints.several_processes import warn_if_shared
from rearguard_exporter.exposition.accept import SCRAPE_TIMEOUT, asked, seconds_allowed
from rearguard_exporter.families import UNMATCHED
from rearguard_exporter.fault_barrier import log, quiet, report
from rearguard_exporter.frameworks.aiohttp_socket import Link, is_gone, note_shutdown
from rearguard_exporter.frameworks.monitor_parts import MonitorParts
from rearguard_exporter.traffic.lanes import Lane, Lanes
from rearguard_exporter.traffic.request import SERVER_ERROR, MeasuredRequest
from rearguard_exporter.traffic.websocket import Connection

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_STATE = "rearguard_exporter.measured"
# Typed keys came with aiohttp 3.14, which warns about the plain ones.
_MEASURED: Any = web.RequestKey(_STATE, object) if hasattr(web, "RequestKey") else _STATE
_INSTALLED: web.AppKey[MonitorParts] = web.AppKey("rearguard_exporter.installed", MonitorParts)
_TIMED_OUT = 504  # what aiohttp answers to a TimeoutError
_MOST_ROUTES = 10_000  # templates kept at most: an application's own resources may make a new route for each request


def instrument(app: web.Application, parts: MonitorParts) -> None:
    """Measure `app` from now on and give it the endpoints. A second call changes nothing.

    Raises:
        RuntimeError: the application runs already; aiohttp freezes it then.
    """
    if _INSTALLED in app:
        if app[_INSTALLED] is not parts:
            parts.warn_of_second_monitor()
        return
    app[_INSTALLED] = parts
    endpoints = _add_endpoints(app, parts)
    own = frozenset(route for endpoint in endpoints for route in endpoint)
    app.middlewares.insert(0, _middleware(parts, own))
    if parts.instruments.exemplars.on:
        app.middlewares.append(_note_trace)  # inside whatever middleware traces
    app.on_response_prepare.append(_on_prepare)
    note_shutdown(app)
    app.cleanup_ctx.append(_background(parts, endpoints))


class _Endpoint(web.PlainResource):
    """A path of the exporter. It matches nothing if the application turns out to serve that path itself."""

    aside = False

    def raw_match(self, path: str) -> bool:  # noqa: ARG002 - the base class's shape
        """Always False: otherwise aiohttp would add the application's route to this resource, or refuse it."""
        return False

    async def resolve(self, request: web.Request) -> Any:
        """As any plain path; nothing if it stepped aside."""
        return (None, set()) if self.aside else await super().resolve(request)


def _add_endpoints(app: web.Application, parts: MonitorParts) -> list[_Endpoint]:
    endpoints = parts.endpoints

    async def metrics(request: web.Request) -> web.StreamResponse:
        accept = ",".join(request.headers.getall(hdrs.ACCEPT, ()))
        encoding = ",".join(request.headers.getall(hdrs.ACCEPT_ENCODING, ()))
        form = asked(accept, encoding)
        warn_if_shared()
        seconds = seconds_allowed(request.headers.get(SCRAPE_TIMEOUT, ""))
        rendering = await endpoints.metrics.shared(form, seconds)
        response = web.StreamResponse(headers=form.headers)
        if request.method == hdrs.METH_HEAD:
            await response.prepare(request)
            return response
        response.content_length = rendering.size
        await response.prepare(request)
        with suppress(ConnectionError):  # it left: no fault of the application
            if not await endpoints.metrics.send(rendering, response.write) and request.transport is not None:
                request.transport.abort()  # so that nobody takes half a body for a whole one
        return response

    async def healthz(_: web.Request) -> web.StreamResponse:
        return web.json_response(endpoints.health.health())

    async def readyz(_: web.Request) -> web.StreamResponse:
        ready, body = endpoints.health.readiness()
        return web.json_response(body, status=200 if ready else 503)

    async def dashboard(_: web.Request) -> web.StreamResponse:
        return web.json_response(await asyncio.wrap_future(endpoints.dashboard.submit()))

    handlers: dict[str, Handler] = {HEALTH: healthz, READINESS: readyz}
    if not parts.has_own_port:
        handlers |= {METRICS: metrics, DASHBOARD: dashboard}
    # Added now: at the start, the router of a nested application is frozen already.
    resources: list[_Endpoint] = []
    for path, handler in handlers.items():
        endpoint = _Endpoint(path)
        for method in (hdrs.METH_HEAD, hdrs.METH_GET):
            endpoint.add_route(method, handler)
        app.router.register_resource(endpoint)
        resources.append(endpoint)
    return resources


@quiet
def _step_aside(app: web.Application, endpoints: list[_Endpoint]) -> None:
    taken = {resource.canonical for resource in app.router.resources() if not isinstance(resource, _Endpoint)}
    for endpoint in endpoints:
        if endpoint.canonical in taken:
            log.info("rearguard_exporter: %s is the application's own, left alone", endpoint.canonical)
            endpoint.aside = True


def _background(parts: MonitorParts, endpoints: list[_Endpoint]) -> Callable[[web.Application], AsyncIterator[None]]:
    async def run(app: web.Application) -> AsyncIterator[None]:
        _step_aside(app, endpoints)
        entered = parts.lifecycle.enter()
        yield
        if entered:
            await parts.lifecycle.leave()

    return run


class _Request(MeasuredRequest):
    """What is known of one request between the middleware and the signal."""

    __slots__ = ("link", "response")

    def __init__(self, lane: Lane, route: str) -> None:
        MeasuredRequest.__init__(self, lane)  # for every request: `super()` takes longer
        self.route = route
        self.response: web.StreamResponse | None = None  # which the handler itself sends
        self.link: Link | None = None  # once it became a socket

    def content_type(self) -> str:
        """As aiohttp has it."""
        return "" if self.response is None else self.response.content_type

    @quiet
    def prepared(self, response: web.StreamResponse, request: web.Request) -> None:
        """Headers are about to be sent."""
        if isinstance(response, web.WebSocketResponse):
            self.leave()
            self.link = Link(response, Connection(self.lane.instruments, self.route), request)
            self.link.follow()
        elif not isinstance(response, web.Response):
            self.response = response
            self.since = perf_counter()
            self.is_stream = True

    def answered(self, status: int, request: web.Request) -> None:
        """The handler returned a response of this status. Raises nothing."""
        if self.link is not None:
            self._end_link(None)
            return
        self.status = status
        self.subject = request
        self.end()
        self.subject = None  # the request holds this object: both would wait for the garbage collector

    @quiet
    def failed(self, failure: BaseException, request: web.Request) -> None:
        """The handler raised; an HTTPException is an answer like any other."""
        if self.link is not None:
            self._end_link(failure)
            return
        if isinstance(failure, web.HTTPException):
            self.answered(failure.status, request)
            return
        sent, is_cancelled = self.response, isinstance(failure, asyncio.CancelledError)
        # A stream is cancelled when the server stops or the caller left. Neither is a fault.
        self.client_left = (is_cancelled and sent is not None) or (
            (is_cancelled or isinstance(failure, ConnectionResetError)) and is_gone(request)
        )
        if sent is not None:
            self.status = sent.status
        else:
            self.status = _TIMED_OUT if isinstance(failure, TimeoutError) else SERVER_ERROR
        self.subject = request
        self.end(failure)
        self.subject = None  # as above

    @quiet
    def _end_link(self, failure: BaseException | None) -> None:
        if self.link is not None:
            self.link.over(failure)


def _middleware(parts: MonitorParts, own: frozenset[web.AbstractRoute]) -> Any:
    instruments, excluded = parts.instruments, parts.excluded
    lanes = Lanes(instruments)
    templates: dict[web.AbstractRoute, str] = dict.fromkeys(own, "")

    @web.middleware
    async def measure(request: web.Request, handler: Handler) -> web.StreamResponse:
        measured: _Request | None = None
        try:
            matched = request.match_info.route
            template = templates.get(matched)
            if template is None:
                template = _template(matched, templates)
            if excluded is not None and request.path in excluded:
                template = ""
            if len(request) and _MEASURED in request:  # an outer application measures it
                if request[_MEASURED].lane.instruments is not instruments:
                    parts.warn_of_second_monitor()
            elif template:
                kind = request.method, request.scheme
                measured = request[_MEASURED] = _Request(lanes.of.get(kind) or lanes.open(*kind), template)
        except Exception:  # noqa: BLE001 - the wall between the exporter and the application
            report("aiohttp request")
        if measured is None:
            return await handler(request)
        try:
            response = await handler(request)
        except BaseException as failure:
            measured.failed(failure, request)
            raise
        measured.answered(getattr(response, "status", SERVER_ERROR), request)
        return response

    return measure


@web.middleware
async def _note_trace(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    finally:
        measured = request.get(_MEASURED)
        if isinstance(measured, _Request) and measured.lane.extras is not None:
            measured.trace = measured.lane.extras.trace()


def _template(route: web.AbstractRoute, known: dict[web.AbstractRoute, str]) -> str:
    """The template of a route with the prefixes of sub-applications, never the raw path."""
    resource = route.resource
    if resource is None:
        return UNMATCHED  # a route that aiohttp made for this request alone
    if len(known) < _MOST_ROUTES:
        known[route] = resource.canonical
    return resource.canonical


async def _on_prepare(request: web.Request, response: web.StreamResponse) -> None:
    measured = request.get(_MEASURED)
    # What is prepared after the handler returned is sent by aiohttp, out of our sight.
    if isinstance(measured, _Request) and measured.is_open and measured.response is None:
        measured.prepared(response, request)
