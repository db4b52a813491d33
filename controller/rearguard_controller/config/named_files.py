"""Files that the configuration names, read so that none of them can stop the controller.

Here: regular files only, up to a size, opened without waiting; and reading beside the event loop, because a file on a
mount that hangs may keep its reader for ever.
"""

from __future__ import annotations

import asyncio
import errno
import os
import stat
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TypeVar

from rearguard_controller.errors import ConfigError

MOST = 64 * 1024  # bytes of a file that holds secrets
MOST_LONG = 4 * 1024 * 1024  # bytes of a configuration or of certificates
PATIENCE = 2.0  # seconds for the files of one reading
_OPEN = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")

T = TypeVar("T")

_hanging: set[Path] = set()  # files of which a reading has not come to an end; changed by the event loop only


class UnreadableFileError(Exception):
    """A file cannot be used; the text says why, as the end of a sentence, and shows nothing of what is in it.

    Its cause is the system's error, if there was one.
    """


def read_bytes(file: Path, most: int = MOST) -> bytes:
    """All of a file. Never waits for the other end of a pipe, nor for a device.

    Raises:
        UnreadableFileError: it is not there, is no regular file, or holds more than `most` bytes.
    """
    try:
        require_regular(file)  # before it is opened: to open a device may do something
        descriptor = os.open(file, _OPEN)
        with os.fdopen(descriptor, "rb") as stream:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise UnreadableFileError(_NOT_REGULAR)
            content = stream.read(most + 1)
    except OSError as error:
        raise UnreadableFileError(error.strerror or type(error).__name__) from error
    except ValueError:  # a name with a NUL
        raise UnreadableFileError("this is no name of a file") from None
    if len(content) > most:
        raise UnreadableFileError(f"it is larger than {most // 1024} KiB")
    return content


def read_text(file: Path, most: int = MOST) -> str:
    """All of a UTF-8 file, without the mark that some editors write at its start.

    Raises:
        UnreadableFileError: as `read_bytes`, or it is not UTF-8.
    """
    content = read_bytes(file, most)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if content.startswith(_UTF_16):
            raise UnreadableFileError("it is UTF-16: save it as UTF-8") from None
        raise UnreadableFileError(f"byte {error.start} is not UTF-8: save it as UTF-8") from None


def require_regular(file: Path) -> None:
    """Refuse what another library would open and perhaps wait for: a pipe, a device, a folder, a socket.

    Raises:
        UnreadableFileError: it is not there, or is no regular file.
    """
    try:
        mode = file.stat().st_mode
    except (OSError, ValueError) as error:
        raise UnreadableFileError(getattr(error, "strerror", None) or "this is no name of a file") from error
    if not stat.S_ISREG(mode):
        raise UnreadableFileError(_NOT_REGULAR)


_NOT_REGULAR = "it is no regular file, and pipes, devices and folders are not read"


def lines_of(text: str) -> list[str]:
    r"""The lines of a text. A line ends with \n or \r\n, and with nothing else that Unicode calls a line end."""
    return [line.removesuffix("\r") for line in text.removeprefix("\ufeff").split("\n")]


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
