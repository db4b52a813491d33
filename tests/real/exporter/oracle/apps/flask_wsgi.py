"""The behaviours on Flask."""

from flask import Flask, Response, request, send_file

from real.exporter.oracle.apps.failures import BLOCKING
from real.exporter.oracle.apps.parts import (
    FILE,
    LARGE,
    PIECE,
    SHORT,
    begins,
    large_file,
    monitor,
    pieces_blocking,
    short_pieces_blocking,
    until_left_blocking,
)

LARGE_FILE = large_file()


class Unprepared(Response):
    """An answer whose head cannot be made."""

    def get_wsgi_headers(self, environ):  # noqa: ARG002 - Werkzeug's shape
        raise LookupError("oracle")


class Short(Response):
    """Its length is what the handler says."""

    automatically_set_content_length = False


def waits():
    until_left_blocking("waits")
    return "late"


def read():
    begins(request.path.strip("/"))
    return str(len(request.get_data()))


def upload_fails():
    begins("upload_fails")
    if len(request.environ["wsgi.input"].read(100_000)) < 100_000:
        raise LookupError("oracle")
    return "ok"


HANDLERS = BLOCKING | {
    "quick": lambda: "ok",
    "done": lambda: "ok",
    "head": lambda: "ok",
    "missing": lambda: ("no", 404),
    "waits": waits,
    "streams": lambda: Response(pieces_blocking("streams")),
    "large": lambda: Response(LARGE),
    "large_stream": lambda: Response(iter([LARGE]), headers={"Content-Length": str(len(LARGE))}),
    "large_file": lambda: send_file(LARGE_FILE),
    "upload": read,
    "upload_chunked": read,
    "ends_short": lambda: Response(short_pieces_blocking(), headers={"Content-Length": str(SHORT)}),
    "short_at_once": lambda: Short(PIECE, headers={"Content-Length": str(SHORT)}),
    "upload_fails": upload_fails,
    "preparing": lambda: Unprepared("ok"),
    "raises_streaming": lambda: Response(pieces_blocking("raises_streaming", LookupError("oracle"))),
    "os_error_streaming": lambda: Response(pieces_blocking("os_error_streaming", ConnectionResetError("oracle"))),
    "answers_500": lambda: ("no", 500),
    "range": lambda: send_file(FILE),
    "beyond": lambda: send_file(FILE),
    "unchanged": lambda: send_file(FILE),
    "expects": read,
}
flask = Flask(__name__)
for name, handler in HANDLERS.items():
    flask.add_url_rule(f"/{name}", name, handler, methods=["GET", "POST"])
app = monitor().instrument_wsgi(flask)
