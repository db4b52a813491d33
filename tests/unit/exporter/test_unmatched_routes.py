"""Applications that show no route the exporter knows: the log says so once; frameworks that do show theirs."""

import logging

import pytest

from rearguard_exporter import Monitor

SAID = "shows no route that is known here"


@pytest.fixture
def monitor(caplog):
    caplog.set_level(logging.INFO, "rearguard_exporter")
    made = Monitor("shop", "1.0", "test")
    yield made
    made.close()


def answering(status, shown=()):
    """A plain WSGI application that leaves this in the environ."""

    def app(environ, start_response):
        environ.update(shown)
        start_response(status, [])
        return [b"ok"]

    return app


def ask(app, count=1, **environ):
    for number in range(count):
        asked = {"REQUEST_METHOD": "GET", "PATH_INFO": f"/{number}", **environ}
        list(app(asked, lambda *_: None))


def routes(monitor):
    return {key[1] for key in monitor._instruments.http_duration.known()}


def said(caplog):
    return sum(SAID in record.getMessage() for record in caplog.records)


def test_an_application_that_serves_without_known_routes_is_named_once(monitor, caplog):
    ask(monitor.instrument_wsgi(answering("200 OK")), 5)
    ask(monitor.instrument_wsgi(answering("302 Found")), 5)
    assert (said(caplog), routes(monitor)) == (1, {"__unmatched__"})


def test_paths_that_are_not_there_say_nothing_of_the_application(monitor, caplog):
    ask(monitor.instrument_wsgi(answering("404 Not Found")), 3)
    assert said(caplog) == 0


class Rule:
    """As Bottle's route."""

    rule = "/items/<i:int>"


@pytest.mark.parametrize(("mount", "route"), [("", "/items/<i:int>"), ("/shop", "/shop/items/<i:int>")])
def test_the_route_that_bottle_leaves_is_known_also_below_a_mount(monitor, caplog, mount, route):
    ask(monitor.instrument_wsgi(answering("200 OK", {"bottle.route": Rule})), 3, SCRIPT_NAME=mount)
    ask(monitor.instrument_wsgi(answering("200 OK")))  # beside it a page without a route
    assert (said(caplog), routes(monitor)) == (0, {route, "__unmatched__"})


async def test_the_template_that_litestar_leaves_in_the_scope_is_the_route(monitor):
    async def app(scope, _receive, send):
        scope["path_template"] = "/items/{i:int}"
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"ok"})

    async def nothing(*_):
        return {"type": "http.request", "body": b"", "more_body": False}

    scope = {"type": "http", "method": "GET", "path": "/items/7", "headers": [], "root_path": "", "query_string": b""}
    await monitor.instrument_asgi(app)(scope, nothing, nothing)
    assert routes(monitor) == {"/items/{i:int}"}
