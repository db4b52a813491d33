"""The aiohttp adapter: one middleware, one signal, the endpoints, and background work tied to the application.

It reads everything from what aiohttp leaves on the request, and walks no router.
Here: how an application is instrumented. Never here: what became of a request (aiohttp_request).
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
from rearguard_exporter.families import UNMATCHED
from rearguard_exporter.fault_barrier import log, quiet, report
from rearguard_exporter.frameworks.aiohttp_beacons import beacon_handler, script_handler
from rearguard_exporter.frameworks.aiohttp_request import (
    BEGIN,
    SERVED,
    AiohttpRequest,
    Begin,
    Handler,
    Served,
    serve_alone,
    watch,
)
from rearguard_exporter.frameworks.aiohttp_socket import note_shutdown
from rearguard_exporter.frameworks.aiohttp_traced import tracing
from rearguard_exporter.frameworks.monitor_parts import MonitorParts
from rearguard_exporter.traffic.lanes import Lanes

_INSTALLED: web.AppKey[MonitorParts] = web.AppKey("rearguard_exporter.installed", MonitorParts)
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
    app[BEGIN] = begin = _beginning(parts, own)
    app.middlewares.insert(0, _middleware(begin))
    if parts.instruments.exemplars.on:
        app.middlewares.append(_note_trace)  # inside whatever middleware traces
    if parts.tracers:
        parts.tracers.around_aiohttp(app)
        app.middlewares.append(tracing(parts.tracers))
    app.on_response_prepare.append(_on_prepare)
    note_shutdown(app)
    watch()
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


def _beginning(parts: MonitorParts, own: frozenset[web.AbstractRoute]) -> Begin:
    """What begins to measure a request of this application."""
    instruments, excluded = parts.instruments, parts.excluded
    lanes = Lanes(instruments)
    templates: dict[web.AbstractRoute | None, str] = dict.fromkeys(own, "")
    templates[None] = UNMATCHED  # aiohttp refused the request before it looked for a route

    def begin(this: Served, request: web.Request) -> None:
        try:
            if this.is_seen:  # an outer application measures it
                if this.measured is not None and this.measured.lane.instruments is not instruments:
                    parts.warn_of_second_monitor()
                return
            this.is_seen = True
            match_info = request._match_info  # noqa: SLF001 - `match_info` insists that there is one
            matched = None if match_info is None else match_info.route
            template = templates.get(matched)
            if template is None:
                template = _template(matched, templates)
            if excluded is not None and request.path in excluded:
                return
            if template:
                kind = request.method, request.scheme
                this.measured = AiohttpRequest(lanes.of.get(kind) or lanes.open(*kind), template)
        except Exception:  # noqa: BLE001 - the wall between the exporter and the application
            report("aiohttp request")

    return begin


def _middleware(begin: Begin) -> Any:
    @web.middleware
    def measure(request: web.Request, handler: Handler) -> Awaitable[web.StreamResponse]:
        this = SERVED.get()
        if this is None or this.request is not request:
            return serve_alone(request, handler, begin)
        begin(this, request)
        return handler(request)

    return measure


@web.middleware
async def _note_trace(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    finally:
        this = SERVED.get()
        if (
            this is not None
            and this.request is request
            and this.measured is not None
            and this.measured.lane.extras is not None
        ):
            this.measured.trace = this.measured.lane.extras.trace()


def _template(route: web.AbstractRoute | None, known: dict[web.AbstractRoute | None, str]) -> str:
    """The template of a route with the prefixes of sub-applications, never the raw path."""
    resource = None if route is None else route.resource
    if resource is None:
        return UNMATCHED  # a route that aiohttp made for this request alone
    if len(known) < _MOST_ROUTES:
        known[route] = resource.canonical
    return resource.canonical


async def _on_prepare(request: web.Request, response: web.StreamResponse) -> None:
    this = SERVED.get()
    if this is not None and this.request is request and this.measured is not None:
        try:
            this.measured.prepared(response, request)
        except Exception:  # noqa: BLE001 - as above
            report("aiohttp response")
