"""How a WSGI answer ends when the server asks for no more: all was sent, the caller left, it was refused."""

import gc
import time
from io import BytesIO, StringIO
from wsgiref.handlers import SimpleHandler

import pytest
from flask import Flask
from werkzeug.test import Client

from rearguard_exporter import Monitor
from unit.exporter.counts import active, counted


@pytest.fixture
def monitor():
    made = Monitor("shop", "1.0", "test")
    yield made
    made.close()


def answering(pieces, *headers, status="200 OK"):
    """An application whose body is these pieces, one by one."""

    def app(_environ, start_response):
        start_response(status, [*headers])
        yield from pieces

    return app


def ask(app, method="GET"):
    return app({"REQUEST_METHOD": method, "PATH_INFO": "/"}, lambda *_: None)


def take(app, pieces, method="GET"):
    """Take so many pieces and close the body, as a server does that knows where it ends."""
    body = ask(app, method)
    taken = iter(body)
    for _ in range(pieces):
        next(taken)
    body.close()


def while_handling(failure, call):
    try:
        raise failure
    except type(failure):
        call()


def send(app, failure):
    """Take one piece, fail to send it, and close the body, as every server in Python does."""
    body = ask(app)
    for _ in body:
        while_handling(failure, body.close)
        break


TEN = ("Content-Length", "10")


@pytest.mark.parametrize("pieces", [[b"0123456789"], [b"01234", b"56789"], [b"", b"0123456789"], [b"0123456789ab"]])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_body_of_which_the_server_has_what_content_length_says_is_the_answer_that_was_made(monitor, pieces, method):
    take(monitor.instrument_wsgi(answering([*pieces, b""], TEN)), len(pieces), method)
    assert counted(monitor) == {("200", ""): 1}


def test_a_body_that_was_written_in_part_is_whole_with_what_content_length_says(monitor):
    def app(_environ, start_response):
        write = start_response("201 Made", [TEN])
        write(b"01234")
        return iter([b"56789", b""])

    app = monitor.instrument_wsgi(app)
    body = app({"REQUEST_METHOD": "GET", "PATH_INFO": "/"}, lambda *_: lambda _: None)
    next(iter(body))
    body.close()
    assert counted(monitor) == {("201", ""): 1}


@pytest.mark.parametrize("headers", [[TEN], [], [("Content-Length", "ten")]])
def test_a_body_that_is_closed_before_its_end_is_that_of_a_caller_who_left(monitor, headers):
    take(monitor.instrument_wsgi(answering([b"01234", b"56789"], *headers)), 1)
    assert counted(monitor) == {("499", ""): 1}


class HttpResponse:
    """As Django's: one piece, without a length where no middleware adds one."""

    streaming = False

    def __iter__(self):
        return iter([b""])

    def close(self):
        pass


def test_django_s_answer_of_one_piece_is_whole_with_that_piece_whether_it_has_a_length_or_not(monitor):
    def app(_environ, start_response):
        start_response("301 Moved Permanently", [])
        return HttpResponse()

    take(monitor.instrument_wsgi(app), 1)
    assert counted(monitor) == {("301", ""): 1}


@pytest.mark.parametrize(
    ("method", "status", "error_type"),
    [("GET", "200", "UnfinishedResponseError"), ("HEAD", "200", ""), ("GET", "304", "")],
)
def test_a_body_in_pieces_that_ends_before_its_content_length_is_an_error(monitor, method, status, error_type):
    app = answering([b"01", b"23"], TEN, status=f"{status} So")
    body = ask(monitor.instrument_wsgi(app), method)
    assert b"".join(body) == b"0123"
    body.close()
    assert counted(monitor) == {(status, error_type): 1}


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
def test_an_answer_without_a_body_is_complete_whenever_it_is_closed(monitor, status):
    take(monitor.instrument_wsgi(answering([b"", b""], TEN, status=status)), 1)
    assert counted(monitor) == {(status[:3], ""): 1}


class ClientDisconnected(Exception):  # noqa: N818 - as waitress has it
    pass


@pytest.mark.parametrize("failure", [BrokenPipeError(), ConnectionResetError(), TimeoutError(), ClientDisconnected()])
@pytest.mark.parametrize("kind", ["iterator", "large list", "late list", "list of two", "late tuple"])
def test_a_server_that_cannot_send_tells_of_a_caller_who_left_even_if_it_has_all(monitor, failure, kind):
    def listed(_environ, start_response):
        start_response("200 OK", [])
        if "late" in kind:
            time.sleep(0.02)
        pieces = {"large list": [b"x" * 70_000], "list of two": [b"a", b"b"], "late tuple": (b"a",)}
        return pieces.get(kind, [b"0123456789"])

    send(monitor.instrument_wsgi(answering([b"0123456789"], TEN) if kind == "iterator" else listed), failure)
    assert counted(monitor) == {("499", ""): 1}
    assert active(monitor) == 0


def test_an_application_that_is_called_while_an_exception_is_handled_has_its_own_answer(monitor):
    def listed(_environ, start_response):
        start_response("200 OK", [])
        return [b"x" * 70_000]

    app = monitor.instrument_wsgi(listed)
    while_handling(BrokenPipeError(), lambda: ask(app).close())
    while_handling(BrokenPipeError(), lambda: send(app, ConnectionResetError()))
    assert counted(monitor) == {("200", ""): 1, ("499", ""): 1}


def test_a_stopping_server_that_ends_an_answer_is_no_failure_of_it(monitor):
    send(monitor.instrument_wsgi(answering([b"a", b"b"])), SystemExit())
    assert counted(monitor) == {("499", ""): 1}


@pytest.mark.parametrize("as_list", [True, False])
def test_an_answer_that_a_real_server_refuses_is_a_failure(monitor, as_list):
    def listed(_environ, start_response):
        start_response("200 OK", [])
        return ["text instead of bytes"]

    app = monitor.instrument_wsgi(listed if as_list else answering(["text instead of bytes"]))
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/", "SERVER_PROTOCOL": "HTTP/1.1"}
    sent = BytesIO()
    SimpleHandler(BytesIO(), sent, StringIO(), environ).run(app)
    assert b"500 Internal Server Error" in sent.getvalue()
    assert counted(monitor) == {("200", "AssertionError"): 1}  # most servers have sent the head by then


@pytest.mark.parametrize(
    ("app", "expected"),
    [
        (answering([b"0123456789", b""], TEN), ("200", "")),
        (answering([b"a", b"b"]), ("499", "")),
        (lambda _environ, start: (start("200 OK", []) and None) or [b"a", b"b"], ("200", "")),
    ],
)
def test_a_body_that_nobody_closes_is_counted_once_it_is_dropped(monitor, app, expected):
    def dropped():
        next(iter(ask(monitor.instrument_wsgi(app))))

    dropped()
    gc.collect()
    assert counted(monitor) == {expected: 1}
    assert active(monitor) == 0


@pytest.fixture
def shop():
    app = Flask("shop")
    app.add_url_rule("/page", "page", lambda: "page")
    app.add_url_rule("/file", "file", lambda: app.response_class(iter([b"01234", b"56789"]), headers=dict([TEN])))
    return app


@pytest.mark.parametrize("path", ["/page", "/file", "/missing"])
@pytest.mark.parametrize("reads", [True, False])
@pytest.mark.parametrize("make", [Flask.test_client, Client])
def test_an_answer_that_a_test_client_has_is_the_answer_whether_it_is_read_or_not(monitor, shop, path, reads, make):
    shop.wsgi_app = monitor.instrument_wsgi(shop.wsgi_app)
    answer = make(shop).get(path)
    if reads or path == "/file":  # of which only a part was taken
        assert answer.data
    answer.close()
    del answer
    gc.collect()
    assert counted(monitor) == {("404" if path == "/missing" else "200", ""): 1}


class FileWrapper:
    """A server's `wsgi.file_wrapper`, as gunicorn has it."""

    def __init__(self, file):
        self.close = file.close


def file(environ, start_response):
    start_response("200 OK", [TEN])
    return environ["wsgi.file_wrapper"](environ["file"])


def ask_for_file(monitor, opened):
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/", "wsgi.file_wrapper": FileWrapper, "file": opened}
    return monitor.instrument_wsgi(file)(environ, lambda *_: None)


def test_a_file_that_the_server_sends_is_under_way_until_it_is_closed(monitor):
    opened = BytesIO()
    body = ask_for_file(monitor, opened)
    assert active(monitor) == 1
    body.close()
    body.close()
    assert counted(monitor) == {("200", ""): 1}
    assert active(monitor) == 0
    assert opened.closed


def test_a_caller_who_leaves_while_the_server_sends_a_file_has_left(monitor):
    opened = BytesIO()
    body = ask_for_file(monitor, opened)
    while_handling(BrokenPipeError(), body.close)
    assert counted(monitor) == {("499", ""): 1}
    assert opened.closed
