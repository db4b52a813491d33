"""Flask, Django and plain WSGI applications, behind the standard library's server where the wire matters."""

import gc
import sys
import threading
import types
import urllib.request
import weakref
from contextlib import contextmanager
from wsgiref.simple_server import WSGIRequestHandler, make_server
from wsgiref.util import setup_testing_defaults

import django
import pytest
from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpResponse, StreamingHttpResponse
from django.test import AsyncClient
from django.urls import include
from django.urls import path as django_path
from flask import Blueprint, Flask, Response, got_request_exception
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.middleware.shared_data import SharedDataMiddleware

from real.exporter.conftest import Scrape
from rearguard_exporter import Monitor

COUNT = "http_server_request_duration_seconds_count"


@pytest.fixture
def monitor():
    made = Monitor("shop", "1.0", "test")
    yield made
    made.close()


def call(app, path, method="GET", take=None):
    """Asks as a server does: status and body, of which `take` pieces are read."""
    environ = {"PATH_INFO": path, "REQUEST_METHOD": method}
    setup_testing_defaults(environ)
    begun = []
    body = app(environ, lambda status, *_: begun.append(status))
    try:
        pieces = [piece for _, piece in zip(range(10**6 if take is None else take), body, strict=False)]
    finally:
        if hasattr(body, "close"):
            body.close()
    return begun[0] if begun else None, b"".join(pieces)


def counted(app):
    scrape = Scrape(call(app, "/metrics")[1].decode())
    return {
        (s.labels["http_route"], s.labels["http_response_status_code"], s.labels["error_type"]): s.value
        for s in scrape.all(COUNT)
    }


def crash(*_):
    raise LookupError


def show(item):
    return str(item)


def flask_app():
    app, blueprint = Flask("shop"), Blueprint("inner", "inner")
    blueprint.add_url_rule("/items/<int:item>", "items", show)
    app.register_blueprint(blueprint, url_prefix="/inner")
    app.add_url_rule("/items/<item>", "items", show)
    app.add_url_rule("/crash", "crash", crash)
    app.add_url_rule("/stream", "stream", lambda: Response(str(n) for n in range(3)))
    return app


def django_app():
    if "shop_urls" not in sys.modules:
        urls = types.ModuleType("shop_urls")
        item = django_path("items/<str:item>", lambda _, item: HttpResponse(item))
        urls.urlpatterns = [
            item,
            django_path("inner/", include([item])),
            django_path("crash", crash),
            django_path("stream", lambda _: StreamingHttpResponse(str(n) for n in range(3))),
        ]
        sys.modules["shop_urls"] = urls
        if not settings.configured:
            settings.configure(ALLOWED_HOSTS=["*"], SECRET_KEY="x", LOGGING_CONFIG=None)
            django.setup()
        settings.ROOT_URLCONF = "shop_urls"
    return WSGIHandler()


@pytest.mark.parametrize(("make", "template"), [(flask_app, "/items/<item>"), (django_app, "/items/<str:item>")])
def test_frameworks_give_their_route_and_what_they_made_a_500_of(monitor, make, template):
    app = monitor.instrument_wsgi(make())
    assert call(app, "/items/42") == ("200 OK", b"42")
    assert call(app, "/inner/items/7")[1] == b"7"
    assert call(app, "/stream")[1] == b"012"
    assert call(app, "/nowhere")[0].startswith("404")
    assert call(app, "/crash")[0].startswith("500")
    inner = "/inner/items/<int:item>" if make is flask_app else "/inner/items/<str:item>"
    assert counted(app) == {
        (template, "200", ""): 1,
        (inner, "200", ""): 1,
        ("/stream", "200", ""): 1,
        ("__unmatched__", "404", ""): 1,
        ("/crash", "500", "LookupError"): 1,
    }


async def test_frameworks_that_report_a_failure_outside_a_wsgi_request_are_left_alone(monitor):
    monitor.instrument_wsgi(django_app())
    assert (await AsyncClient(raise_request_exception=False).get("/crash")).status_code == 500
    flask = flask_app()
    monitor.instrument_wsgi(flask.wsgi_app)
    with flask.app_context():  # a job
        got_request_exception.send(flask, exception=LookupError())


@pytest.mark.parametrize("streamed", ["text/event-stream", "text/plain"])
def test_an_answer_of_500_and_more_counts_also_where_it_is_streamed(monitor, streamed):
    def plain(environ, start_response):
        start_response("503 Service Unavailable", [("Content-Type", streamed)])
        yield b"a"
        yield b"b"

    app = monitor.instrument_wsgi(plain)
    call(app, "/")
    assert counted(app) == {("__unmatched__", "503", "503"): 1}


def test_exceptions_are_raised_untouched_and_junk_folds(monitor):
    failure = LookupError("mine")

    def plain(environ, start_response):
        raise failure

    app = monitor.instrument_wsgi(plain)
    assert monitor.instrument_wsgi(app) is app
    for number in range(500):
        with pytest.raises(LookupError) as caught:
            call(app, f"/{number}\udcff", method=f"M{number}")
        assert caught.value is failure
    assert counted(app) == {("__unmatched__", "500", "LookupError"): 500}


def test_a_body_is_timed_to_its_last_byte_and_closed(monitor):
    closed = []

    class Body:
        def __iter__(self):
            yield b"a"
            threading.Event().wait(0.1)
            yield b"b"

        def close(self):
            closed.append(True)

    def plain(environ, start_response):
        start_response("200 OK", [])
        return Body()

    app = monitor.instrument_wsgi(plain)
    assert call(app, "/")[1] == b"ab"
    assert closed == [True]
    (child,) = monitor._instruments.http_duration.known().values()
    assert child.counts()[-1] >= 0.1


def test_a_caller_who_leaves_is_no_error_and_a_body_that_breaks_is_one(monitor):
    def plain(environ, start_response):
        start_response("200 OK", [])
        yield b"a"
        yield b"b"
        raise LookupError

    app = monitor.instrument_wsgi(plain)
    call(app, "/", take=1)
    with pytest.raises(LookupError):
        call(app, "/")
    assert counted(app) == {("__unmatched__", "499", ""): 1, ("__unmatched__", "200", "LookupError"): 1}


def test_a_body_that_another_thread_finishes_is_counted_where_only_that_thread_writes(monitor):
    def plain(environ, start_response):
        start_response("200 OK", [])
        return iter([b"a"])

    app, bodies = monitor.instrument_wsgi(plain), []
    environ = {"PATH_INFO": "/", "REQUEST_METHOD": "GET"}
    beginner = threading.Thread(target=lambda: bodies.append(app(environ, lambda *_: None)))
    beginner.start()
    beginner.join()
    (active,) = monitor._instruments.http_active.known().values()
    assert active.counts()[0] == 1
    assert list(bodies[0]) == [b"a"]
    assert active.counts()[0] == 0
    assert monitor._instruments.http_active.table[active.key][0] == -1
    assert counted(app) == {("__unmatched__", "200", ""): 1}


def test_django_has_its_routes_and_failures_also_inside_other_wrappers(monitor):
    inner = SharedDataMiddleware(django_app(), {})
    app = monitor.instrument_wsgi(ProxyFix(DispatcherMiddleware(flask_app(), {"/back": inner})))
    for path in ("/back/items/1", "/items/1", "/back/crash", "/back/missing"):
        call(app, path)
    assert counted(app) == {
        ("/back/items/<str:item>", "200", ""): 1,
        ("/items/<item>", "200", ""): 1,
        ("/back/crash", "500", "LookupError"): 1,
        ("__unmatched__", "404", ""): 1,
    }


@pytest.mark.parametrize("make", [flask_app, django_app])
def test_no_request_of_a_framework_waits_for_the_garbage_collector(monitor, make):
    app, environ = monitor.instrument_wsgi(make()), {"PATH_INFO": "/items/42", "REQUEST_METHOD": "GET"}
    call(app, "/items/42")
    setup_testing_defaults(environ)
    environ["mine"] = mine = set()
    dropped = weakref.ref(mine)
    gc.collect()
    gc.disable()
    try:
        body = app(environ, lambda *_: None)
        list(body)
        body.close()
        del environ, mine, body
        assert dropped() is None
    finally:
        gc.enable()


@pytest.mark.parametrize("status", ["", "abc", "9" * 5000, "-12 x", "\ud800\0", None, 200, b"200 OK"])
@pytest.mark.parametrize("headers", [[], None, [("Content-Type",)], [(None, None)], 7])
def test_an_answer_of_any_shape_goes_to_the_server_as_it_is(monitor, status, headers):
    def plain(environ, start_response):
        start_response(status, headers)
        yield b"a"
        yield b"b"

    app, got = monitor.instrument_wsgi(plain), []
    body = app({"PATH_INFO": "/", "REQUEST_METHOD": "GET"}, lambda *told: got.append(told))
    assert list(body) == [b"a", b"b"]
    assert got == [(status, headers)]
    assert sum(counted(app).values()) == 1


class Quiet(WSGIRequestHandler):
    def log_message(self, *_):
        pass


@contextmanager
def served(app):
    server = make_server("127.0.0.1", 0, app, handler_class=Quiet)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_the_endpoints_are_served_beside_the_application(monitor):
    app = monitor.instrument_wsgi(flask_app())
    with served(app) as url:
        for path in ("/items/1", "/healthz", "/readyz", "/api/monitoring/dashboard", "/metrics"):
            with urllib.request.urlopen(url + path, timeout=30) as answer:  # noqa: S310 - loopback
                assert answer.status == 200
                body = answer.read()
    assert Scrape(body.decode()).value(COUNT) == 1  # none of the endpoints is measured


def test_a_status_is_shown_as_it_was_sent_and_rubbish_as_500(monitor):
    def app(environ, start_response):
        start_response(environ["PATH_INFO"][1:], [])
        return [b""]

    measured = monitor.instrument_wsgi(app)
    for status in ("299 Fine", "600 Beyond", "999 Last", "-12 Rubbish", "x", "", "99999 Long"):
        call(measured, f"/{status}")
    assert counted(measured) == {
        ("__unmatched__", "299", ""): 1,
        ("__unmatched__", "600", "600"): 1,
        ("__unmatched__", "999", "999"): 2,
        ("__unmatched__", "500", "500"): 3,
    }


def test_what_is_set_on_the_measured_application_is_set_on_the_application(monitor):
    inner = Flask("shop")
    inner.add_url_rule("/", "hello", lambda: "hello")
    app = monitor.instrument_wsgi(inner)
    seen = []
    before = inner.wsgi_app

    def noting(environ, start_response):
        seen.append(environ["PATH_INFO"])
        return before(environ, start_response)

    app.wsgi_app = noting  # how Flask is told of a middleware
    assert call(app, "/") == ("200 OK", b"hello")
    assert seen == ["/"]
    del app.wsgi_app
    assert call(app, "/") == ("200 OK", b"hello")
    assert seen == ["/"]


def test_a_server_that_takes_no_body_of_a_head_is_no_caller_who_left(monitor):
    def app(_, start_response):
        start_response("200 OK", [])
        return iter([b"one", b"two"])

    measured = monitor.instrument_wsgi(app)
    call(measured, "/", method="HEAD", take=1)
    call(measured, "/", method="GET", take=1)
    assert counted(measured) == {("__unmatched__", "200", ""): 1, ("__unmatched__", "499", ""): 1}
