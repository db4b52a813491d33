"""What a server or a framework does not tell, so that the record is not the truth. The README has the reasons."""

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatch

from real.exporter.oracle.truth import Recorded


@dataclass(frozen=True)
class Limit:
    """Cells (patterns of servers and applications, names of behaviours) whose record may differ from the truth."""

    servers: Iterable[str]
    apps: Iterable[str]
    behaviours: frozenset[str]
    recorded: Recorded | None  # instead of the truth; None: nothing
    reason: str  # as in the table of limits in exporter/README.md

    def holds(self, server: str, app: str, behaviour: str) -> bool:
        """Whether this cell is one of them."""
        return (
            behaviour in self.behaviours
            and any(fnmatch(server, each) for each in self.servers)
            and any(fnmatch(app, each) for each in self.apps)
        )


_OK = Recorded("200", is_error=False)

_UPLOADS = frozenset({"upload", "upload_chunked", "upload_fails", "upload_in_group"})

LIMITS = (
    Limit(
        ("h2-hypercorn",), ("*",), frozenset({"large"}), None,
        "never comes back to an application that sends on a stream that was reset",
    ),
    Limit(
        ("h2-granian",), ("starlette*",), frozenset({"head"}), _OK,
        "sends a body in answer to HEAD over HTTP/2, which breaks the stream",
    ),
    Limit(
        ("uvicorn-*", "hypercorn*", "daphne", "*granian", "gunicorn-uvicorn", "waitress"),
        ("*",), frozenset({"large", "large_stream"}), _OK,
        "takes a body that is sent at once as a whole, before the caller has read it",
    ),
    Limit(
        ("*granian",), ("plain_asgi", "starlette*", "fastapi*"), frozenset({"waits", "streams"}), _OK,
        "tells only applications that call `receive`",
    ),
    Limit(
        ("daphne", "waitress"), ("*",), _UPLOADS, None,
        "calls the application once the whole body is there; before that there is no request",
    ),
    Limit(
        ("waitress",), ("*",), frozenset({"waits"}), _OK,
        "sends from another thread, so that a small answer is complete once it is made",
    ),
    Limit(
        ("cheroot",), ("*",), _UPLOADS, None,
        "at times calls no application while its caller is silent; then there is no request",
    ),
    Limit(
        ("*",), ("starlette_base",), frozenset({"cancels_streaming"}), _OK,
        "ends such a stream in good order, and raises and logs nothing",
    ),
    Limit(
        ("gunicorn-asgi",), ("plain_asgi",), frozenset({"second_head"}), _OK,
        "passes over a second head, and sends the rest in good order",
    ),
)  # fmt: skip


def limit_of(server: str, app: str, behaviour: str) -> Limit | None:
    """The limit that this cell stands under, if any."""
    return next((each for each in LIMITS if each.holds(server, app, behaviour)), None)


@dataclass(frozen=True)
class SocketLimit:
    """As `Limit`, of WebSockets behind servers that match."""

    servers: Iterable[str]
    behaviours: frozenset[str]
    recorded: str | None  # the reason; None: no end, as long as the handler goes on
    reason: str


SOCKET_LIMITS = (
    SocketLimit(
        ("hypercorn*",), frozenset({"talks", "page"}), "abnormal",
        "nothing but 1006 of whatever end a client began: all are `abnormal`",
    ),
    SocketLimit(
        ("granian",), frozenset({"lost", "in_group"}), "clean",
        "a vanished peer as a close without a code: `clean`",
    ),
    SocketLimit(
        ("hypercorn*", "granian"), frozenset({"only_sends"}), None,
        "nothing to a handler that only sends: it goes on, and so does its connection",
    ),
)  # fmt: skip


def socket_limit_of(server: str, behaviour: str) -> SocketLimit | None:
    """The limit that this cell stands under, if any."""
    return next(
        (
            each
            for each in SOCKET_LIMITS
            if behaviour in each.behaviours and any(fnmatch(server, pattern) for pattern in each.servers)
        ),
        None,
    )
