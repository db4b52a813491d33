"""Who may do what: tokens with roles, read from files.

Here: the three roles, the token files, the comparison in constant time, and the rule that a service without tokens
does not start where others reach it. Files are read again when they change, so that two tokens can be live while one
is replaced. A caller passes the text of the Authorization header and gets a principal or an error.
Tokens are never logged; only their digests are kept.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import hmac
import time
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum, unique
from functools import partial
from pathlib import Path

import structlog

from rearguard_controller.config import is_loopback
from rearguard_controller.config.beside import beside
from rearguard_controller.config.exposure import remarks_on_tokens
from rearguard_controller.config.secret_files import TOO_SHORT, FileMark, TokenLine, file_mark, read_token_lines
from rearguard_controller.errors import ConfigError, RearguardError

log = structlog.get_logger(__name__)

ANONYMOUS = "anonymous"
FRESH = 0.01  # seconds for which a look at the token files counts
LOOK_WITHIN = 1.0  # seconds for which a request waits for such a look; what was read last counts until it ends
_SHORTAGE = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN)


@unique
class Role(StrEnum):
    """What a token is for."""

    SENDER = "sender"  # delivers alerts, and nothing else
    VIEWER = "viewer"  # reads
    OPERATOR = "operator"  # triggers, aborts, arms; also reads


GRANTS: Mapping[Role, frozenset[Role]] = {
    Role.SENDER: frozenset({Role.SENDER}),
    Role.VIEWER: frozenset({Role.VIEWER}),
    Role.OPERATOR: frozenset({Role.OPERATOR, Role.VIEWER}),
}


class UnauthenticatedError(RearguardError):
    """No token, or one that nobody has given out."""


class ForbiddenError(RearguardError):
    """A valid token whose role does not cover the request."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks: the name before the colon in the token file, and what they may do."""

    name: str
    may: frozenset[Role]


ANYBODY = Principal(ANONYMOUS, frozenset(Role))


@dataclass(frozen=True, slots=True)
class _Entry:
    digest: bytes
    name: str
    role: Role


@dataclass(frozen=True, slots=True)
class _Read:
    """A token file as it was last read; `mark` tells whether it has changed since."""

    mark: FileMark | None
    entries: tuple[_Entry, ...]


class Gate:
    """Checks tokens against the files of each role."""

    def __init__(self, tokens: Mapping[str, str | Path]) -> None:
        """Read all token files once.

        Args:
            tokens: role name to file. Empty: everybody may do everything (see `require_protection`).

        Raises:
            RearguardError: a file cannot be read or holds a line that is no token.
        """
        self._files = _files(tokens)
        self._read = _read_all(self._files)
        self._looks: dict[Role, asyncio.Task[None]] = {}
        self._looked_at = float("-inf")
        self._unseen: set[Role] = set()  # roles whose file hangs, which the log has told

    async def use(self, tokens: Mapping[str, str | Path]) -> None:
        """Check against these files from now on (a reload). After an error the old files still count.

        Raises:
            RearguardError: a file cannot be read or holds a line that is no token.
        """
        files = _files(tokens)
        self._read = await beside(partial(_read_all, files), files.values()) if files else {}
        self._files, self._unseen = files, set()

    async def look(self) -> None:
        """Read the token files that changed, beside the event loop, so that `admit` goes by what they say now.

        While a file hangs, what was read last counts, and nobody waits for it again.
        """
        if not self._files:
            return
        now = time.monotonic()
        if not self._looks and now - self._looked_at < FRESH:
            return
        if not self._looks:
            self._looked_at = now
            self._looks = {role: asyncio.create_task(self._look(role)) for role in self._files}
        if self._looks and now - self._looked_at < LOOK_WITHIN:
            await asyncio.wait(self._looks.values(), timeout=LOOK_WITHIN)

    async def _look(self, role: Role) -> None:
        path, last = self._files[role], self._read[role]
        try:
            found = await beside(partial(_read_again, path, role, last), [path])
        except ConfigError as error:  # it hangs
            if role not in self._unseen:
                log.warning("token_file_not_seen", role=role.value, error=error.message, hint=error.hint)
            self._unseen.add(role)
        else:
            self._unseen.discard(role)
            if self._files.get(role) == path and self._read[role] is last:  # no reload in between
                self._read[role] = found
        finally:
            self._looks.pop(role, None)

    @property
    def admits_all(self) -> bool:
        """Whether there are no tokens, so that everybody may do everything."""
        return not self._files

    def admit(self, authorization: str | None, role: Role) -> Principal:
        """Who sent this Authorization header, if they may act in `role`.

        Raises:
            UnauthenticatedError: no bearer token, or an unknown one.
            ForbiddenError: the token is known, but not for this role.
        """
        if not self._files:
            return ANYBODY
        principal = self._identify(_bearer(authorization))
        if principal is None:
            hint = f"Use a token from the {role} file of the configuration."
            if self._identify(_bearer(authorization).partition(":")[2]) is not None:
                hint = "Send the token alone: in a line name:token of its file, that is what follows the colon."
            raise UnauthenticatedError("This token is not known here.", hint=hint)
        if role not in principal.may:
            roles = ", ".join(sorted(principal.may))
            raise ForbiddenError(
                f"The token of {principal.name} is for {roles}; this needs {role}.",
                hint=f"Use a token from the {role} file of the configuration.",
            )
        return principal

    def _identify(self, token: str) -> Principal | None:
        digest = _digest(token)
        name, may = "", frozenset[Role]()
        for role in self._files:
            for entry in self._read[role].entries:  # always all of them, so that the time betrays nothing
                if hmac.compare_digest(entry.digest, digest):
                    name, may = entry.name, may | GRANTS[entry.role]
        return Principal(name, may) if may else None


def read_tokens(path: Path, role: Role) -> tuple[_Entry, ...]:
    """Read a file of `name:token` lines or bare tokens (named after the role); `#` begins a comment line.

    Raises:
        RearguardError: it cannot be read, a line is no entry, or a token is too short; no message repeats a token.
    """
    lines = _lines(path, role)
    for line in lines:
        if len(line.token) < TOO_SHORT:
            raise RearguardError(
                f"The token in line {line.number} of the token file {path} has only {len(line.token)} characters.",
                hint=f"A token has at least {TOO_SHORT} characters, better 32: openssl rand -hex 16.",
            )
    return _entries(lines, role)


def _files(tokens: Mapping[str, str | Path]) -> dict[Role, Path]:
    return {Role(role): Path(path) for role, path in tokens.items()}


def _read_all(files: Mapping[Role, Path]) -> dict[Role, _Read]:
    return {role: _Read(file_mark(path), read_tokens(path, role)) for role, path in files.items()}


def _read_again(path: Path, role: Role, last: _Read) -> _Read:
    """The file as it is now. One that is gone or spoilt lets nobody in until it is back: its tokens are revoked.

    A want of descriptors or memory says nothing about the file: what was read last counts, and is tried again.
    """
    mark = file_mark(path)
    if mark == last.mark:
        return last
    try:
        lines = _lines(path, role)
    except RearguardError as error:
        log.warning("token_file_unreadable", role=role.value, file=str(path), error=error.message)
        system = None if error.__cause__ is None else error.__cause__.__cause__
        return last if isinstance(system, OSError) and system.errno in _SHORTAGE else _Read(mark, ())
    for problem in remarks_on_tokens(path):
        log.warning("secret_file_not_safe", role=role.value, problem=problem)
    return _Read(mark, _entries([line for line in lines if len(line.token) >= TOO_SHORT], role))


def _lines(path: Path, role: Role) -> list[TokenLine]:
    return read_token_lines(
        path, hint=f"Give tokens.{role} a file that this process may read, one name:token per line."
    )


def _entries(lines: list[TokenLine], role: Role) -> tuple[_Entry, ...]:
    return tuple(_Entry(_digest(line.token), role.value if line.name is None else line.name, role) for line in lines)


def require_protection(tokens: Mapping[str, str | Path], host: str, *, insecure: bool) -> None:
    """Refuse to start where anybody could roll back anything.

    Args:
        tokens: role name to file, as configured.
        host: the address to listen on.
        insecure: whether --insecure was given.

    Raises:
        RearguardError: no tokens, and not both --insecure and a loopback address.
    """
    if tokens:
        return
    if not insecure:
        raise RearguardError(
            "No tokens are configured, so anybody could roll back every target.",
            hint="Set tokens.sender, tokens.viewer and tokens.operator; to try things out on this machine alone, "
            "listen on 127.0.0.1 and start with --insecure.",
        )
    if not is_loopback(host):
        raise RearguardError(
            f"--insecure is for loopback addresses only, and {host or 'every address'} is not one.",
            hint="Listen on 127.0.0.1, or configure tokens.",
        )


def _bearer(authorization: str | None) -> str:
    scheme, _, token = (authorization or "").strip().partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise UnauthenticatedError(
            "This needs a token.", hint="Send it as the header `Authorization: Bearer <token>`."
        )
    return token.strip()


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
