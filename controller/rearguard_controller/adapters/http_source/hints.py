"""What an operator is told to do when a source cannot be asked, or refuses.

Here: from a status, a redirect or a failed connection to one sentence with the key to set.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit

from rearguard_controller.wording import address

_BAD_REQUEST = 400
_REDIRECTS = (301, 302, 303, 307, 308)
_LOGIN = re.compile(r"login|sign_?-?in|oauth|sso|saml|openid|authorize", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer that is not what was asked for.

    Attributes:
        url: what was asked, in full.
        challenge: the header WWW-Authenticate; empty if there is none.
        location: where the answer leads to; empty if nowhere.
        text: what it says, if that is short text.
    """

    url: str
    status: int
    challenge: str = ""
    location: str = ""
    text: str = ""


@dataclass(frozen=True, slots=True)
class Asked:
    """Who was asked, for sentences.

    Attributes:
        name: Prometheus.
        key: its part of the configuration: prometheus.
        api: where its API begins: /api/v1.
        said_by: the key by which the controller says who it is; empty if it says nothing.
    """

    name: str
    key: str
    api: str
    said_by: str = ""

    @property
    def away(self) -> str:
        """What to do when it does not answer."""
        return f"Is {self.name} running, and {self.key}.url right?"


def of_status(asked: Asked, refusal: Refusal) -> str:
    """What to do about an answer with this status."""
    key = asked.key
    if refusal.status in _REDIRECTS:
        return _of_redirect(asked, refusal)
    if refusal.status == _BAD_REQUEST and "HTTPS" in refusal.text:
        return f"It speaks TLS there: write https:// in {key}.url."
    match refusal.status:
        case 401:
            return _of_unknown(asked, refusal)
        case 403 if asked.said_by:
            return f"Whoever {key}.{asked.said_by} names may not read there: give the right to read {asked.api}."
        case 403:
            return f"Set {key}.basic_auth or {key}.authorization to somebody who may read {asked.api}."
        case 404 | 405:
            return _of_missing(asked, refusal)
        case 407:
            return f"A proxy stands in between: {key}.url must be an address that needs none."
        case 429:
            interval = f"{key.partition('.')[0]}.poll_interval"  # one for all
            return f"Too many questions for it: ask less often with {interval}, or raise its limit."
        case _:
            return asked.away


def _of_unknown(asked: Asked, refusal: Refusal) -> str:
    key, challenge = asked.key, refusal.challenge.lower()
    if re.search(r"org.?id|tenant", refusal.text, re.IGNORECASE):
        return f"Name the tenant by `{key}.http_headers: {{X-Scope-OrgID: {{values: [TENANT]}}}}`."
    wants = (
        "basic_auth" if challenge.startswith("basic") else "authorization" if challenge.startswith("bearer") else ""
    )
    if asked.said_by and wants in ("", asked.said_by, "authorization"):
        return f"What {key}.{asked.said_by} names is refused: is it right for this address?"
    if wants == "basic_auth":
        return f"It asks for user and password: set {key}.basic_auth with username and password_file."
    if wants == "authorization":
        return f"It asks for a bearer token: set {key}.authorization with credentials_file."
    return (
        f"Say who asks: {key}.basic_auth (username, password_file), {key}.authorization (credentials_file),"
        f" or {key}.http_headers."
    )


def _of_missing(asked: Asked, refusal: Refusal) -> str:
    key = asked.key
    base = refusal.url.partition(asked.api)[0]
    path = urlsplit(base).path.rstrip("/")
    if refusal.url.count(asked.api) > 1:
        return f"{key}.url must be the base address, without {asked.api}."
    if path:
        return f"Is {path} the path prefix there? {key}.url must be the base address: what stands before {asked.api}."
    return (
        f"Does it have a path prefix (--web.external-url, --web.route-prefix)? {key}.url must have it, too, as in"
        f" {address(base)}/{key}: the base address, without {asked.api}."
    )


def _of_redirect(asked: Asked, refusal: Refusal) -> str:
    key = asked.key
    if not refusal.location:
        return f"It leads elsewhere without saying where: is {key}.url right?"
    there = urljoin(refusal.url, refusal.location)
    before, after = urlsplit(refusal.url), urlsplit(there)
    if _LOGIN.search(after.netloc + after.path):
        return (
            f"A login page for people stands in between ({address(there)}): write an address behind it, or one that"
            f" takes {key}.basic_auth or {key}.authorization."
        )
    base, found, _ = there.partition(asked.api)
    if found and urlsplit(base).netloc:
        return f"Write {address(base).rstrip('/')} in {key}.url: redirects are not followed."
    if (before.scheme, after.scheme) == ("http", "https") and before.hostname == after.hostname:
        return f"Write https:// in {key}.url: redirects are not followed."
    return f"It leads to {address(there)}: is {key}.url right, with its path prefix? Redirects are not followed."


def of_fault(asked: Asked, why: str) -> str:
    """What to do about a connection that failed with these words of the system."""
    key, said = asked.key, why.upper().replace("_", " ")
    if "HOSTNAME MISMATCH" in said or "IP ADDRESS MISMATCH" in said or "DOESN'T MATCH" in said:
        return f"Its certificate has another name: set {key}.tls_config.server_name to it, or correct {key}.url."
    if "CERTIFICATE REQUIRED" in said or "ALERT BAD CERTIFICATE" in said or "ALERT HANDSHAKE FAILURE" in said:
        return f"It asks for a client certificate: set {key}.tls_config with cert_file and key_file."
    if "ALERT UNKNOWN CA" in said or "ALERT CERTIFICATE UNKNOWN" in said:
        return f"It does not trust the certificate of {key}.tls_config.cert_file: is it signed by a CA that it knows?"
    if "CERTIFICATE HAS EXPIRED" in said:
        return "Its certificate is too old, or a clock is wrong: renew it."
    if "CERTIFICATE VERIFY FAILED" in said:
        return f"Its certificate leads to no CA that is trusted here: set {key}.tls_config.ca_file."
    if "WRONG VERSION NUMBER" in said or "RECORD LAYER FAILURE" in said:
        return f"It does not speak TLS there: write http:// in {key}.url."
    return asked.away
