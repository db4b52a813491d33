"""What operators do by the page: a form that asks for a reason, and the word that it becomes.

Here: the forms, their check, and the call of `People`. A rollback is shown as a dry run first. A form that was sent
after its session was over is shown again after the login, with everything that was typed.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple
from urllib.parse import parse_qsl, unquote

import structlog
from aiohttp import web

from rearguard_controller import json_views
from rearguard_controller.api import dry_run, request_body
from rearguard_controller.api.answers import MediaTypeError
from rearguard_controller.api.limits import Rate
from rearguard_controller.api.people import ManualRequest
from rearguard_controller.api.services import Present
from rearguard_controller.errors import ConflictError, InvalidInputError, NotFoundError, RearguardError
from rearguard_controller.model import Said
from rearguard_controller.page.access import Visitor
from rearguard_controller.page.login_form import ask
from rearguard_controller.page.rendering import render, segment
from rearguard_controller.page.site import VISITOR, Site, Topic

log = structlog.get_logger(__name__)

DRILL_SHOWN = 2.0  # seconds for which the page waits for a drill before it shows the target
LASTS: Mapping[str, float | None] = {"": None, "1h": 3600.0, "8h": 8 * 3600.0, "24h": 86400.0, "7d": 7 * 86400.0}
_FORM = "application/x-www-form-urlencoded"


class Act(NamedTuple):
    """One thing that an operator may do: its title, its button, and what it means."""

    title: str
    button: str
    meaning: str
    is_danger: bool = False


OF_TARGET: Mapping[str, Act] = {
    "trigger": Act(
        "Roll back {name}",
        "Show what would happen",
        "The next page shows the decision and every step. Nothing is begun.",
    ),
    "arm": Act("Arm {name}", "Arm it", "From then on the controller may roll this target back by itself."),
    "disarm": Act(
        "Disarm {name}", "Disarm it", "The controller still judges and tells, but rolls nothing back by itself."
    ),
    "drill": Act(
        "Drill {name}",
        "Drill it",
        "The whole way back is tried without touching what serves. This takes up to a minute and a half.",
    ),
}
OF_ROLLBACK: Mapping[str, Act] = {
    "approve": Act(
        "Approve {name}", "Approve the rollback", "It is judged once more, and begun if it is still right."
    ),
    "veto": Act("Veto {name}", "Veto the rollback", "It is closed. Nothing is begun.", is_danger=True),
    "abort": Act("Abort {name}", "Abort the rollback", "It ends early. What was begun is undone.", is_danger=True),
    "close": Act(
        "Close {name}",
        "Close it as it stands",
        "For a rollback that cannot finish. Nothing more is tried; look at the target yourself.",
        is_danger=True,
    ),
}
OF_ALL = Act(
    "Disarm every target",
    "Disarm them all",
    "Nothing is rolled back by itself until you arm targets again.",
    is_danger=True,
)


@dataclass(frozen=True, slots=True)
class Acts:
    """Shows forms and carries them out."""

    site: Site
    rate: Rate = field(default_factory=Rate)
    _drills: set[asyncio.Task[object]] = field(default_factory=set)

    def routes(self) -> Topic:
        """The routes of this topic."""
        target, rollback = (
            f"/targets/{{name}}/{{act:{'|'.join(OF_TARGET)}}}",
            f"/rollbacks/{{id}}/{{act:{'|'.join(OF_ROLLBACK)}}}",
        )
        return (
            ("GET", target, self.ask),
            ("POST", target, self.do),
            ("GET", rollback, self.ask),
            ("POST", rollback, self.do),
            ("GET", "/disarm", self.ask),
            ("POST", "/disarm", self.do),
        )

    async def ask(self, request: web.Request) -> web.Response:
        """The form."""
        self.site.actor(request)
        return await self._form(request, request.path, {})

    async def again(self, request: web.Request, path: str, fields: Mapping[str, str]) -> web.Response:
        """A form that was sent too late, after the login, with what was typed."""
        try:
            self.site.actor(request)
            problem = "Your session was over. Nothing was done; send it again."
            return await self._form(request, path, fields, problem=problem)
        except RearguardError as error:
            return self.site.refusal(request, error)

    async def do(self, request: web.Request) -> web.StreamResponse:
        """Carry a form out, and go on to what it led to."""
        fields = await fields_of(self.site, request)
        form = fields.pop("form", "")
        visitor = request.get(VISITOR)
        if visitor is None or not visitor.name:
            problem = "Your session is over. What you typed is kept."
            return ask(self.site, request, request.path, fields, problem=problem, status=401)
        self.site.actor(request)
        if not self.site.access.is_ours(request, visitor.key, form):
            problem = "This form belonged to another session. Nothing was done; send it again."
            return await self._form(request, request.path, fields, problem=problem, status=403)
        try:
            if not fields.get("reason", "").strip():
                problem = "Say why: everybody can read it later."
                return await self._form(request, request.path, fields, problem=problem, status=422)
            return await self._carried_out(request, visitor, fields)
        except (InvalidInputError, ConflictError) as error:
            status = 409 if isinstance(error, ConflictError) else 422
            told = " ".join(filter(None, (error.message, error.hint)))
            return await self._form(request, request.path, fields, problem=told, status=status)
        finally:
            self.site.forget()

    async def _carried_out(
        self, request: web.Request, visitor: Visitor, fields: Mapping[str, str]
    ) -> web.StreamResponse:
        now, act = self.site.services.now(), request.match_info.get("act", "")
        said = Said(visitor.name, _text(fields["reason"]))
        if "id" in request.match_info:
            name = request.match_info["id"]
            word: Callable[[str, Said], Awaitable[object]] = getattr(now.people, act)
            await word(name, said)
            return _to(f"/rollbacks/{segment(name)}")
        if "name" not in request.match_info:
            await now.people.disarm_all(said, self._until(fields))
            return _to("/")
        name = now.people.target(request.match_info["name"]).name
        if act == "trigger":
            return await self._trigger(request, now, name, said, fields)
        if act == "arm":
            await now.people.arm(name, said)
        elif act == "disarm":
            await now.people.disarm(name, said, self._until(fields))
        else:
            await self._drill(now, name, said)
        return _to(f"/targets/{segment(name)}")

    async def _trigger(
        self, request: web.Request, now: Present, name: str, said: Said, fields: Mapping[str, str]
    ) -> web.StreamResponse:
        is_dry = fields.get("step") != "go"
        asked = ManualRequest(
            target=name,
            reason=said.reason,
            to_version=_text(fields.get("to_version", "")) or None,
            force=fields.get("force") == "yes",
            dry_run=is_dry,
            operator=said.operator,
            idempotency_key=None if is_dry else fields.get("key") or None,
        )
        if not is_dry:
            self.rate.take(said.operator, now.configuration.limits.triggers_per_minute)
        given = await now.people.trigger(asked)
        if given.rollback is not None:
            return _to(f"/rollbacks/{segment(given.rollback.id)}")
        values = {
            "name": name,
            "decision": given.decision and json_views.decision(given.decision),
            "plan": [] if given.decision is None else (await dry_run.shown(given.decision, given.plan))["plan"],
            "fields": {**fields, "key": secrets.token_hex(16)},
            "form": self._token(request),
        }
        return self.site.framed(request, f"Roll back {name}?", render("plan.html", values))

    async def _drill(self, now: Present, name: str, said: Said) -> None:
        """Begin a drill; one that is refused at once says so. What it finds is in the journal, and on the page."""
        target = now.people.target(name)
        task: asyncio.Task[object] = asyncio.create_task(now.drills.run(target, said.operator, said.reason))
        self._drills.add(task)
        task.add_done_callback(partial(self._drilled, name))
        await asyncio.wait({task}, timeout=DRILL_SHOWN)
        if task.done():
            task.result()

    async def close(self, _app: web.Application) -> None:
        """End the drills that run: what they found so far is stored."""
        drills = list(self._drills)
        for task in drills:
            task.cancel()
        await asyncio.gather(*drills, return_exceptions=True)

    def _drilled(self, name: str, task: asyncio.Task[object]) -> None:
        self._drills.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            log.warning("drill_not_done", target=name, error=str(error))

    async def _form(
        self, request: web.Request, path: str, fields: Mapping[str, str], *, problem: str = "", status: int = 200
    ) -> web.Response:
        kind, name, act_name = _meant(path)
        act = OF_ALL if kind == "all" else (OF_TARGET if kind == "targets" else OF_ROLLBACK)[act_name]
        now = self.site.services.now()
        versions: list[str] = []
        if kind == "targets":
            now.people.target(name)
            versions = [each.version for each in await self.site.services.journal.releases(name)]
        elif kind == "rollbacks":
            await self.site.services.journal.rollback(name)
        values = {
            "act": act,
            "act_name": act_name,
            "title": act.title.format(name=name),
            "path": path,
            "back": "/" if kind == "all" else f"/{kind}/{segment(name)}",
            "fields": {"reason": "", "to_version": "", "force": "", "for": "", **fields},
            "versions": versions,
            "lasts": list(LASTS),
            "problem": problem,
            "form": self._token(request),
        }
        return self.site.framed(request, str(values["title"]), render("act.html", values), status=status)

    def _token(self, request: web.Request) -> str:
        return self.site.access.form_token(request[VISITOR].key)

    def _until(self, fields: Mapping[str, str]) -> float | None:
        lasts = LASTS.get(fields.get("for", ""))
        return None if lasts is None else self.site.services.clock() + lasts


def _meant(path: str) -> tuple[str, str, str]:
    """What a path of a form is about: targets, rollbacks or all; its name; and the act.

    Raises:
        NotFoundError: it is no path of a form.
    """
    parts = path.strip("/").split("/")
    if parts == ["disarm"]:
        return "all", "", "disarm"
    known = {"targets": OF_TARGET, "rollbacks": OF_ROLLBACK}
    kind, act = parts[0], parts[-1]
    if len(parts) < 3 or kind not in known or act not in known[kind]:  # noqa: PLR2004  # kind, name, act
        raise NotFoundError("There is no such form.")
    return kind, unquote("/".join(parts[1:-1])), act


def _text(value: str) -> str:
    value = value.strip()
    if len(value) > request_body.MOST_TEXT or "\0" in value:
        raise InvalidInputError(f"At most {request_body.MOST_TEXT} characters, and no NUL.")
    return value


def _to(path: str) -> web.Response:
    return web.Response(status=303, headers={"Location": path, "Cache-Control": "no-store"})


async def fields_of(site: Site, request: web.Request) -> dict[str, str]:
    """The fields of a form that was sent.

    Raises:
        RearguardError: it is no form, or too long, or too slow.
    """
    if request.content_type != _FORM:
        raise MediaTypeError("The body must be a form.", hint=f"Send the header `Content-Type: {_FORM}`.")
    timeout = site.services.now().configuration.limits.body_timeout
    body = await request_body.read(request, request_body.COMMAND_CAP, timeout=timeout)
    return dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=50))
