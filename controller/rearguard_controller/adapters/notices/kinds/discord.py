"""Discord: a message with an embed for each change; the first one of a rollback is updated, too.

Source: Discord's references of webhooks, embeds, allowed mentions, rate limits and its Markdown.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from urllib.parse import urlsplit, urlunsplit

from rearguard_controller import wording
from rearguard_controller.adapters.notices.message import Message, Severity
from rearguard_controller.adapters.notices.post import Json, Known, Post, Reply, Result, To, fitted, seconds, usual

MOST_TITLE, MOST_TEXT, MOST_NAME, MOST_VALUE, MOST_FIELDS = 256, 2000, 256, 300, 11  # 6000 in all
_MARKS = frozenset("\\*_~`|>#[]()<@:-")
_COLOURS = {Severity.GOOD: 0x2E7D32, Severity.INFO: 0x1565C0, Severity.WARNING: 0xEF6C00, Severity.CRITICAL: 0xC62828}


def posts(message: Message, to: To, known: Known) -> Sequence[Post]:
    """What is sent: a new message, and then the first one as things stand now."""
    said = content(message)
    sent = [Post(_address(to.url, "", wait=True), said, to.headers, read=partial(_read, learns="id" not in known))]
    if "id" in known:
        sent.append(Post(_address(to.url, f"/messages/{known['id']}"), said, to.headers, method="PATCH", read=_read))
    return sent


def content(message: Message) -> Json:
    """The message as an embed that mentions nobody."""
    fields: list[Json] = [
        {"name": name, "value": fitted(value, MOST_VALUE, escape), "inline": len(value) < 40}  # noqa: PLR2004  # three in a row
        for name, value in message.facts[:MOST_FIELDS]
    ]
    embed: dict[str, Json] = {
        "title": fitted(message.title, MOST_TITLE, escape),
        "description": fitted(message.text, MOST_TEXT, escape),
        "color": _COLOURS[message.severity],
        "timestamp": wording.moment(message.notice.at),
        "fields": fields,
    }
    if message.link:
        embed["url"] = message.link
    return {"username": "Rearguard", "embeds": [embed], "allowed_mentions": {"parse": []}}


def escape(text: str) -> str:
    """Text in which nothing is markup; a mention is none, neither, even where the service would look for it."""
    return "".join([f"\\{each}" if each in _MARKS else each for each in text]).replace("\\@", "\\@\u200b")


def _address(url: str, below: str, *, wait: bool = False) -> str:
    """The webhook's address with a path below it; its own query, such as a thread's id, stays."""
    parts = urlsplit(url)
    query = "&".join(each for each in (parts.query, "wait=true" if wait else "") if each)
    return urlunsplit(parts._replace(path=parts.path.rstrip("/") + below, query=query))


def _read(reply: Reply, *, learns: bool = False) -> Result:
    found = usual(reply)
    if found.again and not found.pause:
        return Result(found.why, again=True, pause=seconds(reply.fields.get("retry_after", "")))
    identity = reply.fields.get("id")
    if found.why or not learns or not isinstance(identity, str) or not identity.isdigit():
        return found
    return Result(learned={"id": identity})
