"""What a request carries so that a source answers it: the headers that say who asks, and TLS.

Here: reading the files of secrets and certificates, at each use, so that a changed one counts at once.
"""

from __future__ import annotations

import base64
import ssl
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

from rearguard_controller.config.beside import beside
from rearguard_controller.config.http_config import HttpConfig, TlsConfig
from rearguard_controller.config.named_files import UnreadableFileError, read_text, require_regular
from rearguard_controller.config.secret_files import FileMark, file_mark
from rearguard_controller.errors import ConfigError, SourceError

T = TypeVar("T")


async def headers(http: HttpConfig, key: str) -> list[tuple[str, str]]:
    """The headers that a request carries, in order; a name may come twice. Files are read beside the event loop.

    Args:
        http: the settings.
        key: the part of the configuration that they stand in, for hints.

    Raises:
        SourceError: a file of a secret cannot be read.
    """
    files = [file for header in http.headers.values() for file in header.files]
    if http.secret_file is not None:
        files.append(http.secret_file)
    return await _beside(partial(_headers, http, key), files, key) if files else _headers(http, key)


def _headers(http: HttpConfig, key: str) -> list[tuple[str, str]]:
    found = [(name, value) for name, header in http.headers.items() for value in header.values]
    for name, header in http.headers.items():
        found += [(name, _secret(file, f"{key}.http_headers.{name}")) for file in header.files]
    if http.secret_file is not None:
        secret = _secret(http.secret_file, f"{key}.{http.said_by}")
        if http.username:
            secret = base64.b64encode(f"{http.username}:{secret}".encode()).decode()
        found.append(("Authorization", f"{http.scheme} {secret}"))
    return found


async def _beside(read: Callable[[], T], files: Sequence[Path], key: str) -> T:
    try:
        return await beside(read, files)
    except ConfigError as error:
        raise SourceError(f"a file of {key} cannot be used: {error.message}", hint=error.hint) from error


class _Made(NamedTuple):
    marks: tuple[FileMark | None, ...]
    context: ssl.SSLContext


class Tls:
    """The TLS context of a source, made anew when one of its files changed."""

    def __init__(self, config: TlsConfig, key: str) -> None:
        """Nothing is read yet; `key` is the part of the configuration, for hints."""
        self._config = config
        self._key = key
        self._made: _Made | None = None

    async def context(self) -> ssl.SSLContext | bool:
        """For aiohttp's `ssl`; True stands for the system's own certificates.

        Raises:
            SourceError: a file cannot be used.
        """
        config = self._config
        files = [file for file in (config.ca_file, config.cert_file, config.key_file) if file is not None]
        if not files:
            return True
        self._made = await _beside(partial(self._now, files, self._made), files, self._key)
        return self._made.context

    def _now(self, files: Sequence[Path], last: _Made | None) -> _Made:
        """The context that the files make now; the last one if none of them has changed."""
        marks = tuple(map(file_mark, files))
        return last if last is not None and marks == last.marks else _Made(marks, self._context())

    def _context(self) -> ssl.SSLContext:
        config = self._config
        for name in ("ca_file", "cert_file", "key_file"):
            file = getattr(config, name)
            if file is not None:
                try:
                    require_regular(file)  # OpenSSL would wait for the other end of a pipe
                except UnreadableFileError as error:
                    raise self._unusable(file, name, error) from None
        context = ssl.create_default_context()
        if config.ca_file is not None:
            try:
                context = ssl.create_default_context(cafile=str(config.ca_file))
            except OSError as error:  # also ssl.SSLError: not a certificate
                raise self._unusable(config.ca_file, "ca_file", error) from None
        if config.cert_file is not None:
            try:
                context.load_cert_chain(config.cert_file, config.key_file, password=_no_password)
            except (OSError, ValueError) as error:
                raise self._unusable(config.cert_file, "cert_file, with key_file,", error) from None
        return context

    def _unusable(self, file: Path, name: str, error: Exception) -> SourceError:
        why = getattr(error, "strerror", None) or error
        return SourceError(
            f"the certificates in {file} cannot be used: {why}",
            hint=f"{self._key}.tls_config.{name} must name a readable PEM file.",
        )


def _no_password() -> str:
    """OpenSSL asks for the password of an encrypted key here; it must not ask at a terminal."""
    raise ValueError("the key is encrypted")


def _secret(file: Path, key: str) -> str:
    try:
        secret = read_text(file).strip()
    except UnreadableFileError as error:
        what = "token file" if key.endswith("token_file") else "file"
        raise SourceError(
            f"the {what} {file} cannot be read: {error}",
            hint=f"Make the file of {key} readable for the controller.",
        ) from None
    if not secret.isprintable() or not secret:
        raise SourceError(f"the file {file} holds no single line of text", hint=f"See {key}: one line, and no more.")
    return secret
