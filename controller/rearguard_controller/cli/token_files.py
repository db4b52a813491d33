"""Tokens for the command line: one in a file, or one that somebody typed.

Here: reading them, and saying which variable or option named what cannot be used.
"""

from __future__ import annotations

import os
from pathlib import Path

from rearguard_controller.config.named_files import UnreadableFileError, require_regular
from rearguard_controller.config.secret_files import TokenLine, read_token_lines, token_lines
from rearguard_controller.errors import RearguardError


def require_readable(file: Path, named_by: str) -> None:
    """Refuse a file that cannot be read; `named_by` is the variable or option that names it."""
    try:
        require_regular(file)
    except UnreadableFileError as error:
        raise RearguardError(f"The file {file} cannot be read: {error}.", hint=f"{named_by} names it.") from None
    if not os.access(file, os.R_OK):
        raise RearguardError(f"The file {file} cannot be read.", hint=f"{named_by} names it.")


def token_in(file: Path, named_by: str) -> str:
    """The token that a file holds; `named_by` is the variable or option that names it.

    Raises:
        RearguardError: it cannot be read, or holds none that can be sent.
    """
    hint = f"{named_by} names a file with one token, or one name:token line."
    return _first(read_token_lines(file, hint=hint), f"The token file {file}", "Write the token into it.")


def usable_token(text: str, where: str, hint: str) -> str:
    """The token in a text of the form that token files have; `where` the text came from, for what errors say.

    Raises:
        RearguardError: it holds none that can be sent.
    """
    return _first(token_lines(text, where), where[0].upper() + where[1:], hint)


def _first(lines: list[TokenLine], where: str, hint: str) -> str:
    if not lines:
        raise RearguardError(f"{where} holds no token.", hint=hint)
    token = lines[0].token
    if not token.isascii() or not token.isprintable() or not token:
        raise RearguardError(f"{where} holds no usable token.", hint="A token is plain ASCII.")
    return token
