"""The listener: serves an application within its limits, and stops in order.

Here: start and stop of aiohttp's server with the limits of headers, behind the door.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl

from aiohttp import ClientPayloadError, web
from aiohttp.http_exceptions import HttpProcessingError

from rearguard_controller.api.door import Door
from rearguard_controller.api.limits import MAX_FIELD, MAX_HEADERS, MAX_LINE

DOOR = web.AppKey("door", Door)


class Listener:
    """Serves one application on one address."""

    def __init__(self, app: web.Application, *, grace: float) -> None:
        """Prepare; `start` listens. `grace`: seconds that answers under way get when it stops."""
        self._door = app[DOOR]
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
