"""Who asks Prometheus and whom it trusts, by the flags of `init` and `backtest`, which are named as the keys.

Here: what the flags mean. Secrets stand in files, never in a flag.
"""

from __future__ import annotations

import re
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path

from rearguard_controller.cli import first_files
from rearguard_controller.config.http_config import HttpConfig, TlsConfig
from rearguard_controller.errors import RearguardError, WrongUseError

_USER, _TOKEN = "--username and --password-file", "--token-file"
_FLAGS = (  # what a hint says of a configuration, and which flag says the same
    (r"prometheus\.basic_auth (?:with username and password_file|\(username, password_file\))", _USER),
    (r"prometheus\.authorization (?:with credentials_file|\(credentials_file\))", _TOKEN),
    (r"prometheus\.basic_auth", _USER),
    (r"prometheus\.(?:authorization|token_file)", _TOKEN),
    (r"prometheus\.tls_config\.ca_file", "--ca-file"),
    (r"\b(prometheus|alertmanager)\.url", r"--\1"),
)
NAMES = ("username", "token_file", "ca_file", "password_file")


def is_given(options: Namespace) -> bool:
    """Whether any of the flags is."""
    return any(getattr(options, name) is not None for name in NAMES)


def given(options: Namespace) -> HttpConfig:
    """What the flags say.

    Raises:
        WrongUseError: they contradict each other.
    """
    if (options.username is None) != (options.password_file is None):
        raise WrongUseError("A user and a password belong together.", hint="Give --username and --password-file.")
    if options.token_file is not None and options.username is not None:
        raise WrongUseError("Both a token and a user are given.", hint="Give --token-file, or --username.")
    tls = TlsConfig(None if options.ca_file is None else Path(options.ca_file).absolute())
    if options.username is not None:
        return HttpConfig(Path(options.password_file).absolute(), options.username, "Basic", "basic_auth", tls)
    return HttpConfig(None if options.token_file is None else Path(options.token_file).absolute(), tls=tls)


def by_flags(error: RearguardError) -> RearguardError:
    """The same fault, with a hint that names flags: no file is there whose keys could be set."""
    hint = error.hint
    for key, flag in _FLAGS:
        hint = re.sub(key, flag, hint)
    return type(error)(error.message, hint=hint)


def lines(options: Namespace) -> Iterator[str]:
    """The same, as keys of `prometheus` in a configuration."""

    def path(text: str) -> str:
        return first_files.value(str(Path(text).absolute()))

    if options.username is not None:
        user = first_files.value(options.username)
        yield f"basic_auth: {{username: {user}, password_file: {path(options.password_file)}}}"
    if options.token_file is not None:
        yield f"token_file: {path(options.token_file)}"
    if options.ca_file is not None:
        yield f"ca_file: {path(options.ca_file)}"
