"""Sentry's SDK beside the exporter, with its own integrations: which requests become transactions."""

import subprocess
import sys

import pytest

pytest.importorskip("sentry_sdk")

PROGRAM = """
import asyncio
import sys

import sentry_sdk
from sentry_sdk.transport import Transport

from rearguard_exporter import Monitor

PATHS = ("/metrics", "/healthz", "/readyz", "/api/monitoring/dashboard", "/app")
names = []


class Kept(Transport):
    def capture_envelope(self, envelope):
        names.extend(item.payload.json["transaction"] for item in envelope.items if item.type == "transaction")


sentry_sdk.init(dsn="http://key@127.0.0.1:1/1", transport=Kept, traces_sample_rate=1.0, default_integrations=True)
monitor = Monitor("shop", "1.0", "test")


def flask():
    from flask import Flask

    app = Flask("shop")
    app.add_url_rule("/app", "app", lambda: "ok")
    app.wsgi_app = monitor.instrument_wsgi(app.wsgi_app)
    client = app.test_client()
    assert {client.get(path).status_code for path in PATHS} == {200}


async def by_asgi(app):
    for path in PATHS:
        sent = []
        scope = {"type": "http", "method": "GET", "path": path, "headers": [], "query_string": b"", "scheme": "http",
                 "http_version": "1.1", "root_path": "", "server": ("shop", 80), "client": ("127.0.0.1", 5000)}

        async def receive():
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message):
            sent.append(message)

        await app(scope, receive, send)
        assert sent[0]["status"] == 200


def starlette(inside):
    from starlette.applications import Starlette
    from starlette.responses import PlainTextResponse
    from starlette.routing import Route

    async def view(_):
        return PlainTextResponse("ok")

    app = Starlette(routes=[Route("/app", view)])
    if inside:
        app.add_middleware(monitor.instrument_asgi)
    asyncio.run(by_asgi(app if inside else monitor.instrument_asgi(app)))


def aiohttp():
    from aiohttp import web
    from aiohttp.test_utils import TestClient, TestServer

    async def view(_):
        return web.Response(text="ok")

    async def ask():
        app = web.Application()
        app.router.add_get("/app", view)
        monitor.instrument_aiohttp(app)
        async with TestClient(TestServer(app)) as client:
            for path in PATHS:
                async with client.get(path) as response:
                    assert response.status == 200

    asyncio.run(ask())


{"flask": flask, "starlette": lambda: starlette(False), "middleware": lambda: starlette(True), "aiohttp": aiohttp}[
    sys.argv[1]
]()
sentry_sdk.flush()
print(len(names))
"""


@pytest.mark.parametrize("framework", ["flask", "starlette", "middleware", "aiohttp"])
def test_requests_of_the_exporters_endpoints_become_no_transactions(framework):
    command = [sys.executable, "-c", PROGRAM, framework]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["1"]  # of five requests: the application's own
