"""What several tests of pure code ask for: a Prometheus faked at the wire, and the client that asks it."""

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from rearguard_controller.adapters.prometheus import Prometheus
from rearguard_controller.config import PrometheusSettings
from unit.controller.wire import Wire


@pytest.fixture
def wire():
    return Wire()


@pytest.fixture
async def prometheus(wire):
    app = web.Application()
    app.router.add_post("/api/v1/query", wire.query)
    app.router.add_post("/api/v1/query_range", wire.query_range)
    async with TestServer(app) as server:
        edge = Prometheus(PrometheusSettings(urls=(str(server.make_url("")).rstrip("/"),)))
        yield edge
        await edge.close()
