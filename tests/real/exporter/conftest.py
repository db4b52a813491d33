"""Real servers and clients on loopback, and the exposition read back with the official parsers."""

import asyncio
import time
from contextlib import AsyncExitStack

import pytest
from aiohttp import ClientSession, web
from prometheus_client import generate_latest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text


class Scrape:
    """One exposition, parsed."""

    def __init__(self, text, parse=parse_text):
        self.text = text
        self.families = list(parse(text))
        self.samples = [sample for family in self.families for sample in family.samples]

    def value(self, metric, **labels):
        """The one sample whose labels include these; None when there is none."""
        found = self.all(metric, **labels)
        assert len(found) < 2, found
        return found[0].value if found else None

    def all(self, metric, **labels):
        return [
            sample for sample in self.samples if sample.name == metric and labels.items() <= sample.labels.items()
        ]


@pytest.fixture
def read(monitor):
    """Reads a metric as a scrape would see it; None when it is not there."""
    return lambda metric, **labels: Scrape(generate_latest(monitor.registry).decode()).value(metric, **labels)


class Site:
    """A served application and a client of it."""

    def __init__(self, url, client):
        self.url = url
        self.client = client

    async def get(self, path, **kwargs):
        async with self.client.get(self.url + path, **kwargs) as response:
            return response.status, await response.read()

    async def scrape(self, accept="text/plain", parse=parse_text):
        async with self.client.get(self.url + "/metrics", headers={"Accept": accept}) as response:
            assert response.status == 200
            return Scrape(await response.text(), parse)

    async def openmetrics(self):
        return await self.scrape("application/openmetrics-text; version=1.0.0", parse_openmetrics)


@pytest.fixture
async def serve():
    """Serves an application on a free port until the test ends."""
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(ClientSession())

        async def start(app, **kwargs):
            runner = web.AppRunner(app, shutdown_timeout=1, **kwargs)
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            site = Site(f"http://127.0.0.1:{runner.addresses[0][1]}", client)
            site.runner = runner
            return site

        yield start


@pytest.fixture
def eventually():
    """Polls until the condition holds; fails after ten seconds."""

    async def wait(condition, seconds=10.0):
        deadline = time.monotonic() + seconds
        while True:
            result = condition()
            if asyncio.iscoroutine(result):
                result = await result
            if result:
                return result
            assert time.monotonic() < deadline, "it did not happen in time"
            await asyncio.sleep(0.02)

    return wait
