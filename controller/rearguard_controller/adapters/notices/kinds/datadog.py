"""Datadog: events that belong together by their aggregation key, and a deployment for each version that was put back.

Source: Datadog's references of events (v1) and of DORA deployments (v2).
"""

from __future__ import annotations

from collections.abc import Sequence

from rearguard_controller.adapters.notices.message import Message, Severity, digest_of, has_left
from rearguard_controller.adapters.notices.post import Json, Known, Post, To, cut, fitted
from rearguard_controller.model import NoticeEvent

MOST_TITLE, MOST_TEXT, MOST_KEY, MOST_TAG = 100, 4000, 100, 200
_TYPES = {
    Severity.GOOD: "success",
    Severity.INFO: "info",
    Severity.WARNING: "warning",
    Severity.CRITICAL: "error",
}


def posts(message: Message, to: To, known: Known) -> Sequence[Post]:
    """What is sent: an event, and at the end of a rollback that put a version back, its deployment."""
    del known  # the key joins them
    base, headers = to.url.rstrip("/"), {"DD-API-KEY": to.token, **to.headers}
    sent = [Post(f"{base}/api/v1/events", _event(message), headers)]
    rollback = message.rollback
    if message.notice.event is NoticeEvent.FINISHED and rollback is not None and has_left(rollback):
        ended = rollback.closed_at or message.notice.at
        attributes: dict[str, Json] = {
            "id": f"rearguard-{rollback.id}",
            "service": message.service,
            "version": rollback.to_version,
            "started_at": int(rollback.opened_at * 1000) * 1_000_000,
            "finished_at": int(ended * 1000) * 1_000_000,
        }
        if message.environment:
            attributes["env"] = message.environment
        sent.append(Post(f"{base}/api/v2/dora/deployment", {"data": {"attributes": attributes}}, headers))
    return sent


def _event(message: Message) -> Json:
    named = {"service": message.service, "env": message.environment, "version": message.version}
    tags = ["source:rearguard", f"event:{message.notice.event.value}"]
    return {
        "title": fitted(message.title, MOST_TITLE, escape),
        "text": fitted(f"{message.title}\n{message.plain}", MOST_TEXT, escape),
        "date_happened": int(message.notice.at),
        "alert_type": _TYPES[message.severity],
        "priority": "normal",
        "aggregation_key": message.key if len(message.key) <= MOST_KEY else digest_of(message.key),
        "source_type_name": "rearguard",
        "tags": [*tags, *(cut(f"{name}:{value}", MOST_TAG) for name, value in named.items() if value)],
    }


def escape(text: str) -> str:
    """Text that begins no Markdown, which stands between `%%%`, and that notifies nobody, as `@name` would."""
    return text.replace("@", "@\u200b").replace("%", "%\u200b")
