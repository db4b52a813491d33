"""TLS and mutual TLS of the server, as a web configuration file sets them.

Here: `ServerTls`, which reads the files again when they change, as Prometheus' exporters do, and keeps the last good
state while they cannot be used; and which names a client's certificate must carry. The form of the file is in
`config.web`.
"""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import structlog

from rearguard_controller.config import TlsSettings, load_web
from rearguard_controller.config.beside import beside
from rearguard_controller.config.named_files import UnreadableFileError, require_regular
from rearguard_controller.config.secret_files import FileMark, file_mark
from rearguard_controller.errors import ConfigError

log = structlog.get_logger(__name__)

LOOK_EVERY = 0.5  # seconds between two looks at the files


@dataclass(frozen=True, slots=True)
class _Loaded:
    """The files as they were last read; `marks` tells whether one has changed since."""

    settings: TlsSettings
    context: ssl.SSLContext
    marks: Mapping[Path, FileMark | None]


class ServerTls(ssl.SSLContext):
    """A server's context that follows its files while `follow` runs.

    asyncio has a context wrap each connection; this one lets the present context do it. Open connections keep the
    certificates they began with.
    """

    _path: Path
    _loaded: _Loaded

    def __new__(cls, path: Path) -> Self:
        """Read the web configuration file and what it names.

        Raises:
            ConfigError: something cannot be read or used.
        """
        made = super().__new__(cls, ssl.PROTOCOL_TLS_SERVER)
        made._path = path
        made._loaded = _load(path)
        return made

    def __init__(self, path: Path) -> None:  # the base class takes what __new__ took
        del path

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        """Wrap one connection with the present certificates."""
        return self._loaded.context.wrap_bio(incoming, outgoing, server_side, server_hostname, session)

    def admits(self, certificate: Mapping[str, object] | None) -> bool:
        """Whether a client with this certificate, in the form of `getpeercert`, is let in.

        TLS has verified the certificate before. True if no names are configured, or if the client shows no
        certificate and needs none.
        """
        settings = self._loaded.settings
        if not settings.client_sans or settings.client_auth is ssl.CERT_NONE:
            return True
        if not certificate:
            return settings.client_auth is ssl.CERT_OPTIONAL
        wanted = {_plain(name) for name in settings.client_sans}
        return any(_plain(name) in wanted for name in _names(certificate))

    async def follow(self) -> None:
        """Take over files that change, for ever; looks at them every `LOOK_EVERY` seconds, beside the event loop."""
        told = ""
        while True:
            await asyncio.sleep(LOOK_EVERY)
            try:
                found = await beside(self._changed, self._loaded.marks)
            except ConfigError as error:  # half-written files are usual while certificates are replaced
                if error.message != told:
                    log.error("tls_files_unusable", file=str(self._path), error=error.message, hint=error.hint)
                told = error.message
                continue
            if found is not None:
                self._loaded = found
                log.info("tls_files_read_again", file=str(self._path))
            told = ""

    def _changed(self) -> _Loaded | None:
        """The files as they are now; None if nothing has changed."""
        marks = self._loaded.marks
        return None if {path: file_mark(path) for path in marks} == marks else _load(self._path)


def _load(path: Path) -> _Loaded:
    mark = file_mark(path)  # before reading: what changes meanwhile is read again
    settings = load_web(path)
    marks = {path: mark, **{file: file_mark(file) for file in files_of(settings)}}
    return _Loaded(settings, _context(settings), marks)


def _context(settings: TlsSettings) -> ssl.SSLContext:
    for file, key in files_of(settings).items():
        try:
            require_regular(file)  # OpenSSL would wait for the other end of a pipe
        except UnreadableFileError as error:
            raise _unusable(str(file), str(error), key) from None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version, context.maximum_version = settings.min_version, settings.max_version
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    if settings.prefer_server_ciphers:
        context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE
    else:
        context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    if settings.ciphers:
        context.set_ciphers(":".join(settings.ciphers))
    try:
        # a key that wants a password would stop the process and ask for it on its terminal
        context.load_cert_chain(settings.cert_file, settings.key_file, password=lambda: "")
    except (OSError, ValueError) as error:
        files = f"{settings.cert_file} and {settings.key_file}"
        raise _unusable(files, _reason(error), "cert_file and key_file") from None
    if settings.client_ca_file is not None:
        try:
            context.load_verify_locations(cafile=settings.client_ca_file)
        except (OSError, ValueError) as error:
            raise _unusable(str(settings.client_ca_file), _reason(error), "client_ca_file") from None
    context.verify_mode = settings.client_auth
    return context


def files_of(settings: TlsSettings) -> dict[Path, str]:
    """The files with certificates and keys, each with its key of the web configuration."""
    files = {settings.cert_file: "cert_file", settings.key_file: "key_file"}
    return files if settings.client_ca_file is None else {**files, settings.client_ca_file: "client_ca_file"}


def _reason(error: Exception) -> str:
    return str(getattr(error, "reason", None) or getattr(error, "strerror", None) or type(error).__name__)


def _unusable(files: str, why: str, keys: str) -> ConfigError:
    return ConfigError(
        f"{files} cannot be used for TLS: {why}.",
        hint=f"{keys} must name readable PEM files that belong together, the key without a password.",
        field="tls_config_file",
    )


def _names(certificate: Mapping[str, object]) -> Iterator[str]:
    """The subject's alternative names of a certificate: DNS names, addresses, mail addresses, URIs."""
    names = certificate.get("subjectAltName")
    if isinstance(names, tuple):
        yield from (str(name) for _, name in names)


def _plain(name: str) -> str:
    """A name in the form in which it is compared: addresses in their short form, others as written."""
    try:
        return str(ipaddress.ip_address(name))
    except ValueError:
        return name
