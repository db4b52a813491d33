"""Who asks for a page: a login by token, a user whom a trusted proxy names, or anybody where the page is open.

Here: sessions in memory, their cookie, and the tokens that prove that a form is ours. A session holds the token that
it was begun with and shows it again for each request, so a token that is revoked ends its sessions at once.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import secrets
from dataclasses import dataclass, field

from aiohttp import web

from rearguard_controller.api.auth import ANYBODY, GRANTS, Gate, Principal, Role
from rearguard_controller.api.services import Services
from rearguard_controller.config import PageSettings
from rearguard_controller.errors import RearguardError

MOST_SESSIONS = 10_000
LONGEST_NAME = 200  # characters of a user that a proxy names
_COOKIE = "rearguard"
_UNDER_TLS = "__Host-rearguard"  # browsers refuse this name without Secure


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who asks. `key` is what their forms are bound to; `by_login`: they can log out."""

    principal: Principal
    key: str
    by_login: bool = False

    @property
    def name(self) -> str:
        """Their name, as the audit shows it."""
        return self.principal.name

    @property
    def acts(self) -> bool:
        """Whether they may change something."""
        return Role.OPERATOR in self.principal.may


@dataclass(frozen=True, slots=True)
class _Session:
    token: str
    until: float


@dataclass(slots=True)
class Access:
    """Knows who asks."""

    services: Services
    gate: Gate
    _sessions: dict[str, _Session] = field(default_factory=dict)
    _secret: bytes = field(default_factory=lambda: secrets.token_bytes(32))

    async def visitor(self, request: web.Request) -> Visitor | None:
        """Who asks; None: they must log in first."""
        await self.gate.look()
        if self.gate.admits_all:
            return Visitor(ANYBODY, "anybody")
        configuration = self.services.now().configuration
        named = _named_by_proxy(request, configuration.page)
        if named is not None:
            return named
        logged_in = self._logged_in(request)
        if logged_in is not None:
            return logged_in
        if "page" in configuration.open:
            return Visitor(Principal("", frozenset({Role.VIEWER})), "open")
        return None

    def _logged_in(self, request: web.Request) -> Visitor | None:
        name = request.cookies.get(cookie_name(self, request), "")
        session = self._sessions.get(name)
        if session is None:
            return None
        if session.until > self.services.clock():
            try:
                principal = self.gate.admit(f"Bearer {session.token}", Role.VIEWER)
            except RearguardError:
                pass
            else:
                return Visitor(principal, name, by_login=True)
        del self._sessions[name]
        return None

    def log_in(self, request: web.Request, token: str, response: web.StreamResponse) -> Visitor:
        """Begin a session, and give its cookie to the response.

        Raises:
            RearguardError: the token is unknown, or may not read.
        """
        principal = self.gate.admit(f"Bearer {token}", Role.VIEWER)
        now, lasts = self.services.clock(), self.services.now().configuration.page.session
        self._sessions = {name: each for name, each in self._sessions.items() if each.until > now}
        while len(self._sessions) >= MOST_SESSIONS:
            del self._sessions[next(iter(self._sessions))]
        name = secrets.token_urlsafe(32)
        self._sessions[name] = _Session(token, now + lasts)
        secure = self.is_secure(request)
        response.set_cookie(
            cookie_name(self, request), name, httponly=True, samesite="Strict", secure=secure, max_age=int(lasts)
        )
        return Visitor(principal, name, by_login=True)

    def log_out(self, request: web.Request, response: web.StreamResponse) -> None:
        """End the session of this request, if there is one."""
        name = cookie_name(self, request)
        self._sessions.pop(request.cookies.get(name, ""), None)
        response.del_cookie(name, httponly=True, samesite="Strict", secure=self.is_secure(request))

    def form_token(self, key: str) -> str:
        """What a form of this visitor carries."""
        return hmac.new(self._secret, key.encode("utf-8", "surrogateescape"), hashlib.sha256).hexdigest()

    def is_ours(self, request: web.Request, key: str, token: str) -> bool:
        """Whether a form was made here for this visitor, and is sent from a page of ours."""
        if request.headers.get("Sec-Fetch-Site", "same-origin") not in {"same-origin", "none"}:
            return False
        return hmac.compare_digest(self.form_token(key).encode(), token.encode("utf-8", "surrogateescape"))

    def is_secure(self, request: web.Request) -> bool:
        """Whether the browser speaks TLS, to us or to a trusted proxy."""
        trusted = _is_trusted(request, self.services.now().configuration.page)
        return request.secure or (trusted and request.headers.get("X-Forwarded-Proto") == "https")


def cookie_name(access: Access, request: web.Request) -> str:
    """The name of the session's cookie."""
    return _UNDER_TLS if access.is_secure(request) else _COOKIE


def _named_by_proxy(request: web.Request, settings: PageSettings) -> Visitor | None:
    name = request.headers.get(settings.user_header, "").strip() if settings.user_header else ""
    if not name or not _is_trusted(request, settings):
        return None
    role = Role.OPERATOR if name in settings.operators else Role.VIEWER
    return Visitor(Principal(name[:LONGEST_NAME], GRANTS[role]), f"proxy:{name}")


def _is_trusted(request: web.Request, settings: PageSettings) -> bool:
    peer = None if request.transport is None else request.transport.get_extra_info("peername")
    if not peer or not settings.trusted_from:
        return False
    try:
        address = ipaddress.ip_address(str(peer[0]).partition("%")[0])
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return any(address in network for network in settings.trusted_from)
