"""Routes and exceptions of Django by ASGI: Django's request has the scope, and that has the measured request."""

from collections.abc import Mapping
from typing import Any

from rearguard_exporter.fault_barrier import quiet
from rearguard_exporter.frameworks.asgi_copies import MEASURED
from rearguard_exporter.frameworks.asgi_request import Request
from rearguard_exporter.frameworks.asgi_route import mount_of
from rearguard_exporter.frameworks.django import follow_django


@quiet
def watch_django() -> None:
    """Learn them of what Django serves from now on, if it is imported. May be repeated."""
    follow_django("scope", _note_route, _note_failure)


def _note_route(scope: Mapping[str, Any], route: str) -> None:
    request = scope.get(MEASURED)
    if isinstance(request, Request):
        request.route = mount_of(scope) + route


def _note_failure(scope: Mapping[str, Any], name: str) -> None:
    request = scope.get(MEASURED)
    if isinstance(request, Request):
        request.reported_error = name
