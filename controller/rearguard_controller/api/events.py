"""`GET /api/monitoring/events`: what happens, as server-sent events.

Here: one response that lasts, its heartbeats, and its end when the reader is too slow or may not read any more.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiohttp import web

from rearguard_controller.api import request_body
from rearguard_controller.api.auth import Role
from rearguard_controller.api.feed import Feed, Reader
from rearguard_controller.api.operations import EVENTS
from rearguard_controller.api.routing import Route
from rearguard_controller.errors import RearguardError

FEED = web.AppKey("feed", Feed)
HEARTBEAT = 15.0  # seconds without an event after which a comment is sent, so that no proxy closes the connection
LEFT_WITHIN = 1.0  # seconds after which it is noticed that a reader has left
SLOWEST = 10.0  # seconds for which a reader may take nothing
_HEADERS = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",  # nginx would hold events back
    "X-Content-Type-Options": "nosniff",
}

Check = Callable[[], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Events:
    """Sends what happens to whoever may read."""

    feed: Feed
    check: Callable[[web.Request], Check]  # says of a request whether it may still read; RearguardError: it may not

    def routes(self) -> tuple[Route, ...]:
        """The route of this topic."""
        return (Route("GET", EVENTS, Role.VIEWER, self.follow),)

    async def follow(self, request: web.Request) -> web.StreamResponse:
        """What happens from now on, or from the event that the header `Last-Event-ID` names."""
        request_body.check_parameters(request, ())
        return await stream(request, self.feed, self.check(request))


async def stream(request: web.Request, feed: Feed, check: Check) -> web.StreamResponse:
    """Send events until the reader leaves, takes nothing for too long, or may not read any more."""
    reader = await feed.follow(request.headers.get("Last-Event-ID"))
    try:
        response = web.StreamResponse(headers=_HEADERS)
        await response.prepare(request)
        await _send(request, response, reader, check)
    except (ConnectionError, TimeoutError):
        if request.transport is not None:
            request.transport.abort()
    finally:
        feed.leave(reader)
    return response


async def _send(request: web.Request, response: web.StreamResponse, reader: Reader, check: Check) -> None:
    beat_at = time.monotonic() + HEARTBEAT
    while not reader.is_over and request.transport is not None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(min(LEFT_WITHIN, HEARTBEAT)):
                await reader.came.wait()
        sent = reader.take()
        if not sent and time.monotonic() >= beat_at:
            sent = b": heartbeat\n\n"
            try:
                await check()
            except RearguardError:
                return
        if sent:
            beat_at = time.monotonic() + HEARTBEAT
            async with asyncio.timeout(SLOWEST):
                await response.write(sent)
