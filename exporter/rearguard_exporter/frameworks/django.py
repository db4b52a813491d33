"""What Django tells of a request, by WSGI or ASGI: the route that it resolved, and the exception that it answered.

Every handler of Django resolves its requests by one method, which is wrapped once in a process: so it does not matter
what stands around a handler. Exceptions are told by Django's own signal. Django itself is never imported here.
"""

import functools
import sys
from collections.abc import Callable
from typing import Any

from rearguard_exporter.fault_barrier import report

Note = Callable[[Any, str], None]
"""Takes note of a text about the request whose environ or scope this is."""

_notes: dict[str, tuple[Note, Note]] = {}  # by the attribute of Django's request: of a route, of an exception's class


def follow_django(attribute: str, on_route: Note, on_failure: Note) -> None:
    """Tell routes and classes of exceptions of what Django serves from now on, if it is imported.

    `attribute` is where Django's request has what the server called the application with: `environ` or `scope`.
    """
    base = sys.modules.get("django.core.handlers.base")  # imported by whoever has an application of Django's
    if base is None:
        return
    if not _notes:
        base.BaseHandler.resolve_request = _told(base.BaseHandler.resolve_request)
        sys.modules["django.core.signals"].got_request_exception.connect(_failed)
    _notes[attribute] = on_route, on_failure


def _told(resolve: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(resolve)
    def resolved(handler: Any, request: Any) -> Any:
        match = resolve(handler, request)
        try:
            for attribute, (on_route, _) in _notes.items():
                if hasattr(request, attribute):
                    on_route(getattr(request, attribute), _template(match.route))
        except Exception:  # noqa: BLE001 - the wall between the exporter and the application
            report("Django's route")
        return match

    return resolved


@functools.lru_cache(maxsize=1024)  # the same text each time: its hash, by which it is counted, is known then
def _template(route: str) -> str:
    return f"/{route.removeprefix('/')}"


def _failed(request: Any = None, **_: Any) -> None:
    failure = sys.exception()
    if failure is None:
        return
    try:
        for attribute, (_route, on_failure) in _notes.items():
            if hasattr(request, attribute):
                on_failure(getattr(request, attribute), type(failure).__name__)
    except Exception:  # noqa: BLE001 - as above
        report("Django's failure")
