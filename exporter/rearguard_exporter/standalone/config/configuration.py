"""The whole configuration: from the file, and those that it names, to frozen values."""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from rearguard_exporter.identity import UNKNOWN_SERVICE, Identity, resolve
from rearguard_exporter.settings import parse_address
from rearguard_exporter.standalone.config.files import UnreadableFileError, read_line, read_text
from rearguard_exporter.standalone.config.keys import DATABASE, DATABASE_WAYS, PROBE, PROCESS, PROCESS_WAYS, TOP
from rearguard_exporter.standalone.config.reading import Block, Place, compose
from rearguard_exporter.standalone.errors import ConfigError

_SHORTEST, _SECOND, _MINUTE, _DAY = 0.1, 1.0, 60.0, 86_400.0  # seconds
_MOST_PID = 1 << 22  # Linux's own bound
_HAS_PASSWORD = re.compile(r"//[^/@:]*:[^/@]+@|[?&]password=")
_LISTEN = "127.0.0.1:9464"


@dataclass(frozen=True, slots=True)
class ProcessSettings:
    """Which process is watched. `way` is one of `PROCESS_WAYS`, and `value` what stands there."""

    way: str
    value: str
    interval: float


@dataclass(frozen=True, slots=True)
class ProbeSettings:
    """One HTTP probe; times in seconds."""

    name: str
    url: str = field(repr=False)
    method: str
    statuses: frozenset[int]  # empty: 200 to 299
    contains: str | None
    follow_redirects: bool
    token: str | None = field(repr=False)
    certificates: str | None = field(repr=False)  # PEM; None: the system's
    timeout: float
    interval: float


@dataclass(frozen=True, slots=True)
class DatabaseSettings:
    """One database; times in seconds."""

    name: str
    dsn: str = field(repr=False)
    password: str | None = field(repr=False)  # None: the driver looks into PGPASSWORD and ~/.pgpass
    timeout: float
    statement_timeout: float
    interval: float
    size_interval: float
    long_query: float
    slow_query: float


@dataclass(frozen=True, slots=True)
class Configuration:
    """What is watched, and where it is shown. `files` are followed: a change in one of them is a reload."""

    identity: Identity
    listen: tuple[str, int]
    tls_config_file: Path | None
    process: ProcessSettings | None
    probes: tuple[ProbeSettings, ...]
    databases: tuple[DatabaseSettings, ...]
    files: tuple[Path, ...]
    secret_files: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class _Named:
    """The files that were read, besides the configuration."""

    folder: Path
    all: list[Path]
    secret: list[Path]

    def path(self, place: Place) -> Path:
        """The file that is named here."""
        return self.folder / place.line("a path")

    def line(self, place: Place | None, *, is_secret: bool = True) -> str | None:
        """The one line of the file that is named here; None where none is named."""
        if place is None:
            return None
        file = self.path(place)
        self.all.append(file)
        if is_secret:
            self.secret.append(file)
        try:
            return read_line(file)
        except UnreadableFileError as error:
            raise place.error(f"{file} cannot be used: {error}") from None


def load(file: Path) -> Configuration:
    """Read the configuration file, and the files with secrets that it names; relative paths start from its folder.

    Raises:
        ConfigError: it cannot be read or used; the message names file, line and key.
    """
    try:
        text = read_text(file)
    except UnreadableFileError as error:
        raise ConfigError(f"{file}: the configuration cannot be read: {error}") from None
    top = compose(text, str(file)).block(TOP)
    named = _Named(file.resolve().parent, [file], [])
    probes = _list(top.get("probes"), partial(_probe, named=named))
    databases = _list(top.get("databases"), partial(_database, named=named))
    process, tls = top.get("process"), top.get("tls_config_file")
    found = Configuration(
        identity=_identity(top, named),
        listen=_listen(top.get("listen")),
        tls_config_file=None if tls is None else named.path(tls),
        process=None if process is None else _process(process, named),
        probes=probes,
        databases=databases,
        files=tuple(named.all),
        secret_files=tuple(named.secret),
    )
    if process is None and not probes and not databases:
        raise top.place.error("nothing is watched", "add process, probes or databases")
    return found


def _identity(top: Block, named: _Named) -> Identity:
    version, file = top.get("version"), top.get("version_file")
    if version is not None and file is not None:
        raise file.error("the version is said twice", "keep version or version_file")
    said = named.line(file, is_secret=False) if version is None else version.line()
    found = resolve(top.line("service"), said, top.line("environment"))
    if found.service == UNKNOWN_SERVICE:
        raise top.place.error("the key 'service' is missing", "add service: ..., or set REARGUARD_SERVICE")
    return found


def _listen(place: Place | None) -> tuple[str, int]:
    text = _LISTEN if place is None else place.line("host:port")
    try:
        return parse_address(text)
    except ValueError:
        if place is None:
            raise
        raise place.error("this is no address", f"it must be host:port, such as {_LISTEN}") from None


T = TypeVar("T", ProbeSettings, DatabaseSettings)


def _list(place: Place | None, read: Callable[[Place], T]) -> tuple[T, ...]:
    found: dict[str, T] = {}
    for item in () if place is None else place.items("a list"):
        one = read(item)
        if one.name in found:
            raise item.error(f"the name {one.name!r} stands twice", "give each its own")
        found[one.name] = one
    return tuple(found.values())


def _process(place: Place, named: _Named) -> ProcessSettings:
    block = place.block(PROCESS)
    way = block.one_of(PROCESS_WAYS)
    key = way.path.rpartition(".")[2]
    if key == "pid":
        value = str(way.number(1, _MOST_PID))
    elif key == "pid_file":
        value = str(named.path(way))
    else:
        value = way.line()
    return ProcessSettings(key, value, block.duration("interval", 5.0, _SECOND, _DAY))


def _probe(place: Place, named: _Named) -> ProbeSettings:
    block = place.block(PROBE)
    statuses, ca_file = block.get("statuses"), block.get("ca_file")
    return ProbeSettings(
        name=block.need("name").name(),
        url=_url(block.need("url")),
        method=block.word("method", ("GET", "HEAD"), "GET"),
        statuses=frozenset(() if statuses is None else (each.number(100, 599) for each in statuses.items("a list"))),
        contains=block.line("contains"),
        follow_redirects=block.boolean("follow_redirects", default=True),
        token=named.line(block.get("bearer_token_file")),
        certificates=None if ca_file is None else _certificates(ca_file, named),
        timeout=block.duration("timeout", 5.0, _SHORTEST, _MINUTE),
        interval=block.duration("interval", 15.0, _SECOND, _DAY),
    )


def _url(place: Place) -> str:
    url = place.line("an address")
    try:
        parts = urlsplit(url)
        is_usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_usable = False
    if not is_usable or " " in url:
        raise place.error("this is no address", "it must begin with http:// or https:// and name a host")
    return url


def _certificates(place: Place, named: _Named) -> str:
    file = named.path(place)
    named.all.append(file)
    try:
        text = read_text(file)
        ssl.create_default_context(cadata=text)
    except (UnreadableFileError, OSError, ValueError) as error:
        raise place.error(f"{file} cannot be used: {_reason(error)}", "it must hold certificates (PEM)") from None
    return text


def _reason(error: Exception) -> str:
    if isinstance(error, UnreadableFileError):
        return str(error)
    return str(getattr(error, "reason", None) or getattr(error, "strerror", None) or type(error).__name__)


def _database(place: Place, named: _Named) -> DatabaseSettings:
    block = place.block(DATABASE)
    dsn = block.one_of(DATABASE_WAYS)
    text = named.line(dsn) if dsn.path.endswith("dsn_file") else dsn.line("an address")
    if text is not None and not dsn.path.endswith("dsn_file") and _HAS_PASSWORD.search(text):
        named.secret.append(named.all[0])  # the configuration itself
    if text is None or not text.startswith(("postgresql://", "postgres://")):
        raise dsn.error("this is no address of a database", "it must begin with postgresql://")
    return DatabaseSettings(
        name=block.need("name").name(),
        dsn=text,
        password=named.line(block.get("password_file")),
        timeout=block.duration("timeout", 5.0, _SHORTEST, _MINUTE),
        statement_timeout=block.duration("statement_timeout", 2.0, _SHORTEST, _MINUTE),
        interval=block.duration("interval", 15.0, _SECOND, _DAY),
        size_interval=block.duration("size_interval", 300.0, _SECOND, _DAY),
        long_query=block.duration("long_query", 30.0, 0.0, _DAY),
        slow_query=block.duration("slow_query", 1.0, 0.0, _DAY),
    )
