"""The behaviours as a plain WSGI application."""

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


def answer(start, status="200 OK", body=b"ok"):
    start(status, [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


def stream(start, body):
    start("200 OK", [("Content-Type", "text/plain")])
    return body


def waits(_, start):
    until_left_blocking("waits")
    return answer(start, body=b"late")


def read(environ, start):
    begins(environ["PATH_INFO"].strip("/"))
    size = len(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])))
    return answer(start, body=str(size).encode())


def upload_fails(environ, start):
    begins("upload_fails")
    if len(environ["wsgi.input"].read(100_000)) < 100_000:
        raise LookupError("oracle")
    return answer(start)


def read_chunked(environ, start):
    begins("upload_chunked")
    return answer(start, body=str(len(environ["wsgi.input"].read())).encode())


def ends_short(_, start):
    start("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(SHORT))])
    return short_pieces_blocking()


def short_at_once(_, start):
    start("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(SHORT))])
    return [PIECE]


def preparing(_, start):
    start("200 OK", [("Content-Type", "text/plain")])
    return ["text instead of bytes"]


def empty(status):
    def handler(_, start):
        start(status, [])
        return []

    return handler


def large_stream(_, start):
    start("200 OK", [("Content-Length", str(len(LARGE)))])
    return iter([LARGE])


def serve_large_file(environ, start):
    start("200 OK", [("Content-Length", str(len(LARGE)))])
    file = LARGE_FILE.open("rb")
    if "wsgi.file_wrapper" in environ:
        return environ["wsgi.file_wrapper"](file)
    return iter(lambda: file.read(8192), b"")


HANDLERS = BLOCKING | {
    "quick": lambda _, start: answer(start),
    "done": lambda _, start: answer(start),
    "head": lambda _, start: answer(start)[:0],
    "missing": lambda _, start: answer(start, "404 Not Found"),
    "waits": waits,
    "streams": lambda _, start: stream(start, pieces_blocking("streams")),
    "large": lambda _, start: answer(start, body=LARGE),
    "large_stream": large_stream,
    "large_file": serve_large_file,
    "upload": read,
    "upload_chunked": read_chunked,
    "ends_short": ends_short,
    "short_at_once": short_at_once,
    "upload_fails": upload_fails,
    "preparing": preparing,
    "raises_streaming": lambda _, start: stream(start, pieces_blocking("raises_streaming", LookupError("oracle"))),
    "os_error_streaming": lambda _, start: stream(
        start, pieces_blocking("os_error_streaming", ConnectionResetError("x"))
    ),
    "answers_500": lambda _, start: answer(start, "500 Internal Server Error"),
    "range": lambda _, start: answer(start, "206 Partial Content", FILE.read_bytes()[2:6]),
    "beyond": lambda _, start: answer(start, "416 Range Not Satisfiable"),
    "unchanged": empty("304 Not Modified"),
    "expects": read,
}


def bare(environ, start):
    """The application without a monitor."""
    return HANDLERS[environ["PATH_INFO"].strip("/")](environ, start)


app = monitor().instrument_wsgi(bare)
