"""The page at `/`: what serves, what happened, why, and what a person can do; rendered here, readable without script.

Here: `add_to`, which adds the page to the application of the HTTP interface. `access` says who asks, `overview`,
`views` gather what is shown, `acts` carries out what people ask for, `reports` and `report` show
back-tests and drills, `rendering` turns it into HTML.
Never here: what a word of a person means; that is `api.people`.
"""

from __future__ import annotations

from aiohttp import web

from rearguard_controller.api.auth import Gate
from rearguard_controller.api.events import FEED
from rearguard_controller.api.services import Services
from rearguard_controller.page.access import Access
from rearguard_controller.page.acts import Acts
from rearguard_controller.page.logins import Logins
from rearguard_controller.page.reports import Reports
from rearguard_controller.page.site import Site
from rearguard_controller.page.static import add_files
from rearguard_controller.page.timeline import TimeLines
from rearguard_controller.page.views import Views

__all__ = ["add_to"]


def add_to(app: web.Application, services: Services, gate: Gate) -> None:
    """Add the page's routes to an application that `api.build` made."""
    site = Site(services, Access(services, gate), app[FEED])
    acts = Acts(site)
    for topic in (Views(site, TimeLines(services)), acts, Reports(site), Logins(site, acts)):
        for method, path, handle in topic.routes():
            app.router.add_route(method, path, site.guarded(handle))
    app.on_cleanup.append(acts.close)
    add_files(app)
