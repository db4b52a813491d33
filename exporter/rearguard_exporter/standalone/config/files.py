"""Files that the configuration names: read so that none of them stops the exporter, and followed by their marks."""

import os
import stat
from pathlib import Path

MOST = 4 * 1024 * 1024  # bytes of a configuration or of certificates
MOST_SECRET = 64 * 1024  # bytes of a file with one line
_OPEN = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC

Mark = tuple[int, int, int]


class UnreadableFileError(Exception):
    """A file cannot be used; the text says why, as the end of a sentence, and shows nothing of what is in it."""


def read_text(file: Path, most: int = MOST) -> str:
    """All of a UTF-8 file, without the mark that some editors write at its start. Never waits for a pipe or device.

    Raises:
        UnreadableFileError: it is not there, is no regular file, is too large, or is not UTF-8.
    """
    require_regular(file)
    try:
        descriptor = os.open(file, _OPEN)
        with os.fdopen(descriptor, "rb") as stream:
            content = stream.read(most + 1)
    except OSError as error:
        raise UnreadableFileError(error.strerror or type(error).__name__) from None
    if len(content) > most:
        raise UnreadableFileError(f"it is larger than {most // 1024} KiB")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UnreadableFileError("it is not UTF-8") from None


def read_line(file: Path) -> str:
    """The one line of a file, without white space around it.

    Raises:
        UnreadableFileError: as `read_text`, or it holds nothing or more than one line.
    """
    text = read_text(file, MOST_SECRET).strip()
    if not text or not text.isprintable():
        raise UnreadableFileError("it does not hold one line of text")
    return text


def require_regular(file: Path) -> None:
    """Refuse what would perhaps be waited for: a pipe, a device, a folder, a socket.

    Raises:
        UnreadableFileError: it is not there, or is no regular file.
    """
    try:
        mode = file.stat().st_mode
    except (OSError, ValueError) as error:
        raise UnreadableFileError(getattr(error, "strerror", None) or "this is no name of a file") from None
    if not stat.S_ISREG(mode):
        raise UnreadableFileError("it is no regular file")


def mark(file: Path) -> Mark | None:
    """Time, size and inode, of which one changes when a file is written or replaced; None if it cannot be seen."""
    try:
        status = file.stat()
    except (OSError, ValueError):
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


def is_exposed(file: Path) -> bool:
    """Whether every account here may read or write this file."""
    try:
        return bool(file.stat().st_mode & (stat.S_IROTH | stat.S_IWOTH))
    except (OSError, ValueError):
        return False
