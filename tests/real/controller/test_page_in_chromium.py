"""The page in a real Chromium: a rollback watched live, people who decide, a lost connection, hostile texts, axe."""

from __future__ import annotations

import contextlib

import pytest

from real.controller.page_browser import chromium, faults, person
from real.controller.served import BASE, SENDER, listening, serving, until, waiting
from rearguard_controller.api.events import FEED

FIRE = {
    "labels": {
        "alertname": "<img src=x onerror=document.title='taken'>\u202e",
        "action": "rollback",
        "service_name": "checkout",
        "deployment_environment_name": "production",
    },
    "annotations": {"summary": "<script>document.title='taken'</script>"},
    "state": "firing",
    "activeAt": "2026-01-01T00:00:00Z",
    "value": "1",
}
WIDTHS = {"phone": 390, "tablet": 820, "desk": 1280}


async def trigger(service, target="checkout"):
    body = {"target": target, "reason": "the cart is empty", "to_version": "v1", "force": True}
    status, answer = await service.post(f"{BASE}/rollback/trigger", body)
    assert status == 202, answer
    return answer["rollback_id"]


async def test_a_rollback_is_watched_live_to_its_end_without_a_reload_by_hand(tmp_path):
    async with serving(tmp_path) as service, chromium() as browser, person(browser, service) as page:
        (tmp_path / "hold").touch()  # the command waits
        await page.evaluate("window.mine = true")
        await page.wait_for_selector("#link:not([hidden])")
        rollback = await trigger(service)
        await page.wait_for_selector(f'.card.busy a[href="/rollbacks/{rollback}"]')
        assert await page.evaluate("window.mine"), "the page was never loaded anew"
        await page.click(f'.card.busy a[href="/rollbacks/{rollback}"]')
        await page.wait_for_selector(".step.s-started")
        await page.evaluate("window.mine = true")
        (tmp_path / "hold").unlink()
        await page.wait_for_selector(".pill.o-completed")
        assert await page.evaluate("window.mine")
        await page.click("summary")
        assert "activated v1" in await page.inner_text("pre")


@pytest.mark.soak
async def test_a_person_disarms_by_keyboard_alone(tmp_path):
    async with serving(tmp_path) as service, chromium() as browser, person(browser, service) as page:
        await page.keyboard.press("Tab")
        assert await page.evaluate("document.activeElement.className") == "skip"
        await page.goto(f"{service.url}/targets/search/disarm")
        assert await page.evaluate("document.activeElement.id") == "reason", "the reason can be typed at once"
        await page.keyboard.type("freeze")
        await page.keyboard.press("Tab")
        await page.keyboard.press("Enter")
        await page.wait_for_selector(".pill.disarmed")


@pytest.mark.soak
async def test_a_person_vetoes_while_the_countdown_runs(tmp_path):
    async with serving(tmp_path) as service, chromium() as browser, person(browser, service) as page:
        await waiting(service, "r-1", needs_approval=False)
        await page.wait_for_selector("text=/[45] min [0-9]+ s left/")
        await page.click("text=Veto…")
        await page.fill("#reason", "the graphs are fine")
        await page.click("button.danger")
        await page.wait_for_selector(".pill.o-vetoed")


@pytest.mark.soak
async def test_two_operators_see_the_same_and_the_slower_one_is_told(tmp_path):
    async with (
        serving(tmp_path) as service,
        chromium() as browser,
        person(browser, service) as ann,
        person(browser, service, "read-1") as dora,
    ):
        (tmp_path / "hold").touch()
        rollback = await trigger(service)
        await ann.goto(f"{service.url}/rollbacks/{rollback}/abort")
        await dora.wait_for_selector(".card.busy")
        assert await dora.locator("a.button").count() == 0
        await service.post(f"{BASE}/rollback/{rollback}/abort", {"reason": "I was faster"})
        (tmp_path / "hold").unlink()
        await service.closed(rollback)
        await ann.fill("#reason", "stop it")
        await ann.click("button.danger")
        await ann.wait_for_selector(".note.bad")
        assert await ann.input_value("#reason") == "stop it"


@pytest.mark.soak
async def test_a_lost_connection_is_said_and_what_was_missed_is_there_when_it_is_back(tmp_path):
    async with serving(tmp_path) as service, chromium() as browser, person(browser, service) as page:
        await page.wait_for_selector("#link:not([hidden])")
        await service.post(f"{BASE}/targets/checkout/disarm", {"reason": "freeze"})  # so the page has looked just now
        await page.wait_for_selector(".target.t-disarmed")
        await page.context.set_offline(True)
        for reader in list(service.controller.web[FEED]._readers):
            reader.end()
        await page.wait_for_selector("#link.lost")
        await service.post(f"{BASE}/targets/search/disarm", {"reason": "freeze"})
        await page.context.set_offline(False)
        await page.wait_for_selector(".target.t-disarmed >> nth=1")
        await page.wait_for_selector("#link:not(.lost)")


@pytest.mark.soak
async def test_hostile_texts_are_inert_nothing_overflows_and_axe_finds_nothing_at_three_widths(tmp_path):
    async with (
        listening([FIRE]) as (prometheus, _),
        serving(tmp_path, prometheus=prometheus) as service,
        chromium() as browser,
        contextlib.AsyncExitStack() as stack,
    ):
        sent = {"version": "4", "alerts": [{"status": "firing", "labels": FIRE["labels"], "annotations": {}}]}
        assert (await service.post("/webhook/alertmanager", sent, SENDER))[0] == 202

        async def decided():
            return (await service.controller.journal.decisions(target="checkout")).items

        found = await until(decided)
        told = []
        rollback = await trigger(service, "search")
        paths = ["/", "/targets/checkout", f"/decisions/{found[0].id}", f"/rollbacks/{rollback}", "/rollbacks"]
        paths += [
            "/decisions",
            "/backtest",
            "/targets/search/drills",
            "/targets/search/disarm",
            "/targets/checkout/trigger",
            "/login",
        ]
        for (name, width), scheme in zip(WIDTHS.items(), ("light", "dark", "light"), strict=True):
            settings = {"viewport": {"width": width, "height": 900}, "color_scheme": scheme, "bypass_csp": True}
            page = await stack.enter_async_context(person(browser, service, **settings))
            for path in paths if name == "phone" else paths[:4]:
                await page.goto(service.url + path)
                assert "taken" not in await page.title()
                assert await page.locator("img[src=x]").count() == 0
                assert await page.evaluate("document.documentElement.scrollWidth") <= width, (name, path)
                told += [(name, path, *each) for each in await faults(page)]
        assert told == []
