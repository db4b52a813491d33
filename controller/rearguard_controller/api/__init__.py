"""The HTTP interface: requests in, JSON views out.

Here: `build`, which puts the topics together (`webhook` receives, `reads` and `versions` answer, `commands` changes,
`events` tells what happens, `health` says how the service is) behind one guard that checks roles and one middleware
that answers every error as JSON. Decisions and side effects belong to the parts in `Services`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from http import HTTPStatus

from aiohttp import web
from aiohttp.typedefs import Middleware

from rearguard_controller.adapters.telemetry import Telemetry
from rearguard_controller.api import answers, openapi, routing
from rearguard_controller.api.auth import ForbiddenError, Gate, Role, UnauthenticatedError
from rearguard_controller.api.commands import Commands
from rearguard_controller.api.door import Door
from rearguard_controller.api.events import FEED, Check, Events
from rearguard_controller.api.feed import Feed
from rearguard_controller.api.health import Health
from rearguard_controller.api.listener import DELIVERIES, DOOR, Deliveries, Listener
from rearguard_controller.api.reads import Reads
from rearguard_controller.api.routing import PRINCIPAL
from rearguard_controller.api.services import Services
from rearguard_controller.api.slack import Slack
from rearguard_controller.api.tls import ServerTls
from rearguard_controller.api.versions import Remembered
from rearguard_controller.api.warnings import Warnings
from rearguard_controller.api.webhook import Receiver
from rearguard_controller.errors import JournalError

__all__ = ["Listener", "Services", "build"]


def build(services: Services, gate: Gate, tls: ServerTls | None = None) -> web.Application:
    """The aiohttp application.

    A `Listener` serves it; nothing in it needs starting or stopping.

    Args:
        services: what handlers may use.
        gate: who may use them.
        tls: says which clients' certificates are let in, if it names any.
    """

    def opened() -> frozenset[str]:
        return services.now().configuration.open

    door = Door(lambda: services.now().configuration.limits)
    around = _around_each_request(services.telemetry, services.warnings, door, tls)
    app = web.Application(middlewares=[around])
    app[DOOR] = door
    feed = app[FEED] = Feed(services.journal, services.clock)
    slack = Slack(services)
    app.on_shutdown.append(_end(feed.close))
    app.on_cleanup.append(_end(slack.close))
    receiver = Receiver(services)
    reads = Reads(services)
    events = Events(feed, partial(_still_reads, gate))
    topics = (
        receiver,
        Commands(services),
        reads,
        Remembered(services),
        Health(services, receiver),
        events,
        slack,
    )
    routes = [route for topic in topics for route in topic.routes()]
    routes.append(openapi.route(routes, opened))
    guarded = {route.path: routing.register(app, gate, route, opened) for route in routes}
    deliver = guarded[answers.WEBHOOK_PATH]
    app[DELIVERIES] = Deliveries(lambda request: around(request, deliver))
    return app


def _end(close: Callable[[], Awaitable[None]]) -> Callable[[web.Application], Awaitable[None]]:
    async def end(_app: web.Application) -> None:
        await close()

    return end


def _still_reads(gate: Gate, request: web.Request) -> Check:
    """Checks again whether the token of a request may read."""

    async def check() -> None:
        await gate.look()
        gate.admit(request.headers.get("Authorization"), Role.VIEWER)

    return check


def _around_each_request(telemetry: Telemetry, warnings: Warnings, door: Door, tls: ServerTls | None) -> Middleware:
    """One middleware for everything: each further one would cost a delivery about as much as parsing it."""

    @web.middleware
    async def around(request: web.Request, handler: answers.Handler) -> web.StreamResponse:
        guest = door.begin(request.transport)
        try:
            if tls is not None:
                _check_certificate(request, tls)
            response = await handler(request)
        except Exception as error:  # noqa: BLE001  # `refuse` answers and logs any error
            if isinstance(error, JournalError):
                telemetry.journal_failed()
            response = answers.refuse(request, error)
            if request.path == answers.WEBHOOK_PATH and isinstance(error, (UnauthenticatedError, ForbiddenError)):
                warnings.refused(response.status, error)
        finally:
            door.end(guest, known=PRINCIPAL in request)
        if request.path == answers.WEBHOOK_PATH:
            telemetry.webhook_answered(response.status)
            if response.status == HTTPStatus.ACCEPTED:
                warnings.accepted()
        return response

    return around


def _check_certificate(request: web.Request, tls: ServerTls) -> None:
    transport = request.transport
    certificate = None if transport is None else transport.get_extra_info("peercert")
    if not tls.admits(certificate):
        raise ForbiddenError(
            "The certificate of this client carries none of the names that are let in.",
            hint="They stand in client_allowed_sans of the file of TLS settings.",
        )
