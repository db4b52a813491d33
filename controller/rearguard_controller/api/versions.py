"""`GET …/targets/{name}/releases`: what is remembered of a target's versions, and how well the serving one does.

`rearguard releases` and `rearguard watch` read it.
"""

from __future__ import annotations

from dataclasses import dataclass

from aiohttp import web

from rearguard_controller import json_views
from rearguard_controller.api import readable, request_body
from rearguard_controller.api.answers import answer
from rearguard_controller.api.auth import Role
from rearguard_controller.api.routing import Route
from rearguard_controller.api.services import Services
from rearguard_controller.model import is_subset, observations


@dataclass(frozen=True, slots=True)
class Remembered:
    """Answers what is remembered of versions."""

    services: Services

    def routes(self) -> tuple[Route, ...]:
        """The routes of this topic."""
        return (Route("GET", "/api/monitoring/targets/{name}/releases", Role.VIEWER, self.releases),)

    async def releases(self, request: web.Request) -> web.Response:
        """The target's versions, newest first; one page, so that `next` is always null."""
        request_body.check_parameters(request, ("version", "limit"))
        with request_body.bad_request():
            version, most = request_body.parameter(request, "version"), request_body.limit(request)
        now = self.services.now()
        target = now.people.target(request.match_info["name"])
        state = await readable.state_of(self.services, target.name)
        known = await self.services.journal.releases(target.name)
        wanted = [each for each in known if version in (None, each.version)][:most]
        watcher = now.watcher
        triggers = [
            alert.name for alert in watcher.firing(target.name) if is_subset(target.policy.alerts, alert.labels)
        ]
        good = observations.last_known_good(known)
        most_gap = watcher.most_apart(target.name)
        shown: json_views.Releases = {
            **json_views.serving(state, self.services.clock(), most_gap=most_gap),
            "known_good_after_s": target.policy.known_good_after,
            "prometheus_age_s": watcher.prometheus_age(target.name),
            "checks": dict(watcher.ready(target.name)),
            "triggers": sorted(set(triggers)),
            "releases": [json_views.remembered(each, state, good) for each in wanted],
            "next": None,
        }
        return answer(shown)
