"""Grafana: an annotation over the time of a rollback, which begins with its first step and ends at its close.

Source: Grafana's HTTP API of annotations. Grafana shows their text as HTML.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from functools import partial

from rearguard_controller.adapters.notices.message import Message
from rearguard_controller.adapters.notices.post import Json, Known, Post, Reply, Result, To, fitted, usual
from rearguard_controller.model import NoticeEvent, Rollback

MOST_TEXT, MOST_TAG = 2000, 100
_BEGIN = frozenset({NoticeEvent.STARTED, NoticeEvent.HEARTBEAT_LOST, NoticeEvent.ALERT})
_END = frozenset({NoticeEvent.FINISHED, NoticeEvent.HEARTBEAT_BACK, NoticeEvent.ALERT})


def posts(message: Message, to: To, known: Known) -> Sequence[Post]:
    """What is sent: a new annotation, or the end of the one that began it. A decision to roll back is no time yet."""
    event, base = message.notice.event, to.url.rstrip("/") + "/api/annotations"
    headers = {"Authorization": f"Bearer {to.token}", **to.headers}
    if event is NoticeEvent.DECIDED and message.rollback is not None:
        return []
    at = int(message.notice.at * 1000)
    said: dict[str, Json] = {"text": _text(message), "tags": _tags(message)}
    is_over = event in _END and (message.ends or event is NoticeEvent.FINISHED)
    if is_over and "id" in known:
        return [Post(f"{base}/{known['id']}", {"timeEnd": at, **said}, headers, method="PATCH")]
    region: dict[str, Json] = {"time": _began(message.rollback, at), "timeEnd": at} if is_over else {"time": at}
    begins = event in _BEGIN and not message.ends
    return [Post(base, {**region, **said}, headers, read=partial(_read, learns=begins))]


def _began(rollback: Rollback | None, at: int) -> int:
    """When the first step began, in milliseconds; `at` if none did."""
    steps = () if rollback is None else rollback.steps
    return min((int(step.started_at * 1000) for step in steps if step.started_at is not None), default=at)


def _text(message: Message) -> str:
    text = f"{message.title}\n{message.plain}"
    return fitted(text, MOST_TEXT, html.escape).replace("\n", "<br>")


def _tags(message: Message) -> list[Json]:
    named = (message.notice.target or "", message.environment)
    return ["rearguard", message.notice.event.value, *(each[:MOST_TAG] for each in named if each)]


def _read(reply: Reply, *, learns: bool) -> Result:
    found = usual(reply)
    identity = reply.fields.get("id")
    if found.why or not learns or not isinstance(identity, int):
        return found
    return Result(learned={"id": str(identity)})
