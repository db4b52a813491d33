"""Applications with many routes, and how each is called in process without a server.

Here: applications, and `runner`s that time N calls. A request is let go once it is answered, as servers do: what is
kept would fill the garbage collector's young generation, and be counted as overhead. Never here: instruments, goals.
"""

import asyncio
import sys
import types
from io import BytesIO
from time import perf_counter
from unittest import mock

N = 300


def starlette(routes):
    from starlette.applications import Starlette
    from starlette.responses import PlainTextResponse
    from starlette.routing import Route

    async def view(_):
        return PlainTextResponse("ok")

    return Starlette(routes=[Route(f"/r{i}/{{item_id}}", view) for i in range(routes)])


def fastapi(routes):
    from fastapi import FastAPI
    from fastapi.responses import PlainTextResponse

    app = FastAPI(telemetry={"tracing": False, "metrics": False, "logs": False})

    async def view(item_id: str):  # noqa: ARG001 - the framework's work with it is part of the request
        return PlainTextResponse("ok")

    for i in range(routes):
        app.get(f"/r{i}/{{item_id}}", response_class=PlainTextResponse)(view)
    return app


def aiohttp(routes, middlewares=()):
    from aiohttp import web

    async def view(_):
        return web.Response(text="ok")

    app = web.Application(middlewares=list(middlewares))
    for i in range(routes):
        app.router.add_get(f"/r{i}/{{item_id}}", view)
    return app


def flask(routes):
    from flask import Flask

    app = Flask("bench")
    for i in range(routes):
        app.add_url_rule(f"/r{i}/<item_id>", f"v{i}", lambda item_id: "ok")  # noqa: ARG005 - as above
    return app


def django(routes):
    import django as package
    from django.conf import settings
    from django.core.handlers.wsgi import WSGIHandler
    from django.http import HttpResponse
    from django.urls import path

    if not settings.configured:
        urls = types.ModuleType("bench_urls")
        urls.urlpatterns = [
            path(f"r{i}/<str:item_id>", lambda _, item_id: HttpResponse("ok"))  # noqa: ARG005 - as above
            for i in range(routes)
        ]
        sys.modules["bench_urls"] = urls
        settings.configure(ROOT_URLCONF="bench_urls", ALLOWED_HOSTS=["*"], SECRET_KEY="x", MIDDLEWARE=[])
        package.setup()
    return WSGIHandler()


def wsgi(_):
    def app(_, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"ok"]

    return app


def asgi_runner(app, path):
    headers = [(b"host", b"localhost:8000"), (b"user-agent", b"bench/1.0"), (b"accept", b"*/*")]

    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(_):
        pass

    def scope():
        return {
            "type": "http", "asgi": {"version": "3.0", "spec_version": "2.3"}, "http_version": "1.1",
            "method": "GET", "scheme": "http", "path": path, "raw_path": path.encode(), "root_path": "",
            "query_string": b"", "headers": headers, "client": ("127.0.0.1", 5000),
            "server": ("127.0.0.1", 8000), "state": {},
        }  # fmt: skip

    async def run():
        scopes = [scope() for _ in range(N)]
        began = perf_counter()
        while scopes:
            await app(scopes.pop(), receive, send)
        return (perf_counter() - began) / N

    return run


def aiohttp_runner(app, path):
    from aiohttp.test_utils import make_mocked_request

    app.freeze()
    transport = mock.Mock()
    transport.get_extra_info = lambda name, default=None: ("127.0.0.1", 5000) if name == "peername" else default
    headers = {"Host": "localhost:8000", "User-Agent": "bench/1.0", "Accept": "*/*"}

    async def run():
        asked = [make_mocked_request("GET", path, headers=headers, app=app, transport=transport) for _ in range(N)]
        handle = app._handle
        began = perf_counter()
        while asked:
            await handle(asked.pop())
        return (perf_counter() - began) / N

    return run


class _Sink(asyncio.Transport):
    """A connection whose caller takes everything at once."""

    def __init__(self):
        super().__init__({"peername": ("127.0.0.1", 5000)})
        self.writes = 0

    def write(self, _):
        self.writes += 1

    def writelines(self, _):
        self.writes += 1

    def is_closing(self):
        return False

    def pause_reading(self):
        pass

    def resume_reading(self):
        pass

    def close(self):
        pass


async def aiohttp_served_runner(app, path):
    """As `aiohttp_runner`, from the bytes of the request to those of the answer, as aiohttp's server does it."""
    from aiohttp import web

    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    protocol, sink = runner.server(), _Sink()
    protocol.connection_made(sink)
    asked = f"GET {path} HTTP/1.1\r\nHost: localhost:8000\r\nUser-Agent: bench/1.0\r\nAccept: */*\r\n\r\n".encode()

    async def run():
        began = perf_counter()
        for _ in range(N):
            answered = sink.writes
            protocol.data_received(asked)
            while sink.writes == answered:  # noqa: ASYNC110 - the server's task has the very next turn
                await asyncio.sleep(0)
            await asyncio.sleep(0)  # the server waits for the next one
        return (perf_counter() - began) / N

    return run


def wsgi_runner(app, path):
    def environ():
        return {
            "REQUEST_METHOD": "GET", "SCRIPT_NAME": "", "PATH_INFO": path, "QUERY_STRING": "",
            "SERVER_NAME": "localhost", "SERVER_PORT": "8000", "SERVER_PROTOCOL": "HTTP/1.1",
            "REMOTE_ADDR": "127.0.0.1", "HTTP_HOST": "localhost:8000", "HTTP_USER_AGENT": "bench/1.0",
            "wsgi.version": (1, 0), "wsgi.url_scheme": "http", "wsgi.input": BytesIO(b""),
            "wsgi.errors": sys.stderr, "wsgi.multithread": False, "wsgi.multiprocess": False,
            "wsgi.run_once": False,
        }  # fmt: skip

    def start_response(*_):
        pass

    async def run():
        environs = [environ() for _ in range(N)]
        began = perf_counter()
        while environs:
            body = app(environs.pop(), start_response)
            for _ in body:
                pass
            if hasattr(body, "close"):
                body.close()
        return (perf_counter() - began) / N

    return run
