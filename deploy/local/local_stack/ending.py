"""Ending on a signal: what was started is stopped, whatever the program was doing when the signal came.

Here: from a signal to `SystemExit`, once, and surely. Never here: what there is to stop.
"""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

_AGAIN = 0.05  # seconds until an end that was swallowed is asked for again


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Let SIGINT, SIGTERM and SIGHUP end the block, once: a second one does not disturb the stopping.

    Python drops what is raised inside a finalizer; an end that was dropped there is asked for again.
    """
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    asked: list[SystemExit] = []

    def leave(number: int, frame: FrameType | None) -> NoReturn:  # noqa: ARG001 - the signature is Python's
        for each in numbers:
            signal.signal(each, signal.SIG_IGN)
        asked.append(asked[0] if asked else SystemExit(128 + number))
        raise asked[0]

    def dropped(unraisable: "UnraisableHookArgs") -> None:
        if unraisable.exc_value in asked:
            signal.setitimer(signal.ITIMER_REAL, _AGAIN)
        else:
            former_hook(unraisable)

    former = {number: signal.signal(number, leave) for number in (*numbers, signal.SIGALRM)}
    former_hook, sys.unraisablehook = sys.unraisablehook, dropped
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        sys.unraisablehook = former_hook
        for number, handler in former.items():
            signal.signal(number, handler)
