"""Opsgenie: one alert for each rollback, known by its alias, which closes itself once all is well.

Source: Opsgenie's Alert API (and its successor in Jira Service Management, which takes the same requests).
"""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

from rearguard_controller.adapters.notices.message import Message, Severity, digest_of
from rearguard_controller.adapters.notices.post import Json, Known, Post, To, cut
from rearguard_controller.model import NoticeEvent

MOST_MESSAGE, MOST_ALIAS, MOST_TEXT, MOST_NOTE, MOST_DETAIL = 130, 512, 15_000, 25_000, 700
MOST_TAG, MOST_ENTITY, MOST_SOURCE = 50, 512, 100
_PRIORITIES = {Severity.GOOD: "P5", Severity.INFO: "P5", Severity.WARNING: "P3", Severity.CRITICAL: "P1"}


def posts(message: Message, to: To, known: Known) -> Sequence[Post]:
    """What is sent: create and note, which of the same alias is one alert; or close."""
    del known  # the alias joins them
    base = to.url.rstrip("/").removesuffix("/v2/alerts") + "/v2/alerts"
    headers = {"Authorization": f"GenieKey {to.token}", **to.headers}
    alias = message.key if len(message.key) <= MOST_ALIAS else digest_of(message.key)
    note: Json = {"source": "Rearguard", "note": cut(f"{message.title}\n{message.plain}", MOST_NOTE)}
    of_alias = f"{base}/{quote(alias, safe='')}"
    if message.ends:
        return [Post(f"{of_alias}/close?identifierType=alias", note, headers)]
    tags = ["rearguard", *(cut(each, MOST_TAG) for each in (message.service, message.environment) if each)]
    made: Json = {
        "message": cut(message.title, MOST_MESSAGE),
        "alias": alias,
        "description": cut(message.plain or message.title, MOST_TEXT),
        "details": {name: cut(value, MOST_DETAIL) for name, value in message.facts},
        "entity": cut(message.service, MOST_ENTITY),
        "source": cut("Rearguard", MOST_SOURCE),
        "priority": _PRIORITIES[message.severity],
        "tags": list(tags),
    }
    sent = [Post(base, made, headers)]
    if message.notice.event in (NoticeEvent.STARTED, NoticeEvent.FINISHED, NoticeEvent.UNDO_FAILING):
        sent.append(Post(f"{of_alias}/notes?identifierType=alias", note, headers))  # the alert exists already
    return sent
