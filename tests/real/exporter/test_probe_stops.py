"""A probe that is told to stop, whatever moment it is told in: also as its answer comes in."""

import asyncio

from aiohttp import web

from rearguard_exporter.standalone.config.configuration import ProbeSettings
from rearguard_exporter.standalone.watched.probe import Probe


async def test_a_probe_that_is_told_to_stop_as_its_answer_comes_stops():
    async def answer(request):
        return web.Response(text="ok")

    application = web.Application()
    application.router.add_get("/", answer)
    server = web.AppRunner(application)
    await server.setup()
    try:
        await web.TCPSite(server, "127.0.0.1", 0).start()
        url = f"http://127.0.0.1:{server.addresses[0][1]}/"
        settings = ProbeSettings("home", url, "GET", frozenset(), None, True, None, None, 5.0, 0.0)
        probing = []
        for turns in range(100):
            probe = Probe(settings)
            probing.append(asyncio.create_task(probe.run()))
            while not probe.figures:  # noqa: ASYNC110 - each turn counts
                await asyncio.sleep(0)
            for _ in range(turns):  # of the loop: a probe takes some sixty
                await asyncio.sleep(0)
            probing[-1].cancel()
        _, going_on = await asyncio.wait(probing, timeout=30)
        for task in going_on:
            task.cancel()
        assert len(going_on) == 0
    finally:
        await server.cleanup()
