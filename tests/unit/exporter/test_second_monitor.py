"""An application that is instrumented twice is measured once, and told when it was by two monitors."""

import pytest
from aiohttp import web
from starlette.applications import Starlette

from rearguard_exporter import Monitor
from unit.exporter.test_forking import hello


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
    assert caplog.records == []
    assert instrument(app, second) is app
    [record] = caplog.records
    assert "instrument each application once" in record.getMessage()
