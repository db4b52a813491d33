"""The HTTP interface: routes in, the shapes of the contract out.

Here: `build`, which puts the topics together (`webhook` receives, `reads` answers, `commands` changes, `health`
tells how the service is) behind one guard that checks roles and one middleware that lets only JSON errors out.
Never here: sockets, decisions, side effects of its own; everything that happens is done by what `Services` holds.
"""

from __future__ import annotations

from aiohttp import web
from aiohttp.typedefs import Middleware

from rearguard_controller.api import answers, openapi, routing
from rearguard_controller.api.commands import Commands
from rearguard_controller.api.health import Health
from rearguard_controller.api.limits import Connections
from rearguard_controller.api.listener import CONNECTIONS, Listener
from rearguard_controller.api.reads import Reads
from rearguard_controller.api.services import Services
from rearguard_controller.api.webhook import PATH as WEBHOOK_PATH
from rearguard_controller.api.webhook import Receiver
from rearguard_controller.auth import ForbiddenError, Gate
from rearguard_controller.errors import JournalError
from rearguard_controller.telemetry import Telemetry
from rearguard_controller.transport import ServerTls

__all__ = ["Listener", "Services", "build"]


def build(services: Services, gate: Gate, tls: ServerTls | None = None) -> web.Application:
    """The aiohttp application.

    A `Listener` serves it; nothing in it needs starting or stopping.

    Args:
        services: what handlers may use.
        gate: who may use them.
        tls: says which clients' certificates are let in, where names are asked for.
    """
    counting = (_count_webhooks(services.telemetry), _count_journal_errors(services.telemetry))
    connections = Connections(lambda: services.configuration.limits)
    inner = [answers.speak_json, _check_certificate(tls), counting[1]]
    app = web.Application(middlewares=[connections.middleware(), counting[0], *inner])
    app[CONNECTIONS] = connections
    receiver = Receiver(services)
    reads = Reads(services)
    topics = (receiver, Commands(services), reads, Health(services, receiver))
    routes = [route for topic in topics for route in topic.routes()]
    routes.append(openapi.route(routes, is_open="openapi" in services.configuration.open))
    for route in routes:
        routing.register(app, gate, route)
    return app


def _check_certificate(tls: ServerTls | None) -> Middleware:
    @web.middleware
    async def check(request: web.Request, handler: answers.Handler) -> web.StreamResponse:
        if tls is not None:
            transport = request.transport
            certificate = None if transport is None else transport.get_extra_info("peercert")
            if not tls.admits(certificate):
                raise ForbiddenError(
                    "The certificate of this client carries none of the names that are let in.",
                    hint="They stand in client_allowed_sans of the file of TLS settings.",
                )
        return await handler(request)

    return check


def _count_webhooks(telemetry: Telemetry) -> Middleware:
    @web.middleware
    async def count(request: web.Request, handler: answers.Handler) -> web.StreamResponse:
        response = await handler(request)
        if request.path == WEBHOOK_PATH:
            telemetry.webhook_answered(response.status)
        return response

    return count


def _count_journal_errors(telemetry: Telemetry) -> Middleware:
    @web.middleware
    async def count(request: web.Request, handler: answers.Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except JournalError:
            telemetry.journal_failed()
            raise

    return count
