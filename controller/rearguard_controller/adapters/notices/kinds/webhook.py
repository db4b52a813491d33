"""Any webhook: the notice as JSON, in the shapes of the API, and what people are told of it."""

from __future__ import annotations

from collections.abc import Sequence

import orjson

from rearguard_controller.adapters.notices import notice as notices
from rearguard_controller.adapters.notices.message import Message
from rearguard_controller.adapters.notices.post import Known, Post, To


def posts(message: Message, to: To, known: Known) -> Sequence[Post]:
    """What is sent: the notice, what other services show of it, and the page that it is about if that is known."""
    del known
    body: dict[str, object] = {
        **notices.body(message.notice),
        "title": message.title,
        "severity": message.severity,
        "facts": dict(message.facts),
    }
    if message.link is not None:
        body["link"] = message.link
    return [Post(to.url, orjson.dumps(body), to.headers)]
