"""Which controller a command asks: by the environment, else by the context that was named, else by the current one.

Here: the choice. A token of a context goes to no other address than the one that it was kept with.
"""

from __future__ import annotations

import os
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path

from rearguard_controller.cli import contexts
from rearguard_controller.cli.contexts import Context
from rearguard_controller.cli.token_files import require_readable, token_in
from rearguard_controller.client import DEFAULT_URL, PATIENCE, Client, ClientTls
from rearguard_controller.errors import NotFoundError, WrongUseError
from rearguard_controller.wording import meant, some

TLS_VARIABLES = ("REARGUARD_CA_FILE", "REARGUARD_CERT_FILE", "REARGUARD_KEY_FILE")


def connected(
    options: Namespace, environment: Mapping[str, str] = os.environ, *, patience: float = PATIENCE
) -> Client:
    """The controller that the options and the environment mean; `patience`: seconds that an answer may take.

    Raises:
        RearguardError: the address is not an HTTP address, a file cannot be read, or there is no such context.
    """
    name, url = options.context, environment.get("REARGUARD_URL")
    if name and url:
        raise WrongUseError(
            "REARGUARD_URL is set, and it wins over --context.", hint="Give one of them: unset REARGUARD_URL"
        )
    name, context = ("", Context(url)) if url else named(name, environment)
    file = environment.get("REARGUARD_TOKEN_FILE")
    return Client(
        context.url,
        token_in(Path(file), "REARGUARD_TOKEN_FILE") if file else context.token,
        tls_files(environment, context),
        context=name,
        patience=patience,
    )


def named(name: str | None, environment: Mapping[str, str] = os.environ) -> tuple[str, Context]:
    """The context of this name, or the current one, with its name; without any, the usual address and no name.

    Raises:
        RearguardError: there is no such context, or contexts cannot be read.
    """
    kept = contexts.read(contexts.place(environment))
    chosen = name or kept.current
    if chosen is None:
        return "", Context(DEFAULT_URL)
    if chosen not in kept.known:
        known = some(sorted(kept.known))
        raise NotFoundError(
            f"There is no context {chosen!r}.",
            hint=f"{meant(chosen, kept.known)}Known: {known}. Log in: rearguard login URL --context {chosen}",
        )
    return chosen, kept.known[chosen]


def tls_files(environment: Mapping[str, str], context: Context) -> ClientTls:
    """The files for HTTPS; those of the environment win.

    Raises:
        RearguardError: one of them cannot be read.
    """
    kept = (context.ca_file, context.cert_file, context.key_file)
    files = [environment.get(variable) or file for variable, file in zip(TLS_VARIABLES, kept, strict=True)]
    for variable, file in zip(TLS_VARIABLES, files, strict=True):
        if file is not None:
            require_readable(Path(file), variable)
    return ClientTls(*files)
