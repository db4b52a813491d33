"""The keys of the file that `tls_config_file` names.

Here: their types, defaults and meanings.
"""

from __future__ import annotations

from rearguard_controller.config.keys.section import REQUIRED, Key, Section

WEB = Section(
    "the file of tls_config_file",
    (Key("tls_server_config", "mapping", REQUIRED, "The only part of that file that is used."),),
)
TLS_SERVER = Section(
    "tls_server_config",
    (
        Key("cert_file", "path", REQUIRED, "The server's certificate and those below its root (PEM)."),
        Key("key_file", "path", REQUIRED, "Its private key (PEM), not encrypted."),
        Key(
            "client_auth_type",
            "`NoClientCert`, `VerifyClientCertIfGiven` or `RequireAndVerifyClientCert`",
            "`NoClientCert`",
            "Whether clients show a certificate; one that is shown is always verified.",
        ),
        Key("client_ca_file", "path", "none", "Certificates (PEM) that clients' certificates must lead to."),
        Key(
            "client_allowed_sans",
            "list of names",
            "any",
            "DNS names, addresses, mail addresses or URIs; a client's certificate must carry one of them.",
        ),
        Key("min_version", "`TLS12` or `TLS13`", "`TLS12`", "Oldest version that is spoken."),
        Key("max_version", "`TLS12` or `TLS13`", "`TLS13`", "Newest version that is spoken."),
        Key("cipher_suites", "list of Go's names", "OpenSSL's", "Suites of TLS 1.2; those of 1.3 are always on."),
        Key("prefer_server_cipher_suites", "true or false", "`true`", "The server's order of suites counts."),
    ),
)
