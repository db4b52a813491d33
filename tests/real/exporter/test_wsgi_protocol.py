"""The WSGI protocol, checked by the standard library's validator on both sides of the wrapper, behind its server.

Every application here answers the same, byte for byte, with and without being measured.
"""

import re
import socket
import sys
import threading
from wsgiref.simple_server import WSGIRequestHandler, make_server
from wsgiref.validate import validator

import pytest

from real.exporter.conftest import Scrape
from rearguard_exporter import Monitor

COUNT = "http_server_request_duration_seconds_count"
PLAIN = [("Content-Type", "text/plain")]


class Body:
    """Pieces, then perhaps a failure; `closed` says how often it was closed."""

    def __init__(self, pieces, failure=None, at_close=None):
        self.pieces, self.failure, self.at_close, self.closed = pieces, failure, at_close, 0

    def __iter__(self):
        yield from self.pieces
        if self.failure is not None:
            raise self.failure

    def close(self):
        self.closed += 1
        if self.at_close is not None:
            raise self.at_close


def fail():
    raise KeyError


def write(_, start):
    out = start("200 OK", PLAIN)
    out(b"one ")
    out(b"two ")
    return [b"three"]


def started_again(_, start):
    start("200 OK", PLAIN)
    try:
        fail()
    except KeyError:
        start("503 Busy", PLAIN, sys.exc_info())
    return [b"busy"]


def too_late_to_start_again(_, start):
    start("200 OK", PLAIN)(b"sent")
    try:
        fail()
    except KeyError:
        start("500 Oops", PLAIN, sys.exc_info())
    return [b"never"]


def file(environ, start):
    start("200 OK", [*PLAIN, ("Content-Length", "70000")])
    return environ["wsgi.file_wrapper"](environ["test.file"].open("rb"))


def made_by_a_generator(_, start):
    start("201 Made", PLAIN)
    yield b"one "
    yield b"two"


def fails_before_its_head(_, start):
    raise LookupError
    yield b""


def nothing(_, start):
    start("204 No Content", [])
    return []


def answering(body):
    def app(_, start):
        start("200 OK", PLAIN)
        return body

    return app


APPS = {
    "write": (write, {"200": ""}),
    "started again": (started_again, {"503": "503"}),
    "too late to start again": (too_late_to_start_again, {"200": "KeyError"}),
    "file": (file, {"200": ""}),
    "generator": (made_by_a_generator, {"201": ""}),
    "fails before its head": (fails_before_its_head, {"500": "LookupError"}),
    "nothing": (nothing, {"204": ""}),
    "body": (lambda: answering(Body([b"x"] * 3)), {"200": ""}),
    "breaks": (lambda: answering(Body([b"x"] * 3, RuntimeError())), {"200": "RuntimeError"}),
    "breaks at once": (lambda: answering(Body([], RuntimeError())), {"500": "RuntimeError"}),
    "fails to close": (lambda: answering(Body([b"x"] * 3, at_close=OSError())), {"200": ""}),
}


class Quietly(WSGIRequestHandler):
    def log_message(self, *_words):
        pass


def asked(app, environment):
    """What the server sent for a GET and for a HEAD, to the end, but for the date."""

    def top(environ, start):
        return validator(app)(environ | environment, start)

    server = make_server("127.0.0.1", 0, top, handler_class=Quietly)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        return [_raw(server.server_port, method) for method in ("GET", "HEAD")]
    finally:
        server.shutdown()
        server.server_close()


def _raw(port, method):
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(f"{method} / HTTP/1.0\r\n\r\n".encode())
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    return re.sub(rb"Date: [^\r]*\r\n", b"", answer)


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize("name", APPS)
def test_the_protocol_is_kept_and_the_answer_the_same(name, tmp_path, capsys):
    (tmp_path / "file").write_bytes(b"y" * 70_000)
    environment = {"test.file": tmp_path / "file"}
    made, expected = APPS[name]
    fresh = made if made.__code__.co_argcount else made()
    bare = asked(validator(fresh), environment)
    told = capsys.readouterr().err.count("AssertionError")
    monitor = Monitor("shop", "1.0", "test")
    fresh = made if made.__code__.co_argcount else made()
    assert asked(monitor.instrument_wsgi(validator(fresh)), environment) == bare
    assert capsys.readouterr().err.count("AssertionError") == told == 0
    scrape = Scrape(monitor._endpoints.metrics.render("", "").body.decode())
    monitor.close()
    for method in ("GET", "HEAD"):
        counted = {
            sample.labels["http_response_status_code"]: sample.labels["error_type"]
            for sample in scrape.all(COUNT)
            if sample.labels["http_request_method"] == method
        }
        assert counted == expected, method
        assert scrape.value("http_server_active_requests", http_request_method=method) == 0
