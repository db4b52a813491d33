"""A shop on each framework, as a program: `shop.py FRAMEWORK [ORDER]`; it prints the port that it serves.

ORDER says who sets up the vendors' SDKs: `ours` (the monitor alone), `before` or `after` (the application itself,
before or after the monitor is made). OPTIONS in the environment are arguments of the monitor, as JSON.
"""

# ruff: noqa: PLC0415 - which library is imported when is what these programs are about
import os
import sys

if os.environ.get("OWN_DATADOG") and sys.argv[2:] == ["before"]:
    import ddtrace.auto  # noqa: F401 - as Datadog asks: before everything else

import json
import logging
import socket

from rearguard_exporter import Monitor

PAGE = "/items/{item}"


class ShopError(Exception):
    """What a handler of the shop raises."""


def monitor():
    options = json.loads(os.environ.get("OPTIONS", "{}"))
    return Monitor(os.environ.get("SERVICE", "shop"), "1.4.2", "staging", **options)


def app_sets_up():
    """What an application does that has its own set-up."""
    if os.environ.get("OWN_SENTRY"):
        import sentry_sdk

        sentry_sdk.init(dsn=os.environ["OWN_SENTRY"], traces_sample_rate=1.0)
    if os.environ.get("OWN_DATADOG"):
        import ddtrace.auto  # noqa: F401


def listening():
    made = socket.create_server(("127.0.0.1", 0))
    sys.stdout.write(f"{made.getsockname()[1]}\n")
    sys.stdout.flush()
    return made


def by_uvicorn(app):
    import uvicorn

    made = listening()
    uvicorn.Server(uvicorn.Config(app, access_log=False, lifespan="off")).run(sockets=[made])


def by_waitress(app):
    import waitress

    waitress.serve(app, sockets=[listening()], threads=4)


async def plain(scope, receive, send):
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        message = await receive()
        while message["type"] == "websocket.receive":
            if message["text"] == "boom":
                raise ShopError("socket")
            await send({"type": "websocket.send", "text": message["text"]})
            message = await receive()
        return
    if scope["path"] == "/boom":
        raise ShopError("request")
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": b"ok"})


def plain_asgi(before, after):
    before()
    app = monitor().instrument_asgi(plain)
    after()
    by_uvicorn(app)


def plain_wsgi(before, after):
    def answer(environ, start_response):
        if environ["PATH_INFO"] == "/boom":
            raise ShopError("request")
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"ok"]

    before()
    app = monitor().instrument_wsgi(answer)
    after()
    by_waitress(app)


def starlette(before, after):
    before()
    from starlette.applications import Starlette
    from starlette.responses import PlainTextResponse
    from starlette.routing import Route, WebSocketRoute

    async def page(_):
        return PlainTextResponse("ok")

    async def boom(_):
        raise ShopError("request")

    app = Starlette(routes=[Route(PAGE, page), Route("/boom", boom), WebSocketRoute("/ws/{item}", echo)])
    measured = monitor().instrument_asgi(app)
    after()
    by_uvicorn(measured)


async def echo(websocket):
    await websocket.accept()
    from starlette.websockets import WebSocketDisconnect

    try:
        while True:
            text = await websocket.receive_text()
            if text == "boom":
                raise ShopError("socket")
            await websocket.send_text(text)
    except WebSocketDisconnect:
        return


def _databases(made):
    """What asks one statement of each database of the shop; PostgreSQL where POSTGRES says which."""
    import sqlalchemy

    engine = sqlalchemy.create_engine("sqlite://", poolclass=sqlalchemy.StaticPool)
    made.instrument_sqlalchemy(engine, name="orders")
    pool = None
    if os.environ.get("POSTGRES"):
        import psycopg_pool

        pool = psycopg_pool.ConnectionPool(os.environ["POSTGRES"], min_size=1, open=True)
        made.instrument_psycopg(pool, name="stock")

    def ask():
        with engine.connect() as connection:
            connection.execute(sqlalchemy.text("select 'orders'"))
        if pool is not None:
            with pool.connection() as connection:
                connection.execute("select 'stock'")

    return ask


async def _ask_shelf(made):
    """A statement of asyncpg that succeeds and one that fails."""
    import asyncpg

    async with asyncpg.create_pool(os.environ["POSTGRES"], min_size=1, max_size=1) as pool:
        made.instrument_asyncpg(pool, name="shelf")
        await pool.fetchval("select 'shelf'")
        try:
            await pool.fetchval("select 1 / 0")
        except asyncpg.DivisionByZeroError:
            return


def fastapi(before, after, *, inside=False):
    before()
    from fastapi import FastAPI, WebSocket

    app = FastAPI()
    asking = []

    @app.get("/query")
    def query():
        asking[0]()

    @app.get("/shelf")
    async def shelf():
        await _ask_shelf(made)

    @app.get(PAGE)
    async def page(item: str):
        return item

    @app.get("/boom")
    async def boom():
        raise ShopError("request")

    @app.websocket("/ws/{item}")
    async def socket_of(websocket: WebSocket, item: str):
        await echo(websocket)

    made = monitor()
    if inside:
        app.add_middleware(made.instrument_asgi)
    else:
        app = made.instrument_asgi(app)
    after()
    asking.append(_databases(made))
    by_uvicorn(app)


def middleware(before, after):
    fastapi(before, after, inside=True)


def flask(before, after):
    before()
    from flask import Flask

    app = Flask("shop")
    app.add_url_rule("/items/<item>", "page", lambda item: item)

    def boom():
        raise ShopError("request")

    app.add_url_rule("/boom", "boom", boom)
    app.wsgi_app = monitor().instrument_wsgi(app.wsgi_app)
    after()
    by_waitress(app)


def _django(before):
    before()
    from django.conf import settings
    from django.http import HttpResponse
    from django.urls import path

    def page(_, item):
        return HttpResponse(item)

    def boom(_):
        raise ShopError("request")

    settings.configure(
        ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], SECRET_KEY="none", DEBUG=False, MIDDLEWARE=[], USE_TZ=True
    )
    globals()["urlpatterns"] = [path("items/<item>", page), path("boom", boom)]


def django_wsgi(before, after):
    _django(before)
    from django.core.wsgi import get_wsgi_application

    app = monitor().instrument_wsgi(get_wsgi_application())
    after()
    by_waitress(app)


def django_asgi(before, after):
    _django(before)
    from django.core.asgi import get_asgi_application

    app = monitor().instrument_asgi(get_asgi_application())
    after()
    by_uvicorn(app)


def aiohttp(before, after):
    before()
    from aiohttp import WSMsgType, web

    async def page(request):
        return web.Response(text=request.match_info["item"])

    async def boom(_):
        raise ShopError("request")

    async def socket_of(request):
        made = web.WebSocketResponse()
        await made.prepare(request)
        async for message in made:
            if message.type is WSMsgType.TEXT:
                if message.data == "boom":
                    raise ShopError("socket")
                await made.send_str(message.data)
        return made

    app = web.Application()
    app.router.add_get(PAGE, page)
    app.router.add_get("/boom", boom)
    app.router.add_get("/ws/{item}", socket_of)
    monitor().instrument_aiohttp(app)
    after()
    web.run_app(app, sock=listening(), print=None)


SHOPS = {
    made.__name__: made
    for made in (plain_asgi, plain_wsgi, starlette, fastapi, middleware, flask, django_wsgi, django_asgi, aiohttp)
}

if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    order = sys.argv[2] if len(sys.argv) > 2 else "ours"
    nothing = lambda: None  # noqa: E731
    SHOPS[sys.argv[1]](app_sets_up if order == "before" else nothing, app_sets_up if order == "after" else nothing)
