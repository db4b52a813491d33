"""The aiohttp adapter: when a request begins, the endpoints, and background work tied to the application.

It reads everything from what aiohttp leaves on the request, and walks no router.
Here: how an application is instrumented. Never here: how its requests are seen (aiohttp_served).
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Any

from aiohttp import hdrs, web

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
from rearguard_exporter.exposition.accept import SCRAPE_TIMEOUT, asked, seconds_allowed
from rearguard_exporter.fault_barrier import log, quiet, report
from rearguard_exporter.frameworks.aiohttp_beacons import beacon_handler, script_handler
from rearguard_exporter.frameworks.aiohttp_request import AiohttpRequest, Templates, template_of
from rearguard_exporter.frameworks.aiohttp_served import (
    BEGINS,
    Begins,
    Handler,
    Served,
    measured_of,
    serve_alone,
    served_as,
    watch,
)
from rearguard_exporter.frameworks.aiohttp_socket import note_shutdown
from rearguard_exporter.frameworks.aiohttp_traced import tracing
from rearguard_exporter.frameworks.monitor_parts import MonitorParts
from rearguard_exporter.traffic.lanes import Lanes

_INSTALLED: web.AppKey[MonitorParts] = web.AppKey("rearguard_exporter.installed", MonitorParts)


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
    app[BEGINS] = begins = _Begins(parts, endpoints)
    if parts.instruments.exemplars.on:
        app.middlewares.append(_note_trace)  # inside whatever middleware traces
    if parts.tracers:
        parts.tracers.around_aiohttp(app)
        app.middlewares.append(tracing(parts.tracers))
    note_shutdown(app)
    if watch(app, begins):
        _measure_where_nested(app, begins)
    else:
        app.middlewares.insert(0, _middleware(begins))
        app.on_response_prepare.append(_on_prepare)
    app.cleanup_ctx.append(_background(parts, endpoints))


def _measure_where_nested(app: web.Application, begins: Begins) -> None:
    """Add the middleware if the application is nested in another one: then no server hands it requests.

    With a middleware, every request goes through machinery of aiohttp's that costs more than all the measuring. An
    application is frozen by itself, a nested one before that by the one that it is added to.
    """
    freeze, freeze_first = app.freeze, app.pre_freeze
    by_itself: list[bool] = []

    def freezing() -> None:
        by_itself.append(True)
        freeze()

    def freezing_first() -> None:
        if not (app.pre_frozen or by_itself):
            app.middlewares.insert(0, _middleware(begins))
        freeze_first()

    vars(app).update(freeze=freezing, pre_freeze=freezing_first)


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
        if not parts.shows_workers:
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
    if endpoints.beacons is not None:
        handlers |= {SCRIPT: script_handler(endpoints.beacons), VITALS: beacon_handler(endpoints.beacons)}
    # Added now: at the start, the router of a nested application is frozen already.
    resources: list[_Endpoint] = []
    for path, handler in handlers.items():
        endpoint = _Endpoint(path)
        for method in METHODS.get(path, READING):
            endpoint.add_route(method, _untraced(handler))
        app.router.register_resource(endpoint)
        resources.append(endpoint)
    return resources


def _untraced(handler: Handler) -> Handler:
    async def answer(request: web.Request) -> web.StreamResponse:
        leave_untraced()
        return await handler(request)

    return answer


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


class _Begins:
    """What begins to measure requests of one application."""

    __slots__ = ("_endpoints", "_excluded", "_instruments", "_lanes", "_templates", "_warn")

    def __init__(self, parts: MonitorParts, endpoints: list[_Endpoint]) -> None:
        self._instruments, self._excluded, self._warn = (
            parts.instruments,
            parts.excluded,
            parts.warn_of_second_monitor,
        )
        self._lanes = Lanes(parts.instruments)
        self._templates: Templates = {route: "" for endpoint in endpoints for route in endpoint}
        self._endpoints = {endpoint.canonical: endpoint for endpoint in endpoints}

    def first(self, request: web.Request) -> AiohttpRequest | None:
        """Begin to measure a request whose route was not looked up yet. None if the exporter may answer it."""
        try:
            path = request.rel_url.raw_path
            if path in self._endpoints or "%" in path:
                endpoint = self._endpoints.get(request.path)
                if endpoint is not None and not endpoint.aside:
                    return None
            if self._excluded is not None and request.path in self._excluded:
                return None
            kind = request.method, request.scheme
            return AiohttpRequest(self._lanes.of.get(kind) or self._lanes.open(*kind), request, self._templates)
        except Exception:  # noqa: BLE001 - the wall between the exporter and the application
            report("aiohttp request")
            return None

    def routed(self, this: Served | AiohttpRequest, request: web.Request) -> None:
        """Begin to measure a request whose route was looked up, unless an outer application measures it."""
        try:
            measured = this if isinstance(this, AiohttpRequest) else this.measured
            if isinstance(this, AiohttpRequest) or this.is_seen:
                if measured is not None and measured.lane.instruments is not self._instruments:
                    self._warn()
                return
            this.is_seen = True
            if template_of(request, self._templates) and not (
                self._excluded is not None and request.path in self._excluded
            ):
                kind = request.method, request.scheme
                this.measured = AiohttpRequest(self._lanes.open(*kind), request, self._templates)
        except Exception:  # noqa: BLE001 - as above
            report("aiohttp request")


def _middleware(begins: Begins) -> Any:
    @web.middleware
    def measure(request: web.Request, handler: Handler) -> Awaitable[web.StreamResponse]:
        this = served_as(request)
        if this is not None:
            begins.routed(this, request)
            return handler(request)
        alone = Served(request)
        begins.routed(alone, request)
        return serve_alone(request, handler, alone.measured)

    return measure


@web.middleware
async def _note_trace(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    finally:
        measured = measured_of(request)
        if measured is not None and measured.lane.extras is not None:
            measured.trace = measured.lane.extras.trace()


async def _on_prepare(request: web.Request, response: web.StreamResponse) -> None:
    """What sees heads where `watch` cannot."""
    measured = measured_of(request)
    if measured is not None:
        try:
            measured.prepared(response, request)
        except Exception:  # noqa: BLE001 - as above
            report("aiohttp response")
