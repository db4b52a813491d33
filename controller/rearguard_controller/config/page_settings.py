"""Whom the page lets in beside those who log in with a token, and where its links lead.

Here: the settings, and reading them.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from rearguard_controller.config.http_config import base_addresses
from rearguard_controller.config.keys.service import PAGE
from rearguard_controller.config.reading import SECOND, Place
from rearguard_controller.config.secret_files import HEADER_NAME

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class PageSettings:
    """Settings of the page.

    Attributes:
        user_header: the header in which a proxy names the user; empty: there is no such proxy.
        trusted_from: from which addresses that header counts.
        operators: users of the proxy who may act.
        session: seconds that a login lasts.
        prometheus_url: where browsers reach Prometheus; None: where the controller does.
    """

    user_header: str = ""
    trusted_from: tuple[Network, ...] = ()
    operators: frozenset[str] = frozenset()
    session: float = 8 * 3600.0
    prometheus_url: str | None = None


def page_settings(place: Place | None) -> PageSettings:
    """The settings that stand here; the defaults where nothing does."""
    if place is None:
        return PageSettings()
    block = place.block(PAGE)
    header, trusted, operators = block.get("user_header"), block.get("trusted_from"), block.get("operators")
    if header is not None and not HEADER_NAME.fullmatch(header.line()):
        raise header.error("this is no name of a header", "write one such as X-Forwarded-User")
    networks = () if trusted is None else tuple(map(_network, trusted.items("a list of addresses or networks")))
    if header is not None and not networks:
        raise header.error("anybody could send this header", "add trusted_from: [ADDRESS OF THE PROXY]")
    if header is None and (trusted or operators) is not None:
        raise place.error("no header says who a user is", "add user_header: X-Forwarded-User")
    url = block.get("prometheus_url")
    return PageSettings(
        user_header="" if header is None else header.line(),
        trusted_from=networks,
        operators=frozenset() if operators is None else frozenset(operators.texts("a list of names")),
        session=block.duration("session", 8 * 3600.0, least=SECOND),
        prometheus_url=None if url is None else base_addresses(url)[0],
    )


def _network(place: Place) -> Network:
    text = place.line("an address or a network")
    try:
        return ipaddress.ip_network(text)
    except ValueError:
        raise place.error("this is no address", "write one such as 10.0.0.7 or 10.0.0.0/24") from None
