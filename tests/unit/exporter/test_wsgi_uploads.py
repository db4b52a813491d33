"""An upload that breaks off is that of a caller who left, whatever the application makes of it."""

import gc
import weakref
from io import BytesIO

import pytest

from rearguard_exporter import Monitor
from unit.exporter.counts import active, counted


@pytest.fixture
def monitor():
    made = Monitor("shop", "1.0", "test")
    yield made
    made.close()


class Input:
    """A server's `wsgi.input` with what the protocol asks for, which comes to its end or raises."""

    def __init__(self, data, failure=None):
        self._file, self._failure = BytesIO(data), failure

    def read(self, size=-1):
        return self._file.read(size) or self._end()

    def readline(self, size=-1):
        return self._file.readline(size) or self._end()

    def readlines(self, hint=-1):
        return self._file.readlines(hint)

    def __iter__(self):
        return self

    def __next__(self):
        line = self.readline()
        if not line:
            raise StopIteration
        return line

    def _end(self):
        if self._failure is not None:
            raise self._failure
        return b""


def ask(monitor, read, source, announced, **environ):
    """Post this body to an application that reads it so; what it read."""
    got = []

    def app(environ, start_response):
        got.append(read(environ["wsgi.input"]))
        start_response("200 OK", [])
        return [b"ok"]

    posted = {"REQUEST_METHOD": "POST", "PATH_INFO": "/", "CONTENT_LENGTH": str(announced), "wsgi.input": source}
    monitor.instrument_wsgi(app)(posted | environ, lambda *_: None)
    return got[0]


def readinto(source):
    buffer = bytearray(64)
    return bytes(buffer[: source.readinto(buffer)])


DATA = b"one\ntwo\nsix\n"
READS = {
    "all": lambda source: source.read(),
    "so many": lambda source: source.read(12),
    "more": lambda source: source.read(4096),
    "in pieces": lambda source: b"".join(source.read(5) for _ in range(3)),
    "to the end": lambda source: b"".join(iter(lambda: source.read(4), b"")),
    "lines": b"".join,
    "readline": lambda source: b"".join(iter(source.readline, b"")),
    "readlines": lambda source: b"".join(source.readlines()),
}


@pytest.mark.parametrize("read", READS.values(), ids=READS)
@pytest.mark.parametrize("make", [Input, BytesIO])
def test_a_whole_body_is_read_as_from_the_server_and_the_caller_is_there(monitor, read, make):
    assert ask(monitor, read, make(DATA), len(DATA)) == DATA
    assert counted(monitor) == {("200", ""): 1}


# A reading that is content with the bytes that came does not look further: nothing tells whether more would come.
@pytest.mark.parametrize("read", [READS[name] for name in ("all", "more", "to the end", "lines", "readline")])
@pytest.mark.parametrize("make", [Input, BytesIO])
def test_a_body_that_ends_too_early_is_that_of_a_caller_who_left(monitor, read, make):
    assert ask(monitor, read, make(DATA), 1000) == DATA
    assert counted(monitor) == {("499", ""): 1}
    assert active(monitor) == 0


def test_a_body_read_into_a_buffer_is_watched_where_the_server_can_do_that(monitor):
    assert ask(monitor, readinto, BytesIO(DATA), len(DATA)) == DATA
    assert ask(monitor, readinto, BytesIO(b""), len(DATA)) == b""
    assert counted(monitor) == {("200", ""): 1, ("499", ""): 1}
    with pytest.raises(AttributeError):
        ask(monitor, readinto, Input(DATA), len(DATA))


@pytest.mark.parametrize("failure", [ConnectionResetError(), TimeoutError()])
@pytest.mark.parametrize("how", [{}, {"CONTENT_LENGTH": "", "HTTP_TRANSFER_ENCODING": "chunked"}])
def test_a_server_that_fails_to_read_tells_of_a_caller_who_left(monitor, failure, how):
    with pytest.raises(type(failure)):
        ask(monitor, lambda source: source.read(), Input(b"", failure), 1000, **how)
    assert counted(monitor) == {("499", ""): 1}


def test_an_application_that_fails_for_want_of_the_rest_is_no_failure_of_it(monitor):
    def fail(source):
        assert len(source.read()) == 1000

    with pytest.raises(AssertionError):
        ask(monitor, fail, Input(DATA), 1000)
    assert counted(monitor) == {("499", ""): 1}


def test_an_application_that_fails_with_the_whole_body_is_a_failure(monitor):
    def fail(source):
        assert not source.read()

    with pytest.raises(AssertionError):
        ask(monitor, fail, Input(DATA), len(DATA))
    assert counted(monitor) == {("500", "AssertionError"): 1}


@pytest.mark.parametrize("read", [lambda source: source.read(4), lambda source: source.read(0), lambda _: b""])
def test_an_application_that_reads_only_a_part_has_its_caller_still(monitor, read):
    ask(monitor, read, Input(DATA), len(DATA))
    assert counted(monitor) == {("200", ""): 1}


def test_a_server_that_gives_less_at_a_time_than_was_asked_for_is_not_at_its_end(monitor):
    class Slow(Input):
        def read(self, size=-1):
            return super().read(min(size, 5))

    assert ask(monitor, READS["to the end"], Slow(DATA), len(DATA)) == DATA
    assert ask(monitor, lambda source: b"".join(iter(lambda: source.read(64), b"")), Slow(DATA), len(DATA)) == DATA
    assert counted(monitor) == {("200", ""): 2}


def test_a_request_with_a_body_is_no_cycle_for_the_garbage_collector(monitor):
    gc.disable()
    try:
        source = Input(DATA)
        gone = weakref.ref(source)
        ask(monitor, READS["all"], source, len(DATA))
        del source
        assert gone() is None
    finally:
        gc.enable()
