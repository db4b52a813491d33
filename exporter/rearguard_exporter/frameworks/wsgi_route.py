"""What Flask and Django leave of a WSGI request: its route, and the exception behind an answer of 500.

Flask's route is read from the request that Werkzeug leaves in the environ, Django's from the request that its handler
makes. The exceptions are learned from their signals. Other applications leave no route: their requests are unmatched.
"""

import sys
from collections.abc import Mapping
from typing import Any

from rearguard_exporter.families import UNMATCHED
from rearguard_exporter.fault_barrier import quiet

_FAILURE = "rearguard_exporter.failure"  # in an environ: the class of the exception behind an answer of 500
_ROUTE = "rearguard_exporter.route"  # in an environ: the route that Django resolved


def route_of(environ: Mapping[str, Any]) -> str:
    """The template that Flask or Django matched, never the raw path."""
    request = environ.get("werkzeug.request")
    if request is not None:
        rule = getattr(request, "url_rule", None)
        route: str = UNMATCHED if rule is None else rule.rule
    else:
        route = environ.get(_ROUTE, UNMATCHED)
    return route


def failure_of(environ: Mapping[str, Any]) -> str:
    """The class of the exception that Flask or Django answered; empty if there was none."""
    failure: str = environ.get(_FAILURE, "")
    return failure


@quiet
def follow_django(app: Any) -> None:
    """Learn routes and exceptions of this application, if it is Django's handler."""
    module = sys.modules.get("django.core.handlers.wsgi")  # imported by whoever has such an application
    if module is None or not isinstance(app, module.WSGIHandler):
        return
    resolve = app.resolve_request

    def resolved(request: Any) -> Any:
        match = resolve(request)
        _note_route(request, match)
        return match

    # Not the request itself: environ and request would hold each other until the garbage collector comes.
    app.resolve_request = resolved
    signals = sys.modules["django.core.signals"]
    signals.got_request_exception.connect(_django_failed, dispatch_uid=_FAILURE)


@quiet
def _note_route(request: Any, match: Any) -> None:
    request.environ[_ROUTE] = f"/{match.route.removeprefix('/')}"


def _django_failed(request: Any = None, **_: Any) -> None:
    failure, environ = sys.exception(), getattr(request, "environ", None)  # a request by ASGI has none
    if isinstance(environ, dict) and failure is not None:
        environ[_FAILURE] = type(failure).__name__


@quiet
def follow_flask() -> None:
    """Learn exceptions of Flask's applications, if Flask is imported."""
    module = sys.modules.get("flask")
    if module is None:
        return
    module.got_request_exception.connect(_flask_failed)  # connected twice, it is called once


def _flask_failed(_: Any, exception: BaseException | None = None, **__: Any) -> None:
    module = sys.modules["flask"]
    if exception is not None and module.has_request_context():  # jobs may report theirs without a request
        module.request.environ[_FAILURE] = type(exception).__name__
