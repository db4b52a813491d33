"""What a real Chromium measures of a page, beside what the web-vitals package measures of the same page."""

import asyncio

import pytest

from real.exporter.chromium import chromium, need_browser
from real.exporter.vitals_site import BUTTON, serve_vitals
from rearguard_exporter import Vitals

PAGES = ["/items/{id}", "/blank", "/documented"]
# Each is over once the browser has told of it.
FAIL = """new Promise((done) => {
  addEventListener("error", () => done(1), { once: true });
  setTimeout(() => null.missing);
})"""
REJECT = """new Promise((done) => {
  let told = 0;
  addEventListener("unhandledrejection", () => ++told == 2 && done(told));
  Promise.reject(new RangeError("secret"));
  Promise.reject("secret");
})"""


@pytest.fixture
async def browser(tmp_path):
    async with chromium(tmp_path / "profile") as running:
        yield running


@pytest.fixture
async def site():
    need_browser()
    async with serve_vitals(Vitals(PAGES, timings=["checkout_rendered"])) as served:
        yield served


async def agree(site, path, navigation, names):
    """Each of these was counted once, with the value that web-vitals reported last."""
    for name in names:
        wanted = site.reported[path][navigation][name]
        factor, unit = (1, "") if name == "cls" else (1000, "_seconds")
        count, total = await site.vital(name, navigation=navigation, unit=unit)
        assert count == 1, name
        # After a restore both wait for two frames by themselves, and one of them is called after the other.
        apart = 20 if navigation == "back-forward-cache" and name in {"lcp", "fcp"} else 1e-6
        assert total * factor == pytest.approx(wanted, rel=0.05, abs=apart), name


async def test_what_is_measured_is_what_web_vitals_measures_also_after_a_way_back(site, browser, eventually):
    tab = await browser.tab()
    await tab.open(site.url + "/items/1")
    await tab.until("reported.navigate?.lcp && reported.navigate?.cls > 0.05")
    await tab.click(*BUTTON)
    await tab.until("reported.navigate?.inp > 100")
    await tab.open(site.url + "/blank")
    await eventually(site.beacons, seconds=20)
    await agree(site, "/items/1", "navigate", ["lcp", "inp", "cls", "fcp", "ttfb"])
    assert site.reported["/items/1"]["navigate"]["ttfb"] >= 150

    await tab.back()
    await tab.until("reported['back-forward-cache']?.lcp")
    await tab.click(*BUTTON)
    await tab.until("reported['back-forward-cache']?.inp > 100")
    await tab.open(site.url + "/blank")
    await eventually(lambda: two(site), seconds=20)
    await agree(site, "/items/1", "back-forward-cache", ["lcp", "inp", "cls", "fcp", "ttfb"])
    await agree(site, "/items/1", "navigate", ["lcp", "inp", "cls", "fcp", "ttfb"])  # as before


async def two(site):
    return await site.beacons() == 2


async def test_a_page_that_is_shown_again_sends_only_what_is_new(site, browser, eventually):
    tab, other = await browser.tab(), await browser.tab()
    await tab.call("Page.bringToFront")
    await tab.open(site.url + "/items/1")
    await tab.until("reported.navigate?.lcp && reported.navigate?.cls > 0.05")
    await other.call("Page.bringToFront")
    await eventually(site.beacons, seconds=20)
    assert await site.vital("inp") == (None, None)

    await tab.call("Page.bringToFront")
    await tab.until("document.visibilityState == 'visible'")
    await tab.click(*BUTTON)
    await tab.until("reported.navigate?.inp > 100")
    await other.call("Page.bringToFront")
    await eventually(lambda: two(site), seconds=20)
    await agree(site, "/items/1", "navigate", ["lcp", "inp", "fcp", "ttfb"])
    assert (await site.vital("cls", unit=""))[0] == 1

    await tab.call("Page.bringToFront")
    await tab.until("document.visibilityState == 'visible'")
    await tab.open(site.url + "/blank")  # nothing is new
    await tab.until("location.pathname == '/blank' && document.readyState == 'complete'")
    await asyncio.sleep(0.3)  # a beacon would have come by now
    assert await site.beacons() == 2


async def test_a_prerendered_page_is_measured_from_when_it_is_shown(site, browser, eventually):
    shown = "/items/2%3Fthen=/blank"
    await browser.open_unwatched(f"{site.url}/items/1?prerender={shown}&then={shown}")
    await eventually(lambda: counted(site, "prerender"), seconds=20)
    await agree(site, "/items/2", "prerender", ["lcp", "cls", "fcp", "ttfb"])
    _, first_byte = await site.vital("ttfb", navigation="prerender")
    assert first_byte == 0
    assert (await site.vital("lcp"))[0] == 1  # of the page that asked for it


async def counted(site, navigation):
    return (await site.vital("ttfb", navigation=navigation))[0] == 1


async def test_a_call_begins_a_page_view_that_has_its_own_shifts_interactions_timings_and_errors(
    site, browser, eventually
):
    tab = await browser.tab()
    await tab.open(site.url + "/items/1")
    await tab.until("reported.navigate?.lcp && reported.navigate?.cls > 0.05")
    await tab.evaluate(FAIL)
    await tab.evaluate("rearguard.timing('checkout_rendered', 812.5)")
    await tab.evaluate(
        "rearguard.timing('broken', NaN); rearguard.timing('broken', -1); rearguard.timing('made_up', 40)"
    )
    await tab.evaluate("history.pushState({}, '', '/blank'); rearguard.navigate()")
    await eventually(site.beacons, seconds=20)
    _, shifts = await site.vital("cls", unit="")
    assert shifts > 0.05
    assert await site.vital("inp") == (None, None)

    await tab.click(*BUTTON)
    await tab.until("reported.navigate?.inp > 100")
    await tab.evaluate(REJECT)
    await tab.open(site.url + "/blank")
    await eventually(lambda: two(site), seconds=20)
    soft = {"page": "/blank", "navigation": "soft-navigation"}
    count, shifts = await site.vital("cls", **soft, unit="")
    assert count == 1
    assert shifts < 0.05  # the banner's belong to the page before
    count, slowest = await site.vital("inp", **soft)
    assert count == 1
    assert slowest * 1000 == pytest.approx(site.reported["/blank"]["navigate"]["inp"], rel=0.05)
    assert await site.vital("lcp", **soft) == (None, None)

    scrape = await site.scrape()
    errors = {
        (sample.labels["page"], sample.labels["error_type"]): sample.value
        for sample in scrape.all("browser_javascript_errors_total")
    }
    assert errors == {
        ("/items/{id}", "TypeError"): 1,
        ("/blank", "RangeError"): 1,
        ("/blank", "_OTHER"): 1,
    }
    assert scrape.value("browser_timing_seconds_sum", browser_timing_name="checkout_rendered") == 0.8125
    assert scrape.value("browser_timing_seconds_count", browser_timing_name="_OTHER") == 1
    assert "secret" not in scrape.text
    assert "broken" not in scrape.text


async def test_a_page_load_that_is_not_sampled_sends_nothing_and_its_calls_do_no_harm(browser):
    async with serve_vitals(Vitals(PAGES, sample=1e-9)) as site:
        tab = await browser.tab()
        await tab.open(site.url + "/items/1")
        await tab.until("reported.navigate?.lcp")
        calls = "rearguard.timing('checkout_rendered', 1); rearguard.navigate('/blank'); 'still here'"
        assert await tab.evaluate(calls) == "still here"
        await tab.open(site.url + "/blank")
        await tab.until("location.pathname == '/blank' && document.readyState == 'complete'")
        await asyncio.sleep(0.3)  # a beacon would have come by now
        assert await site.beacons() == 0


async def test_pages_of_another_origin_may_send_once_it_is_listed(browser, eventually):
    async with serve_vitals(Vitals(PAGES)) as site:
        tab = await browser.tab()
        await tab.open(f"http://localhost:{site.port}/items/1?origin={site.url}")
        await tab.until("reported.navigate?.lcp")
        await tab.open("about:blank")
        await eventually(lambda: site.beacons("foreign_origin"), seconds=20)
        assert await site.beacons() == 0
        listed = f"http://localhost:{site.port}"
        async with serve_vitals(Vitals(PAGES, origins=[listed])) as other:
            await tab.open(f"{listed}/items/1?origin={other.url}")
            await tab.until("reported.navigate?.lcp")
            await tab.open("about:blank")
            await eventually(other.beacons, seconds=20)
            assert (await other.vital("lcp"))[0] == 1


async def test_the_policy_that_the_guide_shows_lets_the_script_work_with_its_nonce_and_without_it_stops_it(
    site, browser, eventually
):
    tab = await browser.tab()
    await tab.open(site.url + "/documented?nonce=forged")
    await tab.until("document.readyState == 'complete'")
    assert await tab.evaluate("typeof rearguard") == "undefined"  # so the policy is in force
    await tab.open(site.url + "/documented?nonce=R4nd0m")
    await tab.until("typeof rearguard == 'object' && performance.getEntriesByType('paint').length")
    await tab.open("about:blank")
    await eventually(site.beacons, seconds=20)
    assert (await site.vital("fcp", page="/documented"))[0] == 1


SEND_JSON = """fetch("%s/api/monitoring/vitals", {
  method: "POST", headers: {"Content-Type": "application/json"},
  body: JSON.stringify({page: "/blank", navigation: "navigate", vitals: {lcp: 1000}}),
}).then((answer) => answer.status, (failure) => failure.name)"""


async def test_a_page_of_a_foreign_origin_may_not_send_json_and_one_that_is_listed_may(browser):
    async with serve_vitals(Vitals(PAGES)) as page:
        tab = await browser.tab()
        await tab.open(page.url + "/blank")
        await tab.until("location.pathname == '/blank' && document.readyState == 'complete'")
        async with serve_vitals(Vitals(PAGES)) as foreign, serve_vitals(Vitals(PAGES, origins=[page.url])) as listed:
            assert await tab.evaluate(SEND_JSON % foreign.url) == "TypeError"  # the browser asked first
            assert await foreign.beacons() == 0
            assert await tab.evaluate(SEND_JSON % listed.url) == 204
            assert await listed.vital("lcp", page="/blank") == (1, 1)


async def test_calls_with_anything_raise_nothing_into_the_page_and_names_without_bound_lose_no_measurement(
    site, browser, eventually
):
    tab = await browser.tab()
    await tab.open(site.url + "/items/1")
    await tab.until("reported.navigate?.lcp")
    odd = "rearguard.timing('checkout_rendered', 5n); rearguard.timing({}, {}); rearguard.timing(); "
    assert await tab.evaluate(odd + "'still here'") == "still here"
    await tab.evaluate(
        "for (let n = 0; n < 1000; n++) rearguard.timing('\u6642'.repeat(200) + n, 1);"
        "for (let n = 0; n < 30; n++) dispatchEvent(new ErrorEvent('error', "
        "{ error: { name: '\u932f'.repeat(200) + n } }))"
    )
    await tab.evaluate("rearguard.navigate(new URL('/blank', location)); rearguard.timing('checkout_rendered', 7)")
    await eventually(site.beacons, seconds=20)
    assert (await site.vital("lcp"))[0] == 1
    await tab.open("about:blank")
    await eventually(lambda: two(site), seconds=20)
    assert await site.beacons("too_large") == 0
    scrape = await site.scrape()
    names = {sample.labels["browser_timing_name"] for sample in scrape.all("browser_timing_seconds_count")}
    assert names <= {"checkout_rendered", "_OTHER"}
    assert scrape.value("browser_timing_seconds_sum", browser_timing_name="checkout_rendered") == 0.007
