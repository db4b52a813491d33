"""`POST /webhook/alertmanager`: stores alerts before it answers. The answer never says what was decided.

Here: the answer to Alertmanager, and whether the last delivery could be stored (for /readyz). Judging begins after
the answer, in `intake`.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, field
from http import HTTPStatus

import structlog
from aiohttp import web

from rearguard_controller import json_views
from rearguard_controller.api import webhook_body
from rearguard_controller.api.answers import WEBHOOK_PATH, BusyError, answer
from rearguard_controller.api.auth import Role
from rearguard_controller.api.door import party_of
from rearguard_controller.api.limits import BODIES_AT_ONCE, Room
from rearguard_controller.api.ready import ReadyResponse
from rearguard_controller.api.request_body import WEBHOOK_CAP, as_bad_request, read
from rearguard_controller.api.routing import Route, operator_of
from rearguard_controller.api.services import Present, Services
from rearguard_controller.errors import InvalidInputError, JournalError
from rearguard_controller.model import Alert

log = structlog.get_logger(__name__)

MOST_TOLD = 20  # alerts that were refused, of which the answer says why
UNSTORED_FOR = 60.0  # seconds: a service that stays not ready gets no delivery, and could never be ready again


@dataclass(slots=True)
class Receiver:
    """Answers deliveries."""

    services: Services
    unstored_at: float | None = field(default=None, init=False)
    room: Room = field(default_factory=lambda: Room(BODIES_AT_ONCE), init=False)

    def routes(self) -> tuple[Route, ...]:
        """The routes of this topic."""
        return (Route("POST", WEBHOOK_PATH, Role.SENDER, self.receive),)

    async def receive(self, request: web.Request) -> web.Response:
        """202 once all alerts of the body are on disk, without those whose time is out of bounds."""
        now = self.services.now()
        limits = now.configuration.limits
        with self.room.take((operator_of(request), party_of(request.remote or ""))) as held:
            body = await read(request, WEBHOOK_CAP, timeout=limits.body_timeout, body=held)
            held.is_whole = True
            refused: list[InvalidInputError] = []
            try:
                alerts = webhook_body.parse(body, refused)
                if refused and not alerts:
                    raise refused[0]
            except InvalidInputError as error:
                raise as_bad_request(error) from error
            if refused:
                log.warning("alerts_refused", alerts=len(refused), error=refused[0].message, hint=refused[0].hint)
            await self._store(now, alerts)
        if refused:
            shown: json_views.Accepted = {"accepted": len(alerts), "refused": _told(refused)}
            return answer(shown, status=HTTPStatus.ACCEPTED)
        return _accepted(len(alerts)).to(request)

    async def _store(self, now: Present, alerts: Sequence[Alert]) -> None:
        try:
            waiting = await self.services.journal.unjudged_count()
            if waiting + len(alerts) > now.configuration.limits.waiting_alerts:
                raise BusyError(
                    f"{waiting} alerts wait to be judged.",
                    hint="Deliver again later; limits.waiting_alerts is the bound.",
                )
            await now.intake.receive(alerts)
        except JournalError:
            self.unstored_at = self.services.clock()
            raise
        self.unstored_at = None

    def stores(self) -> bool:
        """Whether the last delivery could be stored; a failure `UNSTORED_FOR` seconds ago does not count."""
        return self.unstored_at is None or self.services.clock() - self.unstored_at >= UNSTORED_FOR


def _told(refused: Sequence[InvalidInputError]) -> list[json_views.Refused]:
    return [{"field": each.field or "", "message": each.message} for each in refused[:MOST_TOLD]]


@functools.lru_cache(maxsize=64)
def _accepted(alerts: int) -> ReadyResponse:
    shown: json_views.Accepted = {"accepted": alerts}
    return ReadyResponse(shown, HTTPStatus.ACCEPTED)
