"""What Django, Quart and Falcon tell by ASGI: their requests have the scope, and the scope has ours."""

from collections.abc import Mapping
from typing import Any

from rearguard_exporter.fault_barrier import quiet
from rearguard_exporter.frameworks.asgi_copies import MEASURED
from rearguard_exporter.frameworks.asgi_request import Request
from rearguard_exporter.frameworks.asgi_route import mount_of
from rearguard_exporter.frameworks.django import follow_django
from rearguard_exporter.frameworks.quart import follow_quart
from rearguard_exporter.traffic.request import MeasuredRequest


@quiet
def watch_frameworks() -> None:
    """Learn them of what Django and Quart serve from now on, if they are imported. May be repeated."""
    follow_django("scope", note_route, _note_failure)
    follow_quart(note_route, _note_failure)


def note_route(scope: Mapping[str, Any], route: str) -> None:
    """A framework matched this, below the mounts that the scope tells of."""
    request = scope.get(MEASURED)
    if isinstance(request, MeasuredRequest):
        request.route = mount_of(scope) + route


def _note_failure(scope: Mapping[str, Any], name: str) -> None:
    request = scope.get(MEASURED)
    if isinstance(request, Request):
        request.reported_error = name
