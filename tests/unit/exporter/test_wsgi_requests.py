"""WSGI requests called by hand: when an answer is over, what was sent of it, and what the server is to recognise."""

import time
from io import BytesIO

import pytest

from rearguard_exporter import Monitor
from unit.exporter.counts import active, counted, in_flight, seconds, told


@pytest.fixture
def monitor():
    made = Monitor("shop", "1.0", "test")
    yield made
    made.close()


def server(*, refuses=()):
    """A server's `start_response`, whose `write` fails for these pieces, and what was written."""
    written = []

    def write(piece):
        if piece in refuses:
            raise BrokenPipeError
        written.append(piece)

    def start_response(_status, _headers, exc_info=None):
        if exc_info is not None and written:
            raise exc_info[1]
        return write

    return start_response, written


def ask(app, start_response, **environ):
    return app({"REQUEST_METHOD": "GET", "PATH_INFO": "/", **environ}, start_response)


@pytest.mark.parametrize(("told", "shown"), [("http", "http"), ("https", "https"), ("gopher", "_OTHER")])
def test_a_request_in_flight_is_shown_under_its_scheme(monitor, told, shown):
    def app(_environ, start_response):
        assert in_flight(monitor) == {("GET", shown): 1}
        start_response("200 OK", [])
        return []

    ask(monitor.instrument_wsgi(app), server()[0], **{"wsgi.url_scheme": told})
    assert in_flight(monitor) == {("GET", shown): 0}


def failure():
    """What `sys.exc_info()` says where an application failed."""
    error = LookupError()
    return type(error), error, None


def test_an_application_that_fails_after_it_wrote_keeps_the_status_that_was_sent(monitor):
    def app(_environ, start_response):
        start_response("200 OK", [])(b"a")
        raise LookupError

    start_response, written = server()
    with pytest.raises(LookupError):
        ask(monitor.instrument_wsgi(app), start_response)
    assert written == [b"a"]
    assert counted(monitor) == {("200", "LookupError"): 1}
    assert active(monitor) == 0


def test_a_second_start_that_comes_too_late_changes_no_status(monitor):
    def app(_environ, start_response):
        start_response("200 OK", [])(b"a")
        start_response("503 Busy", [], failure())

    with pytest.raises(LookupError):
        ask(monitor.instrument_wsgi(app), server()[0])
    assert counted(monitor) == {("200", "LookupError"): 1}


def test_a_second_start_in_time_is_the_one_that_counts(monitor):
    def app(_environ, start_response):
        start_response("200 OK", [])
        start_response("503 Busy", [], failure())(b"busy")
        return []

    start_response, written = server()
    assert ask(monitor.instrument_wsgi(app), start_response) == []
    assert written == [b"busy"]
    assert counted(monitor) == {("503", "503"): 1}


def test_a_caller_who_leaves_while_the_application_writes_is_no_failure_of_it(monitor):
    def app(_environ, start_response):
        write = start_response("200 OK", [])
        write(b"a")
        write(b"b")

    with pytest.raises(BrokenPipeError):
        ask(monitor.instrument_wsgi(app), server(refuses=[b"b"])[0])
    assert counted(monitor) == {("499", ""): 1}


def test_what_an_application_does_when_its_body_is_closed_is_not_its_answer(monitor):
    seen = []

    class Body:
        def __iter__(self):
            return iter([b"a"])

        def close(self):
            seen.append(active(monitor))
            time.sleep(0.02)  # work behind the answer

    def app(_environ, start_response):
        start_response("200 OK", [("Content-Length", "1")])
        return Body()

    body = ask(monitor.instrument_wsgi(app), server()[0], REQUEST_METHOD="HEAD")
    pieces = iter(body)
    assert next(pieces) == b"a"  # of which the server knows that it is all
    body.close()
    assert seen == [0]
    assert counted(monitor) == {("200", ""): 1}
    assert seconds(monitor) < 0.02


def test_a_body_that_fails_to_close_is_counted_once_and_its_failure_raised(monitor):
    class Body:
        def __iter__(self):
            return iter([b"a", b"b"])

        def close(self):
            raise LookupError

    def app(_environ, start_response):
        start_response("200 OK", [])
        return Body()

    body = ask(monitor.instrument_wsgi(app), server()[0])
    assert list(body) == [b"a", b"b"]
    with pytest.raises(LookupError):
        body.close()
    body.close()
    assert counted(monitor) == {("200", ""): 1}
    assert active(monitor) == 0


class Wrapper:
    """A server's `wsgi.file_wrapper`, as most have it."""

    def __init__(self, file):
        self.file = file


def sendfile(file):
    """As uWSGI has it: it notes the file, and looks whether the application returns that one."""
    return file


@pytest.mark.parametrize("wrapper", [Wrapper, sendfile])
def test_a_file_that_the_server_is_to_send_is_given_back_as_it_is(monitor, wrapper):
    made = []

    def app(environ, start_response):
        start_response("200 OK", [])
        made.append(environ["wsgi.file_wrapper"](BytesIO(b"a")))
        return made[0]

    body = ask(monitor.instrument_wsgi(app), server()[0], **{"wsgi.file_wrapper": wrapper})
    assert body is made[0]
    if hasattr(body, "close"):
        body.close()
    assert counted(monitor) == {("200", ""): 1}
    assert active(monitor) == 0


@pytest.mark.parametrize("wrapper", [None, Wrapper, sendfile])
def test_a_body_of_another_kind_is_timed_beside_any_file_wrapper(monitor, wrapper):
    def app(_environ, start_response):
        start_response("200 OK", [])
        yield b"a"
        raise LookupError

    body = ask(monitor.instrument_wsgi(app), server()[0], **{"wsgi.file_wrapper": wrapper})
    with pytest.raises(LookupError):
        list(body)
    assert counted(monitor) == {("200", "LookupError"): 1}


@pytest.mark.parametrize("script_name", ["", "/shop"])
def test_the_endpoints_are_below_whatever_the_application_is_mounted_at(monitor, script_name):
    app = monitor.instrument_wsgi(lambda _environ, _start_response: [b"the application's"])
    body = ask(app, server()[0], PATH_INFO="/healthz", SCRIPT_NAME=script_name)
    assert b'"status": "ok"' in body[0]
    body = ask(app, server()[0], PATH_INFO="/x/healthz", SCRIPT_NAME=script_name)
    assert body == [b"the application's"]


def iterated(body):
    yield from body


@pytest.mark.parametrize("kind", [list, tuple, iterated])
@pytest.mark.parametrize("before", [0, 1, 2, 5])
@pytest.mark.parametrize(
    ("method", "status", "promised", "sizes", "is_short"),
    [
        ("GET", "200 OK", "10", [9], True),
        ("GET", "200 OK", "10", [10], False),
        ("GET", "200 OK", "10", [4, 5], True),
        ("GET", "200 OK", "10", [4, 6], False),
        ("GET", "200 OK", "70000", [69999], True),
        ("HEAD", "200 OK", "10", [0], False),
        ("GET", "304 Not Modified", "10", [0], False),
        ("GET", "200 OK", "ten", [9], False),
    ],
)
def test_a_body_that_is_shorter_than_its_head_says_is_an_error(
    monitor, method, status, promised, sizes, is_short, before, kind
):
    said = [(promised, sizes)]

    def hello(_environ, start_response):
        length, lengths = said[-1]
        start_response(status, [("Content-Length", length)])
        return kind([b"x" * size for size in lengths])

    app = monitor.instrument_wsgi(hello)

    def serve():
        body = ask(app, server()[0], REQUEST_METHOD=method)
        for _ in body:
            pass
        getattr(body, "close", lambda: None)()

    said.append(("3", [3]))
    for _ in range(before):
        serve()
    said.append((promised, sizes))
    serve()
    ordinary = before + (not is_short)
    expected = {(status[:3], ""): ordinary} if ordinary else {}
    assert told(monitor) == expected | ({(status[:3], "UnfinishedResponseError"): 1} if is_short else {})
