"""Whether the caller of an ASGI application has left, as the server tells it.

Servers tell in up to four ways: `receive` gives a message of disconnection, the task is cancelled, `send` raises an
OSError, or the server has a mark of its own, which an application that never asks does not see.
"""

import asyncio
import sys
from collections.abc import Callable, Iterator, Mapping
from operator import attrgetter
from traceback import walk_tb
from types import FrameType
from typing import Any, Final

GONE: Final = "http.disconnect"
_MOST = 20  # exceptions behind one, or frames below one, that are looked at


def _is_last_in_queue(queue: Any) -> bool:
    return not queue.empty() and queue._queue[-1]["type"] == GONE  # noqa: SLF001 - there is no other mark


def _is_last_in_channel(channel: Any) -> bool:
    waiting = channel._state.data  # noqa: SLF001 - there is no other mark
    return bool(waiting) and waiting[-1]["type"] == GONE


# A mark is read from the object that `receive` is a method of: by the first part of its module, and its class.
_MARKS: Mapping[tuple[str, str], Callable[[Any], bool]] = {
    ("uvicorn", "RequestResponseCycle"): attrgetter("disconnected"),
    ("gunicorn", "BodyReceiver"): attrgetter("protocol._closed"),
    # Hypercorn and Daphne: what the application did not ask for yet waits here.
    ("asyncio", "Queue"): _is_last_in_queue,
    ("trio", "MemoryReceiveChannel"): _is_last_in_channel,
    ("granian", "ASGIHTTPProtocol"): lambda _: False,  # it tells by `receive` alone, and cancels nothing
}
_readers: dict[type, Callable[[Any], bool]] = {}


def has_left(receive: object) -> bool:
    """Whether the server of this `receive` has marked that its caller left. Asked before the end of an answer."""
    owner = getattr(receive, "__self__", None)
    reader = _readers.get(owner.__class__)
    if reader is None:
        kind = owner.__class__
        reader = _readers[kind] = _MARKS.get((kind.__module__.partition(".")[0], kind.__name__), _unmarked)
    try:
        return reader(owner)
    except Exception:  # noqa: BLE001 - another version of the server, which has no such mark
        _readers[owner.__class__] = _unmarked
        return False


def is_from_within(failure: BaseException, receive: object) -> bool:
    """Whether a task was cancelled although its caller stayed: by the application itself, or by a stopping server.

    False also where the server has no mark that could tell.
    """
    return isinstance(failure, asyncio.CancelledError) and not has_left(receive) and _is_marked(receive)


def _is_marked(receive: object) -> bool:
    return _readers.get(getattr(receive, "__self__", None).__class__, _unmarked) is not _unmarked


def _unmarked(_: object) -> bool:
    return False


def is_cancelled_by_server(failure: BaseException | None) -> bool:
    """Whether this is the cancellation of the task that serves, not that of another one that the handler awaited."""
    if isinstance(failure, asyncio.CancelledError):
        try:
            task = asyncio.current_task()
        except RuntimeError:  # ended by the garbage collector, beside any loop
            return True
        return task is None or task.cancelling() > 0
    if isinstance(failure, BaseExceptionGroup):  # of a nursery of trio's
        return all(is_cancelled_by_server(each) for each in failure.exceptions)
    # trio never lets a cancellation out of the scope that was cancelled.
    return type(failure).__name__ == "Cancelled" and type(failure).__module__.startswith("trio")


def tells_departure(failure: BaseException, send: Callable[..., Any]) -> bool:
    """Whether this exception comes of the caller's leaving, or of the server's stopping."""
    if is_cancelled_by_server(failure):
        return True
    # Since ASGI 2.4 servers say so by an OSError of `send`. Starlette raises its own exception instead, also for an
    # OSError of the application's stream.
    return any(is_of_lost_connection(each) and is_raised_in(each, send) for each in _behind(failure))


def is_of_lost_connection(failure: BaseException) -> bool:
    """Whether sending failed with this because the connection is gone: an OSError, or what uvloop raises instead."""
    if isinstance(failure, OSError):
        return True
    frames = [frame for frame, _ in walk_tb(failure.__traceback__)] if type(failure) is RuntimeError else []
    return bool(frames) and str(frames[-1].f_globals.get("__name__")).startswith("uvloop")


def origin(failure: BaseException) -> BaseException:
    """What an exception by which Starlette replaced an OSError of the application's own stands for."""
    behind = failure.__context__
    return behind if type(failure).__name__ == "ClientDisconnect" and isinstance(behind, OSError) else failure


def may_hide_failure() -> bool:
    """Whether Starlette's BaseHTTPMiddleware sends. It ends a broken stream in good order, and raises after that."""
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - nothing else tells who sends
    for _ in range(_MOST):
        if frame is None:
            break
        if frame.f_globals.get("__name__") == "starlette.middleware.base":
            return True
        frame = frame.f_back
    return False


def breaks_stream(failure: BaseException) -> bool:
    """Whether an exception that came after the answer is of the answer's stream, not of work in the background."""
    modules = {frame.f_globals.get("__name__") for frame, _ in walk_tb(failure.__traceback__)}
    return "starlette.responses" in modules and "starlette.background" not in modules


def is_raised_in(failure: BaseException, function: Callable[..., Any]) -> bool:
    """Whether this exception was raised in a call of this function."""
    # Daphne's is a partial; functions that are not written in Python have no code.
    code = getattr(getattr(function, "func", function), "__code__", None)
    return any(frame.f_code is code for frame, _ in walk_tb(failure.__traceback__))


def _behind(failure: BaseException) -> Iterator[BaseException]:
    """The exception, those in its groups, and those in whose handling it was raised."""
    waiting = [failure]
    for _ in range(_MOST):
        if not waiting:
            return
        each = waiting.pop()
        yield each
        if isinstance(each, BaseExceptionGroup):
            waiting.extend(each.exceptions)
        if each.__context__ is not None:
            waiting.append(each.__context__)
