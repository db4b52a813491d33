"""The listener: serves an application within its limits, and stops in order.

Here: start and stop of aiohttp's server with the limits of headers, behind the door.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiohttp import ClientPayloadError, web
from aiohttp.hdrs import EXPECT
from aiohttp.http_exceptions import HttpProcessingError

from rearguard_controller.api.answers import WEBHOOK_PATH
from rearguard_controller.api.door import Door
from rearguard_controller.api.limits import MAX_FIELD, MAX_HEADERS, MAX_LINE
from rearguard_controller.api.routing import Handle

DOOR = web.AppKey("door", Door)
_Handle = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Deliveries:
    """What answers a delivery, when nothing has to be looked up for it."""

    answer: Handle


DELIVERIES = web.AppKey("deliveries", Deliveries)


class Listener:
    """Serves one application on one address."""

    def __init__(self, app: web.Application, *, grace: float) -> None:
        """Prepare; `start` listens. `grace`: seconds that answers under way get when it stops."""
        self._door, self._deliver = app[DOOR], app[DELIVERIES].answer
        self._runner = web.AppRunner(
            app,
            access_log=None,
            logger=_http_log(),
            shutdown_timeout=grace,
            max_line_size=MAX_LINE,
            max_field_size=MAX_FIELD,
            max_headers=MAX_HEADERS,
        )
        self._watch: asyncio.Task[None] | None = None

    async def start(self, host: str, port: int, tls: ssl.SSLContext | None = None) -> int:
        """Listen, and return the port: the one asked for, or a free one when that was 0.

        Raises:
            OSError: the address is taken, or does not belong to this machine.
        """
        await self._runner.setup()
        server = self._runner.server
        if server is None:
            raise RuntimeError("aiohttp has made no server")
        server.request_handler = _deliveries_first(self._deliver, server.request_handler)
        port = await self._door.open(server, host, port, tls)
        self._watch = asyncio.create_task(self._door.watch())
        return port

    async def close(self) -> None:
        """Stop listening, let answers under way finish, close every connection."""
        if self._watch is not None:
            self._watch.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watch
        self._door.close()
        await self._runner.cleanup()


def _deliveries_first(deliver: Handle, handle: _Handle) -> _Handle:
    """What answers a request: deliveries, which may be thousands a second, go past aiohttp's router.

    Looking for their route and binding their middleware takes aiohttp about as long as it takes us to read them. A
    client that waits for leave to send its body gets that from the route.
    """

    def answered(request: web.BaseRequest) -> Awaitable[web.StreamResponse]:
        is_delivery = request.method == "POST" and request.raw_path == WEBHOOK_PATH and EXPECT not in request.headers
        return deliver(request) if is_delivery else handle(request)  # type: ignore[arg-type]  # an application's are all web.Request

    return answered


def _http_log() -> logging.Logger:
    """Aiohttp's log without what clients sent: it would quote unreadable requests, tokens included."""
    logger = logging.getLogger("rearguard.http")
    if _without_quotes not in logger.filters:
        logger.addFilter(_without_quotes)
    return logger


def _without_quotes(record: logging.LogRecord) -> bool:
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, (HttpProcessingError, ClientPayloadError, web.RequestPayloadError, ConnectionError)):
        record.msg, record.args = f"unreadable request: {type(error).__name__}", ()
        record.exc_info, record.levelno, record.levelname = None, logging.WARNING, "WARNING"
    return True
