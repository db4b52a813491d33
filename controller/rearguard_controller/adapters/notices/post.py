"""What is sent to a service, and what its answer means.

Here: one request as a value, and the reading of answers that all services share.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import orjson

from rearguard_controller.config import ReceiverKind

LONGEST_ANSWER = 64 * 1024  # bytes of an answer that are read
LONGEST_PAUSE = 600.0  # seconds that a service may ask us to wait
_GOOD = range(200, 300)
_REDIRECT = range(300, 400)
_TOO_MANY = 429
_AGAIN = frozenset({408, 425, _TOO_MANY, *range(500, 600)})  # statuses that another attempt may change

Json: TypeAlias = "Mapping[str, Json] | list[Json] | tuple[Json, ...] | str | int | float | bool | None"
Known = Mapping[str, str]  # what a service told of the first message of a thread


@dataclass(frozen=True, slots=True)
class To:
    """Where notices go now. All of it but the kind and the channel is secret."""

    kind: ReceiverKind
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    token: str = field(default="", repr=False)
    channel: str = ""
    organization: str = ""


@dataclass(frozen=True, slots=True)
class Reply:
    """What a service answered."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def fields(self) -> dict[str, object]:
        """The fields of a JSON object; none if it is something else."""
        try:
            found = orjson.loads(self.body)
        except orjson.JSONDecodeError:
            return {}
        return found if isinstance(found, dict) else {}


@dataclass(frozen=True, slots=True)
class Result:
    """What an answer means.

    Attributes:
        why: what went wrong; empty: it was taken.
        again: whether another attempt may help.
        pause: seconds that the service wants to be left alone.
        learned: what to remember for later messages with the same key.
    """

    why: str = ""
    again: bool = False
    pause: float = 0.0
    learned: Known = field(default_factory=dict)


def usual(reply: Reply) -> Result:
    """2xx is good; 408, 425, 429 and 5xx may be better next time; everything else is a refusal."""
    if reply.status in _GOOD:
        return Result()
    redirect = " (redirects are not followed)" if reply.status in _REDIRECT else ""
    pause = seconds(next((value for name, value in reply.headers.items() if name.lower() == "retry-after"), ""))
    return Result(f"answered {reply.status}{redirect}", reply.status in _AGAIN, pause)


@dataclass(frozen=True, slots=True)
class Post:
    """One request of a notice; `content` is JSON unless it is bytes."""

    url: str = field(repr=False)
    content: Json | bytes
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    method: str = "POST"
    read: Callable[[Reply], Result] = usual

    @property
    def data(self) -> bytes:
        """The body as it is sent."""
        return self.content if isinstance(self.content, bytes) else orjson.dumps(self.content)


def seconds(text: object) -> float:
    """Seconds that a service asks for, within reason; 0 if it says something else, such as a date."""
    try:
        value = float(str(text))
    except ValueError:
        return 0.0
    return min(LONGEST_PAUSE, max(0.0, value)) if math.isfinite(value) else 0.0


def cut(text: str, most: int) -> str:
    """At most so many characters; what is cut ends in an ellipsis."""
    return text if len(text) <= most else text[: max(0, most - 1)] + "…"


def fitted(text: str, most: int, escape: Callable[[str], str]) -> str:
    """Text as `escape` makes it, in at most `most` characters; what stands for one character is never cut in two."""
    whole = escape(text)
    if len(whole) <= most:
        return whole
    parts, left = list[str](), most - 1
    for character in text:
        part = escape(character)
        left -= len(part)
        if left < 0:
            break
        parts.append(part)
    return "".join(parts) + "…"
