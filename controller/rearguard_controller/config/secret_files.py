"""Files that hold secrets: an address, headers, tokens.

Here: reading them, and noticing that one has changed. Errors name the file and never show what it contains.
"""

from __future__ import annotations

import re
import stat
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from rearguard_controller.config.named_files import UnreadableFileError, lines_of, read_text
from rearguard_controller.errors import ConfigError, RearguardError

LONG_ENOUGH = 16  # characters of a token that nobody guesses
TOO_SHORT = 4  # a token with fewer is none: anybody finds it within minutes
HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_OTHER_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]{1,30}://[!-~]+")  # ASCII without blanks
_HOST = re.compile(r"[A-Za-z0-9._:-]{1,253}")


def host_of(url: str) -> str | None:
    """The host of an http or https address; None if the address cannot be used."""
    try:
        parts = urlsplit(url)
        host = parts.hostname
        usable = parts.scheme in ("http", "https") and parts.port != 0
    except ValueError:
        return None
    if not usable or host is None or not _HOST.fullmatch(host) or any(not " " < char < "\x7f" for char in url):
        return None
    return host


def read_address(file: Path) -> str:
    """The one http or https address that a file holds.

    Raises:
        ConfigError: it cannot be read, or contains something else.
    """
    url = _text(file, "address").strip()
    if host_of(url) is None:
        raise ConfigError(
            f"the address file {file} holds no http or https address",
            hint="It must hold one line that looks like https://host/path.",
        )
    return url


def read_receiver(file: Path) -> str:
    """The one address of a receiver of notices that a file holds, with any scheme.

    Raises:
        ConfigError: it cannot be read, or contains something else.
    """
    url = _text(file, "address").strip()
    if not url.startswith(("http://", "https://")) and _OTHER_ADDRESS.fullmatch(url):
        return url
    return read_address(file)


def read_token(file: Path) -> str:
    """The one token or key that a file holds.

    Raises:
        ConfigError: it cannot be read, or contains something else.
    """
    token = _text(file, "token").strip()
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise ConfigError(f"the token file {file} holds no token", hint="It must hold one line with the token alone.")
    return token


FileMark = tuple[int, int, int]


def file_mark(path: Path) -> FileMark | None:
    """Time, size and inode, of which one changes when a file is written or replaced; None if it cannot be seen."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


def exposed(file: Path) -> str:
    """Who else may use a file that holds secrets, as a sentence; empty: nobody, or it cannot be seen."""
    try:
        mode = file.stat().st_mode
    except (OSError, ValueError):
        return ""
    if mode & stat.S_IWOTH:
        return f"{file} is writable by others: whoever has an account here may put a secret of their own into it."
    return f"{file} is readable by others: every account here may use what is in it." if mode & stat.S_IROTH else ""


@dataclass(frozen=True, slots=True)
class TokenLine:
    """An entry of a token file; `name` is None where the token stands alone."""

    number: int
    name: str | None
    token: str


def read_token_lines(file: Path, *, hint: str) -> list[TokenLine]:
    """The entries of a file of `name:token` lines or tokens alone; empty lines and `#` comments are left out.

    Raises:
        RearguardError: it cannot be read, or a line is no entry; no message repeats a token.
    """
    try:
        text = read_text(file)
    except UnreadableFileError as error:
        raise RearguardError(f"The token file {file} cannot be read: {error}.", hint=hint) from error
    return token_lines(text, f"the token file {file}")


def token_lines(text: str, where: str) -> list[TokenLine]:
    """The entries of a text in the form of a token file, which came from `where`.

    Raises:
        RearguardError: a line is no entry; no message repeats a token.
    """
    entries = []
    for number, line in enumerate(lines_of(text), start=1):
        entry = line.strip(_BLANKS)
        if entry and not entry.startswith("#"):
            name, colon, token = (part.strip(_BLANKS) for part in entry.partition(":"))
            found = TokenLine(number, name, token) if colon else TokenLine(number, None, entry)
            if not _is_entry(found):
                raise RearguardError(
                    f"Line {number} of {where} holds no token.",
                    hint="Write name:token, or the token alone; a token has no spaces and no invisible characters.",
                )
            entries.append(found)
    return entries


_BLANKS = " \t"


def _is_entry(line: TokenLine) -> bool:
    """Whether name and token are such as people see them: a character that is not shown may hide a second entry."""
    is_name = line.name is None or (line.name != "" and line.name.isprintable())
    return is_name and line.token != "" and line.token.isprintable() and " " not in line.token


def read_headers(file: Path) -> dict[str, str]:
    """Headers of a file's lines `Name: value`; empty lines and those that begin with # are left out.

    Raises:
        ConfigError: it cannot be read, or a line is something else.
    """
    headers: dict[str, str] = {}
    for number, line in enumerate(lines_of(_text(file, "headers")), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        name, separator, value = (part.strip(_BLANKS) for part in line.partition(":"))
        if not separator or not HEADER_NAME.fullmatch(name) or not value.isprintable():
            raise ConfigError(
                f"line {number} of the headers file {file} is not `Name: value`", hint="Write one header on a line."
            )
        headers[name] = value
    return headers


def _text(file: Path, what: str) -> str:
    try:
        return read_text(file)
    except UnreadableFileError as error:
        raise ConfigError(
            f"the {what} file {file} cannot be read: {error}", hint="Make it a file that the controller may read."
        ) from error
