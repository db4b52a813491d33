"""What frameworks leave or tell of a WSGI request: its route, and the exception behind an answer of 500.

Flask's route is read from the request that Werkzeug leaves in the environ, its exceptions come by a signal.
Bottle leaves its route in the environ. Django tells both (django), Falcon and Pyramid their routes (falcon, pyramid).
Other applications leave no route: their requests are unmatched.
"""

import sys
from collections.abc import Mapping
from typing import Any, Final

from rearguard_exporter.families import UNMATCHED
from rearguard_exporter.fault_barrier import quiet
from rearguard_exporter.frameworks.django import follow_django
from rearguard_exporter.frameworks.falcon import follow_falcon
from rearguard_exporter.frameworks.pyramid import follow_pyramid

NOTES: Final = "rearguard_exporter.notes"
"""In an environ: a dictionary of what was learned of the request. An environ that is copied shares it."""

MOST_MOUNTS: Final = 100
"""Mounts whose routes are told apart. Those of further ones begin with `/{mount}`: they may be made of raw paths."""

_FAILURE = "failure"  # in the notes: the class of the exception behind an answer of 500
_ROUTE = "route"  # in the notes: the route that Django, Falcon or Pyramid matched

_mounts: dict[str, str] = {}  # SCRIPT_NAME -> the prefix of its routes
_flask: Any = None  # the module, where it is imported before an application is measured


def route_of(environ: Mapping[str, Any]) -> str:
    """The template that the framework matched, below the mount that SCRIPT_NAME names; never the raw path."""
    request = environ.get("werkzeug.request")  # the one made last, which need not be Flask's
    rule = None if request is None else getattr(request, "url_rule", None)
    if rule is None:
        rule = environ.get("bottle.route")
    if rule is None:
        notes = environ[NOTES]
        return _noted_route(notes) if notes or _flask is not None else UNMATCHED
    mount = environ.get("SCRIPT_NAME")
    route: str = rule.rule
    return _below(mount, route) if mount else route


def failure_of(environ: Mapping[str, Any]) -> str:
    """The class of the exception that Flask or Django answered; empty if there was none."""
    failure: str = environ[NOTES].get(_FAILURE, "")
    return failure


def _noted_route(notes: Mapping[str, str]) -> str:
    """The route that Django resolved, or that of the request that Flask answers now, whatever environ it has."""
    if _ROUTE in notes:
        return notes[_ROUTE]
    if _flask is not None and _flask.has_request_context():
        request = _flask.request
        if request.url_rule is not None and request.environ.get(NOTES) is notes:
            return _below(request.environ.get("SCRIPT_NAME", ""), request.url_rule.rule)
    return UNMATCHED


def _below(mount: str, route: str) -> str:
    prefix = _mounts.get(mount)
    if prefix is None:
        if len(_mounts) >= MOST_MOUNTS:
            prefix = "/{mount}"
        else:
            text = mount.encode("latin-1", "replace").decode("utf-8", "replace")  # an environ has bytes as Latin-1
            prefix = _mounts[mount] = text.rstrip("/")
    return prefix + route


@quiet
def follow_frameworks(app: object) -> None:
    """Learn routes and exceptions of Django's applications, exceptions of Flask's, if they are imported.

    If this application is Falcon's or Pyramid's, learn its routes.
    """
    global _flask  # noqa: PLW0603 - one module
    follow_django("environ", _note_route, _note_failure)
    follow_falcon(app, _note_route)
    follow_pyramid(app, _note_route)
    _flask = sys.modules.get("flask")
    if _flask is not None:
        _flask.got_request_exception.connect(_flask_failed)  # connected twice, it is called once


def _note_route(environ: Mapping[str, Any], route: str) -> None:
    """Django, Falcon or Pyramid matched this."""
    notes, mount = environ.get(NOTES), environ.get("SCRIPT_NAME")
    if notes is not None:
        notes[_ROUTE] = _below(mount, route) if mount else route


def _flask_failed(_: Any, exception: BaseException | None = None, **__: Any) -> None:
    # Jobs may report theirs without a request.
    if _flask is not None and exception is not None and _flask.has_request_context():
        _note_failure(_flask.request.environ, type(exception).__name__)


def _note_failure(environ: Mapping[str, Any], name: str) -> None:
    notes = environ.get(NOTES)
    if notes is not None:
        notes[_FAILURE] = name
