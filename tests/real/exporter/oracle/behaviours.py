"""What callers and handlers do to a request, as one table: every framework's application serves each at its name.

The handler and the caller tell each other where they are by files in the folder of the run: `<name>.began` is there
once the handler runs, `<name>.left` once the caller has left.
"""

from dataclasses import dataclass
from enum import Enum, auto


class Leaves(Enum):
    """When the caller leaves, if at all."""

    NEVER = auto()
    UPLOADING = auto()  # a part of the body was sent, and the handler runs
    WAITING = auto()  # the handler runs, and nothing of the answer has come
    READING = auto()  # the head and some of the body have come
    DONE = auto()  # the whole answer has come


@dataclass(frozen=True)
class Behaviour:
    """One request, and what becomes of it."""

    name: str
    method: str = "GET"
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    announced: int | None = None  # the Content-Length, if it is not the body's
    leaves: Leaves = Leaves.NEVER
    fails: bool = False  # the handler raises before the answer is complete


_UPLOAD = {"method": "POST", "body": b"x" * 1000, "announced": 100_000, "leaves": Leaves.UPLOADING}

TABLE = (
    Behaviour("quick"),
    Behaviour("done", leaves=Leaves.DONE),
    Behaviour("head", method="HEAD"),
    Behaviour("missing"),
    # The caller leaves.
    Behaviour("waits", leaves=Leaves.WAITING),  # the handler answers half a second later
    Behaviour("streams", leaves=Leaves.READING),  # the handler sends pieces until half a second later
    Behaviour("large", leaves=Leaves.READING),  # the handler sends one body, too large for the buffers between
    Behaviour("upload", **_UPLOAD),
    Behaviour("upload_in_group", **_UPLOAD),  # a task of a task group reads the body
    Behaviour("upload_chunked", headers=(("Transfer-Encoding", "chunked"),), **_UPLOAD),
    # The handler fails.
    Behaviour("raises", fails=True),
    Behaviour("cancels", fails=True),  # it awaits a task that it has cancelled
    Behaviour("cancels_itself", fails=True),  # it cancels the task that it runs in
    Behaviour("times_out", fails=True),  # a timeout of its own, of a block of its own
    Behaviour("group", fails=True),  # a task of its task group raises
    Behaviour("os_error", fails=True),  # of a connection of its own
    Behaviour("preparing", fails=True),  # the head of the answer cannot be sent
    Behaviour("raises_streaming", fails=True),
    Behaviour("cancels_streaming", fails=True),
    Behaviour("os_error_streaming", fails=True),
    Behaviour(
        "ends_short", fails=True, headers=(("Connection", "close"),)
    ),  # before the length that its head promises
    Behaviour("short_at_once", fails=True, headers=(("Connection", "close"),)),  # so, too, with a body of one piece
    Behaviour("answers_500"),
    # HTTP's own kinds of answers.
    Behaviour("range", headers=(("Range", "bytes=2-5"),)),
    Behaviour("beyond", headers=(("Range", "bytes=900-"),)),
    Behaviour("unchanged", headers=(("If-None-Match", "*"),)),
    Behaviour("expects", method="POST", headers=(("Expect", "100-continue"),), body=b"x" * 1000),
)
_OF_LOOPS = frozenset({"cancels", "cancels_itself", "cancels_streaming", "times_out", "upload_in_group"})
BACKGROUND_TABLE = (*TABLE, Behaviour("after_answer"))  # what it does after the answer fails
PLAIN_TABLE = (
    *BACKGROUND_TABLE,
    Behaviour("second_head", fails=True),  # after the head it sends another one
)
WSGI_TABLE = (
    Behaviour("upload_fails", **_UPLOAD),  # the handler fails because the body is too short
    *(each for each in TABLE if each.name not in _OF_LOOPS),
    Behaviour("large_stream", leaves=Leaves.READING),  # a large body as one piece of an iterator
    Behaviour("large_file", leaves=Leaves.READING),  # which the server may send by itself
)
AIOHTTP_TABLE = (
    *TABLE,
    Behaviour("large_file", leaves=Leaves.READING),
    # The answer dies after the handler is over.
    Behaviour("signal", fails=True),  # a signal of the application raises
    Behaviour("payload", fails=True),  # what the body is read from raises
    Behaviour("payload_os_error", fails=True),
    Behaviour("payload_cancels", fails=True),
    Behaviour("refuses_streaming", fails=True),  # an HTTPException after the head
    Behaviour("nothing", fails=True),  # the handler returns None
    # aiohttp answers by itself.
    Behaviour("refuses"),
    Behaviour("expects_oddly", method="POST", headers=(("Expect", "oddly"),), body=b"x" * 100),
    Behaviour("too_large", method="POST", body=b"x" * 20_000),
    # A middleware outside of the exporter's has the last word.
    Behaviour("outer_raises", fails=True),
    Behaviour("outer_answers"),
    Behaviour("outer_refuses"),
    Behaviour("outer_turns"),
    Behaviour("outer_waits"),
)
