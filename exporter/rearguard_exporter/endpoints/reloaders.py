"""Servers and reloaders that run a program twice: the parent, which only starts the child, needs no port.

Both make their monitor. The parent comes first, and would keep the port from the process that serves.
Here: the reloaders of Werkzeug (Flask) and Django, and servers that a program starts (`uvicorn.run`, `fastapi dev`).
"""

import functools
import importlib
import sys
import weakref
from collections.abc import Callable
from typing import Any, Final

from rearguard_exporter.fault_barrier import quiet

# What tells that the library is used -> the module of the reloader, and what in it has `restart_with_reloader`,
# which only the parent calls.
_RELOADERS: Final = {
    "werkzeug.serving": ("werkzeug._reloader", "ReloaderLoop"),
    "django.utils.autoreload": ("django.utils.autoreload", None),
}
_RESTART: Final = "restart_with_reloader"
_SERVERS: Final = frozenset({"uvicorn", "hypercorn", "granian"})  # their children import the program once more


_calls: list["weakref.WeakMethod[Callable[[], None]]"] = []
_followed: set[str] = set()


def call_before_reloader(end: Callable[[], None]) -> None:
    """Call this method, as long as its object lives, when the process becomes the parent of one that serves."""
    _calls[:] = [call for call in _calls if call() is not None] + [weakref.WeakMethod(end)]
    follow_reloaders()


@quiet
def follow_reloaders() -> None:
    """Follow the reloaders of what is imported by now, if there is anything to call."""
    if _calls and "start" not in _followed:
        from multiprocessing.process import BaseProcess  # noqa: PLC0415 - slow to import, and only ports need it

        _followed.add("start")
        _follow(BaseProcess, "start", _is_server_of_program)
    for used, (module, owner) in _RELOADERS.items():
        if _calls and used in sys.modules and used not in _followed:
            _followed.add(used)
            found = importlib.import_module(module)
            _follow(found if owner is None else getattr(found, owner), _RESTART)


def _follow(owner: Any, name: str, is_meant: Callable[..., bool] = lambda *_, **__: True) -> None:
    function = getattr(owner, name)

    @functools.wraps(function)
    def followed(*args: Any, **kwargs: Any) -> Any:
        if is_meant(*args, **kwargs):
            for call in _calls:
                end = call()
                if end is not None:
                    quiet(end)()
        return function(*args, **kwargs)

    setattr(owner, name, followed)


def _is_server_of_program(process: Any) -> bool:
    """Whether this child will import the program, to serve its application."""
    module = getattr(getattr(process, "_target", None), "__module__", None)
    return str(module).partition(".")[0] in _SERVERS
