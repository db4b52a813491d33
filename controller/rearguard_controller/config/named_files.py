"""Files that the configuration names, read so that none of them can stop the controller.

Here: regular files only, up to a size, opened without waiting. `beside` reads them beside the event loop.
Never here: asyncio, which the command line does without.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

MOST = 64 * 1024  # bytes of a file that holds secrets
MOST_LONG = 4 * 1024 * 1024  # bytes of a configuration or of certificates
_OPEN = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")


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
