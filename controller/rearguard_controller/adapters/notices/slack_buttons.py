"""Buttons that people press in Slack: whether Slack itself sent the request, what was pressed, and the answer to it.

Source: Slack's pages on verifying requests, on block actions and on response URLs.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from urllib.parse import parse_qs

import aiohttp
import orjson
import structlog

from rearguard_controller.adapters.notices.kinds.slack import APPROVE, VETO, escape
from rearguard_controller.adapters.notices.post import cut

log = structlog.get_logger(__name__)

WINDOW = 300.0  # seconds: an older request may be somebody else's copy
MOST_TEXT = 2000
PATIENCE = 5.0  # seconds for the answer
_WORDS = {APPROVE: True, VETO: False}


@dataclass(frozen=True, slots=True)
class Press:
    """One press of a button.

    Attributes:
        approves: True: approve; False: veto; None: a button of another kind.
        answer_to: where Slack takes the answer: a secret.
    """

    user: str
    rollback: str
    approves: bool | None
    answer_to: str = field(default="", repr=False)


def is_genuine(secret: str, timestamp: str, signature: str, body: bytes, *, now: float) -> bool:
    """Whether a request was signed with the secret within the window."""
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= len("99999999999")):
        return False
    if abs(now - int(timestamp)) > WINDOW:
        return False
    made = hmac.new(secret.encode(), b":".join([b"v0", timestamp.encode(), body]), sha256).hexdigest()
    return hmac.compare_digest(f"v0={made}".encode(), signature.encode("utf-8", "surrogateescape"))


def read(body: bytes) -> Press | None:
    """The press that a request's body tells of; None: it tells of something else."""
    try:
        [payload] = parse_qs(body.decode(), strict_parsing=True, max_num_fields=10)["payload"]
        found = orjson.loads(payload)
    except (ValueError, KeyError):
        return None
    user, actions = _at(found, "user", "id"), found.get("actions") if isinstance(found, dict) else None
    if not isinstance(user, str) or not isinstance(actions, list) or not actions:
        return None
    value, action, address = _at(actions[0], "value"), _at(actions[0], "action_id"), _at(found, "response_url")
    return Press(
        user=user,
        rollback=value if isinstance(value, str) else "",
        approves=_WORDS.get(action) if isinstance(action, str) else None,
        answer_to=address if isinstance(address, str) and address.startswith(("https://", "http://")) else "",
    )


def _at(found: object, *names: str) -> object:
    for name in names:
        found = found.get(name) if isinstance(found, Mapping) else None
    return found


async def tell(press: Press, text: str, *, everybody: bool) -> None:
    """Answer in Slack: to everybody in the channel, or only to who pressed. A failure is logged and no more."""
    if not press.answer_to:
        return
    kind = "in_channel" if everybody else "ephemeral"
    body = {"text": escape(cut(text, MOST_TEXT)), "response_type": kind, "replace_original": False}
    why = ""
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=PATIENCE)) as session,
            session.post(press.answer_to, json=body, allow_redirects=False) as response,
        ):
            why = "" if response.ok else f"answered {response.status}"
    except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
        why = type(error).__name__
    if why:
        log.warning("slack_not_answered", rollback=press.rollback, why=why)
