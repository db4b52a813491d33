"""What Quart tells of a request by its own signals: the route that it matched, and the exception that it answered.

Quart itself is never imported here.
"""

import sys
from collections.abc import Callable
from typing import Any

from rearguard_exporter.fault_barrier import report

Note = Callable[[Any, str], None]
"""Takes note of a text about the request or socket whose scope this is."""

_notes: list[tuple[Note, Note]] = []  # of a route, of an exception's class


def follow_quart(on_route: Note, on_failure: Note) -> None:
    """Tell routes and classes of exceptions of what Quart serves from now on, if it is imported."""
    quart = sys.modules.get("quart")  # imported by whoever has such an application
    if quart is None or _notes:
        return
    _notes.append((on_route, on_failure))
    quart.request_started.connect(_matched)
    quart.websocket_started.connect(_matched)
    quart.got_request_exception.connect(_failed)


# Coroutines, because Quart calls functions in another thread.
async def _matched(_: Any, **__: Any) -> None:
    try:
        asked = _asked()
        if asked.url_rule is not None:
            for on_route, _on_failure in _notes:
                on_route(asked.scope, asked.url_rule.rule)
    except Exception:  # noqa: BLE001 - the wall between the exporter and the application
        report("Quart's route")


async def _failed(_: Any, exception: BaseException | None = None, **__: Any) -> None:
    try:
        for _on_route, on_failure in _notes:
            on_failure(_asked().scope, type(exception).__name__)
    except Exception:  # noqa: BLE001 - as above
        report("Quart's failure")


def _asked() -> Any:
    """Quart's request, or the handshake of its socket."""
    quart = sys.modules["quart"]
    return quart.request if quart.has_request_context() else quart.websocket
