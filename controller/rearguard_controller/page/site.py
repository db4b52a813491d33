"""What all pages share: who asks, the frame around each, its headers, refusals as pages, what is kept for a moment.

Many pages follow one stream of events and ask for the same again at the same moment: it is rendered once for all of
them, and again after the next event.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.parse import urlencode

import structlog
from aiohttp import web
from markupsafe import Markup

from rearguard_controller.api import answers
from rearguard_controller.api.auth import ForbiddenError
from rearguard_controller.api.feed import Feed
from rearguard_controller.api.reads import Reads
from rearguard_controller.api.routing import PRINCIPAL
from rearguard_controller.api.services import Services
from rearguard_controller.errors import RearguardError
from rearguard_controller.page.access import Access, Visitor
from rearguard_controller.page.rendering import render

log = structlog.get_logger(__name__)

VISITOR = web.RequestKey("visitor", Visitor)
KEPT_FOR = 1.0  # seconds
MOST_KEPT = 200  # pages
HEADERS = {
    "Content-Type": "text/html; charset=utf-8",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self';"
    " connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
}

Handle = Callable[[web.Request], Awaitable[web.StreamResponse]]
Topic = tuple[tuple[str, str, Handle], ...]


@dataclass(frozen=True, slots=True)
class _Kept:
    """A page that is being made, or was: after which event, since when."""

    number: int
    began: float
    made: asyncio.Future[Markup]


@dataclass(slots=True)
class Site:
    """Frames, answers and refuses."""

    services: Services
    access: Access
    feed: Feed
    reads: Reads = field(init=False)
    _kept: dict[tuple[str, bool], _Kept] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.reads = Reads(self.services)

    def guarded(self, handle: Handle) -> Handle:
        """The handler behind the question who asks; its errors become pages."""

        async def answered(request: web.Request) -> web.StreamResponse:
            visitor = await self.access.visitor(request)
            if visitor is not None:
                request[VISITOR] = visitor
                request[PRINCIPAL] = visitor.principal
            try:
                return await handle(request)
            except web.HTTPFound as found:  # to the login
                return web.Response(
                    status=303, headers={"Location": str(found.location), "Cache-Control": "no-store"}
                )
            except Exception as error:  # noqa: BLE001  # `refusal` logs what is a defect
                return self.refusal(request, error)

        return answered

    def refusal(self, request: web.Request, error: Exception) -> web.Response:
        """An error as a page: what is wrong, and what to do."""
        told = answers.refuse(request, error)
        message, hint = "The controller failed to answer.", "Its log says why."
        if isinstance(error, RearguardError):
            message, hint = error.message, error.hint
        main = render("error.html", {"message": message, "hint": hint, "status": told.status})
        return self.framed(request, HTTPStatus(told.status).phrase, main, status=told.status)

    async def kept(self, request: web.Request, make: Callable[[], Awaitable[Markup]]) -> Markup:
        """What `make` gives for this address, or gave a moment ago and before anything happened.

        Who asks while it is being made waits for the same: of many pages that look at once, one is made.
        """
        key = (request.path_qs, request[VISITOR].acts)
        number, now = self.feed.number, time.monotonic()
        found = self._kept.get(key)
        if found is None or found.number != number or now - found.began >= KEPT_FOR:
            if len(self._kept) >= MOST_KEPT:
                self._kept.clear()
            found = self._kept[key] = _Kept(number, now, asyncio.ensure_future(make()))
            found.made.add_done_callback(lambda made: made.cancelled() or made.exception())  # told to whoever waits
        try:
            return await asyncio.shield(found.made)
        except BaseException:
            if self._kept.get(key) is found and found.made.done():
                del self._kept[key]
            raise

    def forget(self) -> None:
        """Something was changed: nothing that is kept is true any more."""
        self._kept.clear()

    def framed(
        self, request: web.Request, title: str, main: Markup, *, live: str | None = None, status: int = HTTPStatus.OK
    ) -> web.Response:
        """A whole page. `live`: it follows the events of this target, or with "" of all; None: of none."""
        visitor = request.get(VISITOR)
        values = {
            "title": title,
            "main": main,
            "live": live,
            "visitor": visitor,
            "form": "" if visitor is None else self.access.form_token(visitor.key),
            "path": request.path,
        }
        return web.Response(text=render("layout.html", values), status=status, headers=HEADERS)

    def reader(self, request: web.Request) -> Visitor:
        """Who reads.

        Raises:
            HTTPFound: to the login; from there back to this page.
        """
        visitor: Visitor | None = request.get(VISITOR)
        if visitor is None:
            raise web.HTTPFound(f"/login?{urlencode({'next': request.path_qs})}")
        return visitor

    def actor(self, request: web.Request) -> Visitor:
        """Who acts.

        Raises:
            HTTPFound: to the login, where nobody is known.
            ForbiddenError: they only read.
        """
        visitor = self.reader(request)
        if not visitor.acts:
            if not visitor.name:
                raise web.HTTPFound(f"/login?{urlencode({'next': request.path_qs})}")
            raise ForbiddenError(
                f"{visitor.name} may read; this is for operators.", hint="Log in with a token of an operator."
            )
        return visitor
