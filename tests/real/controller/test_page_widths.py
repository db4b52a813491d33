"""Every page in a real Chromium at three widths, light and dark: nothing is cut off, and no page scrolls sideways."""

import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from real.controller.page_browser import chromium, person
from real.controller.past import remembered
from real.controller.served import serving, waiting
from real.controller.test_backtest import RULES
from real.controller.test_page_past import HOUR, OF, PUT_BACK, START, over, written
from rearguard_controller.model import Check, Drill, Reason, ReasonCode, Said, Verdict
from unit.controller.factories import alert, decision, good
from unit.controller.factories import serving as serves

END = START + 2 * HOUR
WIDTHS = {"phone": 390, "tablet": 820, "desktop": 1440}
SCHEMES = ("light", "dark")
LONG = "registry.example.com/shop/checkout@sha256:" + "0123456789abcdef" * 4
SENTENCE = "The error ratio of v2 is 0.31, past the threshold of 0.1, and it was 0.004 for v1 in the hour before. "
PAGES = {
    "overview": "/",
    "target": "/targets/checkout",
    "target over a fortnight": "/targets/checkout?over=fortnight",
    "target that waits": "/targets/search",
    "rollbacks": "/rollbacks",
    "rollback": "/rollbacks/r-1",
    "rollback that waits": "/rollbacks/r-wait",
    "decisions": "/decisions",
    "decision": "/decisions/d-long",
    "drills": "/targets/checkout/drills",
    "no drill": "/targets/search/drills",
    "back-test": "/backtest",
    "trigger": "/targets/checkout/trigger",
    "disarm": "/targets/checkout/disarm",
    "disarm all": "/disarm",
    "veto": "/rollbacks/r-wait/veto",
    "no such page": "/rollbacks/none",
}
OUTSIDE = """(width) => [...document.querySelectorAll('body *')].filter((each) => {
  if (each.closest('.scroll, .wide > .chart, .unseen, .skip, svg, pre')) return false;
  const box = each.getBoundingClientRect();
  return box.width > 0 && (box.right > width + 0.5 || box.left < -0.5);
}).map((each) => each.outerHTML.slice(0, 160))"""
SCROLLS = """() => [...document.querySelectorAll('.scroll')].filter((each) => each.scrollWidth > each.clientWidth)
  .map((each) => `table scrolls: ${each.getAttribute('aria-label')}`)"""
RUNS_OUT = """() => [...document.querySelectorAll('svg.chart text.name')].filter((each) => {
  const place = (of) => of.getBoundingClientRect();
  const all = [...each.parentNode.querySelectorAll('text.name')];
  const next = all.find((other) => place(other).left > place(each).left);
  return place(each).right > (next ? place(next).left : place(each.ownerSVGElement).right) + 1;
}).map((each) => `runs out of its band: ${each.textContent}`)"""
CUT_OFF = """() => [...document.querySelectorAll('main *')].filter((each) => {
  const style = getComputedStyle(each);
  return ['hidden', 'clip'].includes(style.overflowX) && each.scrollWidth > each.clientWidth + 1
    && !each.closest('.unseen, svg, option, select, input, thead');
}).map((each) => each.outerHTML.slice(0, 160))"""


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("past")
    past = written(folder)
    for version, began, ended in (("v1", START, START + HOUR), ("v2", START + HOUR, PUT_BACK), ("v1", PUT_BACK, END)):
        past.version(OF, version, began, ended)
    with remembered(past, RULES) as address:
        yield address


async def fill(service):
    """A past with long names and long sentences, as real ones are."""
    journal, now = service.controller.journal, time.time()
    await over(service, "r-1", PUT_BACK)
    await waiting(service, "r-wait", needs_approval=True)
    for number in range(4):
        began = now - 86_400 * (4 - number)
        checks = (
            Check("current", True, f"{LONG} serves, by the target's own word."),
            Check("destination", number > 1, SENTENCE * 2),
            Check("alertmanager", None, "Nobody has been able to tell so far."),
        )
        drill = Drill(
            f"drill-{number}", "checkout", began, "ann.of.the.platform.team@example.com", SENTENCE, checks=checks
        )
        done = Said("ann", SENTENCE).action("drill", "checkout", began)
        await journal.begin_drill(drill, given_up=0.0, action=done)
        await journal.end_drill(replace(drill, ended_at=began + 12))
    wordy = replace(
        alert("CheckoutIsNotAbleToTalkToItsPaymentProviderForALongTimeAlready", pod=LONG),
        annotations={"summary": SENTENCE * 3, "figure": "version:errors:ratio"},
    )
    reasons = tuple(Reason(code, number % 3 != 0, SENTENCE) for number, code in enumerate(ReasonCode))
    why = decision("d-long", alert=wordy, reasons=reasons, verdict=Verdict.ASK, from_version=LONG, to_version="v1")
    await journal.record(
        replace(why, decided_at=now), action=Said("ann", SENTENCE).action("trigger", "checkout", now)
    )
    for each in (good("v1"), serves(LONG, first_seen=now - 7200, last_seen=now, bad_at=now - 60)):
        await journal.change_release("checkout", each.version, lambda _known, each=each: each)
    said = Said("ann", SENTENCE)
    await service.controller.journal.change_target(
        "checkout",
        lambda state: replace(state, armed=False, armed_reason=SENTENCE, armed_changed_at=now),
        action=said.action("disarm", "checkout", now),
    )


async def judged(page, service):
    """Have the past judged, so that the page of the back-test has a report."""
    await page.goto(f"{service.url}/backtest")
    await page.select_option("#since", "7d")
    await page.click("main button")
    await page.wait_for_selector("text=Back-test over")


@pytest.mark.soak
async def test_no_page_is_cut_off_or_scrolls_sideways_at_any_width(tmp_path, prometheus):
    pictures = os.environ.get("PICTURES")  # a folder: what a person looks at
    faults = []
    async with serving(tmp_path, prometheus=prometheus) as service, chromium() as browser:
        await fill(service)
        async with person(browser, service) as page:
            await judged(page, service)
        for width_name, width in WIDTHS.items():
            for scheme in SCHEMES:
                settings = {"viewport": {"width": width, "height": 900}, "color_scheme": scheme}
                async with person(browser, service, **settings) as page:
                    for name, path in PAGES.items():
                        await page.goto(service.url + path)
                        await page.evaluate(
                            "for (const each of document.querySelectorAll('details')) each.open = true"
                        )
                        where = (name, width_name, scheme)
                        scrolls = await page.evaluate("document.documentElement.scrollWidth")
                        faults += [(*where, f"scrolls: {scrolls}")] if scrolls > width else []
                        faults += [(*where, each) for each in await page.evaluate(OUTSIDE, width)]
                        for look in (CUT_OFF, SCROLLS, RUNS_OUT):
                            faults += [(*where, each) for each in await page.evaluate(look)]
                        if pictures:
                            file = Path(pictures) / f"{name.replace(' ', '-')}-{width_name}-{scheme}.png"
                            await page.screenshot(path=file, full_page=True)
    assert faults == []
