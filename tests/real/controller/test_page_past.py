"""Rollbacks of the past on the page, in a real Chromium: before and after, time-lines, and a long history.

The past was written by hand and is served by a real Prometheus.
"""

import re
import time
from dataclasses import replace

import pytest

from real.controller.page_browser import chromium, faults, person
from real.controller.past import Past, remembered
from real.controller.served import serving
from real.controller.test_journal_upkeep import fill
from rearguard_controller.model import Condition, Outcome, Phase, StepKind, StepState, Verdict
from unit.controller.factories import alert, decision, rollback, target

MINUTE, HOUR = 60.0, 3600.0
START = float(int(time.time()) - int(3 * HOUR))
PUT_BACK = START + 75 * MINUTE
OF = {"service_name": "checkout", "deployment_environment_name": "production"}
FIGURE = "version:errors:ratio"
CONDITION = Condition("ReleaseErrorRate", FIGURE, "> service:errors:threshold", OF, settle=MINUTE)


def written(folder):
    """v1 is well; v2 fails 30 % for a quarter of an hour; v1 is well again, and is not scraped for ten minutes."""
    past = Past(folder)
    past.add("service:errors:threshold", OF, START, START + 2 * HOUR, 0.1)
    past.add(FIGURE, {**OF, "service_version": "v1"}, START, START + HOUR, 0.01)
    past.add(FIGURE, {**OF, "service_version": "v2"}, START + HOUR, PUT_BACK, 0.3)
    past.add(FIGURE, {**OF, "service_version": "v1"}, PUT_BACK + 15, PUT_BACK + 6 * MINUTE, 0.02)
    past.add(FIGURE, {**OF, "service_version": "v1"}, PUT_BACK + 24 * MINUTE, START + 2 * HOUR, 0.02)
    past.fires("ReleaseErrorRate", {**OF, "service_version": "v2"}, START + HOUR, START + 62 * MINUTE, PUT_BACK)
    return past


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("past")
    with remembered(written(folder), "groups: []\n") as address:
        yield address


async def over(service, name, at, condition=CONDITION):
    """A rollback that put v1 back at this moment, and recovered five minutes later."""
    found = rollback(name, of=target(before=(), after=(), health=None)).steps
    steps = tuple(
        replace(
            each,
            state=StepState.DONE,
            started_at=at - 5,
            ended_at=at if each.kind is StepKind.ROLL_BACK else at + 300,
        )
        for each in found
    )
    more = {
        "decision_id": f"d-{name}",
        "conditions": (condition,),
        "phase": Phase.CLOSED,
        "outcome": Outcome.RECOVERED,
        "detail": "It helped.",
    }
    done = rollback(name, steps=steps, opened_at=at - 600, closed_at=at + 300, **more)
    fires = replace(alert(), starts_at=at - 700)
    why = decision(f"d-{name}", rollback_id=name, decided_at=at - 600, alert=fires, verdict=Verdict.ROLL_BACK)
    await service.controller.journal.record(why, done)


def points(of):
    return [tuple(float(each) for each in point.split(",")) for point in of.split()]


async def test_a_rollback_shows_the_figure_before_and_after_it_against_its_limit(tmp_path, prometheus):
    async with (
        serving(tmp_path, prometheus=prometheus) as service,
        chromium() as browser,
        person(browser, service, bypass_csp=True) as page,
    ):
        await over(service, "r-1", PUT_BACK)
        await page.goto(f"{service.url}/rollbacks/r-1")
        assert await faults(page) == []
        told = re.sub(r"\s+", " ", await page.inner_text(".versus"))
        assert told == "before 0.3 after 0.02 must not be > 0.1"
        assert await page.locator(".versus .bad").inner_text() == "0.3"
        assert await page.locator(".versus .good").inner_text() == "0.02"
        limit = float(await page.locator("line.limit").get_attribute("y1"))
        ways = [points(await each.get_attribute("points")) for each in await page.locator("polyline.curve").all()]
        bad = [way for way in ways if way[0][1] < limit]
        assert len(bad) == 1, "v2 alone is past the limit"
        (mark,) = await page.locator("line.mark", has_text="v1 put back").all()
        x = float(await mark.get_attribute("x1"))
        assert 0 <= bad[0][-1][0] - x < 100, (
            "its line ends where v1 was put back, but for the five minutes that Prometheus looks back"
        )
        assert await page.locator("text.told").text_content() == "v1 put back"
        assert "ReleaseErrorRate fired from" in await page.locator("rect.fired title").text_content()
        assert await page.locator("circle.dot").count() == 1


@pytest.mark.soak
async def test_where_prometheus_has_no_figure_it_says_so_and_draws_no_line(tmp_path, prometheus):
    async with (
        serving(tmp_path, prometheus=prometheus) as service,
        chromium() as browser,
        person(browser, service) as page,
    ):
        await over(service, "r-1", START - 20 * 86_400)  # longer ago than anything is kept
        await page.goto(f"{service.url}/rollbacks/r-1")
        assert "Prometheus has no figure of this time. That is no sign of health." in await page.inner_text("figure")
        assert await page.locator("polyline.curve").count() == 0
        assert re.sub(r"\s+", " ", await page.inner_text(".versus")).startswith("before no figure after no figure")
        await over(service, "r-2", START + 2 * HOUR + 6 * MINUTE)  # nothing was scraped any more
        await page.goto(f"{service.url}/rollbacks/r-2")
        assert "There is no figure of the time after. That is no sign of health." in await page.inner_text("figure")
        assert "after no figure" in re.sub(r"\s+", " ", await page.inner_text(".versus"))
    (tmp_path / "gone").mkdir()
    async with serving(tmp_path / "gone") as service, chromium() as browser, person(browser, service) as page:
        await over(service, "r-1", PUT_BACK)
        await page.goto(f"{service.url}/rollbacks/r-1")
        assert "Prometheus" in await page.inner_text("figcaption .warn")
        assert await page.locator("polyline.curve").count() == 0


@pytest.mark.soak
async def test_a_target_s_time_line_shows_alerts_and_decisions_and_a_gap_where_nothing_was_scraped(
    tmp_path, prometheus
):
    async with (
        serving(tmp_path, prometheus=prometheus) as service,
        chromium() as browser,
        person(browser, service) as page,
    ):
        await over(service, "r-1", PUT_BACK)
        await page.goto(f"{service.url}/targets/checkout?over=day")
        assert "ReleaseErrorRate fired from" in await page.locator("rect.fired title").text_content()
        assert await page.locator('a[href="/decisions/d-r-1"] circle.dot.v-roll_back').count() == 1
        assert await page.locator('a[href="/rollbacks/r-1"] line.mark').count() == 3
        label = await page.locator("svg.chart").get_attribute("aria-label")
        assert "ReleaseErrorRate: roll back at" in label
        assert "v1 put back at" in label
        ways = [points(await each.get_attribute("points")) for each in await page.locator("polyline.curve").all()]
        assert len(ways) == 4, "v1 twice before and after, with a gap; v2 once"


@pytest.mark.soak
async def test_a_thousand_rollbacks_are_paged_through_by_keyboard(tmp_path):
    (tmp_path / "journal.db").touch()
    async with serving(tmp_path) as service, chromium() as browser, person(browser, service) as page:
        fill(tmp_path / "journal.db", 1000, time.time() - 86400)  # what is older than the retention is forgotten
        seen, took = [], []
        await page.goto(f"{service.url}/rollbacks")
        while True:
            seen += await page.eval_on_selector_all(
                "td:first-child a", "all => all.map((each) => each.getAttribute('href'))"
            )
            older = page.locator("text=Older ones")
            if not await older.count():
                break
            began = time.perf_counter()
            await older.focus()
            async with page.expect_navigation():
                await page.keyboard.press("Enter")
            took.append(time.perf_counter() - began)
        assert len(seen) == len(set(seen)) == 1000
        assert len(took) == 19
        assert min(took) < 2, took
        await page.click("text=Newest ones")
        assert await page.locator("td:first-child a").first.get_attribute("href") == seen[0]
