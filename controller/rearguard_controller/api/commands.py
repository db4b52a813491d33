"""The routes that change something: trigger, approve, veto, abort, close, arm, disarm, releases.

Here: reading what an operator asks for, and handing it on with the operator's name, mostly to `People`. Whether it is
allowed is decided there.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from http import HTTPStatus

from aiohttp import web

from rearguard_controller import json_views
from rearguard_controller.api import bodies, dry_run, request_body
from rearguard_controller.api.answers import answer
from rearguard_controller.api.audit import arming
from rearguard_controller.api.auth import Role
from rearguard_controller.api.limits import Rate
from rearguard_controller.api.routing import Route, operator_of
from rearguard_controller.api.services import Services
from rearguard_controller.intake.by_hand import ManualAnswer, ManualRequest
from rearguard_controller.model import ReleasePhase, Said


@dataclass(frozen=True, slots=True)
class Commands:
    """Carries out what operators ask for."""

    services: Services
    rate: Rate = field(default_factory=Rate)

    def routes(self) -> tuple[Route, ...]:
        """The routes of this topic."""
        base = "/api/monitoring"
        return (
            Route("POST", f"{base}/rollback/trigger", Role.OPERATOR, self.trigger),
            Route("POST", f"{base}/rollback/{{id}}/approve", Role.OPERATOR, self.approve),
            Route("POST", f"{base}/rollback/{{id}}/veto", Role.OPERATOR, self.veto),
            Route("POST", f"{base}/rollback/{{id}}/abort", Role.OPERATOR, self.abort),
            Route("POST", f"{base}/rollback/{{id}}/close", Role.OPERATOR, self.close),
            Route("POST", f"{base}/targets/{{name}}/arm", Role.OPERATOR, self.arm),
            Route("POST", f"{base}/targets/{{name}}/disarm", Role.OPERATOR, self.disarm),
            Route("POST", f"{base}/disarm", Role.OPERATOR, self.disarm_all),
            Route("POST", f"{base}/targets/{{name}}/releases", Role.OPERATOR, self.release),
            Route("POST", f"{base}/targets/{{name}}/drill", Role.OPERATOR, self.drill),
            Route("POST", "/-/reload", Role.OPERATOR, self.reload),
        )

    async def trigger(self, request: web.Request) -> web.Response:
        """Ask for a rollback: 202 with its id, or 200 for a dry run and for a repeated request."""
        request_body.check_parameters(request, ())
        now = self.services.now()
        self.rate.take(operator_of(request), now.configuration.limits.triggers_per_minute)
        fields = await self._fields(request, bodies.TriggerRequest)
        asked = ManualRequest(
            target=fields.text("target"),
            reason=fields.text("reason"),
            to_version=fields.maybe_text("to_version"),
            force=fields.maybe_flag("force") or False,
            dry_run=fields.maybe_flag("dry_run") or False,
            operator=operator_of(request),
            idempotency_key=request.headers.get("Idempotency-Key"),
        )
        given = await now.people.trigger(asked)
        if asked.dry_run and given.decision is not None:
            return answer(await dry_run.shown(given.decision, given.plan))
        return answer(_triggered(given), status=HTTPStatus.OK if given.repeated else HTTPStatus.ACCEPTED)

    async def reload(self, request: web.Request) -> web.Response:
        """Read the configuration again: 200, or 422 with what is wrong, and the old one stays."""
        request_body.check_parameters(request, ())
        await self.services.reload()
        done = Said(operator_of(request), "").action("reload", "configuration", self.services.clock())
        await self.services.journal.change_target("", lambda state: state, action=done)  # of no target: the audit
        shown: json_views.Reloaded = {"reloaded": True}
        return answer(shown)

    async def approve(self, request: web.Request) -> web.Response:
        """Let a rollback that waits be begun, if a fresh judgement finds it right."""
        said = await self._said(request)
        rollback = await self.services.now().people.approve(request.match_info["id"], said)
        return answer(json_views.rollback(rollback))

    async def veto(self, request: web.Request) -> web.Response:
        """Close a rollback that waits; nothing is begun."""
        said = await self._said(request)
        rollback = await self.services.now().people.veto(request.match_info["id"], said)
        return answer(json_views.rollback(rollback))

    async def abort(self, request: web.Request) -> web.Response:
        """End a rollback early; what was begun is undone."""
        said = await self._said(request)
        rollback = await self.services.now().people.abort(request.match_info["id"], said)
        return answer(json_views.rollback(rollback))

    async def close(self, request: web.Request) -> web.Response:
        """Close a rollback that cannot finish."""
        said = await self._said(request)
        rollback = await self.services.now().people.close(request.match_info["id"], said)
        return answer(json_views.rollback(rollback))

    async def arm(self, request: web.Request) -> web.Response:
        """Allow automatic rollbacks of a target."""
        now = self.services.now()
        target = now.people.target(request.match_info["name"])
        state = await now.people.arm(target.name, await self._said(request))
        return answer(await arming(self.services, state))

    async def disarm(self, request: web.Request) -> web.Response:
        """Forbid automatic rollbacks of a target, for good or until a moment."""
        now = self.services.now()
        target = now.people.target(request.match_info["name"])
        said, until = await self._disarming(request)
        return answer(await arming(self.services, await now.people.disarm(target.name, said, until)))

    async def disarm_all(self, request: web.Request) -> web.Response:
        """Forbid automatic rollbacks of every target."""
        states = await self.services.now().people.disarm_all(*await self._disarming(request))
        shown: json_views.ArmingOfAll = {"targets": [await arming(self.services, state) for state in states]}
        return answer(shown)

    async def release(self, request: web.Request) -> web.Response:
        """Note what CI or a person says of a version."""
        now = self.services.now()
        target = now.people.target(request.match_info["name"])
        request_body.check_parameters(request, ())
        fields = await self._fields(request, bodies.Announcement)
        release = await now.people.announce(
            target.name,
            fields.text("version"),
            phase=fields.maybe_choice("phase", tuple(ReleasePhase)),
            barrier=fields.maybe_flag("barrier"),
            good=fields.maybe_flag("good"),
            operator=operator_of(request),
        )
        return answer(json_views.release(release))

    async def drill(self, request: web.Request) -> web.Response:
        """Walk the whole way back without touching what serves: 200 with what was found."""
        now = self.services.now()
        target = now.people.target(request.match_info["name"])
        request_body.check_parameters(request, ())
        fields = await self._fields(request, bodies.DrillRequest)
        reason = fields.maybe_text("reason") or "no reason given"
        return answer(json_views.drill(await now.drills.run(target, operator_of(request), reason)))

    async def _disarming(self, request: web.Request) -> tuple[Said, float | None]:
        request_body.check_parameters(request, ())
        fields = await self._fields(request, bodies.DisarmRequest)
        until = fields.maybe_moment("until")
        return Said(operator_of(request), fields.text("reason")), until

    async def _said(self, request: web.Request) -> Said:
        request_body.check_parameters(request, ())
        fields = await self._fields(request, bodies.WithReason)
        return Said(operator_of(request), fields.text("reason"))

    async def _fields(self, request: web.Request, body: type) -> request_body.Fields:
        limits = self.services.now().configuration.limits
        return await request_body.read_fields(request, tuple(body.__annotations__), timeout=limits.body_timeout)


def _triggered(given: ManualAnswer) -> json_views.Triggered:
    rollback = given.rollback
    return {
        "rollback_id": None if rollback is None else rollback.id,
        "decision_id": given.decision_id,
        "repeated": given.repeated,
        "rollback": None if rollback is None else json_views.rollback(rollback),
    }
