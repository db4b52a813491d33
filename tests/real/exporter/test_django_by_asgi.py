"""Django by ASGI: routes and exceptions as by WSGI, whatever stands between the monitor and Django."""

import asyncio
import types

import django
import pytest
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse
from django.test.utils import override_settings
from django.urls import include, path
from starlette.applications import Starlette
from starlette.routing import Mount
from werkzeug.test import Client

from rearguard_exporter import Monitor

URLS = types.ModuleType("urls")


async def item(request, number):
    return HttpResponse(str(number))


def crash(request):
    raise LookupError


ROUTES = [path("items/<int:number>", item), path("crash", crash)]
URLS.urlpatterns = [*ROUTES, path("inner/", include(ROUTES))]


@pytest.fixture
def monitor():
    made = Monitor("shop", "1.0", "test")
    yield made
    made.close()


@pytest.fixture(autouse=True)
def urls():
    if not settings.configured:
        settings.configure(ALLOWED_HOSTS=["*"], SECRET_KEY="x", LOGGING_CONFIG=None)
        django.setup()
    with override_settings(ROOT_URLCONF=URLS, MIDDLEWARE=[], LOGGING_CONFIG=None):
        yield


async def ask(app, *paths, root_path=""):
    async def receive():
        if asked:
            await asyncio.Event().wait()  # the caller stays
        asked.append(True)
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message):
        pass

    for each in paths:
        asked = []
        await app(
            {
                "type": "http", "method": "GET", "path": each, "raw_path": each.encode(), "headers": [],
                "query_string": b"", "root_path": root_path, "scheme": "http", "client": None, "server": ("x", 80),
            },
            receive,
            send,
        )  # fmt: skip


def routes(monitor):
    """Each route with status and error type, and how often it was counted."""
    known = monitor._instruments.http_duration.known()
    return {key[1:]: sum(child.counts()[:-1]) for key, child in known.items()}


async def test_django_by_asgi_has_its_routes_and_the_exceptions_that_it_answered(monitor):
    await ask(
        monitor.instrument_asgi(get_asgi_application()),
        "/items/1", "/items/2", "/inner/items/3", "/crash", "/missing", "/items/none",
    )  # fmt: skip
    assert routes(monitor) == {
        ("/items/<int:number>", "200", ""): 2,
        ("/inner/items/<int:number>", "200", ""): 1,
        ("/crash", "500", "LookupError"): 1,
        ("__unmatched__", "404", ""): 2,
    }


def held_by_a_function(app):
    async def around(scope, receive, send):
        await app(dict(scope), receive, send)

    return around


def by_protocol(app):
    async def dispatch(scope, receive, send):
        await {"http": app}[scope["type"]](scope, receive, send)

    return dispatch


def around_wsgi(app):
    def around(environ, start_response):
        return app(environ, start_response)

    return around


@pytest.mark.parametrize("around", [held_by_a_function, by_protocol])
async def test_what_stands_around_django_hides_no_route(monitor, around):
    await ask(monitor.instrument_asgi(around(get_asgi_application())), "/items/1", "/missing")
    assert routes(monitor) == {("/items/<int:number>", "200", ""): 1, ("__unmatched__", "404", ""): 1}


@pytest.mark.parametrize(
    ("mounts", "asked", "route"),
    [
        (["/shop"], "/shop/items/1", "/shop/items/<int:number>"),
        (["/shop", "/deep"], "/shop/deep/items/1", "/shop/deep/items/<int:number>"),
        (["/{tenant}"], "/acme/items/1", "/{tenant}/items/<int:number>"),
    ],
)
async def test_below_mounts_django_s_routes_have_their_templates_and_never_a_raw_path(monitor, mounts, asked, route):
    app = get_asgi_application()
    for mount in reversed(mounts):
        app = Starlette(routes=[Mount(mount, app)])
    await ask(monitor.instrument_asgi(app), asked)
    assert routes(monitor) == {(route, "200", ""): 1}


async def test_the_prefix_of_the_server_is_no_part_of_the_route_as_with_starlette(monitor):
    await ask(monitor.instrument_asgi(get_asgi_application()), "/v1/items/1", root_path="/v1")
    assert routes(monitor) == {("/items/<int:number>", "200", ""): 1}


async def test_django_that_is_measured_by_asgi_and_by_wsgi_tells_both(monitor):
    by_asgi = monitor.instrument_asgi(get_asgi_application())
    by_wsgi = monitor.instrument_wsgi(around_wsgi(get_wsgi_application()))
    await ask(by_asgi, "/items/1")
    Client(by_wsgi).get("/crash").get_data()
    assert routes(monitor) == {("/items/<int:number>", "200", ""): 1, ("/crash", "500", "LookupError"): 1}
