"""The keys that say how Prometheus and Alertmanager are asked over HTTP, named as in Prometheus' own `http_config`.

Here: their types, defaults and meanings, the same for both.
"""

from __future__ import annotations

from rearguard_controller.config.keys.section import REQUIRED, Key, Section

KEYS = (
    Key("basic_auth", "mapping", "none", "User and password; only one of this, `authorization` and `token_file`."),
    Key("authorization", "mapping", "none", "Another `Authorization` header, such as a bearer token."),
    Key("token_file", "path", "none", "File with a bearer token: short for `authorization: {credentials_file: …}`."),
    Key("tls_config", "mapping", "the system's", "Whom to trust, and the certificate that the controller shows."),
    Key("ca_file", "path", "none", "Short for `tls_config: {ca_file: …}`."),
    Key("http_headers", "mapping of name to header", "none", "Further headers, such as a tenant's `X-Scope-OrgID`."),
)
BASIC_AUTH = Section(
    "prometheus.basic_auth",
    (
        Key("username", "text", REQUIRED, "The user."),
        Key("password_file", "path", REQUIRED, "File with the password, read again at each use."),
    ),
)
AUTHORIZATION = Section(
    "prometheus.authorization",
    (
        Key("type", "text", "`Bearer`", "The first word of the header."),
        Key("credentials_file", "path", REQUIRED, "File with the rest of it, read again at each use."),
    ),
)
TLS_CONFIG = Section(
    "prometheus.tls_config",
    (
        Key("ca_file", "path", "the system's", "Certificates (PEM) that the server's certificate must lead to."),
        Key("cert_file", "path", "none", "Certificate (PEM) that the controller shows; needs `key_file`."),
        Key("key_file", "path", "none", "Its private key (PEM), not encrypted; needs `cert_file`."),
        Key("server_name", "text", "the host of `url`", "Name that the server's certificate must carry."),
    ),
)
HTTP_HEADER = Section(
    "prometheus.http_headers.NAME",
    (
        Key("values", "list of texts", "`[]`", "Values that are no secret."),
        Key("files", "list of paths", "`[]`", "Files with one value each, read again at each use."),
    ),
)
# What people write at a place where it does not stand -> what would be right.
ELSEWHERE = {
    "bearer_token_file": "write token_file, or authorization: {credentials_file: ...}",
    "bearer_token": "a secret does not belong into the configuration: name its file with token_file",
    "password": "a secret does not belong into the configuration: name its file with password_file",
    "credentials": "a secret does not belong into the configuration: name its file with credentials_file",
    "secrets": "a secret does not belong into the configuration: name its file in files",
    "username": "write basic_auth: {username: ..., password_file: ...}",
    "password_file": "write basic_auth: {username: ..., password_file: ...}",
    "credentials_file": "write authorization: {credentials_file: ...}",
    "cert_file": "write tls_config: {cert_file: ..., key_file: ...}",
    "key_file": "write tls_config: {cert_file: ..., key_file: ...}",
    "server_name": "write tls_config: {server_name: ...}",
    "headers": "write `http_headers: {NAME: {values: [...]}}`",
    "headers_file": "write `http_headers: {NAME: {files: [...]}}`",
}
