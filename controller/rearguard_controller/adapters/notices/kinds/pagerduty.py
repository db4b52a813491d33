"""PagerDuty: one alert for each rollback, which resolves itself once all is well.

Source: PagerDuty's Events API v2. What a policy only observes is a change event, which wakes nobody.
"""

from __future__ import annotations

from collections.abc import Sequence

from rearguard_controller import wording
from rearguard_controller.adapters.notices.message import Message, Severity, digest_of
from rearguard_controller.adapters.notices.post import Json, Known, Post, To, cut
from rearguard_controller.model import NoticeEvent

MOST_SUMMARY, MOST_KEY, MOST_DETAIL = 1024, 255, 2000
_WORDS = {Severity.GOOD: "info", Severity.INFO: "info", Severity.WARNING: "warning", Severity.CRITICAL: "critical"}


def posts(message: Message, to: To, known: Known) -> Sequence[Post]:
    """What is sent: trigger or resolve, or a change event."""
    del known  # the key joins them
    base = to.url.rstrip("/").removesuffix("/v2/enqueue")
    links: list[Json] = [{"href": message.link, "text": "Rearguard"}] if message.link else []
    details: dict[str, Json] = {name: cut(value, MOST_DETAIL) for name, value in message.facts}
    details["Reason"] = cut(message.text, MOST_DETAIL)
    summary = cut(message.title, MOST_SUMMARY)
    source = message.service or "rearguard"
    if message.notice.event is NoticeEvent.DECIDED and message.rollback is None:
        change: Json = {
            "routing_key": to.token,
            "payload": {"summary": summary, "source": source, "timestamp": wording.moment(message.notice.at),
                        "custom_details": details},
            "links": links,
        }  # fmt: skip
        return [Post(f"{base}/v2/change/enqueue", change, to.headers)]
    event: dict[str, Json] = {
        "routing_key": to.token,
        "event_action": "resolve" if message.ends else "trigger",
        "dedup_key": key(message),
    }
    payload: Json = {
        "summary": summary,
        "source": source,
        "severity": _WORDS[message.severity],
        "timestamp": wording.moment(message.notice.at),
        "component": message.service or message.notice.target or "rearguard",
        "group": message.environment,
        "class": message.notice.event.value,
        "custom_details": details,
    }
    more: dict[str, Json] = {"payload": payload, "links": links, "client": "Rearguard", "client_url": message.link}
    return [Post(f"{base}/v2/enqueue", {**event, **more}, to.headers)]


def key(message: Message) -> str:
    """The deduplication key; of one that is too long, a digest."""
    return message.key if len(message.key) <= MOST_KEY else digest_of(message.key)
