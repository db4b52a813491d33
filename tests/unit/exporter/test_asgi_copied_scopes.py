"""Middlewares that copy the scope: the route is found in the copy, and the log says so once."""

import asyncio
import logging

import pytest
import starlette
from fastapi import APIRouter, FastAPI
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Mount, Route

from rearguard_exporter import Monitor
from unit.exporter.counts import routes

SAID = "passes on a copy of the scope"
LEAVES_ROUTES = tuple(map(int, starlette.__version__.split(".")[:2])) >= (1, 7)  # else only FastAPI's are known
UNKNOWN = {"/shops/{shop}/items/{item_id}": "/shops/{shop}/{path}"}


class Copying:
    def __init__(self, app):
        self.inner = app

    async def __call__(self, scope, receive, send):
        await self.inner({**scope}, receive, send)


class Passing(BaseHTTPMiddleware):
    async def dispatch(self, request, call_next):
        return await call_next(request)


class Answering(Copying):
    async def __call__(self, scope, receive, send):
        await PlainTextResponse("no", 401)(scope, receive, send)


def copying(app):
    async def call(scope, receive, send):
        await app(dict(scope), receive, send)

    return call


async def item(_):
    return PlainTextResponse("item")


async def stream(_):
    return StreamingResponse(iter(["a", "b"]))


ROUTES = [Route("/items/{item_id}", item), Route("/stream/{item_id}", stream)]
SHOPS = [Mount("/shops/{shop}", routes=ROUTES)]


def fastapi(*middleware):
    app, router = FastAPI(middleware=list(middleware)), APIRouter()
    router.get("/items/{item_id}")(lambda item_id: item_id)
    app.include_router(router, prefix="/outer")
    return app


def mounting(app):
    outer = FastAPI()
    outer.mount("/in/{part}", app)
    return outer


@pytest.fixture
def monitor():
    made = Monitor("shop", "1.0", "test")
    yield made
    made.close()


def inside(app, monitor):
    app.add_middleware(monitor.instrument_asgi)
    return app


async def ask(app, path):
    messages = [{"type": "http.request", "body": b"", "more_body": False}]

    async def receive():
        return messages.pop() if messages else await asyncio.Event().wait()  # the caller stays, and says no more

    async def send(_):
        pass

    scope = {
        "type": "http", "asgi": {"version": "3.0", "spec_version": "2.4"}, "http_version": "1.1", "method": "GET",
        "scheme": "http", "path": path, "raw_path": path.encode(), "query_string": b"", "root_path": "",
        "headers": [],
    }  # fmt: skip
    await app(scope, receive, send)


COPYING, PASSING = Middleware(Copying), Middleware(Passing)


@pytest.mark.parametrize(
    ("make", "path", "route"),
    [
        (lambda m: m.instrument_asgi(Starlette(routes=ROUTES, middleware=[COPYING])), "/items/1", "/items/{item_id}"),
        (lambda m: m.instrument_asgi(Starlette(routes=ROUTES, middleware=[COPYING])), "/stream/1",
         "/stream/{item_id}"),
        (lambda m: m.instrument_asgi(Starlette(routes=SHOPS, middleware=[COPYING])), "/shops/a/items/1",
         "/shops/{shop}/items/{item_id}"),
        (lambda m: m.instrument_asgi(Starlette(routes=ROUTES, middleware=[PASSING, COPYING, PASSING])), "/items/1",
         "/items/{item_id}"),
        (lambda m: m.instrument_asgi(Starlette(routes=ROUTES, middleware=[Middleware(copying)])), "/items/1",
         "/items/{item_id}"),
        (lambda m: m.instrument_asgi(Copying(copying(Starlette(routes=ROUTES)))), "/items/1", "/items/{item_id}"),
        (lambda m: m.instrument_asgi(fastapi(COPYING)), "/outer/items/1", "/outer/items/{item_id}"),
        (lambda m: inside(fastapi(COPYING), m), "/outer/items/1", "/outer/items/{item_id}"),
        (lambda m: m.instrument_asgi(mounting(fastapi(COPYING))), "/in/a/outer/items/1",
         "/in/{part}/outer/items/{item_id}"),
        (lambda m: m.instrument_asgi(mounting(mounting(fastapi(COPYING)))), "/in/a/in/b/outer/items/1",
         "/in/{part}/in/{part}/outer/items/{item_id}"),
        (lambda m: m.instrument_asgi(mounting(Copying(fastapi()))), "/in/a/outer/items/1",
         "/in/{part}/outer/items/{item_id}"),
    ],
)  # fmt: skip
async def test_the_route_is_found_in_the_copy_and_the_log_says_so_once(monitor, caplog, make, path, route):
    app = make(monitor)
    with caplog.at_level(logging.WARNING, "rearguard_exporter"):
        for _ in range(2):
            await ask(app, path)
    assert routes(monitor) == {route if LEAVES_ROUTES or "outer" in path else UNKNOWN.get(route, "__unmatched__"): 2}
    assert [SAID in record.message for record in caplog.records] == [True]


@pytest.mark.parametrize("middleware", [[Middleware(Answering)], [PASSING, Middleware(Answering), PASSING]])
async def test_a_middleware_that_answers_by_itself_is_unmatched_and_nothing_is_said(monitor, caplog, middleware):
    await ask(monitor.instrument_asgi(Starlette(routes=ROUTES, middleware=middleware)), "/items/1")
    assert routes(monitor) == {"__unmatched__": 1}
    assert caplog.records == []


async def test_an_application_without_others_middleware_is_left_as_it_is(monitor):
    app = Starlette(routes=ROUTES)
    before = app.router.middleware_stack
    await ask(monitor.instrument_asgi(app), "/items/1")
    assert app.router.middleware_stack == before
