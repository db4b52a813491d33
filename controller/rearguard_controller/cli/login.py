"""The commands login, logout and context: which controllers are known by name, and which of them is asked.

Here: reading the token, and asking the controller whether it is right before it is kept.
"""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

from rearguard_controller.cli import contexts, terminal
from rearguard_controller.cli.connection import named, tls_files
from rearguard_controller.cli.contexts import USUAL, Context, Contexts
from rearguard_controller.cli.token_files import token_in, usable_token
from rearguard_controller.client import Client, RemoteError
from rearguard_controller.config import is_loopback
from rearguard_controller.errors import NotFoundError, RearguardError
from rearguard_controller.wording import address

MOST_TYPED = 64 * 1024  # characters of standard input


def login(options: Namespace) -> int:
    """Keep address and token of a controller, if it takes the token; it is the one that is asked from now on."""
    name = options.context or USUAL
    file = contexts.place()
    contexts.read(file)  # complains before a token is typed
    tls = tls_files(os.environ, Context(options.url))
    files = [
        None if each is None else str(Path(each).absolute()) for each in (tls.ca_file, tls.cert_file, tls.key_file)
    ]
    Client(options.url, None, tls)  # complains about the address
    given = token_in(Path(options.token_file), "--token-file") if options.token_file else _typed()
    context = Context(options.url.rstrip("/"), given, *files)
    try:
        answer = Client(context.url, given, tls).status()
    except RemoteError as error:
        hint = error.hint
        if error.status in (401, 403):
            hint = "Nothing was kept. Give a token of this controller that is for viewers or operators."
        raise RemoteError(error.message, hint=hint, status=error.status) from None
    if "targets" not in answer:
        raise RearguardError(f"What answers at {address(context.url)} is no controller.", hint="Nothing was kept.")
    contexts.change(file, lambda kept: Contexts(name, {**kept.known, name: context}))
    terminal.line(f"Logged in to {address(context.url)} as context {name}, which is kept in {file}.")
    parts = urlsplit(context.url)
    if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        terminal.note("This address has no TLS: everybody on the way can read the token. Better: https://...")
    return 0


def logout(options: Namespace) -> int:
    """Forget a context with its token, or all of them."""
    file = contexts.place()
    kept = contexts.read(file)
    if options.all:
        contexts.change(file, lambda _: Contexts())
        terminal.line("Logged out everywhere.")
        return 0
    name = options.context or kept.current
    if name is None or name not in kept.known:
        what = "You are not logged in." if name is None else f"There is no context {name!r}."
        raise NotFoundError(what, hint="See: rearguard context")
    contexts.change(file, lambda found: _without(name, found))
    terminal.line(f"Logged out: context {name} is forgotten. The token still holds: the controller's files end it.")
    return 0


def context(options: Namespace) -> int:
    """List the contexts, or make one the current one."""
    file = contexts.place()
    if options.name is not None:
        named(options.name)
        contexts.change(file, lambda kept: replace(kept, current=options.name))
        terminal.line(f"Context {options.name} is asked from now on.")
        return 0
    kept = contexts.read(file)
    rows: list[dict[str, object]] = [
        {"name": name, "current": name == kept.current, "url": address(each.url), "token": each.token is not None}
        for name, each in sorted(kept.known.items())
    ]
    if not terminal.as_asked(options, {"contexts": rows}):
        terminal.table(("CONTEXT", "CURRENT", "ADDRESS", "TOKEN"), [[*row.values()] for row in rows])
    if os.environ.get("REARGUARD_URL"):
        terminal.note("REARGUARD_URL is set, and it wins over contexts.")
    return 0


def _without(name: str, kept: Contexts) -> Contexts:
    known = {other: context for other, context in kept.known.items() if other != name}
    return Contexts(None if kept.current == name else kept.current, known)


def _typed() -> str:
    """The token from standard input; on a terminal it is asked for, and not shown."""
    if sys.stdin is not None and sys.stdin.isatty():
        from getpass import getpass  # noqa: PLC0415  # terminals only

        text = getpass("Token: ")
    else:
        text = "" if sys.stdin is None else sys.stdin.read(MOST_TYPED)
    return usable_token(text, "standard input", "Write the token to it, or name its file: --token-file FILE")


COMMANDS: Mapping[str, Callable[[Namespace], int]] = {"login": login, "logout": logout, "context": context}
