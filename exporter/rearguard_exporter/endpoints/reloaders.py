"""Reloaders of development servers run a program twice: the parent, which only starts the child again, needs no port.

Both make their monitor. The parent comes first, and would keep the port from the process that serves.
Here: Werkzeug's reloader (Flask), and Django's.
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


_calls: list["weakref.WeakMethod[Callable[[], None]]"] = []
_followed: set[str] = set()


def call_before_reloader(end: Callable[[], None]) -> None:
    """Call this method, as long as its object lives, when the process becomes the parent of a reloader."""
    _calls[:] = [call for call in _calls if call() is not None] + [weakref.WeakMethod(end)]
    follow_reloaders()


@quiet
def follow_reloaders() -> None:
    """Follow the reloaders of what is imported by now, if there is anything to call."""
    for used, (module, owner) in _RELOADERS.items():
        if _calls and used in sys.modules and used not in _followed:
            _followed.add(used)
            found = importlib.import_module(module)
            _follow(found if owner is None else getattr(found, owner))


def _follow(owner: Any) -> None:
    restart = getattr(owner, _RESTART)

    @functools.wraps(restart)
    def restarted(*args: Any, **kwargs: Any) -> Any:
        for call in _calls:
            end = call()
            if end is not None:
                quiet(end)()
        return restart(*args, **kwargs)

    setattr(owner, _RESTART, restarted)
