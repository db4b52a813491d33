"""How a source lets itself be asked over HTTP: who the controller is, whom it trusts, what it sends along.

Here: the settings, and reading them. Secrets stay in their files.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from rearguard_controller.config import hooks
from rearguard_controller.config.keys.http_config import (
    AUTHORIZATION,
    BASIC_AUTH,
    ELSEWHERE,
    HTTP_HEADER,
    TLS_CONFIG,
)
from rearguard_controller.config.keys.section import Section
from rearguard_controller.config.reading import Block, Place
from rearguard_controller.config.secret_files import HEADER_NAME

# Headers that another key sets, or that the request itself needs.
_NOT_HERE = frozenset({"authorization", "host", "content-type", "content-length", "transfer-encoding", "connection"})


@dataclass(frozen=True, slots=True)
class TlsConfig:
    """TLS of a client.

    Attributes:
        ca_file: certificates that the server's must lead to; None trusts those of the system.
        cert_file: what the client shows, with `key_file`; None shows nothing.
        server_name: that the server's certificate must carry; empty: the host of the address.
    """

    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    server_name: str = ""


@dataclass(frozen=True, slots=True)
class Header:
    """The values of one header, and the files that hold further ones."""

    values: tuple[str, ...] = ()
    files: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True)
class HttpConfig:
    """How a source is asked.

    Attributes:
        secret_file: password, token or other credentials; None sends none.
        username: of basic auth; empty sends the secret behind `scheme` as it is.
        scheme: first word of the Authorization header.
        said_by: the key by which people set the secret, for hints.
        headers: further headers by name.
    """

    secret_file: Path | None = None
    username: str = ""
    scheme: str = "Bearer"
    said_by: str = "token_file"
    tls: TlsConfig = TlsConfig()
    headers: Mapping[str, Header] = field(default_factory=dict)


def block_of(place: Place, section: Section) -> Block:
    """A mapping of a section's keys; a key that belongs elsewhere is refused with its right place."""
    for name, entry in place.entries("a mapping").items():
        if name in ELSEWHERE and name not in section.names:
            raise entry.error("this key does not stand here", ELSEWHERE[name])
    return place.block(section)


def http_config(block: Block, folder: Path) -> HttpConfig:
    """The settings that stand in this block of `prometheus` or `alertmanager`; paths start from `folder`."""
    given = [name for name in ("basic_auth", "authorization", "token_file") if block.get(name) is not None]
    if len(given) > 1:
        raise block.need(given[1]).error(f"{given[0]} says already who asks", f"keep one of {' and '.join(given)}")
    tls, headers = _tls(block, folder), _headers(block.get("http_headers"), folder)
    match given:
        case ["basic_auth"]:
            user = block_of(block.need("basic_auth"), BASIC_AUTH)
            name = user.need("username")
            if ":" in name.line():
                raise name.error("a user's name cannot hold a colon", "write the password into password_file")
            file = folder / user.need("password_file").line("a path")
            return HttpConfig(file, name.line(), "Basic", "basic_auth", tls, headers)
        case ["authorization"]:
            header = block_of(block.need("authorization"), AUTHORIZATION)
            file = folder / header.need("credentials_file").line("a path")
            return HttpConfig(file, "", _scheme(header), "authorization", tls, headers)
        case ["token_file"]:
            return HttpConfig(folder / block.need("token_file").line("a path"), tls=tls, headers=headers)
        case _:
            return HttpConfig(tls=tls, headers=headers)


def base_addresses(url: Place) -> tuple[str, ...]:
    """The addresses of a source, without a slash at the end."""
    addresses = url.items("an address or a list of addresses") if url.is_list() else [url]
    if not addresses:
        raise url.error("this is empty", "name at least one address")
    return tuple(_base_address(each) for each in addresses)


def _base_address(place: Place) -> str:
    text = hooks.url(place, placeholders=False)
    if "@" in text.partition("://")[2].partition("/")[0]:
        raise place.error(
            "user and password do not belong into an address", "write basic_auth: {username: ..., password_file: ...}"
        )
    if "?" in text or "#" in text:
        raise place.error("a base address has no query", "write the part before ? and #")
    return text.rstrip("/")


def _scheme(header: Block) -> str:
    place = header.get("type")
    if place is None:
        return "Bearer"
    scheme = place.line()
    if scheme.lower() == "basic":
        raise place.error("basic auth has its own key", ELSEWHERE["username"])
    if not HEADER_NAME.fullmatch(scheme):
        raise place.error("this is no type of authorization", "write one word, such as Bearer")
    return scheme


def _tls(block: Block, folder: Path) -> TlsConfig:
    short, whole = block.get("ca_file"), block.get("tls_config")
    if whole is None:
        return TlsConfig(None if short is None else folder / short.line("a path"))
    tls = block_of(whole, TLS_CONFIG)
    if short is not None:
        raise short.error("tls_config stands here, too", "write ca_file into tls_config")
    if (tls.get("cert_file") is None) != (tls.get("key_file") is None):
        lacks = "key_file" if tls.get("key_file") is None else "cert_file"
        raise whole.error("a certificate and its key belong together", f"add {lacks}: ...")

    def path(name: str) -> Path | None:
        place = tls.get(name)
        return None if place is None else folder / place.line("a path")

    return TlsConfig(path("ca_file"), path("cert_file"), path("key_file"), tls.line("server_name") or "")


def _headers(place: Place | None, folder: Path) -> dict[str, Header]:
    if place is None:
        return {}
    found: dict[str, Header] = {}
    for name, entry in place.entries("a mapping of header names").items():
        if not HEADER_NAME.fullmatch(name):
            raise entry.error(
                "this is no name of a header", "it has letters, digits and dashes, such as X-Scope-OrgID"
            )
        if name.lower() in _NOT_HERE:
            raise entry.error("this header cannot be set here", "use basic_auth or authorization")
        header = block_of(entry, HTTP_HEADER)
        values, files = header.get("values"), header.get("files")
        if values is None and files is None:
            raise entry.error("this header has no value", "add `values: [...]` or `files: [...]`")
        found[name] = Header(
            () if values is None else tuple(each.line() for each in values.items("a list of texts")),
            () if files is None else tuple(folder / each.line("a path") for each in files.items("a list of paths")),
        )
    return found
