"""Where notices go: the address, headers and token of an entry, as its files hold them now.

All of an address but its host is a secret.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from urllib.parse import urlsplit

import structlog

from rearguard_controller.adapters.notices.kinds import by_apprise
from rearguard_controller.adapters.notices.post import To
from rearguard_controller.config import NotifyEntry, ReceiverKind, kind_of, secret_files
from rearguard_controller.config.beside import beside
from rearguard_controller.errors import ConfigError

log = structlog.get_logger(__name__)

UNKNOWN = "unknown"  # the service of an entry whose address cannot be read


async def post_to(entry: NotifyEntry) -> To:
    """Where an entry's notices go now. Files are read beside the event loop.

    Raises:
        ConfigError: as `check`, or a file hangs.
    """
    named = (entry.url_file, entry.headers_file, entry.token_file)
    files = [file for file in named if file is not None]
    return await beside(partial(_address, entry), files) if files else _address(entry)


async def services_of(entries: Sequence[NotifyEntry]) -> dict[NotifyEntry, str]:
    """What `service_of` says of each entry; files are read beside the event loop.

    Raises:
        ConfigError: a file hangs.
    """
    files = [entry.url_file for entry in entries if entry.url_file is not None]
    return await beside(lambda: {entry: service_of(entry) for entry in entries}, files)


def check(entry: NotifyEntry) -> To:
    """Read the files that an entry names.

    Raises:
        ConfigError: one cannot be read or used; the message names it, and nothing of what stands in it.
    """
    to = _address(entry)
    if to.kind is ReceiverKind.APPRISE:
        by_apprise.require(to)
    return to


def _address(entry: NotifyEntry) -> To:
    url = _url(entry)
    return To(
        entry.kind or kind_of(url),
        url,
        {} if entry.headers_file is None else secret_files.read_headers(entry.headers_file),
        "" if entry.token_file is None else secret_files.read_token(entry.token_file),
        entry.channel,
        entry.organization,
    )


def _url(entry: NotifyEntry) -> str:
    url = entry.url or entry.usual_address if entry.url_file is None else secret_files.read_receiver(entry.url_file)
    is_apprise = (entry.kind or kind_of(url)) is ReceiverKind.APPRISE
    if entry.url_file is not None and entry.kind is not None and not is_apprise and secret_files.host_of(url) is None:
        return secret_files.read_address(entry.url_file)  # says what it should be
    return url


def service_of(entry: NotifyEntry) -> str:
    """The name by which metrics and sentences call whoever an entry tells: its own, or its address' host.

    An address that is none of HTTP is called by its scheme: its host may be a secret.
    """
    if entry.name:
        return entry.name
    try:
        url = _url(entry)
    except ConfigError as error:
        log.error("notify_file_unreadable", error=error.message, hint=error.hint)
        return UNKNOWN
    if kind_of(url) is ReceiverKind.APPRISE:
        return urlsplit(url).scheme
    return secret_files.host_of(url) or UNKNOWN
