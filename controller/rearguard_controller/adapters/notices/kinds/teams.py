"""Microsoft Teams: an adaptive card for a workflow that posts what it receives.

Source: Microsoft's pages on Workflows' webhooks and on adaptive cards. All text is in text runs: unlike text blocks
they know no markup, so that there is nothing to escape. A workflow cannot answer, so that there are no threads.
"""

from __future__ import annotations

from collections.abc import Sequence

from rearguard_controller.adapters.notices.message import Message, Severity
from rearguard_controller.adapters.notices.post import Json, Known, Post, To, cut

MOST = 25_000  # bytes of a card; Teams takes about 28 KB of a message
MOST_TITLE, MOST_TEXT, MOST_FACT = 300, 3000, 500
_COLOURS = {
    Severity.GOOD: "Good",
    Severity.INFO: "Accent",
    Severity.WARNING: "Warning",
    Severity.CRITICAL: "Attention",
}


def posts(message: Message, to: To, known: Known) -> Sequence[Post]:
    """What is sent: one card, with less of each text if it would be too large."""
    del known
    share = 1
    while len((sent := Post(to.url, _envelope(message, share), to.headers)).data) > MOST:
        share *= 2
    return [sent]


def _envelope(message: Message, share: int) -> Json:
    card: Json = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "fallbackText": cut(message.title, MOST_TITLE // share),
        "msteams": {"width": "Full"},
        "body": _body(message, share),
        "actions": [{"type": "Action.OpenUrl", "title": "Open", "url": message.link}] if message.link else [],
    }
    return {
        "type": "message",
        "attachments": [
            {"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": None, "content": card}
        ],
    }


def _body(message: Message, share: int) -> list[Json]:
    heading = _run(
        message.title, MOST_TITLE // share, weight="Bolder", size="Large", color=_COLOURS[message.severity]
    )
    body = [_block(heading)]
    if message.text:
        body.append(_block(_run(message.text, MOST_TEXT // share)))
    facts = ((_run(f"{name}  ", MOST_FACT, weight="Bolder"), _run(value, MOST_FACT // share))
             for name, value in message.facts)  # fmt: skip
    return body + [_block(*each) for each in facts]


def _block(*runs: Json) -> Json:
    return {"type": "RichTextBlock", "inlines": list(runs)}


def _run(text: str, most: int, **style: str) -> Json:
    return {"type": "TextRun", "text": cut(text, most), **style}
