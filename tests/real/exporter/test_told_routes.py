"""Quart, Falcon and Pyramid themselves: their routes are known, below a mount, too, and paths of nothing are not."""

import falcon
import falcon.asgi
import pytest
import quart
from pyramid.config import Configurator
from pyramid.response import Response
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.testclient import TestClient
from werkzeug.test import Client

from rearguard_exporter import Monitor
from unit.exporter.counts import routes, told

ASKED = ("/items/7", "/items/8", "/nothing")


@pytest.fixture
def monitor():
    made = Monitor("shop", "1.0", "test")
    yield made
    made.close()


def quart_app():
    app = quart.Quart("shop")

    @app.get("/items/<int:number>")
    async def item(number):
        return f"item {number}"

    @app.get("/broken")
    async def broken():
        raise LookupError

    @app.websocket("/talk/<name>")
    async def talk(name):
        await quart.websocket.send(name)

    return app


class Item:
    """Falcon's resource, by WSGI."""

    def on_get(self, _, response, number):
        response.text = f"item {number}"


class AsyncItem:
    """Falcon's resource, by ASGI."""

    async def on_get(self, _, response, number):
        response.text = f"item {number}"

    async def on_websocket(self, _, socket, number):
        await socket.accept()
        await socket.send_text(number)
        await socket.close()


def falcon_app(kind, resource):
    app = kind()
    app.add_route("/items/{number}", resource)
    return app


def pyramid_app():
    with Configurator() as config:
        config.add_route("item", "items/{number}")
        config.add_view(lambda _: Response("item"), route_name="item")
        return config.make_wsgi_app()


@pytest.mark.parametrize(
    ("app", "route"),
    [(lambda: falcon_app(falcon.App, Item()), "/items/{number}"), (pyramid_app, "/items/{number}")],
    ids=["falcon", "pyramid"],
)
@pytest.mark.parametrize("mount", ["", "/shop"])
def test_the_route_that_a_wsgi_framework_matched_is_known(monitor, app, route, mount):
    client = Client(monitor.instrument_wsgi(app()))
    answers = [client.get(path, environ_overrides={"SCRIPT_NAME": mount}).status_code for path in ASKED]
    assert answers == [200, 200, 404]
    assert routes(monitor) == {mount + route: 2, "__unmatched__": 1}


@pytest.mark.parametrize(
    ("app", "route"),
    [
        (quart_app, "/items/<int:number>"),
        (lambda: falcon_app(falcon.asgi.App, AsyncItem()), "/items/{number}"),
    ],
    ids=["quart", "falcon"],
)
def test_the_route_that_an_asgi_framework_matched_is_known(monitor, app, route):
    client = TestClient(monitor.instrument_asgi(app()))
    assert [client.get(path).status_code for path in ASKED] == [200, 200, 404]
    assert routes(monitor) == {route: 2, "__unmatched__": 1}


def test_routes_of_quart_stand_below_the_mount_of_starlette(monitor):
    app = Starlette(routes=[Mount("/shop", app=quart_app())])
    with TestClient(monitor.instrument_asgi(app)) as client:
        assert client.get("/shop/items/7").status_code == 200
    assert routes(monitor) == {"/shop/items/<int:number>": 1}


def test_an_exception_that_quart_answers_keeps_its_class(monitor):
    with TestClient(monitor.instrument_asgi(quart_app())) as client:
        assert client.get("/broken").status_code == 500
    assert told(monitor) == {("500", "LookupError"): 1}


@pytest.mark.parametrize(
    ("app", "path", "route"),
    [
        (quart_app, "/talk/anna", "/talk/<name>"),
        (lambda: falcon_app(falcon.asgi.App, AsyncItem()), "/items/7", "/items/{number}"),
    ],
    ids=["quart", "falcon"],
)
def test_the_route_of_a_socket_is_known(monitor, app, path, route):
    with TestClient(monitor.instrument_asgi(app())).websocket_connect(path) as socket:
        assert socket.receive_text() == path.rpartition("/")[2]
    assert {key[0] for key in monitor._instruments.socket_connections.known()} == {route}


def test_an_application_that_is_instrumented_twice_is_measured_once(monitor):
    app = falcon_app(falcon.App, Item())
    Client(monitor.instrument_wsgi(monitor.instrument_wsgi(app))).get("/items/7")
    assert routes(monitor) == {"/items/{number}": 1}
