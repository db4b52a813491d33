"""Sentry: one issue for each version that is blamed, tied to its release; and the release that serves is marked.

Source: Sentry's references of DSNs, envelopes, event payloads and release deploys. The SDK is for the process that it
watches: it would report the controller's own errors, and one client has one release.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from urllib.parse import quote, urlsplit

import orjson

from rearguard_controller import wording
from rearguard_controller.adapters.notices.message import Message, Severity, has_left
from rearguard_controller.adapters.notices.post import Json, Known, Post, To, cut
from rearguard_controller.model import NoticeEvent

MOST_MESSAGE, MOST_TAG, MOST_RELEASE, MOST_ENVIRONMENT, MOST_EXTRA = 8000, 200, 200, 64, 2000
_LEVELS = {Severity.GOOD: "info", Severity.INFO: "info", Severity.WARNING: "warning", Severity.CRITICAL: "error"}
_CLIENT = "rearguard/1"


def posts(message: Message, to: To, known: Known) -> Sequence[Post]:
    """What is sent: an event, and at the end of a rollback that put a version back, a deploy of it."""
    del known  # the fingerprint joins them
    dsn = urlsplit(to.url)
    prefix, _, project = dsn.path.rstrip("/").rpartition("/")
    base = f"{dsn.scheme}://{dsn.netloc.rpartition('@')[2]}{prefix}"
    auth = f"Sentry sentry_version=7, sentry_client={_CLIENT}, sentry_key={dsn.username or ''}"
    headers = {"X-Sentry-Auth": auth, "Content-Type": "application/x-sentry-envelope", **to.headers}
    sent = [Post(f"{base}/api/{project}/envelope/", _envelope(message), headers)]
    deploy = _deploy(message, to, base) if to.organization else None
    return sent if deploy is None else [*sent, deploy]


def _envelope(message: Message) -> bytes:
    event = orjson.dumps(_event(message))
    head = {"event_id": _event_id(message), "sent_at": wording.moment(message.notice.at)}
    item = {"type": "event", "content_type": "application/json", "length": len(event)}
    return b"\n".join([orjson.dumps(head), orjson.dumps(item), event, b""])


def _event(message: Message) -> Json:
    tags = {
        **message.tags(),
        "rearguard.event": message.notice.event.value,
        "rearguard.rollback": "" if message.rollback is None else message.rollback.id,
        "url": message.link or "",
    }
    made: dict[str, Json] = {
        "event_id": _event_id(message),
        "timestamp": message.notice.at,
        "platform": "other",
        "logger": "rearguard",
        "level": _LEVELS[message.severity],
        "message": {"formatted": cut(f"{message.title}\n{message.text}".strip(), MOST_MESSAGE)},
        "fingerprint": ["rearguard", message.notice.target or message.key, message.version],
        "tags": {name: cut(value, MOST_TAG) for name, value in tags.items() if value},
        "extra": {name: cut(value, MOST_EXTRA) for name, value in message.facts},
    }
    if is_release(message.version):
        made["release"] = message.version
    if message.environment and len(message.environment) <= MOST_ENVIRONMENT and "/" not in message.environment:
        made["environment"] = message.environment
    return made


def _event_id(message: Message) -> str:
    """The same for each attempt, so that a notice that came twice is one event."""
    about = f"{message.key} {message.notice.event} {message.notice.at}"
    return blake2b(about.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def is_release(version: str) -> bool:
    """Whether Sentry takes a version as the name of a release."""
    return 0 < len(version) <= MOST_RELEASE and version not in (".", "..") and not set(version) & set("/\\\n\t ")


def _deploy(message: Message, to: To, base: str) -> Post | None:
    """The release that serves again, as deployed now; None where no version was put back."""
    rollback = message.rollback
    if message.notice.event is not NoticeEvent.FINISHED or rollback is None or not has_left(rollback):
        return None
    if not is_release(rollback.to_version):
        return None
    path = f"/api/0/organizations/{quote(to.organization, safe='')}/releases/{quote(rollback.to_version, safe='')}"
    made: dict[str, Json] = {
        "environment": message.environment or "production",
        "name": f"rollback {rollback.id}",
        "dateStarted": wording.moment(rollback.opened_at),
        "dateFinished": wording.moment(rollback.closed_at),
    }
    if message.link:
        made["url"] = message.link
    return Post(f"{_api(base)}{path}/deploys/", made, {"Authorization": f"Bearer {to.token}"})


def _api(base: str) -> str:
    """Where Sentry's API is: a host that takes events for one organization is not the API's own."""
    scheme, _, host = base.partition("://")
    first, _, rest = host.partition(".ingest.")
    return f"{scheme}://{rest}" if first and rest.endswith("sentry.io") else base
