"""One rendering for all who look at once: made once, made again after an event, and a failure is nobody's page."""

import asyncio

import pytest
from aiohttp.test_utils import make_mocked_request
from markupsafe import Markup

from real.controller.served import serving
from rearguard_controller.api.auth import ANYBODY
from rearguard_controller.api.events import FEED
from rearguard_controller.page.access import Access, Visitor
from rearguard_controller.page.site import VISITOR, Site


@pytest.fixture
async def site(tmp_path):
    async with serving(tmp_path) as service:
        services = service.controller._for_api()
        yield Site(services, Access(services, service.controller._gate), service.controller.web[FEED])


def request():
    asked = make_mocked_request("GET", "/")
    asked[VISITOR] = Visitor(ANYBODY, "anybody")
    return asked


async def test_what_many_ask_at_once_is_made_once_and_again_after_an_event(site):
    made, goes_on = [], asyncio.Event()

    async def make():
        made.append(1)
        await goes_on.wait()
        return Markup(len(made))  # noqa: S704  # a number

    asking = [asyncio.create_task(site.kept(request(), make)) for _ in range(200)]
    await asyncio.sleep(0)
    asking[0].cancel()  # the first one leaves: the others still get their page
    goes_on.set()
    found = await asyncio.gather(*asking, return_exceptions=True)
    assert isinstance(found[0], asyncio.CancelledError)
    assert set(found[1:]) == {"1"}
    site.feed.number += 1
    assert await site.kept(request(), make) == "2"


async def test_a_failure_is_told_to_all_who_wait_and_the_next_one_tries_again(site):
    async def fail():
        await asyncio.sleep(0)
        raise ValueError("no")

    async def well():
        return Markup("well")

    found = await asyncio.gather(*(site.kept(request(), fail) for _ in range(3)), return_exceptions=True)
    assert [str(each) for each in found] == ["no"] * 3
    assert await site.kept(request(), well) == Markup("well")
