"""Login and logout. What a person typed before the session was over comes through the login unharmed."""

from __future__ import annotations

from dataclasses import dataclass

from aiohttp import web

from rearguard_controller.api import request_body
from rearguard_controller.api.auth import UnauthenticatedError
from rearguard_controller.api.events import stream
from rearguard_controller.errors import RearguardError
from rearguard_controller.page.acts import Acts, fields_of
from rearguard_controller.page.login_form import ask, key_of, own_path
from rearguard_controller.page.site import VISITOR, Site, Topic


@dataclass(frozen=True, slots=True)
class Logins:
    """Lets people in and out, and lets their pages follow the events."""

    site: Site
    acts: Acts

    def routes(self) -> Topic:
        """The routes of this topic."""
        return (
            ("GET", "/login", self.form),
            ("POST", "/login", self.log_in),
            ("POST", "/logout", self.log_out),
            ("GET", "/page/events", self.events),
        )

    async def form(self, request: web.Request) -> web.Response:
        """The form that asks for a token."""
        return ask(self.site, request, own_path(request.query.get("next", "/")), {})

    async def log_in(self, request: web.Request) -> web.StreamResponse:
        """Begin a session, and go on where the person was."""
        fields = await fields_of(self.site, request)
        then = own_path(fields.pop("next", "/"))
        key = key_of(request)
        token, form = fields.pop("token", "").strip(), fields.pop("form", "")
        if not self.site.access.is_ours(request, key, form):
            return ask(self.site, request, then, fields, problem="This form was too old. Send it again.", status=403)
        response = web.Response(status=303, headers={"Location": then, "Cache-Control": "no-store"})
        try:
            visitor = self.site.access.log_in(request, token, response)
        except RearguardError as error:
            problem = "This token is not known here." if isinstance(error, UnauthenticatedError) else error.message
            return ask(self.site, request, then, fields, problem=problem, status=401)
        if not fields:
            return response
        request[VISITOR] = visitor
        again = await self.acts.again(request, then, fields)
        again.cookies.update(response.cookies)
        return again

    async def log_out(self, request: web.Request) -> web.Response:
        """End the session."""
        fields = await fields_of(self.site, request)
        response = web.Response(status=303, headers={"Location": "/login", "Cache-Control": "no-store"})
        visitor = request.get(VISITOR)
        if visitor is not None and self.site.access.is_ours(request, visitor.key, fields.get("form", "")):
            self.site.access.log_out(request, response)
        return response

    async def events(self, request: web.Request) -> web.StreamResponse:
        """The same events as of the HTTP interface, for who has logged in to the page."""
        request_body.check_parameters(request, ())
        if request.get(VISITOR) is None:
            raise UnauthenticatedError("This needs a login.", hint="Log in to the page.")

        async def check() -> None:
            if await self.site.access.visitor(request) is None:
                raise UnauthenticatedError("The session is over.")

        return await stream(request, self.site.feed, check)
