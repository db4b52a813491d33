"""Slack: an incoming webhook, or a bot whose later messages are a thread below the first one.

Source: Slack's references of `chat.postMessage`, `chat.update`, incoming webhooks, Block Kit and its mrkdwn.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from rearguard_controller.adapters.notices.message import Message, Severity
from rearguard_controller.adapters.notices.post import Json, Known, Post, Reply, Result, To, cut, fitted, usual

MOST_HEADER, MOST_SECTION, MOST_FIELD, MOST_FIELDS, MOST_TEXT = 150, 3000, 2000, 10, 4000
APPROVE, VETO = "rearguard_approve", "rearguard_veto"  # action ids of the buttons
_FOR_NOW = frozenset({"ratelimited", "rate_limited", "internal_error", "fatal_error", "service_unavailable",
                      "request_timeout"})  # fmt: skip
_COLOURS = {Severity.GOOD: "🟢", Severity.INFO: "🔵", Severity.WARNING: "🟠", Severity.CRITICAL: "🔴"}


def posts(message: Message, to: To, known: Known) -> Sequence[Post]:
    """What is sent: a webhook gets each message; a bot's later ones are a thread, and the first is updated."""
    if not to.token:
        return [Post(to.url, content(message), to.headers, read=_read_webhook)]
    base = to.url.rstrip("/")
    headers = {"Authorization": f"Bearer {to.token}", **to.headers}
    thread = {"thread_ts": known["ts"]} if "ts" in known else {}
    loud = {"reply_broadcast": True} if thread and message.severity is Severity.CRITICAL else {}
    said = {"channel": known.get("channel", to.channel), **content(message), **thread, **loud}
    first = not thread
    sent = [Post(f"{base}/chat.postMessage", said, headers, read=partial(_read, learns=first))]
    if thread:
        update = {"channel": known["channel"], "ts": known["ts"], **content(message)}
        sent.append(Post(f"{base}/chat.update", update, headers, read=_read))
    return sent


def content(message: Message) -> dict[str, Json]:
    """The message in blocks, and as text for notifications."""
    title = f"{_COLOURS[message.severity]} {message.title}"
    header: Json = {"type": "plain_text", "text": cut(title, MOST_HEADER), "emoji": True}
    blocks: list[Json] = [{"type": "header", "text": header}]
    if message.text:
        blocks.append({"type": "section", "text": _mrkdwn(message.text, MOST_SECTION)})
    fields: list[Json] = [_mrkdwn(value, MOST_FIELD, name) for name, value in message.facts[:MOST_FIELDS]]
    if fields:
        blocks.append({"type": "section", "fields": fields})
    buttons = _buttons(message)
    if buttons:
        blocks.append({"type": "actions", "elements": buttons})
    return {"text": fitted(title, MOST_TEXT, escape), "blocks": blocks, "unfurl_links": False, "unfurl_media": False}


def escape(text: str) -> str:
    """Text in which nothing is a link, a mention, a channel or a quotation, as Slack asks for it.

    Emphasis has no escape in Slack, so that a zero-width space stands beside its marks. An underscore stays as it is:
    within a word it is none, and names are full of them.
    """
    safe = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return safe.replace("*", "*\u200b").replace("~", "~\u200b").replace("`", "`\u200b")


def _mrkdwn(text: str, most: int, name: str = "") -> dict[str, Json]:
    label = f"*{name}*\n" if name else ""
    return {"type": "mrkdwn", "text": label + fitted(text, most - len(label), escape), "verbatim": True}


def _buttons(message: Message) -> list[Json]:
    rollback, found = message.rollback, list[Json]()
    if message.link:
        found.append({"type": "button", "text": _label("Open"), "url": message.link, "action_id": "rearguard_open"})
    if message.ask is None or rollback is None:
        return found
    if message.ask:
        approve: Json = {
            "type": "button", "text": _label("Approve"), "style": "primary", "action_id": APPROVE,
            "value": rollback.id, "confirm": _confirm(f"Let the rollback of {rollback.target} be begun?"),
        }  # fmt: skip
        found.append(approve)
    veto: Json = {
        "type": "button", "text": _label("Veto"), "style": "danger", "action_id": VETO, "value": rollback.id,
        "confirm": _confirm(f"Veto the rollback of {rollback.target}?"),
    }  # fmt: skip
    return [*found, veto]


def _label(text: str) -> Json:
    return {"type": "plain_text", "text": text}


def _confirm(question: str) -> Json:
    return {
        "title": _label("Are you sure?"), "text": _label(cut(question, 300)), "confirm": _label("Yes"),
        "deny": _label("No"),
    }  # fmt: skip


def _read(reply: Reply, *, learns: bool = False) -> Result:
    """Slack answers 200 to what it refuses, and says so in the body."""
    found = usual(reply)
    if found.why:
        return found
    fields = reply.fields
    if fields.get("ok") is not True:
        error = str(fields.get("error", "unknown"))
        word = error if error.replace("_", "").isalnum() and error.isascii() else "unknown"
        return Result(f"answered {reply.status}, but refused: {cut(word, 60)}", again=word in _FOR_NOW)
    ts, channel = fields.get("ts"), fields.get("channel")
    learned = {"ts": ts, "channel": channel} if learns and isinstance(ts, str) and isinstance(channel, str) else {}
    return Result(learned=learned)


def _read_webhook(reply: Reply) -> Result:
    """A webhook that took a message says `ok` and nothing else."""
    found = usual(reply)
    if found.why or reply.body.strip() in (b"ok", b"", b'{"ok":true}'):
        return found
    return Result(f"answered {reply.status}, but not ok", again=False)
