"""Who may do what: tokens with roles, read from files.

Here: the three roles, the token files (read again when they change, so that two tokens can be live while one is
replaced), the comparison in constant time, and the rule that a service without tokens does not start where others
reach it. A caller passes the text of the Authorization header and gets a principal or an error.
Tokens are never logged; only their digests are kept.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum, unique
from pathlib import Path

import structlog

from rearguard_controller.config import is_loopback
from rearguard_controller.config.secret_files import FileMark, file_mark, read_token_lines
from rearguard_controller.errors import RearguardError

log = structlog.stdlib.get_logger(__name__)

ANONYMOUS = "anonymous"


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
        self.use(tokens)

    def use(self, tokens: Mapping[str, str | Path]) -> None:
        """Check against these files from now on (a reload). After an error the old files still count.

        Raises:
            RearguardError: a file cannot be read or holds a line that is no token.
        """
        files = {Role(role): Path(path) for role, path in tokens.items()}
        self._read = {role: _Read(file_mark(path), read_tokens(path, role)) for role, path in files.items()}
        self._files, self._open = files, not files

    def admit(self, authorization: str | None, role: Role) -> Principal:
        """Who sent this Authorization header, if they may act in `role`.

        Raises:
            UnauthenticatedError: no bearer token, or an unknown one.
            ForbiddenError: the token is known, but not for this role.
        """
        if self._open:
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
            for entry in self._entries(role):  # always all of them, so that the time betrays nothing
                if hmac.compare_digest(entry.digest, digest):
                    name, may = entry.name, may | GRANTS[entry.role]
        return Principal(name, may) if may else None

    def _entries(self, role: Role) -> tuple[_Entry, ...]:
        path, last = self._files[role], self._read[role]
        mark = file_mark(path)
        if mark == last.mark:
            return last.entries
        try:
            entries = read_tokens(path, role)
        except RearguardError as error:  # a removed file revokes its tokens: the role lets nobody in until it is back
            log.warning("token_file_unreadable", role=role.value, file=str(path), error=error.message)
            entries = ()
        self._read[role] = _Read(mark, entries)
        return entries


def read_tokens(path: Path, role: Role) -> tuple[_Entry, ...]:
    """Read a file of `name:token` lines or bare tokens (named after the role); `#` begins a comment line.

    Raises:
        RearguardError: unreadable, not UTF-8, or a line without a token; no message repeats a token.
    """
    hint = f"Give tokens.{role} a file that this process may read, one name:token per line."
    entries = []
    for line in read_token_lines(path, hint=hint):
        name = role.value if line.name is None else line.name
        if not line.token or not name or any(character.isspace() for character in line.token):
            raise RearguardError(
                f"Line {line.number} of the token file {path} holds no token.",
                hint="Write name:token, or the token alone; a token has no spaces.",
            )
        entries.append(_Entry(_digest(line.token), name, role))
    return tuple(entries)


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
            "This needs a token.", hint="Send it as the header: Authorization: Bearer <token>."
        )
    return token.strip()


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
