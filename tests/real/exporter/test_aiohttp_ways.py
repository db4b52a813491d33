"""Ways in which a request reaches a measured aiohttp application: each is counted once, with its answer."""

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from rearguard_exporter import Monitor

COUNT = "http_server_request_duration_seconds_count"
ACTIVE = "http_server_active_requests"


async def hello(_):
    return web.Response(text="hello")


async def stream(request):
    response = web.StreamResponse()
    await response.prepare(request)
    await response.write(b"x")
    return response


@web.middleware
async def copy(request, handler):
    """As those do that believe a proxy's headers."""
    return await handler(request.clone(scheme="https"))


def measured(middlewares=()):
    app = web.Application()
    app.add_routes([web.get("/items/{id}", hello), web.get("/streams", stream)])
    Monitor("shop", "1.0", "test").instrument_aiohttp(app)
    app.middlewares.extend(middlewares)
    return app


def counted(scrape):
    routes = {each.labels["http_route"]: each.value for each in scrape.all(COUNT)}
    return routes, {each.value for each in scrape.all(ACTIVE)}


BOTH = ({"/items/{id}": 1, "/streams": 1}, {0.0})


async def test_a_request_that_a_middleware_copies_is_counted_once(serve):
    app = measured([copy])
    site = await serve(app)
    await site.get("/items/1")
    await site.get("/streams")
    assert counted(await site.scrape()) == BOTH


async def test_a_request_that_an_outer_application_s_middleware_copies_is_counted_once(serve):
    inner = measured()
    outer = web.Application(middlewares=[copy])
    outer.add_subapp("/inner", inner)
    site = await serve(outer)
    await site.get("/inner/items/1")
    await site.get("/inner/streams")
    site.url += "/inner"
    assert counted(await site.scrape()) == ({"/inner/items/{id}": 1, "/inner/streams": 1}, {0.0})


async def test_a_request_that_another_application_s_handler_hands_over_is_counted_once(serve):
    inner = measured()
    inner.freeze()

    async def hand_over(request):
        return await inner._handle(request)

    outer = web.Application()
    outer.router.add_route("*", "/{path:.*}", hand_over)
    site = await serve(outer)
    await site.get("/items/1")
    await site.get("/streams")
    assert counted(await site.scrape()) == BOTH


@pytest.mark.parametrize("path", ["/metrics", "/%6Detrics", "/healthz?a=1"])
async def test_requests_of_the_exporter_s_own_paths_are_not_even_active(serve, path):
    app = measured()
    site = await serve(app)
    status, _ = await site.get(path)
    assert status == 200
    assert counted(await site.scrape()) == ({}, set())


async def test_a_method_that_the_exporter_s_path_does_not_have_is_counted(serve):
    app = measured()
    site = await serve(app)
    async with site.client.post(f"{site.url}/metrics") as answer:
        assert answer.status == 405
    scrape = await site.scrape()
    assert scrape.value(COUNT, http_response_status_code="405", http_route="__unmatched__") == 1


async def test_a_request_without_a_server_is_measured_until_its_handler_returns(serve):
    app = measured()
    app.freeze()
    response = await app._handle(make_mocked_request("GET", "/items/1", app=app))
    assert response.status == 200
    assert counted(await (await serve(app)).scrape()) == ({"/items/{id}": 1}, {0.0})


async def test_only_a_nested_application_has_a_middleware():
    alone = measured()
    nested = measured()
    outer = web.Application()
    outer.add_subapp("/nested", nested)
    alone.freeze()
    outer.freeze()
    # Where a library of a vendor is loaded, each application has one that notes its traces.
    assert len(nested.middlewares) - len(alone.middlewares) == 1
