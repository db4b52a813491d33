"""The routes that change something: trigger, approve, veto, abort, close, arm, disarm, releases.

Here: reading what an operator asks for, and handing it to the part that does it, with the operator's name.
Never here: whether it is allowed by the state of things; that is theirs to say.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from http import HTTPStatus

from aiohttp import web

from rearguard_controller import json_views
from rearguard_controller.api import bodies, request_body
from rearguard_controller.api.answers import answer
from rearguard_controller.api.audit import arming
from rearguard_controller.api.auth import Role
from rearguard_controller.api.limits import Rate
from rearguard_controller.api.reads import find_target
from rearguard_controller.api.routing import Route, operator_of
from rearguard_controller.api.services import Services
from rearguard_controller.errors import InvalidInputError
from rearguard_controller.intake.by_hand import ManualAnswer, ManualRequest
from rearguard_controller.journal.store import OperatorAction, Said
from rearguard_controller.model import ReleasePhase
from rearguard_controller.model.versions import VERSION_HINT, is_version

MOST_KEY = 255  # characters of an Idempotency-Key


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
        self.rate.take(operator_of(request), self.services.configuration.limits.triggers_per_minute)
        fields = await self._fields(request, bodies.TriggerRequest)
        wanted = fields.maybe_text("to_version")
        asked = ManualRequest(
            target=fields.text("target"),
            reason=fields.text("reason"),
            to_version=None if wanted is None else _version(wanted, "to_version"),
            force=fields.maybe_flag("force") or False,
            dry_run=fields.maybe_flag("dry_run") or False,
            operator=operator_of(request),
            idempotency_key=_idempotency_key(request),
        )
        given = await self.services.intake.by_hand(asked)
        if asked.dry_run:
            return answer(_dry_run(given))
        return answer(_triggered(given), status=HTTPStatus.OK if given.repeated else HTTPStatus.ACCEPTED)

    async def reload(self, request: web.Request) -> web.Response:
        """Read the configuration again: 200, or 422 with what is wrong, and the old one stays."""
        request_body.check_parameters(request, ())
        await self.services.reload()
        done = OperatorAction(self.services.clock(), operator_of(request), "reload", "configuration", "")
        await self.services.journal.change_target(
            "", lambda state: state, action=done
        )  # of no target: the audit only
        shown: json_views.Reloaded = {"reloaded": True}
        return answer(shown)

    async def approve(self, request: web.Request) -> web.Response:
        """Let a rollback that waits be begun, if a fresh judgement finds it right."""
        reason = await self._reason(request)
        rollback = await self.services.runner.approve(request.match_info["id"], operator_of(request), reason)
        return answer(json_views.rollback(rollback))

    async def veto(self, request: web.Request) -> web.Response:
        """Close a rollback that waits; nothing is begun."""
        reason = await self._reason(request)
        rollback = await self.services.runner.veto(request.match_info["id"], operator_of(request), reason)
        return answer(json_views.rollback(rollback))

    async def abort(self, request: web.Request) -> web.Response:
        """End a rollback early; what was begun is undone."""
        reason = await self._reason(request)
        rollback = await self.services.runner.abort(request.match_info["id"], operator_of(request), reason)
        return answer(json_views.rollback(rollback))

    async def close(self, request: web.Request) -> web.Response:
        """Close a rollback that cannot finish."""
        reason = await self._reason(request)
        rollback = await self.services.runner.close(request.match_info["id"], operator_of(request), reason)
        return answer(json_views.rollback(rollback))

    async def arm(self, request: web.Request) -> web.Response:
        """Allow automatic rollbacks of a target."""
        target = find_target(self.services, request.match_info["name"])
        reason = await self._reason(request)
        state = await self.services.releases.arm(target.name, Said(operator_of(request), reason))
        return answer(await arming(self.services, state))

    async def disarm(self, request: web.Request) -> web.Response:
        """Forbid automatic rollbacks of a target, for good or until a moment."""
        target = find_target(self.services, request.match_info["name"])
        reason, until = await self._disarming(request)
        state = await self.services.releases.disarm(target.name, Said(operator_of(request), reason), until)
        return answer(await arming(self.services, state))

    async def disarm_all(self, request: web.Request) -> web.Response:
        """Forbid automatic rollbacks of every target."""
        reason, until = await self._disarming(request)
        operator = operator_of(request)
        states = [
            await self.services.releases.disarm(target.name, Said(operator, reason), until)
            for target in self.services.configuration.targets
        ]
        shown: json_views.ArmingOfAll = {"targets": [await arming(self.services, state) for state in states]}
        return answer(shown)

    async def release(self, request: web.Request) -> web.Response:
        """Note what CI or a person says of a version."""
        target = find_target(self.services, request.match_info["name"])
        request_body.check_parameters(request, ())
        fields = await self._fields(request, bodies.Announcement)
        release = await self.services.releases.announce(
            target.name,
            _version(fields.text("version"), "version"),
            phase=fields.maybe_choice("phase", tuple(ReleasePhase)),
            barrier=fields.maybe_flag("barrier"),
            good=fields.maybe_flag("good"),
            operator=operator_of(request),
        )
        return answer(json_views.release(release))

    async def drill(self, request: web.Request) -> web.Response:
        """Walk the whole way back without touching what serves: 200 with what was found."""
        target = find_target(self.services, request.match_info["name"])
        request_body.check_parameters(request, ())
        fields = await self._fields(request, bodies.DrillRequest)
        reason = fields.maybe_text("reason") or "no reason given"
        return answer(json_views.drill(await self.services.drills.run(target.name, operator_of(request), reason)))

    async def _disarming(self, request: web.Request) -> tuple[str, float | None]:
        request_body.check_parameters(request, ())
        fields = await self._fields(request, bodies.DisarmRequest)
        until = fields.maybe_moment("until")
        if until is not None and until <= self.services.clock():
            raise InvalidInputError("until must be in the future.", field="until")
        return fields.text("reason"), until

    async def _reason(self, request: web.Request) -> str:
        request_body.check_parameters(request, ())
        return (await self._fields(request, bodies.WithReason)).text("reason")

    async def _fields(self, request: web.Request, body: type) -> request_body.Fields:
        return await request_body.read_fields(
            request, tuple(body.__annotations__), timeout=self.services.configuration.limits.body_timeout
        )


def _version(text: str, field: str) -> str:
    """A version that can reach a command as an argument."""
    if not is_version(text):
        raise InvalidInputError(
            f"{field} is no version that a command can be given.",
            hint=VERSION_HINT,
            field=field,
        )
    return text


def _idempotency_key(request: web.Request) -> str | None:
    key = request.headers.get("Idempotency-Key")
    if key is None:
        return None
    if not 1 <= len(key) <= MOST_KEY or not key.isascii() or not key.isprintable():
        raise InvalidInputError(
            f"Idempotency-Key must have 1 to {MOST_KEY} printable ASCII characters.", field="Idempotency-Key"
        )
    return key


def _dry_run(given: ManualAnswer) -> json_views.DryRun:
    return {
        "dry_run": True,
        "decision": json_views.decision(given.decision),
        "plan": [json_views.step(step) for step in given.plan],
    }


def _triggered(given: ManualAnswer) -> json_views.Triggered:
    rollback = given.rollback
    return {
        "rollback_id": None if rollback is None else rollback.id,
        "decision_id": given.decision.id,
        "repeated": given.repeated,
        "rollback": None if rollback is None else json_views.rollback(rollback),
    }
