"""The innermost middleware of a traced aiohttp application: it tells when a WebSocket opens, and why it ends."""

from typing import Any

from aiohttp import web

from rearguard_exporter.apm.tracers import Tracers
from rearguard_exporter.families import UNMATCHED
from rearguard_exporter.fault_barrier import quiet
from rearguard_exporter.frameworks.aiohttp_request import AiohttpRequest
from rearguard_exporter.frameworks.aiohttp_served import Handler, measured_of


def tracing(tracers: Tracers) -> Any:
    """The middleware."""

    @web.middleware
    async def trace(request: web.Request, handler: Handler) -> web.StreamResponse:
        measured = measured_of(request)
        if measured is None or request.headers.get("Upgrade", "").lower() != "websocket":
            return await handler(request)
        opened: list[Any] = []

        @quiet
        def opening() -> None:
            template = measured.route_in(request)
            route = "" if template == UNMATCHED else template
            opened.extend(tracers.open_socket({name.lower(): text for name, text in request.headers.items()}, route))

        measured.opening = opening
        try:
            response = await handler(request)
        except BaseException as failure:
            _over(tracers, measured, opened, failure)
            raise
        finally:
            measured.opening = None
        _over(tracers, measured, opened, None)
        return response

    return trace


@quiet
def _over(tracers: Tracers, measured: AiohttpRequest, opened: list[Any], failure: BaseException | None) -> None:
    if opened and measured.link is not None:
        tracers.close_socket(opened, measured.link.why(failure), failure)
