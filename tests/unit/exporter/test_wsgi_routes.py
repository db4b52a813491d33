"""Routes of WSGI applications below others: mounts, copies of the environ, several requests of one environ."""

import pytest
from flask import Flask, abort, request
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.test import Client
from werkzeug.wrappers import Request

from rearguard_exporter import Monitor
from rearguard_exporter.frameworks import wsgi_route


@pytest.fixture
def monitor(monkeypatch):
    monkeypatch.setattr(wsgi_route, "_mounts", {}, raising=False)
    made = Monitor("shop", "1.0", "test")
    yield made
    made.close()


def made(name):
    """An application of Flask."""
    app = Flask(name)

    def boom():
        raise LookupError

    app.add_url_rule("/", "home", lambda: name)
    app.add_url_rule("/items/<int:item>", "item", lambda item: f"{name} {item}")
    app.add_url_rule("/boom", "boom", boom)
    app.add_url_rule("/closed", "closed", lambda: abort(403))
    return app


def routes(monitor):
    """Each route with status and error type, and how often it was counted."""
    known = monitor._instruments.http_duration.known()
    return {key[1:]: sum(child.counts()[:-1]) for key, child in known.items()}


def ask(app, *paths, **environ):
    client = Client(app)
    for path in paths:
        client.get(path, environ_overrides=environ).get_data()


def test_each_mount_of_a_dispatcher_has_routes_of_its_own(monitor):
    mounts = {"/shop": made("shop"), "/admin": made("admin"), "/deep/er": made("deep")}
    app = monitor.instrument_wsgi(DispatcherMiddleware(made("root"), mounts))
    ask(app, "/items/1", "/shop/items/1", "/admin/items/2", "/admin/items/3", "/deep/er/", "/shop/closed")
    ask(app, "/shop/boom", "/admin/nothing")
    assert routes(monitor) == {
        ("/items/<int:item>", "200", ""): 1,
        ("/shop/items/<int:item>", "200", ""): 1,
        ("/admin/items/<int:item>", "200", ""): 2,
        ("/deep/er/", "200", ""): 1,
        ("/shop/closed", "403", ""): 1,
        ("/shop/boom", "500", "LookupError"): 1,
        ("__unmatched__", "404", ""): 1,
    }


def test_applications_that_are_measured_one_by_one_below_a_dispatcher_have_their_mounts(monitor):
    shop, admin = made("shop"), made("admin")
    for app in (shop, admin):
        app.wsgi_app = monitor.instrument_wsgi(app.wsgi_app)
    ask(DispatcherMiddleware(made("root"), {"/shop": shop, "/admin": admin}), "/shop/items/1", "/admin/items/1")
    assert routes(monitor) == {("/shop/items/<int:item>", "200", ""): 1, ("/admin/items/<int:item>", "200", ""): 1}


@pytest.mark.parametrize(
    ("script_name", "route"),
    [("", "/items/<int:item>"), ("/v1", "/v1/items/<int:item>"), ("/v1/", "/v1/items/<int:item>"),
     ("/caf\xc3\xa9", "/café/items/<int:item>")],
)  # fmt: skip
def test_routes_are_below_what_the_server_mounts_the_application_at(monitor, script_name, route):
    app = made("shop")
    app.wsgi_app = monitor.instrument_wsgi(app.wsgi_app)
    ask(app, "/items/1", SCRIPT_NAME=script_name)
    assert routes(monitor) == {(route, "200", ""): 1}


def test_paths_that_become_mounts_are_no_labels_without_end(monitor):
    app = made("shop")

    def each_customer(environ, start_response):
        _, customer, rest = environ["PATH_INFO"].split("/", 2)
        return app(environ | {"SCRIPT_NAME": f"/{customer}", "PATH_INFO": f"/{rest}"}, start_response)

    ask(monitor.instrument_wsgi(each_customer), *(f"/{number}/items/1" for number in range(150)))
    seen = routes(monitor)
    assert len(seen) == wsgi_route.MOST_MOUNTS + 1
    assert seen["/{mount}/items/<int:item>", "200", ""] == 50


@pytest.mark.parametrize("copies", [1, 2])
def test_a_wrapper_that_copies_the_environ_hides_neither_route_nor_failure(monitor, copies):
    app = DispatcherMiddleware(made("root"), {"/shop": made("shop")})
    for _ in range(copies):

        def app(environ, start_response, inner=app):
            return inner(dict(environ), start_response)

    ask(monitor.instrument_wsgi(app), "/shop/items/1", "/boom")
    assert routes(monitor) == {("/shop/items/<int:item>", "200", ""): 1, ("/boom", "500", "LookupError"): 1}


@pytest.mark.parametrize("kind", [Request, Flask.request_class])
def test_another_request_made_of_the_environ_does_not_hide_the_route(monitor, kind):
    app = made("shop")

    @app.after_request
    def look(response):
        assert kind(request.environ).path
        return response

    app.wsgi_app = monitor.instrument_wsgi(app.wsgi_app)
    ask(app, "/items/1", "/nothing")
    assert routes(monitor) == {("/items/<int:item>", "200", ""): 1, ("__unmatched__", "404", ""): 1}


def test_an_application_asked_while_flask_answers_another_request_has_no_route_of_that(monitor):
    inner = monitor.instrument_wsgi(lambda _environ, start: (start("200 OK", []) and None) or [b"inner"])
    outer = Flask("outer")
    outer.get("/outer")(lambda: Client(inner).get("/x").data)
    ask(outer, "/outer")
    assert routes(monitor) == {("__unmatched__", "200", ""): 1}
