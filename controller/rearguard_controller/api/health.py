"""`/metrics`, `/healthz`, `/readyz`: the controller's own condition.

Readiness fails for two reasons only: the last delivery of alerts could not be stored, or the journal was harmed. An
old heartbeat and a silent Prometheus are shown as details: a controller taken out of service for them could never see
them come back.
"""

from __future__ import annotations

import asyncio
import gzip
from dataclasses import dataclass, field
from http import HTTPStatus

from aiohttp import web

from rearguard_controller import json_views
from rearguard_controller.api.answers import RETRY_AFTER, answer
from rearguard_controller.api.auth import Role
from rearguard_controller.api.routing import Route
from rearguard_controller.api.services import Services
from rearguard_controller.api.webhook import Receiver
from rearguard_controller.model import Readiness


@dataclass(frozen=True, slots=True)
class Health:
    """Answers probes and scrapes."""

    services: Services
    receiver: Receiver
    _rendering: dict[tuple[str, bool], asyncio.Task[tuple[bytes, str]]] = field(default_factory=dict, init=False)
    _one_by_one: asyncio.Lock = field(default_factory=asyncio.Lock, init=False)

    def routes(self) -> tuple[Route, ...]:
        """The routes of this topic; probes carry no token."""
        return (
            Route("GET", "/metrics", Role.VIEWER, self.metrics, word="metrics"),
            Route("GET", "/healthz", None, self.alive),
            Route("GET", "/readyz", None, self.ready),
        )

    async def metrics(self, request: web.Request) -> web.Response:
        """The controller's own metrics, in the format that the Accept header asks for."""
        zipped = "gzip" in request.headers.get("Accept-Encoding", "")
        body, content_type = await self._exposition(request.headers.get("Accept", ""), zipped=zipped)
        headers = {"Content-Type": content_type, "Cache-Control": "no-store", "Vary": "Accept, Accept-Encoding"}
        return web.Response(body=body, headers={**headers, "Content-Encoding": "gzip"} if zipped else headers)

    async def _exposition(self, accept: str, *, zipped: bool) -> tuple[bytes, str]:
        """Body and content type, rendered in a thread; requests that wait for the same rendering share it.

        With a hundred targets it takes more than a second, and the requests of scrapers that gave up stay behind.
        Nobody is given a rendering that began before they asked: it may be older than a standstill of the process.
        """
        key = accept, zipped
        task = self._rendering.get(key)
        if task is None:
            task = self._rendering[key] = asyncio.create_task(self._render_next(key))
        return await asyncio.shield(task)

    async def _render_next(self, key: tuple[str, bool]) -> tuple[bytes, str]:
        async with self._one_by_one:
            del self._rendering[key]  # a request from here on gets the next one
            return await asyncio.to_thread(self._render, *key)

    def _render(self, accept: str, zipped: bool) -> tuple[bytes, str]:
        body, content_type = self.services.telemetry.render(accept)
        return (gzip.compress(body, 1) if zipped else body), content_type

    async def alive(self, _request: web.Request) -> web.Response:
        """200 while the process answers at all."""
        shown: json_views.Alive = {"status": "ok"}
        return answer(shown)

    async def ready(self, _request: web.Request) -> web.Response:
        """503 when the last delivery of alerts could not be stored within the last minute, or the journal fails."""
        usable = self.services.journal.fault() is None
        stores = usable and self.receiver.stores()
        details: json_views.Ready = {
            "status": Readiness.READY if stores else Readiness.NOT_READY,
            "webhook_stored": self.receiver.stores(),
            "journal_usable": usable,
            "prometheus_age_s": self.services.now().watcher.prometheus_age(),
            "watchdog_age_s": self.services.heartbeat_age(),
            "heartbeat": json_views.heartbeat(self.services.heartbeat_age()),
        }
        response = answer(details, status=HTTPStatus.OK if stores else HTTPStatus.SERVICE_UNAVAILABLE)
        if not stores:
            response.headers["Retry-After"] = RETRY_AFTER
        return response
