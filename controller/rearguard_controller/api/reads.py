"""The reading routes: dashboard, status, history, one rollback, decisions, the audit.

Here: records of the journal and what the last poll saw, as the views that users meet. Only `judgement` asks
Prometheus and the target; none changes anything.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, replace

from aiohttp import web

from rearguard_controller import json_views, wording
from rearguard_controller.api import audit, readable, request_body
from rearguard_controller.api.answers import answer
from rearguard_controller.api.auth import Role
from rearguard_controller.api.bounded import AlertRoom, shown_of
from rearguard_controller.api.routing import Route
from rearguard_controller.api.services import Figure, Present, Services
from rearguard_controller.model import (
    Alert,
    Health,
    KubernetesRelease,
    Outcome,
    Rollback,
    Target,
    TargetState,
    Verdict,
    is_subset,
)
from rearguard_controller.model.checks import READY_CHECKS

AT_ONCE = 50  # targets that status puts into words without a pause
RECENT = 10  # closed rollbacks in status
STALE_AFTER = 3  # polls without an answer from Prometheus after which its last answer counts no more


@dataclass(frozen=True, slots=True)
class Reads:
    """Answers questions."""

    services: Services

    def routes(self) -> tuple[Route, ...]:
        """The routes of this topic."""
        base = "/api/monitoring"
        return (
            Route("GET", f"{base}/dashboard", Role.VIEWER, self.dashboard),
            Route("GET", f"{base}/rollback/status", Role.VIEWER, self.status),
            Route("GET", f"{base}/rollback/history", Role.VIEWER, self.history),
            Route("GET", f"{base}/rollback/{{id}}", Role.VIEWER, self.rollback),
            Route("GET", f"{base}/decisions", Role.VIEWER, self.decisions),
            Route("GET", f"{base}/decisions/{{id}}", Role.VIEWER, self.decision),
            Route("GET", f"{base}/audit", Role.VIEWER, self.audit),
            Route("GET", f"{base}/targets/{{name}}/drills", Role.VIEWER, self.drills),
            Route("GET", f"{base}/targets/{{name}}/judgement", Role.VIEWER, self.judgement),
        )

    async def dashboard(self, request: web.Request) -> web.Response:
        """Every target: health, version, firing alerts, current figures."""
        request_body.check_parameters(request, ())
        now = self.services.now()
        room = AlertRoom()
        states = await self.services.journal.target_states()
        targets = [
            self._dashboard_of(now, target, states.get(target.name), room) for target in now.configuration.targets
        ]
        shown: json_views.Dashboard = {
            "status": max((each["health"] for each in targets), key=list(Health).index, default=Health.HEALTHY),
            "at": wording.moment(self.services.clock()),
            "prometheus_age_s": now.watcher.prometheus_age(),
            "targets": targets,
        }
        return answer(shown)

    async def status(self, request: web.Request) -> web.Response:
        """How things stand, and what happened last."""
        request_body.check_parameters(request, ())
        now = self.services.now()
        open_now = await self.services.journal.open_rollbacks()
        lost = await readable.lost_rollbacks(self.services)
        by_target = {rollback.target: rollback for rollback in open_now}
        room = AlertRoom()
        listed = now.configuration.targets
        known = await readable.remembered_of(self.services, [target.name for target in listed])
        targets: list[json_views.Target] = []
        for target in listed:
            if len(targets) % AT_ONCE == 0:
                await asyncio.sleep(0)  # everything else has its turn
            lost_now = lost.get(target.name)
            targets.append(
                await self.of_target(now, target, known[target.name], by_target.get(target.name), room, lost_now)
            )
        triggers, left_out = _active_triggers(now)
        recent = await self.services.journal.rollbacks(limit=RECENT + len(open_now))
        closed = tuple(rollback for rollback in recent.items if rollback.outcome is not None)
        told, unreadable = shown_of(replace(recent, items=closed[:RECENT]), json_views.rollback)
        shown: json_views.Status = {
            "state": json_views.worst([target["state"] for target in targets]),
            "at": wording.moment(self.services.clock()),
            "heartbeat": json_views.heartbeat(self.services.heartbeat_age()),
            "warnings": [*warnings_of(self.services, now), *readable.told(lost)],
            "targets": targets,
            "active_triggers": triggers,
            "open": [json_views.rollback(rollback) for rollback in open_now],
            "recent": told,
        }
        if unreadable:
            shown["unreadable"] = unreadable["unreadable"]
        if left_out:
            shown["active_triggers_left_out"] = left_out
        return answer(shown)

    async def history(self, request: web.Request) -> web.Response:
        """Rollbacks, newest first."""
        request_body.check_parameters(request, ("target", "outcome", "limit", "before"))
        with request_body.bad_request():
            page = await self.services.journal.rollbacks(
                target=request_body.parameter(request, "target"),
                outcome=request_body.choice(request, "outcome", Outcome),
                limit=request_body.limit(request),
                before=request_body.parameter(request, "before"),
            )
        found, unreadable = shown_of(page, json_views.rollback)
        shown: json_views.RollbackPage = {"rollbacks": found, **unreadable, "next": page.next}
        return answer(shown)

    async def rollback(self, request: web.Request) -> web.Response:
        """One rollback: every step with times and output, and its decision."""
        request_body.check_parameters(request, ())
        found = await self.services.journal.rollback(request.match_info["id"])
        decision = await readable.decision_of(self.services, found)
        done = await audit.of_rollback(self.services, found)
        shown: json_views.RollbackInFull = {
            **json_views.rollback(found, outputs=True),
            "decision": None if decision is None else json_views.decision(decision),
            "actions": done,
        }
        return answer(shown)

    async def decisions(self, request: web.Request) -> web.Response:
        """Decisions, newest first."""
        request_body.check_parameters(request, ("target", "verdict", "alert", "limit", "before"))
        with request_body.bad_request():
            page = await self.services.journal.decisions(
                target=request_body.parameter(request, "target"),
                verdict=request_body.choice(request, "verdict", Verdict),
                alert=request_body.parameter(request, "alert"),
                limit=request_body.limit(request),
                before=request_body.parameter(request, "before"),
            )
        found, unreadable = shown_of(page, json_views.decision)
        shown: json_views.DecisionPage = {"decisions": found, **unreadable, "next": page.next}
        return answer(shown)

    async def decision(self, request: web.Request) -> web.Response:
        """One decision with all its reasons."""
        request_body.check_parameters(request, ())
        return answer(json_views.decision(await self.services.journal.decision(request.match_info["id"])))

    async def audit(self, request: web.Request) -> web.Response:
        """What people did, newest first."""
        request_body.check_parameters(request, ("subject", "limit", "before"))
        with request_body.bad_request():
            page = await self.services.journal.audit(
                subject=request_body.parameter(request, "subject"),
                limit=request_body.limit(request),
                before=request_body.parameter(request, "before"),
            )
        shown: json_views.ActionPage = {"actions": [audit.action(each) for each in page.items], "next": page.next}
        return answer(shown)

    async def drills(self, request: web.Request) -> web.Response:
        """Drills of a target, newest first."""
        target = self.services.now().people.target(request.match_info["name"])
        request_body.check_parameters(request, ("limit", "before"))
        with request_body.bad_request():
            page = await self.services.journal.drills(
                target=target.name,
                limit=request_body.limit(request),
                before=request_body.parameter(request, "before"),
            )
        found, unreadable = shown_of(page, json_views.drill)
        shown: json_views.DrillPage = {"drills": found, **unreadable, "next": page.next}
        return answer(shown)

    async def judgement(self, request: web.Request) -> web.Response:
        """What would be decided now if the target's first trigger alert fired; nothing is recorded or done."""
        now = self.services.now()
        target = now.people.target(request.match_info["name"])
        request_body.check_parameters(request, ())
        return answer(json_views.as_if(await now.as_if.judge(target)))

    async def of_target(
        self,
        now: Present,
        target: Target,
        known: readable.Remembered,
        open_rollback: Rollback | None,
        room: AlertRoom,
        lost: str | None,
    ) -> json_views.Target:
        """How a target stands, as `status` shows it; `lost` is an open rollback of it that cannot be read."""
        firing, left_out = room.take(now.watcher.firing(target.name))
        return json_views.target(
            target,
            known.state,
            now=self.services.clock(),
            releases=known.releases,
            open_rollback=open_rollback,
            lost_rollback=lost,
            firing=firing,
            firing_left_out=left_out,
            checks={**dict.fromkeys(READY_CHECKS), **now.watcher.ready(target.name)},  # not looked: unknown
            not_ready=now.watcher.not_ready(target.name),
            armed_by=await audit.armed_by(self.services, known.state),
            last_drill=known.last_drill,
            figures=now.watcher.figures(target.name),
            traffic=now.watcher.traffic(target.name),
            logged=logged_of(self.services, target),
        )

    def _dashboard_of(
        self, now: Present, target: Target, state: TargetState | None, room: AlertRoom
    ) -> json_views.TargetHealth:
        firing = now.watcher.firing(target.name)
        fitting, left_out = room.take(firing)
        shown: json_views.TargetHealth = {
            "name": target.name,
            "environment": target.environment,
            "health": _health(now, target, firing),
            "serving_version": None if state is None else state.serving_version,
            "firing": [json_views.alert(alert) for alert in fitting],
            "figures": [_figure(figure) for figure in now.watcher.figures(target.name)],
        }
        if left_out:
            shown["firing_left_out"] = left_out
        return shown


def warnings_of(services: Services, now: Present) -> list[str]:
    """What is wrong with the controller itself, or with whom it listens to, in sentences."""
    return [*services.warnings.told(services.journal.fault()), *filter(None, [now.watcher.unmatched.said])]


def logged_of(services: Services, target: Target) -> list[str]:
    """What the log warned of lately about a target, or about its workload."""
    release = target.release
    also = (release.workload,) if isinstance(release, KubernetesRelease) else ()
    return services.logged.of(target.name, *also)


def _health(now: Present, target: Target, firing: Iterable[Alert]) -> Health:
    age = now.watcher.prometheus_age(target.name)
    if age is None or age > STALE_AFTER * now.configuration.prometheus.poll_interval:
        return Health.UNKNOWN
    alerts = tuple(firing)
    if any(_triggers(target, alert) for alert in alerts):
        return Health.UNHEALTHY
    return Health.DEGRADED if alerts else Health.HEALTHY


def _active_triggers(now: Present) -> tuple[list[json_views.ActiveTrigger], int]:
    """The alerts that fire and may trigger, as far as there is room for them, and how many are left out."""
    room, shown, left_out = AlertRoom(), list[json_views.ActiveTrigger](), 0
    for target in now.configuration.targets:
        fitting, beyond = room.take([each for each in now.watcher.firing(target.name) if _triggers(target, each)])
        shown += [{"target": target.name, **json_views.alert(each)} for each in fitting]
        left_out += beyond
    return shown, left_out


def _triggers(target: Target, alert: Alert) -> bool:
    return is_subset(target.policy.alerts, alert.labels)


def _figure(figure: Figure) -> json_views.Figure:
    return {
        "alert": figure.alert,
        "version": figure.version,
        "value": figure.value,
        "operator": figure.operator,
        "threshold": figure.threshold,
        "past": figure.past,
    }
