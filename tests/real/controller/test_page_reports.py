"""Reports of back-tests and drills in a real Chromium: as one file from the command line, and on the page."""

import asyncio
import re

import pytest

from real.controller.page_browser import chromium, faults, person
from real.controller.past import remembered
from real.controller.served import BASE, serving
from real.controller.test_backtest import CONFIGURATION, END, RULES, shop, written
from rearguard_controller.cli import main

HOSTILE = "<img src=x onerror=document.title='taken'>\u202ev9"
CART = """  - name: cart
    match: {service_name: cart}
    release: {command: {current: [./release, current], rollback: [./release, activate, "{to_version}"]}}
"""
WIDTHS = ((390, "dark"), (1280, "light"))


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory):
    """The past of test_backtest, and a version with a hostile name at its end."""
    folder = tmp_path_factory.mktemp("past")
    past = written(folder)
    past.version(shop("cart", None), HOSTILE, END + 60, END + 600)
    with remembered(past, RULES) as address:
        yield address


@pytest.fixture
def configuration(tmp_path, prometheus):
    file = tmp_path / "rearguard.yaml"
    file.write_text(CONFIGURATION.format(folder=tmp_path, address=prometheus))
    return file


async def look(browser, url, *, width, scheme):
    """A page, after it was found to be inert, readable and without a fault that axe knows."""
    page = await browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme, bypass_csp=True)
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    await page.goto(url)
    assert asked == [url], "it needs nothing beside it"
    assert "taken" not in await page.title()
    assert await page.locator("script, img, iframe, form").count() == 0
    assert await page.evaluate("document.documentElement.scrollWidth") <= width
    assert await faults(page) == []
    return page


async def test_a_back_test_is_written_as_one_file_with_what_was_drawn(configuration, tmp_path, capsys):
    file = tmp_path / "report.html"
    words = ["backtest", "--config", str(configuration), "--since", "40h", "--html", str(file)]
    assert await asyncio.to_thread(main, words) == 0
    told = capsys.readouterr()
    assert f"Written: {file}" in told.err
    text = file.read_text()
    assert "\u202e" not in text
    assert not re.search(r"\son\w+=\"|javascript:|https?://(?!127\.0\.0\.1|www\.w3\.org)", text)
    async with chromium() as browser:
        for width, scheme in WIDTHS:
            page = await look(browser, file.as_uri(), width=width, scheme=scheme)
        assert "2 would have been rolled back" in await page.inner_text(".lead")
        assert await page.locator("article h3").all_inner_texts() == [
            "cart: v2 → v1 roll back",
            "checkout: v2 → v1 roll back",
        ]
        card = page.locator("article", has_text="checkout")
        limit = float(await card.locator("line.limit, polyline.limit").first.get_attribute("y1"))
        highest = min(
            float(point.split(",")[1])
            for way in await card.locator("polyline.curve").evaluate_all(
                "all => all.map((each) => each.getAttribute('points'))"
            )
            for point in way.split()
        )
        assert highest < limit, "0.3 is drawn above 0.1"
        marks = await card.locator("line.mark title").all_text_contents()
        assert [mark.partition(",")[0] for mark in marks] == ["Rearguard would have begun", "people went back to v1"]
        assert "img src=x" in await page.locator("figure", has_text="cart").last.locator("svg").get_attribute(
            "aria-label"
        )
        assert "No trigger alert of the target fired while v2 served." in await page.inner_text("main")


def test_a_file_that_cannot_be_written_is_told_and_nothing_is_left_behind(configuration, tmp_path, capsys):
    words = [
        "backtest",
        "--config",
        str(configuration),
        "--since",
        "40h",
        "--html",
        str(tmp_path / "none" / "x.html"),
    ]
    assert main(words) == 1
    assert "cannot be written: No such file or directory" in capsys.readouterr().err
    assert main([*words[:-1], "-", "--json"]) == 0
    assert capsys.readouterr().out.startswith("<!doctype html>")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["rearguard.yaml"]


@pytest.mark.soak
async def test_a_drill_is_written_as_one_file_beside_the_drills_before_it(tmp_path, monkeypatch, capsys):
    file = tmp_path / "drill.html"
    async with serving(tmp_path) as service, chromium() as browser:
        monkeypatch.setenv("REARGUARD_URL", service.url)
        monkeypatch.setenv("REARGUARD_TOKEN_FILE", str(tmp_path / "operator"))
        for reason in ("friday", "<script>document.title='taken'</script>\u202e"):
            code = await asyncio.to_thread(main, ["drill", "search", "--reason", reason, "--html", str(file)])
            assert code in {1, 4}, "without Prometheus and Alertmanager not all can be well"
        page = await look(browser, file.as_uri(), width=390, scheme="dark")
        assert "Drill of search" in await page.inner_text("h1")
        assert await page.locator("circle.dot").count() == 2
        _, found = await service.get(f"{BASE}/targets/search/drills")
        checks = [each["name"].replace("_", " ") for each in found["drills"][0]["checks"]]
        assert sorted(await page.locator(".reasons b").all_inner_texts()) == sorted(checks)
        answers = await page.locator(".reasons .pill").all_inner_texts()
        assert answers == sorted(answers, key=["no", "unknown", "yes"].index), "what fails comes first"
        assert await page.locator(".strip").first.locator("rect").count() == 2
        async with person(browser, service, "read-1") as reader:
            await reader.goto(f"{service.url}/targets/search/drills")
            assert sorted(await reader.locator(".reasons b").all_inner_texts()) == sorted(checks)
            assert await reader.locator("a.button").count() == 0


@pytest.mark.soak
async def test_an_operator_has_the_past_judged_on_the_page_and_a_viewer_reads_it(tmp_path, prometheus):
    async with serving(tmp_path, prometheus=prometheus, more=CART) as service, chromium() as browser:
        async with person(browser, service, "read-1") as reader:
            await reader.goto(f"{service.url}/backtest")
            assert "None was run yet" in await reader.inner_text("main")
            assert await reader.locator("main form").count() == 0
        async with person(browser, service) as page:
            await page.goto(f"{service.url}/backtest")
            await page.select_option("#since", "7d")
            await page.click("main button")
            await page.wait_for_selector("text=Back-test over")
            assert await page.locator("svg.chart").count() >= 2
            async with page.expect_download() as download:
                await page.click("text=As one file")
            path = tmp_path / "got.html"
            await (await download.value).save_as(path)
            await (await look(browser, path.as_uri(), width=820, scheme="dark")).close()
        async with person(browser, service, "read-1", viewport={"width": 390, "height": 800}) as reader:
            await reader.goto(f"{service.url}/backtest")
            await reader.wait_for_selector("text=Back-test over")
            assert await reader.evaluate("document.documentElement.scrollWidth") <= 390


@pytest.mark.soak
async def test_a_back_test_that_cannot_be_made_says_why_and_only_one_runs_at_a_time(tmp_path):
    async with serving(tmp_path) as service, chromium() as browser, person(browser, service) as page:
        await page.goto(f"{service.url}/backtest")
        await page.click("main button")
        await page.wait_for_selector("text=gave no report")
        assert "Prometheus" in await page.inner_text(".note.bad")
        service.controller._past.judge("1d", "ann")
        form = await page.locator("main input[name=form]").get_attribute("value")
        answer = await page.request.post(f"{service.url}/backtest", form={"form": form, "since": "1d"})
        assert answer.status == 409
        assert "runs already" in await answer.text()
