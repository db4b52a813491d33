"""Reports on the page: back-tests that people begin, and the drills of a target.

Here: the form, what runs, and the report in the page's frame or as a file. `report` draws it.
"""

from __future__ import annotations

from dataclasses import dataclass

from aiohttp import web
from markupsafe import Markup

from rearguard_controller import json_views
from rearguard_controller.api.bounded import shown_of
from rearguard_controller.errors import ConflictError, InvalidInputError, NotFoundError, sentences
from rearguard_controller.page import report
from rearguard_controller.page.acts import fields_of
from rearguard_controller.page.rendering import render
from rearguard_controller.page.site import HEADERS, VISITOR, Site, Topic
from rearguard_controller.wording import moment

SINCE = {"1d": "a day", "7d": "a week", "14d": "a fortnight", "30d": "thirty days"}


@dataclass(frozen=True, slots=True)
class Reports:
    """Shows reports."""

    site: Site

    def routes(self) -> Topic:
        """The routes of this topic."""
        return (
            ("GET", "/backtest", self.past),
            ("POST", "/backtest", self.judge),
            ("GET", "/backtest/report", self.file),
            ("GET", "/targets/{name}/drills", self.drills),
        )

    async def past(self, request: web.Request) -> web.Response:
        """The last back-test, and the form for another one."""
        self.site.reader(request)
        return self._past(request)

    def _past(self, request: web.Request, problem: str = "", status: int = 200) -> web.Response:
        last = self.site.services.past.last
        visitor = request[VISITOR]
        values = {
            "acts": visitor.acts,
            "form": self.site.access.form_token(visitor.key),
            "choices": SINCE,
            "problem": problem,
            "last": last,
            "began": None if last is None else moment(last.began),
            "ended": None if last is None else moment(last.ended),
            "report": report.main_of(last.report) if last is not None and last.report else Markup(),
        }
        live = "" if last is not None and last.ended is None else None
        return self.site.framed(request, "Back-test", render("backtest.html", values), live=live, status=status)

    async def judge(self, request: web.Request) -> web.StreamResponse:
        """Begin a back-test."""
        fields = await fields_of(self.site, request)
        visitor = self.site.actor(request)
        if not self.site.access.is_ours(request, visitor.key, fields.get("form", "")):
            return self._past(request, "This form belonged to another session. Send it again.", 403)
        since = fields.get("since", "")
        if since not in SINCE:
            raise InvalidInputError(f"since is one of {', '.join(SINCE)}.")
        try:
            self.site.services.past.judge(since, visitor.name)
        except ConflictError as error:
            return self._past(request, sentences(error), 409)
        return web.Response(status=303, headers={"Location": "/backtest", "Cache-Control": "no-store"})

    async def file(self, request: web.Request) -> web.Response:
        """The last report as one file."""
        self.site.reader(request)
        last = self.site.services.past.last
        if last is None or not last.report:
            raise NotFoundError("There is no report yet.", hint="Begin a back-test at /backtest.")
        disposition = {"Content-Disposition": 'attachment; filename="backtest.html"'}
        return web.Response(body=last.report, headers={**HEADERS, **disposition})

    async def drills(self, request: web.Request) -> web.Response:
        """The last drill of a target, beside those before it."""
        self.site.reader(request)
        target = self.site.services.now().people.target(request.match_info["name"])
        page = await self.site.services.journal.drills(target=target.name, limit=report.MOST_DRILLS)
        found, unreadable = shown_of(page, json_views.drill)
        main = report.drill(target.name, found) if found else Markup()
        values = {
            "name": target.name,
            "acts": request[VISITOR].acts,
            "report": main,
            "unreadable": unreadable.get("unreadable", []),
        }
        return self.site.framed(request, f"Drills of {target.name}", render("drills.html", values), live=target.name)
