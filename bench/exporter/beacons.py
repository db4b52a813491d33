"""What taking a beacon costs, from the request to its 204, as a ratio to the floor of the same process.

Each framework is called in process, with a beacon as the script sends it. What a handler of the framework's own costs
that answers 204 and reads nothing is taken off; ASGI and WSGI alone have none.
Processor time, variants in turn. Here: variants and goals. Never here: browsers.
"""

import asyncio
import gc
import json
import statistics
import subprocess
import sys
from io import BytesIO
from time import process_time
from types import SimpleNamespace
from unittest import mock

import overhead

N = 100
CHUNKS = 40
ROUNDS = 3
BRIEF = {"ROUNDS": 1, "CHUNKS": 2}
GOAL = 20
PATH = "/api/monitoring/vitals"
TYPE = "text/plain;charset=UTF-8"
BEACON = json.dumps({
    "page": "/items/7", "navigation": "navigate",
    "vitals": {"ttfb": 120.1, "fcp": 800.5, "lcp": 1250.5, "inp": 64, "cls": 0.0213},
    "timings": [["checkout_rendered", 812.5]], "errors": {},
}).encode()  # fmt: skip


def run(report):
    report.title("a beacon, from request to 204: x floor (Counter.inc + Histogram.observe)")
    for name in VARIANTS:
        figures = [_in_process(name) for _ in range(ROUNDS)]
        report.goal(name, statistics.median(figures), GOAL)


def _in_process(name):
    command = [sys.executable, __file__, name, str(CHUNKS)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    return json.loads(done.stdout.splitlines()[-1])


def _monitor():
    from rearguard_exporter import Monitor, Vitals

    pages = ["/", "/cart", "/items/{id}", "/blog/*"]
    return Monitor("bench", "1", "test", vitals=Vitals(pages, timings=["checkout_rendered"], rate=1e9))


def _asgi():
    async def unused(*_):
        raise AssertionError

    app = _monitor().instrument_asgi(unused)
    headers = [
        (b"host", b"localhost:8000"), (b"user-agent", b"Mozilla/5.0"), (b"accept", b"*/*"),
        (b"content-length", str(len(BEACON)).encode()), (b"content-type", TYPE.encode()),
        (b"origin", b"http://localhost:8000"), (b"sec-fetch-site", b"same-origin"), (b"sec-fetch-mode", b"no-cors"),
    ]  # fmt: skip
    scope = {"type": "http", "method": "POST", "scheme": "http", "path": PATH, "root_path": "", "headers": headers}

    async def receive():
        return {"type": "http.request", "body": BEACON, "more_body": False}

    async def send(message):
        assert message.get("status", 204) == 204

    async def run():
        scopes = [dict(scope) for _ in range(N)]
        began = process_time()
        for each in scopes:
            await app(each, receive, send)
        return (process_time() - began) / N

    return run, None


def _wsgi():
    app = _monitor().instrument_wsgi(lambda *_: 1 / 0)
    environ = {
        "REQUEST_METHOD": "POST", "PATH_INFO": PATH, "HTTP_HOST": "localhost:8000", "CONTENT_TYPE": TYPE,
        "CONTENT_LENGTH": str(len(BEACON)), "HTTP_ORIGIN": "http://localhost:8000",
        "HTTP_SEC_FETCH_SITE": "same-origin", "wsgi.url_scheme": "http",
    }  # fmt: skip

    def start_response(status, _):
        assert status.startswith("204")

    async def run():
        environs = [{**environ, "wsgi.input": BytesIO(BEACON)} for _ in range(N)]
        began = process_time()
        for each in environs:
            app(each, start_response)
        return (process_time() - began) / N

    return run, None


def _aiohttp():
    from aiohttp import web

    async def nothing(_):
        return web.Response(status=204)

    bare, measured = web.Application(), web.Application()
    bare.router.add_post(PATH, nothing)
    _monitor().instrument_aiohttp(measured)
    return _aiohttp_runner(measured), _aiohttp_runner(bare)


def _aiohttp_runner(app):
    from aiohttp.streams import StreamReader
    from aiohttp.test_utils import make_mocked_request

    app.freeze()
    transport = mock.Mock()
    transport.get_extra_info = lambda _, default=None: default
    headers = {
        "Host": "localhost:8000", "Content-Type": TYPE, "Content-Length": str(len(BEACON)),
        "Origin": "http://localhost:8000", "Sec-Fetch-Site": "same-origin",
    }  # fmt: skip

    protocol = mock.Mock()  # making one takes longer than what is measured

    flow = SimpleNamespace(_reading_paused=False, resume_reading=lambda **_: None)

    def request():
        payload = StreamReader(flow, 2**16, loop=asyncio.get_running_loop())
        payload.feed_data(BEACON)
        payload.feed_eof()
        shared = {"app": app, "transport": transport, "protocol": protocol, "writer": protocol}
        return make_mocked_request("POST", PATH, headers=headers, payload=payload, **shared)

    async def run():
        requests = [request() for _ in range(N)]
        began = process_time()
        for each in requests:
            assert (await app._handle(each)).status == 204
        return (process_time() - began) / N

    return run


VARIANTS = {"ASGI": _asgi, "WSGI": _wsgi, "aiohttp, more than a bare 204": _aiohttp}


async def _measure(name, chunks):
    counter, histogram = overhead.cached()
    run, bare = VARIANTS[name]()

    def floor():
        began = process_time()
        for _ in range(N):
            counter.inc()
            histogram.observe(0.004)
        return (process_time() - began) / N

    for _ in range(3):
        floor(), await run()
    gc.collect()
    gc.freeze()
    rows = [(floor(), await run(), await bare() if bare else 0.0) for _ in range(chunks)]
    base = statistics.median(row[0] for row in rows)
    print(json.dumps(statistics.median(row[1] - row[2] for row in rows) / base))


if __name__ == "__main__":
    asyncio.run(_measure(sys.argv[1], int(sys.argv[2])))
