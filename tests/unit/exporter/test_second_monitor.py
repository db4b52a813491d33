"""An application that is instrumented twice is measured once, and told when it was by two monitors."""

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from starlette.applications import Starlette

from rearguard_exporter import Monitor
from unit.exporter.test_forking import hello, said_by_us


@pytest.fixture
def monitors():
    made = [Monitor("shop", "1.0", "test") for _ in range(2)]
    yield made
    for monitor in made:
        monitor.close()


def _aiohttp(app, monitor):
    monitor.instrument_aiohttp(app)
    return app


WAYS = {
    "aiohttp": (web.Application, _aiohttp),
    "asgi": (Starlette, lambda app, monitor: monitor.instrument_asgi(app)),
    "wsgi": (lambda: hello, lambda app, monitor: monitor.instrument_wsgi(app)),
}


@pytest.mark.parametrize("way", WAYS)
def test_only_a_second_monitor_is_warned_of(monitors, caplog, way):
    first, second = monitors
    make, instrument = WAYS[way]
    app = instrument(make(), first)
    assert instrument(app, first) is app
    assert said_by_us(caplog) == []
    for _ in range(2):
        assert instrument(app, second) is app
    [record] = caplog.records
    assert "instrument each application once" in record.getMessage()


async def test_a_second_monitor_of_a_nested_aiohttp_application_is_warned_of_once(monitors, caplog):
    async def hello_nested(_):
        return web.Response()

    outer, nested, own = web.Application(), web.Application(), web.Application()
    first, second = monitors
    first.instrument_aiohttp(outer)
    for app, prefix, monitor in ((nested, "/nested", second), (own, "/own", first)):
        app.router.add_get("/", hello_nested)
        monitor.instrument_aiohttp(app)
        outer.add_subapp(prefix, app)
    async with TestClient(TestServer(outer)) as client:
        assert (await client.get("/own/")).status == 200
        assert said_by_us(caplog) == []
        for _ in range(2):
            assert (await client.get("/nested/")).status == 200
    [record] = caplog.records
    assert "measured by another Monitor already" in record.getMessage()
