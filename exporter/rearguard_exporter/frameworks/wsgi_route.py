"""What Flask and Django leave of a WSGI request: its route, and the exception behind an answer of 500.

Flask's route is read from the request that Werkzeug leaves in the environ, Django's from the request that its handler
makes. The exceptions are learned from their signals. Other applications leave no route: their requests are unmatched.
"""

import sys
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, Final

from rearguard_exporter.families import UNMATCHED
from rearguard_exporter.fault_barrier import quiet, report

NOTES: Final = "rearguard_exporter.notes"
"""In an environ: a dictionary of what was learned of the request. An environ that is copied shares it."""

MOST_MOUNTS: Final = 100
"""Mounts whose routes are told apart. Those of further ones begin with `/{mount}`: they may be made of raw paths."""

_FAILURE = "failure"  # in the notes: the class of the exception behind an answer of 500
_ROUTE = "route"  # in the notes: the route that Django resolved
_DEPTH = 8  # wrappers that are looked through for Django's handler

_mounts: dict[str, str] = {}  # SCRIPT_NAME -> the prefix of its routes
_flask: Any = None  # the module, where it is imported before an application is measured


def route_of(environ: Mapping[str, Any]) -> str:
    """The template that Flask or Django matched, below the mount that SCRIPT_NAME names; never the raw path."""
    request = environ.get("werkzeug.request")  # the one made last, which need not be Flask's
    rule = None if request is None else getattr(request, "url_rule", None)
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
def follow_django(app: Any) -> None:
    """Learn routes and exceptions of this application, if it is Django's handler or has it inside."""
    module = sys.modules.get("django.core.handlers.wsgi")  # imported by whoever has such an application
    if module is None:
        return
    for handler in _inside(app, module.WSGIHandler):
        _follow(handler)


def _inside(app: Any, kind: type, depth: int = _DEPTH) -> Iterator[Any]:
    """Each object of this kind among what `app` wraps: its attributes, and the values of those that are mappings."""
    if isinstance(app, kind):
        yield app
    elif depth and callable(app):
        for value in list(getattr(app, "__dict__", {}).values()):
            for inner in value.values() if isinstance(value, dict) else (value,):
                yield from _inside(inner, kind, depth - 1)


def _follow(handler: Any) -> None:
    resolve = handler.resolve_request

    def resolved(request: Any) -> Any:
        match = resolve(request)
        try:
            environ = request.environ
            notes = environ.get(NOTES)
            if notes is not None:
                route, mount = _template(match.route), environ.get("SCRIPT_NAME")
                notes[_ROUTE] = _below(mount, route) if mount else route
        except Exception:  # noqa: BLE001 - the wall between the exporter and the application
            report("Django's route")
        return match

    # Not the request itself: environ and request would hold each other until the garbage collector comes.
    handler.resolve_request = resolved
    signals = sys.modules["django.core.signals"]
    signals.got_request_exception.connect(_django_failed, dispatch_uid=_FAILURE)


@lru_cache(maxsize=1024)  # the same text each time: its hash, by which it is counted, is known then
def _template(route: str) -> str:
    return f"/{route.removeprefix('/')}"


def _django_failed(request: Any = None, **_: Any) -> None:
    _note_failure(getattr(request, "environ", None), sys.exception())  # a request by ASGI has no environ


@quiet
def follow_flask() -> None:
    """Learn exceptions of Flask's applications, if Flask is imported."""
    global _flask  # noqa: PLW0603 - one module
    _flask = sys.modules.get("flask")
    if _flask is not None:
        _flask.got_request_exception.connect(_flask_failed)  # connected twice, it is called once


def _flask_failed(_: Any, exception: BaseException | None = None, **__: Any) -> None:
    if _flask is not None and _flask.has_request_context():  # jobs may report theirs without a request
        _note_failure(_flask.request.environ, exception)


def _note_failure(environ: Any, failure: BaseException | None) -> None:
    notes = environ.get(NOTES) if isinstance(environ, dict) else None
    if notes is not None and failure is not None:
        notes[_FAILURE] = type(failure).__name__
