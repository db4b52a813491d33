"""The `tls_server_config` of a web configuration file, as Prometheus' exporter-toolkit defines it, as frozen values.

Here: which keys are supported, and a sentence for each that is not: nothing is silently ignored.
The controller understands the same keys by its own code, because neither package may import the other.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rearguard_exporter.standalone.config.files import UnreadableFileError, read_text
from rearguard_exporter.standalone.config.keys import TLS_SERVER, WEB
from rearguard_exporter.standalone.config.reading import Block, Place, compose
from rearguard_exporter.standalone.errors import ConfigError

_CLIENT_AUTH: Mapping[str, ssl.VerifyMode] = {
    "NoClientCert": ssl.CERT_NONE,
    "VerifyClientCertIfGiven": ssl.CERT_OPTIONAL,
    "RequireAndVerifyClientCert": ssl.CERT_REQUIRED,
}
_VERSIONS: Mapping[str, ssl.TLSVersion] = {"TLS12": ssl.TLSVersion.TLSv1_2, "TLS13": ssl.TLSVersion.TLSv1_3}
# Go's names, which the file uses, and OpenSSL's. Suites of TLS 1.3 cannot be chosen, neither there nor here.
_CIPHERS: Mapping[str, str] = {
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256": "ECDHE-ECDSA-AES128-GCM-SHA256",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256": "ECDHE-RSA-AES128-GCM-SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384": "ECDHE-ECDSA-AES256-GCM-SHA384",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384": "ECDHE-RSA-AES256-GCM-SHA384",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-ECDSA-CHACHA20-POLY1305",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-RSA-CHACHA20-POLY1305",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305": "ECDHE-ECDSA-CHACHA20-POLY1305",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305": "ECDHE-RSA-CHACHA20-POLY1305",
}


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """How connections are protected.

    Attributes:
        client_auth: whether a client must, may or need not show a certificate.
        client_sans: a client's certificate must carry one of these names; empty: any certificate will do.
        ciphers: OpenSSL's names, for TLS 1.2; empty: OpenSSL's choice.
    """

    cert_file: Path
    key_file: Path
    client_auth: ssl.VerifyMode
    client_ca_file: Path | None
    client_sans: frozenset[str]
    min_version: ssl.TLSVersion
    max_version: ssl.TLSVersion
    ciphers: tuple[str, ...]
    prefer_server_ciphers: bool

    def files(self) -> dict[Path, str]:
        """The files with certificates and keys, each with its key."""
        files = {self.cert_file: "cert_file", self.key_file: "key_file"}
        return files if self.client_ca_file is None else {**files, self.client_ca_file: "client_ca_file"}


def load_web(path: Path) -> TlsSettings:
    """Read a web configuration file; relative paths in it start from its folder.

    Raises:
        ConfigError: it cannot be read or used; the message names file, line and key.
    """
    try:
        text = read_text(path)
    except UnreadableFileError as error:
        raise ConfigError(f"{path}: the file of tls_config_file cannot be read: {error}") from None
    tls = compose(text, str(path)).block(WEB).need("tls_server_config")
    block = tls.block(TLS_SERVER)
    folder = path.resolve().parent
    least, most = _version(block, "min_version", "TLS12"), _version(block, "max_version", "TLS13")
    if least > most:
        raise tls.error("min_version is above max_version", "leave one of them out")
    client_ca, sans = block.get("client_ca_file"), block.get("client_allowed_sans")
    client_auth = _CLIENT_AUTH[block.word("client_auth_type", tuple(_CLIENT_AUTH), "NoClientCert")]
    if client_auth is ssl.CERT_NONE and (client_ca or sans) is not None:
        raise tls.error(
            "clients' certificates are described but not asked for",
            "add client_auth_type: RequireAndVerifyClientCert",
        )
    if client_auth is not ssl.CERT_NONE and client_ca is None:
        raise tls.error("clients' certificates are asked for, but by no authority", "add client_ca_file")
    return TlsSettings(
        cert_file=folder / block.need("cert_file").line("a path"),
        key_file=folder / block.need("key_file").line("a path"),
        client_auth=client_auth,
        client_ca_file=None if client_ca is None else folder / client_ca.line("a path"),
        client_sans=frozenset(() if sans is None else (each.line() for each in sans.items("a list of names"))),
        min_version=least,
        max_version=most,
        ciphers=_ciphers(block.get("cipher_suites")),
        prefer_server_ciphers=block.boolean("prefer_server_cipher_suites", default=True),
    )


def _version(block: Block, key: str, default: str) -> ssl.TLSVersion:
    return _VERSIONS[block.word(key, tuple(_VERSIONS), default)]


def _ciphers(place: Place | None) -> tuple[str, ...]:
    if place is None:
        return ()
    return tuple(_CIPHERS[item.word(tuple(_CIPHERS))] for item in place.items("a list of cipher suites"))
