"""TLS and mutual TLS of the port, from files that are read again when they change, as Prometheus' exporters do.

The controller does the same for aiohttp; here it is done for threads. Neither package may import the other.
"""

from __future__ import annotations

import ipaddress
import socket
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rearguard_exporter.fault_barrier import log
from rearguard_exporter.standalone.config.files import Mark, UnreadableFileError, mark, require_regular
from rearguard_exporter.standalone.config.web import TlsSettings, load_web
from rearguard_exporter.standalone.errors import ConfigError


@dataclass(frozen=True, slots=True)
class _Loaded:
    """The files as they were last read; `marks` tells whether one has changed since."""

    settings: TlsSettings
    context: ssl.SSLContext
    marks: Mapping[Path, Mark | None]


class ServerTls:
    """Protects the connections of the port. While changed files cannot be used, those before them serve.

    Open connections keep the certificates they began with.

    Raises:
        ConfigError: the files cannot be used at the start.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._loaded = _load(path)
        self._told = ""

    def wrap(self, connection: socket.socket) -> socket.socket:
        """The connection, protected; hands are shaken by `admits`."""
        return self._loaded.context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)

    def admits(self, connection: socket.socket) -> bool:
        """Shake hands, and say whether the client's certificate has a name that is let in.

        Raises:
            OSError: hands could not be shaken.
        """
        if not isinstance(connection, ssl.SSLSocket):
            return False
        connection.do_handshake()
        settings = self._loaded.settings
        certificate = connection.getpeercert()
        if not settings.client_sans or settings.client_auth is ssl.CERT_NONE:
            return True
        if not certificate:
            return settings.client_auth is ssl.CERT_OPTIONAL
        wanted = {_plain(name) for name in settings.client_sans}
        return any(_plain(name) in wanted for name in _names(certificate))

    def look(self) -> None:
        """Take over files that have changed; log why they cannot be used, once."""
        marks = self._loaded.marks
        if {path: mark(path) for path in marks} == marks:
            self._told = ""
            return
        try:
            self._loaded = _load(self._path)
        except ConfigError as error:  # half-written files are usual while certificates are replaced
            if str(error) != self._told:
                log.error("rearguard_exporter: the TLS files cannot be used, those before still serve: %s", error)
            self._told = str(error)
        else:
            log.info("rearguard_exporter: the TLS files were read again")
            self._told = ""


def _load(path: Path) -> _Loaded:
    before = mark(path)  # before reading: what changes meanwhile is read again
    settings = load_web(path)
    marks = {path: before, **{file: mark(file) for file in settings.files()}}
    return _Loaded(settings, _context(settings), marks)


def _context(settings: TlsSettings) -> ssl.SSLContext:
    for file, key in settings.files().items():
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


def _reason(error: Exception) -> str:
    return str(getattr(error, "reason", None) or getattr(error, "strerror", None) or type(error).__name__)


def _unusable(files: str, why: str, keys: str) -> ConfigError:
    return ConfigError(
        f"tls_config_file: {files} cannot be used for TLS: {why}; {keys} must name readable PEM files that belong"
        " together, the key without a password"
    )


def _names(certificate: Mapping[str, Any]) -> Iterator[str]:
    """The subject's alternative names of a certificate: DNS names, addresses, mail addresses, URIs."""
    for _, name in certificate.get("subjectAltName", ()):
        yield str(name)


def _plain(name: str) -> str:
    """A name in the form in which it is compared: addresses in their short form, others as written."""
    try:
        return str(ipaddress.ip_address(name))
    except ValueError:
        return name
