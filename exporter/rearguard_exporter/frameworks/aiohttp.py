"""The aiohttp adapter: one middleware, one signal, four endpoints, and background work tied to the application.

Everything it knows it reads from what aiohttp left behind after the call; no router is walked.
Never here: what counts as an error (http), sockets (aiohttp_socket), text (render).
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from time import perf_counter
from typing import Any

from aiohttp import hdrs, web

from rearguard_exporter.endpoints.faces import Faces
from rearguard_exporter.exposition.render import asked
from rearguard_exporter.families import UNMATCHED
from rearguard_exporter.fault_barrier import log, quiet, report
from rearguard_exporter.frameworks.aiohttp_socket import Link, is_gone, note_shutdown
from rearguard_exporter.traffic.request import CLIENT_GONE, ENDLESS_TYPES, Exchange, Lane, Lanes
from rearguard_exporter.traffic.websocket import Connection
from rearguard_exporter.values.exemplars import Trace
from rearguard_exporter.values.instruments import Instruments

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_STATE = "rearguard_exporter.measured"
# Typed keys came with aiohttp 3.14, which warns about the plain ones.
_MEASURED: Any = web.RequestKey(_STATE, object) if hasattr(web, "RequestKey") else _STATE
_INSTALLED: web.AppKey[Faces] = web.AppKey("rearguard_exporter.installed", Faces)
_MOST_ROUTES = 10_000  # whose templates are kept: an application's own resources may make a route a request


def instrument(app: web.Application, instruments: Instruments, faces: Faces, *, own_port: bool) -> None:
    """Measure `app` from now on and give it the endpoints (with `own_port` only the probes). Idempotent.

    Raises:
        RuntimeError: the application already runs; aiohttp freezes it then.
    """
    if _INSTALLED in app:
        if app[_INSTALLED] is not faces:
            faces.refuse()
        return
    app[_INSTALLED] = faces
    endpoints = _add_endpoints(app, faces, own_port=own_port)
    own = frozenset(route for endpoint in endpoints for route in endpoint)
    app.middlewares.insert(0, _middleware(instruments, faces, own))
    if instruments.exemplars.on:
        app.middlewares.append(_note_trace)  # inside whatever middleware traces
    app.on_response_prepare.append(_on_prepare)
    note_shutdown(app)
    app.cleanup_ctx.append(_background(faces, endpoints))


class _Endpoint(web.PlainResource):
    """A path of ours, which steps aside when the application turns out to serve it."""

    aside = False

    def raw_match(self, path: str) -> bool:  # noqa: ARG002 - the base class's shape
        """No: else aiohttp would add the application's route to this resource, or refuse it."""
        return False

    async def resolve(self, request: web.Request) -> Any:
        """As any plain path, unless it stepped aside."""
        return (None, set()) if self.aside else await super().resolve(request)


def _add_endpoints(app: web.Application, faces: Faces, *, own_port: bool) -> list[_Endpoint]:
    async def metrics(request: web.Request) -> web.StreamResponse:
        accept = ",".join(request.headers.getall(hdrs.ACCEPT, ()))
        encoding = ",".join(request.headers.getall(hdrs.ACCEPT_ENCODING, ()))
        form = asked(accept, encoding)
        parts = await faces.prepare(form)
        response = web.StreamResponse(headers=form.headers)
        await response.prepare(request)
        if request.method != hdrs.METH_HEAD:
            async for piece in faces.stream(parts, form):
                await response.write(piece)
        return response

    async def healthz(_: web.Request) -> web.StreamResponse:
        return web.json_response(faces.health())

    async def readyz(_: web.Request) -> web.StreamResponse:
        ready, body = faces.readiness()
        return web.json_response(body, status=200 if ready else 503)

    async def dashboard(_: web.Request) -> web.StreamResponse:
        return web.json_response(await asyncio.wrap_future(faces.submit_dashboard()))

    handlers: dict[str, Handler] = {"/healthz": healthz, "/readyz": readyz}
    if not own_port:
        handlers |= {"/metrics": metrics, "/api/monitoring/dashboard": dashboard}
    # Added now and not at the start, when the router of a nested application takes no more.
    endpoints: list[_Endpoint] = []
    for path, handler in handlers.items():
        endpoint = _Endpoint(path)
        for method in (hdrs.METH_HEAD, hdrs.METH_GET):
            endpoint.add_route(method, handler)
        app.router.register_resource(endpoint)
        endpoints.append(endpoint)
    return endpoints


@quiet
def _step_aside(app: web.Application, endpoints: list[_Endpoint]) -> None:
    taken = {resource.canonical for resource in app.router.resources() if not isinstance(resource, _Endpoint)}
    for endpoint in endpoints:
        if endpoint.canonical in taken:
            log.info("rearguard_exporter: %s is the application's own, left alone", endpoint.canonical)
            endpoint.aside = True


def _background(faces: Faces, endpoints: list[_Endpoint]) -> Callable[[web.Application], AsyncIterator[None]]:
    async def run(app: web.Application) -> AsyncIterator[None]:
        _step_aside(app, endpoints)
        entered = faces.enter()
        yield
        if entered:
            await faces.leave()

    return run


class _Measured(Exchange):
    """What is known of one request between the middleware and the signal."""

    __slots__ = ("link", "response", "route", "trace")
    trace: Trace | None  # absent where nobody looked for one

    def __init__(self, lane: Lane, route: str) -> None:
        super().__init__(lane)
        self.route = route
        self.response: web.StreamResponse | None = None  # which the handler itself sends
        self.link: Link | None = None  # when it became a socket

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

    @quiet
    def answered(self, status: int, failure: BaseException | None, request: web.Request) -> None:
        """The handler returned or raised."""
        if self.link is not None:
            self.link.over(failure)
            return
        sent = self.response
        endless = sent is not None and sent.content_type in ENDLESS_TYPES
        error_type = ""
        if sent is not None and isinstance(failure, asyncio.CancelledError):
            status = CLIENT_GONE  # the server stops: streams that it ends are no faults
        elif failure is not None and status != CLIENT_GONE and not isinstance(failure, web.HTTPException):
            error_type = type(failure).__name__
            status = sent.status if sent is not None else status
        trace = None if self.lane.additions is None else getattr(self, "trace", None)
        self.end(self.route, status, error_type, endless=endless, request=request, trace=trace)


def _middleware(instruments: Instruments, faces: Faces, own: frozenset[web.AbstractRoute]) -> Any:
    lanes, excluded = Lanes(instruments), instruments.excluded
    templates: dict[web.AbstractRoute, str] = dict.fromkeys(own, "")

    @web.middleware
    async def measure(request: web.Request, handler: Handler) -> web.StreamResponse:
        measured: _Measured | None = None
        try:
            matched = request.match_info.route
            template = templates.get(matched)
            if template is None:
                template = _template(matched, templates)
            if excluded is not None and request.path in excluded:
                template = ""
            if len(request) and _MEASURED in request:  # an outer application measures it
                if request[_MEASURED].lane.instruments is not instruments:
                    faces.refuse()
            elif template:
                method = request.method
                measured = request[_MEASURED] = _Measured(lanes.of.get(method) or lanes.open(method), template)
        except Exception:  # noqa: BLE001 - the wall between the exporter and the application
            report("aiohttp request")
        if measured is None:
            return await handler(request)
        try:
            response = await handler(request)
        except BaseException as failure:
            measured.answered(_status_of(failure, request), failure, request)
            raise
        measured.answered(getattr(response, "status", 500), None, request)
        return response

    return measure


@web.middleware
async def _note_trace(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    finally:
        measured = request.get(_MEASURED)
        if isinstance(measured, _Measured) and measured.lane.additions is not None:
            measured.trace = measured.lane.additions.trace()


def _template(route: web.AbstractRoute, known: dict[web.AbstractRoute, str]) -> str:
    """The template of a route, with the prefixes of sub-applications; never the raw path."""
    resource = route.resource
    if resource is None:
        return UNMATCHED  # a route that aiohttp made for this request alone
    if len(known) < _MOST_ROUTES:
        known[route] = resource.canonical
    return resource.canonical


async def _on_prepare(request: web.Request, response: web.StreamResponse) -> None:
    measured = request.get(_MEASURED)
    # What is prepared after the handler returned is sent by aiohttp, out of our sight.
    if isinstance(measured, _Measured) and measured.is_open and measured.response is None:
        measured.prepared(response, request)


def _status_of(failure: BaseException, request: web.Request) -> int:
    """What aiohttp answers to this exception; `CLIENT_GONE` where nobody is left to read it."""
    match failure:
        case web.HTTPException():
            return failure.status
        case asyncio.CancelledError() | ConnectionResetError() if is_gone(request):
            return CLIENT_GONE
        case TimeoutError():
            return 504
        case _:
            return 500
