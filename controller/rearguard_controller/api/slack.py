"""`POST /integrations/slack`: people approve and veto by buttons in Slack, in the same way as by the routes for it.

Here: who pressed which button, by Slack's own signature and the operators that the configuration names. Slack wants
its answer within three seconds: what takes longer goes on afterwards. What became of it is told in the channel.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from functools import partial

import structlog
from aiohttp import web

from rearguard_controller import json_views
from rearguard_controller.adapters.notices import slack_buttons
from rearguard_controller.adapters.notices.slack_buttons import Press
from rearguard_controller.api import request_body
from rearguard_controller.api.answers import BadRequestError, BusyError, answer
from rearguard_controller.api.auth import UnauthenticatedError
from rearguard_controller.api.routing import Route
from rearguard_controller.api.services import Services
from rearguard_controller.config.beside import beside
from rearguard_controller.config.secret_files import read_token
from rearguard_controller.config.slack import SlackButtons
from rearguard_controller.errors import ConfigError, NotFoundError, RearguardError, sentences
from rearguard_controller.model import Said

log = structlog.get_logger(__name__)

PATH = "/integrations/slack"
SOON = 2.0  # seconds within which Slack is answered in any case
MOST_AT_ONCE = 20  # presses that are worked on; beyond, people press again


@dataclass(frozen=True, slots=True)
class Slack:
    """Takes presses of buttons."""

    services: Services
    working: set[asyncio.Task[None]] = field(default_factory=set)

    def routes(self) -> tuple[Route, ...]:
        """The one route, which has a signature instead of a token."""
        return (Route("POST", PATH, None, self.press),)

    async def press(self, request: web.Request) -> web.Response:
        """Do what a button says: 200 whatever becomes of it, which is told in the channel."""
        now = self.services.now()
        settings = now.configuration.slack
        if settings is None:
            raise NotFoundError("Buttons of Slack are not configured.", hint="Add slack: to the configuration.")
        body = await request_body.read(
            request, request_body.COMMAND_CAP, timeout=now.configuration.limits.body_timeout
        )
        await self._check(request, settings, body)
        press = slack_buttons.read(body)
        if press is None:
            raise BadRequestError("This tells of no button.", hint="It must be a form with one payload.")
        if press.approves is not None and len(self.working) < MOST_AT_ONCE:
            task = asyncio.create_task(self._act(press, settings), name="a button of Slack")
            self.working.add(task)
            task.add_done_callback(self.working.discard)
            await asyncio.wait([task], timeout=SOON)
        shown: json_views.Pressed = {"taken": True}
        return answer(shown)

    async def close(self) -> None:
        """End what is being done: whoever pressed sees in the channel that nothing came of it."""
        working = list(self.working)
        for task in working:
            task.cancel()
        await asyncio.gather(*working, return_exceptions=True)

    async def _check(self, request: web.Request, settings: SlackButtons, body: bytes) -> None:
        """See that Slack sent it.

        Raises:
            UnauthenticatedError: it did not, or long ago.
            BusyError: the secret cannot be read now.
        """
        file = settings.signing_secret_file
        try:
            secret = await beside(partial(read_token, file), [file])
        except ConfigError as error:
            log.error("slack_secret_unreadable", error=error.message, hint=error.hint)
            raise BusyError("The secret that Slack signs with cannot be read.", hint="The log says why.") from error
        genuine = slack_buttons.is_genuine(
            secret,
            request.headers.get("X-Slack-Request-Timestamp", ""),
            request.headers.get("X-Slack-Signature", ""),
            body,
            now=self.services.clock(),
        )
        if not genuine:
            raise UnauthenticatedError(
                "The signature is not Slack's, or older than five minutes.",
                hint="Is signing_secret_file the secret of this app, and is the clock right?",
            )

    async def _act(self, press: Press, settings: SlackButtons) -> None:
        name = settings.operators.get(press.user)
        if name is None:
            log.warning("slack_user_refused", user=press.user, rollback=press.rollback)
            text = f"You may not do this: {press.user} is not among slack.operators of Rearguard's configuration."
            await slack_buttons.tell(press, text, everybody=False)
            return
        people, verb = self.services.now().people, "approved" if press.approves else "vetoed"
        said = Said(name, f"by a button in Slack ({press.user})")
        try:
            await (people.approve if press.approves else people.veto)(press.rollback, said)
        except RearguardError as error:
            await slack_buttons.tell(press, f"Not {verb}: {sentences(error)}", everybody=False)
            return
        await slack_buttons.tell(press, f"{name} {verb} the rollback {press.rollback}.", everybody=True)
