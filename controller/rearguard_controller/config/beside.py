"""Reading files beside the event loop, because a file on a mount that hangs may keep its reader for ever.

Here: one reading in a thread of its own, for so long. What is read, and how, stands in `named_files`.
"""

from __future__ import annotations

import asyncio
import errno
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TypeVar

from rearguard_controller.errors import ConfigError

PATIENCE = 2.0  # seconds for the files of one reading

T = TypeVar("T")

_hanging: set[Path] = set()  # files of which a reading has not come to an end; changed by the event loop only


async def beside(read: Callable[[], T], files: Iterable[Path]) -> T:
    """What `read` returns. It runs in a thread of its own: files on a mount that hangs cost this thread and no more.

    Args:
        read: reads the files; whatever it raises is raised here.
        files: what it reads, to notice that an earlier reading still hangs.

    Raises:
        ConfigError: it took longer than `PATIENCE`, or an earlier reading of one of the files still hangs.
    """
    named = tuple(files)
    for file in named:
        if file in _hanging:
            raise _hangs(file)
    loop = asyncio.get_running_loop()
    result: asyncio.Future[T] = loop.create_future()

    def run() -> None:
        try:
            value = read()
        except BaseException as error:  # noqa: BLE001 - raised again in the event loop
            settle: Callable[[], None] = partial(result.set_exception, error)
        else:
            settle = partial(result.set_result, value)
        with suppress(RuntimeError):  # the event loop has ended meanwhile
            loop.call_soon_threadsafe(_settle, result, named, settle)

    try:
        threading.Thread(target=run, daemon=True, name="named-files").start()
    except RuntimeError as error:  # no thread is to be had
        shortage = OSError(errno.EAGAIN, str(error))
        raise ConfigError(f"{named[0] if named else 'a file'} cannot be read: {error}") from shortage
    done, _ = await asyncio.wait([result], timeout=PATIENCE)
    if done:
        return result.result()
    _hanging.update(named)
    raise _hangs(named[0])


def _settle(result: asyncio.Future[T], files: tuple[Path, ...], settle: Callable[[], None]) -> None:
    _hanging.difference_update(files)
    if not result.done():
        settle()
        result.exception()  # looked at, so that nobody complains about an error that comes too late


def _hangs(file: Path) -> ConfigError:
    return ConfigError(
        f"{file} cannot be read: it took longer than {PATIENCE:g} s, and may still hang",
        hint="Is it on a mount whose server does not answer?",
    )
