"""Whether the secrets of a configuration are kept well: who else may read their files, and how short tokens are.

Here: sentences for `rearguard check` and the log. None of them keeps a controller from starting.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from rearguard_controller.config.configuration import Configuration
from rearguard_controller.config.http_config import HttpConfig
from rearguard_controller.config.secret_files import LONG_ENOUGH, TOO_SHORT, exposed, read_token_lines
from rearguard_controller.config.web import load_web
from rearguard_controller.errors import RearguardError
from rearguard_controller.model import HttpAction, Target

ADVICE = "Take it from them by `chmod o= FILE`, or `defaultMode: 0440` of a Kubernetes secret."


def remarks(configuration: Configuration) -> list[str]:
    """A sentence for each file of secrets that others may use, and for each short token. It reads the files."""
    tokens = tuple(configuration.tokens.values())
    others = dict.fromkeys(file for file in _secret_files(configuration) if file not in tokens)
    return [told for file in tokens for told in remarks_on_tokens(file)] + [
        told for file in others for told in _exposed(file)
    ]


def remarks_on_tokens(file: Path) -> list[str]:
    """The same for one token file; what keeps it from being read at all is told elsewhere."""
    return _exposed(file) + _short(file)


def _exposed(file: Path) -> list[str]:
    told = exposed(file)
    return [f"{told} {ADVICE}"] if told else []


def _short(file: Path) -> list[str]:
    try:
        lines = read_token_lines(file, hint="")
    except RearguardError:
        return []
    unused = [line.number for line in lines if len(line.token) < TOO_SHORT]
    short = [line.number for line in lines if TOO_SHORT <= len(line.token) < LONG_ENOUGH]
    told = [
        (unused, f"fewer than {TOO_SHORT} characters and is not used"),
        (short, f"fewer than {LONG_ENOUGH} characters and may be guessed"),
    ]
    return [
        f"A token of {file} (line {', '.join(map(str, numbers))}) has {what}: make one with openssl rand -hex 16."
        for numbers, what in told
        if numbers
    ]


def _secret_files(configuration: Configuration) -> Iterator[Path]:
    if configuration.tls_config_file is not None:
        with suppress(RearguardError):  # told where it is used
            yield load_web(configuration.tls_config_file).key_file
    yield from _of_source(configuration.prometheus.http)
    if configuration.alertmanager is not None:
        yield from _of_source(configuration.alertmanager.http)
    if configuration.slack is not None:
        yield configuration.slack.signing_secret_file
    for entry in configuration.notify:
        yield from (file for file in (entry.url_file, entry.headers_file, entry.token_file) if file is not None)
    yield from _of_hooks(configuration.targets)


def _of_source(http: HttpConfig) -> Iterator[Path]:
    yield from (file for file in (http.secret_file, http.tls.key_file) if file is not None)
    yield from (file for header in http.headers.values() for file in header.files)


def _of_hooks(targets: Sequence[Target]) -> Iterator[Path]:
    for target in targets:
        for hook in (*target.before, *target.after):
            for action in (hook.action, hook.undo, hook.check):
                if isinstance(action, HttpAction) and action.headers_file is not None:
                    yield Path(action.headers_file)
