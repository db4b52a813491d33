"""The `tls_server_config` of a web configuration file, as Prometheus' exporter-toolkit defines it, as frozen values.

Here: which keys this server supports, and a sentence for each that it does not: nothing is silently ignored.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rearguard_controller.config.keys.web import TLS_SERVER, WEB
from rearguard_controller.config.named_files import MOST_LONG, UnreadableFileError, read_text
from rearguard_controller.config.reading import Block, Place, compose
from rearguard_controller.errors import ConfigError

CLIENT_AUTH: Mapping[str, ssl.VerifyMode] = {
    "NoClientCert": ssl.CERT_NONE,
    "VerifyClientCertIfGiven": ssl.CERT_OPTIONAL,
    "RequireAndVerifyClientCert": ssl.CERT_REQUIRED,
}
_UNVERIFIED = ("RequestClientCert", "RequireAnyClientCert")
VERSIONS: Mapping[str, ssl.TLSVersion] = {"TLS12": ssl.TLSVersion.TLSv1_2, "TLS13": ssl.TLSVersion.TLSv1_3}
_OUTDATED = ("TLS10", "TLS11")
# Go's names, which the file uses, and OpenSSL's. Suites of TLS 1.3 cannot be chosen, neither there nor here.
CIPHERS: Mapping[str, str] = {
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256": "ECDHE-ECDSA-AES128-GCM-SHA256",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256": "ECDHE-RSA-AES128-GCM-SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384": "ECDHE-ECDSA-AES256-GCM-SHA384",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384": "ECDHE-RSA-AES256-GCM-SHA384",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-ECDSA-CHACHA20-POLY1305",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-RSA-CHACHA20-POLY1305",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305": "ECDHE-ECDSA-CHACHA20-POLY1305",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305": "ECDHE-RSA-CHACHA20-POLY1305",
}
_ELSEWHERE: Mapping[str, str] = {
    "basic_auth_users": "remove it; who may ask is said by `tokens` of the controller's configuration",
    "http_server_config": "remove it; HTTP/2 and headers of one's own are not served",
    "rate_limit": "remove it; see `limits` of the controller's configuration",
}
_INLINE: Mapping[str, str] = {"cert": "cert_file", "key": "key_file", "client_ca": "client_ca_file"}


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


def load_web(path: Path) -> TlsSettings:
    """Read a web configuration file; relative paths in it start from its folder.

    Raises:
        ConfigError: it cannot be read or used; the message names file, line and key.
    """
    try:
        text = read_text(path, MOST_LONG)
    except UnreadableFileError as error:
        raise ConfigError(
            f"{path}: the web configuration cannot be read: {error}",
            hint="tls_config_file must name a file that this process may read.",
            field="tls_config_file",
        ) from None
    return parse_web(text, file=str(path), folder=path.resolve().parent)


def parse_web(text: str, *, file: str, folder: Path) -> TlsSettings:
    """Read the text of a web configuration; `file` is for messages, `folder` is where relative paths start.

    Raises:
        ConfigError: it cannot be used; the message names file, line and key.
    """
    root = compose(text, file)
    _refuse(root, _ELSEWHERE, "this is not done here")
    tls = root.block(WEB).need("tls_server_config")
    _refuse(tls, {name: f"write {instead} and keep it in a file" for name, instead in _INLINE.items()}, "not read")
    block = tls.block(TLS_SERVER)
    least, most = _version(block, "min_version", "TLS12"), _version(block, "max_version", "TLS13")
    if least > most:
        raise tls.error("min_version is above max_version", "leave one of them out")
    client_ca, sans = block.get("client_ca_file"), block.get("client_allowed_sans")
    client_auth = _client_auth(block.get("client_auth_type"))
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
        client_sans=frozenset() if sans is None else frozenset(sans.texts("a list of names")),
        min_version=least,
        max_version=most,
        ciphers=_ciphers(block.get("cipher_suites")),
        prefer_server_ciphers=block.boolean("prefer_server_cipher_suites", default=True),
    )


def _refuse(place: Place, names: Mapping[str, str], problem: str) -> None:
    for name, entry in place.entries("a mapping").items():
        if name in names:
            raise entry.error(problem, names[name])


def _client_auth(place: Place | None) -> ssl.VerifyMode:
    if place is None:
        return ssl.CERT_NONE
    if place.says(_UNVERIFIED):
        raise place.error("a certificate that nobody verifies proves nothing", "write RequireAndVerifyClientCert")
    return CLIENT_AUTH[place.word(tuple(CLIENT_AUTH))]


def _version(block: Block, key: str, default: str) -> ssl.TLSVersion:
    place = block.get(key)
    if place is not None and place.says(_OUTDATED):
        raise place.error("this version of TLS is broken", "write TLS12 or TLS13")
    return VERSIONS[block.word(key, tuple(VERSIONS), default)]


def _ciphers(place: Place | None) -> tuple[str, ...]:
    if place is None:
        return ()
    return tuple(CIPHERS[item.word(tuple(CIPHERS))] for item in place.items("a list of cipher suites"))
