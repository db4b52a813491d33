"""ASGI requests called by hand: when an answer is over, who left, and which paths are the exporter's."""

import asyncio
import gc
import inspect
from http import HTTPStatus

import pytest
from starlette import responses
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.responses import FileResponse, PlainTextResponse
from starlette.routing import Route

from rearguard_exporter import Monitor
from unit.exporter.counts import active, counted, in_flight, seconds, told

HANDS_OVER = "http.response.pathsend" in inspect.getsource(responses)  # versions before 0.39 read files themselves
SENDS_FILES = "http.response.pathsend" if HANDS_OVER else "http.response.body"


@pytest.fixture
def monitor():
    made = Monitor("shop", "1.0", "test")
    yield made
    made.close()


async def ask(app, path="/", sent=None, server=None, **scope):
    """Call the application as a server does; what it sent."""
    sent = [] if sent is None else sent

    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message):
        sent.append(message)

    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "scheme": "http",
        "path": path, "raw_path": path.encode(), "query_string": b"", "root_path": "", "headers": [], **scope,
    }  # fmt: skip
    await app(scope, receive, server or send)
    return sent


async def until(true, seconds=5):
    async with asyncio.timeout(seconds):
        while not true():  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.001)


@pytest.mark.parametrize(
    ("told", "shown"),
    [
        ({}, "http"),  # `ask` says http
        ({"scheme": "https"}, "https"),
        ({"scheme": "gopher"}, "_OTHER"),  # behind a proxy a header may say it
        ({"type": "websocket", "scheme": "ws"}, "http"),
        ({"type": "websocket", "scheme": "wss"}, "https"),
    ],
)
async def test_a_request_in_flight_is_shown_under_its_scheme(monitor, told, shown):
    async def app(_scope, _receive, _send):
        assert in_flight(monitor) == {("GET", shown): 1}

    await ask(monitor.instrument_asgi(app), **told)
    assert in_flight(monitor) == {("GET", shown): 0}


async def test_a_server_that_names_no_scheme_speaks_http(monitor):
    async def app(scope, _receive, _send):
        del scope  # the specification lets a server leave the scheme out

    bare = {"type": "http", "method": "GET", "path": "/", "headers": []}
    await monitor.instrument_asgi(app)(bare, None, None)
    assert in_flight(monitor) == {("GET", "http"): 0}


class Hasty(asyncio.SelectorEventLoop):
    """Whose clock runs fifty times as fast."""

    def time(self):
        return super().time() * 50


def test_an_answer_of_500_is_over_though_its_background_task_is_not(monitor):
    async def failed(_):
        return PlainTextResponse("failed", 500, background=BackgroundTask(asyncio.Event().wait))

    async def serves():
        asked = asyncio.create_task(ask(app))
        await until(lambda: counted(monitor), 500)  # ten seconds of others
        assert active(monitor) == 0
        assert not asked.done()
        asked.cancel()

    app = monitor.instrument_asgi(Starlette(routes=[Route("/", failed)]))
    with asyncio.Runner(loop_factory=Hasty) as runner:
        runner.run(serves())
    assert counted(monitor) == {("500", "500"): 1}
    assert seconds(monitor) < 0.5


async def test_what_is_raised_behind_an_answer_of_500_is_told_once_it_is_raised(monitor):
    async def app(_scope, _receive, send):
        await send({"type": "http.response.start", "status": 500})
        await send({"type": "http.response.body"})
        await asyncio.sleep(0.05)
        raise LookupError

    with pytest.raises(LookupError):
        await ask(monitor.instrument_asgi(app))
    assert counted(monitor) == {("500", "LookupError"): 1}


@pytest.mark.parametrize("kind", ["http.response.pathsend", "http.response.zerocopysend"])
async def test_a_file_that_the_server_sends_is_the_end_of_its_answer(monitor, kind):
    over = asyncio.Event()

    async def app(_scope, _receive, send):
        await send({"type": "http.response.start", "status": 200})
        await send({"type": kind})
        await over.wait()

    asked = asyncio.create_task(ask(monitor.instrument_asgi(app)))
    await asyncio.sleep(0)
    assert counted(monitor) == {("200", ""): 1}
    assert active(monitor) == 0
    over.set()
    assert [message["type"] for message in await asked] == ["http.response.start", kind]


async def test_starlette_s_files_that_the_server_sends_are_counted_before_their_background_task_ends(monitor):
    async def file(_):
        return FileResponse(__file__, background=BackgroundTask(over.wait))

    over = asyncio.Event()
    sent = []
    app = monitor.instrument_asgi(Starlette(routes=[Route("/", file)]))
    asked = asyncio.create_task(ask(app, sent=sent, extensions={"http.response.pathsend": {}}))
    await until(lambda: counted(monitor))
    assert counted(monitor) == {("200", ""): 1}
    assert sent[-1]["type"] == SENDS_FILES
    over.set()
    await asked


@pytest.mark.parametrize("before", [0, 1, 2, 5])
@pytest.mark.parametrize("left_at", ["http.response.start", "http.response.body"])
async def test_a_server_that_finds_nobody_to_send_to_is_a_caller_who_left(monitor, left_at, before):
    async def server(message):
        if message["type"] == left_at:
            raise BrokenPipeError

    async def hello(_):
        return PlainTextResponse("hello")

    app = monitor.instrument_asgi(Starlette(routes=[Route("/", hello)]))
    for _ in range(before):
        await ask(app)
    with pytest.raises(BrokenPipeError):
        await ask(app, server=server)
    assert told(monitor) == {("499", ""): 1, **({("200", ""): before} if before else {})}
    assert active(monitor) == 0


@pytest.mark.parametrize("before", [0, 1, 2, 5])
@pytest.mark.parametrize("streams", [False, True])
async def test_an_answer_that_its_server_refuses_at_the_last_byte_is_an_error(monitor, streams, before):
    async def hello(_scope, _receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        if streams:
            await send({"type": "http.response.body", "body": b"a", "more_body": True})
        await send({"type": "http.response.body", "body": b"b"})

    async def server(message):
        if message.get("body") == b"b":
            await asyncio.sleep(0)
            raise RuntimeError

    app = monitor.instrument_asgi(hello)
    for _ in range(before):
        await ask(app)
    with pytest.raises(RuntimeError):
        await ask(app, server=server)
    assert told(monitor) == {("200", "RuntimeError"): 1, **({("200", ""): before} if before else {})}
    assert active(monitor) == 0


@pytest.mark.parametrize("before", [0, 1, 2, 5])
@pytest.mark.parametrize(
    ("method", "status", "promised", "size", "is_short"),
    [
        ("GET", 200, b"10", 9, True),
        ("GET", 200, b"10", 10, False),
        ("GET", 200, b"10", 0, True),
        ("GET", 200, b"70000", 69999, True),
        ("GET", 200, b"70000", 70000, False),
        ("HEAD", 200, b"10", 0, False),
        ("GET", 304, b"10", 0, False),
        ("GET", 404, b"10", 9, True),
    ],
)
async def test_an_answer_of_one_piece_that_is_shorter_than_its_head_says_is_an_error(
    monitor, method, status, promised, size, is_short, before
):
    sizes = [size]

    async def hello(_scope, _receive, send):
        length = promised if sizes[-1] == size else b"%d" % sizes[-1]
        await send({"type": "http.response.start", "status": status, "headers": [(b"Content-Length", length)]})
        await send({"type": "http.response.body", "body": b"x" * sizes[-1]})

    app = monitor.instrument_asgi(hello)
    for _ in range(before):
        sizes.append(3)
        await ask(app, method=method)
    sizes.append(size)
    await ask(app, method=method)
    ordinary = before + (not is_short)
    expected = {(str(status), ""): ordinary} if ordinary else {}
    assert told(monitor) == expected | ({(str(status), "UnfinishedResponseError"): 1} if is_short else {})


@pytest.mark.parametrize("before", [0, 1, 2, 5])
@pytest.mark.parametrize("status", [200, 204, 404, 503])
async def test_an_answer_is_counted_before_its_last_byte_is_given_away(monitor, status, before):
    seen = []

    async def hello(_scope, _receive, send):
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def server(message):
        if message["type"] == "http.response.body":
            seen.append(sum(told(monitor).values()))

    app = monitor.instrument_asgi(hello)
    for _ in range(before):
        await ask(app)
    await ask(app, server=server)
    assert seen == [before + 1]
    assert sum(told(monitor).values()) == before + 1


@pytest.mark.parametrize("has_sent", [False, True])
async def test_an_oserror_of_the_application_is_its_own_beside_the_status_that_was_sent(monitor, has_sent):
    async def app(_scope, _receive, send):
        if has_sent:
            await send({"type": "http.response.start", "status": 200})
            await send({"type": "http.response.body", "body": b"a", "more_body": True})
        raise ConnectionRefusedError

    with pytest.raises(ConnectionRefusedError):
        await ask(monitor.instrument_asgi(app))
    assert counted(monitor) == {("200" if has_sent else "500", "ConnectionRefusedError"): 1}


@pytest.mark.parametrize(
    ("root", "path"),
    [
        ("/api", "/api/healthz"),  # as uvicorn has it
        ("/api", "/healthz"),  # as servers that leave the root path out
        ("/api/", "/api//healthz"),  # uvicorn given a slash at the end
        ("/health", "/healthz"),  # which does not begin with that root path
        ("/healthz", "/healthz/healthz"),
    ],
)
async def test_the_endpoints_are_below_the_root_path_whether_the_path_has_it_or_not(monitor, root, path):
    sent = await ask(monitor.instrument_asgi(PlainTextResponse("the application's")), path, root_path=root)
    assert b'"status": "ok"' in sent[-1]["body"]


@pytest.mark.parametrize(("root", "path"), [("/api", "/apis/healthz"), ("/api", "/api"), ("/api", "/api/x/healthz")])
async def test_other_paths_are_the_application_s(monitor, root, path):
    sent = await ask(monitor.instrument_asgi(PlainTextResponse("the application's")), path, root_path=root)
    assert sent[-1]["body"] == b"the application's"


async def test_a_status_out_of_an_enum_is_its_number(monitor):
    await ask(monitor.instrument_asgi(PlainTextResponse("busy", HTTPStatus.SERVICE_UNAVAILABLE)))
    assert counted(monitor) == {("503", "503"): 1}


@pytest.mark.parametrize(
    ("last", "asked", "status", "error_type"),
    [
        ({"body": b"23"}, {}, 200, "UnfinishedResponseError"),
        ({"body": b"23456789"}, {}, 200, ""),
        ({"body": b"23"}, {"method": "HEAD"}, 200, ""),
        ({"body": b"23"}, {}, 304, ""),
        ({"type": "http.response.pathsend", "path": "/file"}, {}, 200, ""),
    ],
)
async def test_a_stream_that_ends_before_its_content_length_is_an_error(monitor, last, asked, status, error_type):
    async def app(_scope, _receive, send):
        await send({"type": "http.response.start", "status": status, "headers": [(b"Content-Length", b"10")]})
        await send({"type": "http.response.body", "body": b"01", "more_body": True})
        await send({"type": "http.response.body", **last})

    await ask(monitor.instrument_asgi(app), **asked)
    assert counted(monitor) == {(str(status), error_type): 1}


class Cycle:
    """What `receive` is a method of in uvicorn, by whose mark it tells that a caller left."""

    __module__ = "uvicorn.protocols.http.h11_impl"

    def __init__(self, disconnected):
        self.disconnected = disconnected

    async def receive(self):
        return {"type": "http.request", "body": b"", "more_body": False}


Cycle.__name__ = "RequestResponseCycle"


@pytest.mark.parametrize(
    ("disconnected", "has_begun", "recorded"),
    [
        (False, False, ("500", "CancelledError")),
        (True, False, ("499", "")),
        (False, True, ("499", "")),  # a stopping server ends streams
    ],
)
async def test_a_task_that_is_cancelled_although_its_caller_stays_has_failed(
    monitor, disconnected, has_begun, recorded
):
    async def app(_scope, _receive, send):
        if has_begun:
            await send({"type": "http.response.start", "status": 200, "headers": []})
        asyncio.current_task().cancel()
        await asyncio.sleep(0)

    async def nothing(_):
        pass

    scope = {"type": "http", "method": "GET", "path": "/", "headers": []}
    task = asyncio.create_task(monitor.instrument_asgi(app)(scope, Cycle(disconnected).receive, nothing))
    await asyncio.wait([task])
    assert task.cancelled()
    assert counted(monitor) == {recorded: 1}


def test_a_loop_after_one_that_ended_untidily_has_its_background_work_once_it_is_scraped(monitor, caplog):
    ran_on = []

    async def check():
        ran_on.append(asyncio.get_running_loop())

    async def serves():
        await ask(app)
        await ask(app, "/metrics")
        await until(lambda: asyncio.get_running_loop() in ran_on)

    monitor.watch_database("orders", check, interval=60)
    app = monitor.instrument_asgi(PlainTextResponse("hello"))
    for _ in range(2):
        loop = asyncio.new_event_loop()
        loop.run_until_complete(serves())
        loop.close()  # with tasks on it, that nobody cancelled
    assert len(ran_on) == 2
    del loop
    gc.collect()
    assert caplog.text == ""  # asyncio would name the exporter's tasks as destroyed
