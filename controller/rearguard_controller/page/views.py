"""The pages that are read: overview, target, rollback, decision, and the lists of rollbacks and decisions.

Here: what each is given. The nouns come as the views of the HTTP interface.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from urllib.parse import urlencode

from aiohttp import web
from markupsafe import Markup

from rearguard_controller import json_views, wording
from rearguard_controller.api import audit, readable, request_body
from rearguard_controller.api.bounded import AlertRoom, shown_of
from rearguard_controller.api.reads import warnings_of
from rearguard_controller.model import Outcome, Phase, Rollback, StepState, Verdict
from rearguard_controller.page import overview
from rearguard_controller.page.rendering import render
from rearguard_controller.page.site import VISITOR, Site, Topic
from rearguard_controller.page.timeline import TimeLines

RECENT = 8  # rollbacks and decisions on the page of a target
DRILLS = 4  # of which the newest that can be read is shown
LISTED = 50
MOST_RELEASES = 12


@dataclass(frozen=True, slots=True)
class Views:
    """Shows."""

    site: Site
    time_lines: TimeLines

    def routes(self) -> Topic:
        """The routes of this topic."""
        return (
            ("GET", "/", self.overview),
            ("GET", "/targets/{name}", self.target),
            ("GET", "/rollbacks", self.rollbacks),
            ("GET", "/rollbacks/{id}", self.rollback),
            ("GET", "/decisions", self.decisions),
            ("GET", "/decisions/{id}", self.decision),
        )

    async def overview(self, request: web.Request) -> web.Response:
        """How all targets stand."""
        self.site.reader(request)
        main = await self.site.kept(request, lambda: self._overview(request))
        return self.site.framed(request, "Overview", main, live="")

    async def _overview(self, request: web.Request) -> Markup:
        services, now = self.site.services, self.site.services.now()
        text, state = request.query.get("q", "").strip(), request.query.get("state", "")
        state = state if state in overview.STATES else ""
        rows = await overview.rows(services, now)
        found = overview.chosen(rows, text, state)
        pages = max(1, -(-len(found) // overview.SHOWN))
        page = min(_number(request.query.get("page", "")), pages)
        part = found[(page - 1) * overview.SHOWN : page * overview.SHOWN]
        recent = await services.journal.rollbacks(limit=RECENT)
        closed = tuple(each for each in recent.items if each.outcome is not None)
        told, unreadable = shown_of(replace(recent, items=closed), json_views.rollback)
        warnings = warnings_of(services, now)
        return render(
            "overview.html",
            {
                "acts": request[VISITOR].acts,
                "waiting": [self._under_way(row.rollback) for row in rows if row.rollback is not None],
                "left_off": [await overview.shown(services, now, each) for each in rows if _is_left_off(each)][:5],
                "targets": [await overview.shown(services, now, row) for row in part],
                "counts": {each: sum(each in row.words for row in rows) for each in overview.STATES},
                "total": len(rows),
                "found": len(found),
                "text": text,
                "state": state,
                "page": page,
                "pages": pages,
                "query": lambda number: urlencode({"q": text, "state": state, "page": number}),
                "recent": told,
                "damaged": unreadable.get("unreadable", []),
                "warnings": [*warnings, *readable.told(await readable.lost_rollbacks(services))],
                "heartbeat": json_views.heartbeat(services.heartbeat_age()),
                "prometheus_age": now.watcher.prometheus_age(),
            },
        )

    async def target(self, request: web.Request) -> web.Response:
        """One target."""
        self.site.reader(request)
        name = request.match_info["name"]
        main = await self.site.kept(request, lambda: self._target(request, name))
        return self.site.framed(request, name, main, live=name)

    async def _target(self, request: web.Request, name: str) -> Markup:
        services, now = self.site.services, self.site.services.now()
        target = now.people.target(name)
        opened = [each for each in await services.journal.open_rollbacks() if each.target == target.name]
        rollback = opened[0] if opened else None
        lost = {name: of for name, of in (await readable.lost_rollbacks(services)).items() if name == target.name}
        known = await readable.remembered(services, target.name)
        shown = await self.site.reads.of_target(now, target, known, rollback, AlertRoom(), lost.get(target.name))
        rollbacks = shown_of(await services.journal.rollbacks(target=target.name, limit=RECENT), json_views.rollback)
        decisions = shown_of(await services.journal.decisions(target=target.name, limit=RECENT), json_views.decision)
        drills = shown_of(await services.journal.drills(target=target.name, limit=DRILLS), json_views.drill)
        kinds = {"rollbacks": rollbacks, "decisions": decisions, "drills": drills}
        actions = await services.journal.operator_actions(subject=target.name, limit=RECENT)
        return render(
            "target.html",
            {
                "acts": request[VISITOR].acts,
                "target": shown,
                "line": await self.time_lines.of(now, target, request.query.get("over", "")),
                "firing": overview.firing(now, target),
                "figures": [overview.figure_told(each) for each in now.watcher.figures(target.name)],
                "under_way": None if rollback is None else self._under_way(rollback),
                "lost": readable.told(lost),
                "rollbacks": rollbacks[0],
                "decisions": decisions[0],
                "drill": next(iter(drills[0]), None),
                "unreadable": {kind: found[1].get("unreadable", []) for kind, found in kinds.items()},
                "releases": [json_views.release(each) for each in known.releases[:MOST_RELEASES]],
                "actions": [audit.action(each) for each in actions],
            },
        )

    async def rollback(self, request: web.Request) -> web.Response:
        """One rollback."""
        self.site.reader(request)
        found = await self.site.services.journal.rollback(request.match_info["id"])
        main = await self.site.kept(request, lambda: self._rollback(request, found))
        return self.site.framed(request, f"Rollback of {found.target}", main, live=found.target)

    async def _rollback(self, request: web.Request, found: Rollback) -> Markup:
        services, now = self.site.services, self.site.services.now()
        decision = await readable.decision_of(services, found)
        shown = None if decision is None else json_views.decision(decision)
        known = any(target.name == found.target for target in now.configuration.targets)
        return render(
            "rollback.html",
            {
                "acts": request[VISITOR].acts,
                "rollback": json_views.rollback(found, outputs=True),
                "under_way": None if found.outcome is not None else self._under_way(found),
                "decision": shown,
                "before": [] if shown is None else _evidence_of(shown),
                "pictures": await self.time_lines.of_rollback(now, found, decision),
                "actions": await audit.of_rollback(services, found),
                "known": known,
                "prometheus": self._prometheus(found.target),
            },
        )

    async def decision(self, request: web.Request) -> web.Response:
        """One decision."""
        self.site.reader(request)
        found = json_views.decision(await self.site.services.journal.decision(request.match_info["id"]))
        values = {"decision": found, "prometheus": self._prometheus(found["target"])}
        return self.site.framed(
            request, f"Decision about {found['target'] or 'no target'}", render("decision.html", values)
        )

    async def rollbacks(self, request: web.Request) -> web.Response:
        """All rollbacks, newest first."""
        self.site.reader(request)
        target, before = (request_body.parameter(request, name) for name in ("target", "before"))
        outcome = request_body.choice(request, "outcome", Outcome) if request.query.get("outcome") else None
        with request_body.bad_request():
            page = await self.site.services.journal.rollbacks(
                target=target, outcome=outcome, limit=LISTED, before=before
            )
        shown, unreadable = shown_of(page, json_views.rollback)
        query = {"target": target or "", "outcome": outcome or ""}
        values = {
            "rollbacks": shown,
            "unreadable": unreadable.get("unreadable", []),
            "query": query,
            "outcomes": list(Outcome),
            "newest": urlencode(query) if before else "",
            "next": None if page.next is None else urlencode({**query, "before": page.next}),
        }
        return self.site.framed(request, "Rollbacks", render("rollbacks.html", values))

    async def decisions(self, request: web.Request) -> web.Response:
        """All decisions, newest first."""
        self.site.reader(request)
        target, alert, before = (request_body.parameter(request, name) for name in ("target", "alert", "before"))
        verdict = request_body.choice(request, "verdict", Verdict) if request.query.get("verdict") else None
        with request_body.bad_request():
            page = await self.site.services.journal.decisions(
                target=target, verdict=verdict, alert=alert, limit=LISTED, before=before
            )
        shown, unreadable = shown_of(page, json_views.decision)
        query = {"target": target or "", "alert": alert or "", "verdict": verdict or ""}
        values = {
            "decisions": shown,
            "unreadable": unreadable.get("unreadable", []),
            "query": query,
            "verdicts": list(Verdict),
            "newest": urlencode(query) if before else "",
            "next": None if page.next is None else urlencode({**query, "before": page.next}),
        }
        return self.site.framed(request, "Decisions", render("decisions.html", values))

    def _prometheus(self, target: str | None) -> str:
        """Where browsers reach the Prometheus of a target."""
        configuration = self.site.services.now().configuration
        name = next((each.prometheus for each in configuration.targets if each.name == target), "")
        other = next((each for each in configuration.prometheus.others if each.name == name), None)
        if other is not None:
            return wording.address(other.urls[0])
        return wording.address(configuration.page.prometheus_url or configuration.prometheus.urls[0])

    def _under_way(self, rollback: Rollback) -> dict[str, object]:
        """What an open rollback does now, how long it may take, and what a person can do."""
        left = [step for step in rollback.steps if step.state in (StepState.PLANNED, StepState.STARTED)]
        step = next((each for each in left if each.state is StepState.STARTED), None)
        waits = rollback.phase is Phase.WAITING
        if rollback.stopping is not None:
            told = f"It ends as {rollback.stopping.value.replace('_', ' ')}; what was begun is undone."
        elif waits and rollback.needs_approval:
            told = "It waits for a person's approval."
        elif waits and rollback.approved:
            told = "It is approved, and judged once more before it begins."
        elif waits:
            told = "It begins by itself unless somebody vetoes it."
        elif step is not None:
            told = f"The step {step.name} runs."
        else:
            told = "The next step is about to begin."
        words = (["approve"] if waits and rollback.needs_approval else []) + (["veto"] if waits else ["abort"])
        return {
            **json_views.rollback(rollback),
            "told": told,
            "at_most": wording.span(sum(each.timeout for each in left)),
            "words": words if rollback.stopping is None else ["close"],
            "done": sum(each.state is StepState.DONE for each in rollback.steps),
            "of": len(rollback.steps),
        }


def _is_left_off(row: overview.Row) -> bool:
    return row.trouble is overview.Trouble.LEFT_OFF


def _evidence_of(decision: json_views.Decision) -> list[json_views.Evidence]:
    """What was read of Prometheus to confirm the alert: the figure as it was before."""
    return [each for each in decision["evidence"] if "alert_confirmed" in each["serves"]][:2]


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and 0 < len(text) < 6 and int(text) > 0 else 1  # noqa: PLR2004
