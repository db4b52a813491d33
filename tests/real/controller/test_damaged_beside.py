"""A damaged record, or one that is gone, takes away no other record's view: API, page, command line."""

import asyncio
import time
from dataclasses import dataclass, replace

import aiohttp
import pytest
import structlog.testing

from real.controller.journal_kit import noted
from real.controller.served import BASE, OPERATOR, VIEWER, serving
from real.controller.test_page import Browser
from rearguard_controller.cli import main
from rearguard_controller.model import Check, Drill, Phase, Said
from unit.controller.factories import decision, good, rollback, target
from unit.controller.factories import serving as serves

NOW = time.time()
OF_SEARCH = target(name="search", before=(), after=(), health=None)
DAMAGES = {  # what is done to the journal, and the record whose own view that takes away
    "decision": ("update decisions set body = '{' where id = 'd-new'", "d-new"),
    "decision that is gone": ("delete from decisions where id = 'd-new'", "d-new"),
    "newest decision": ("update decisions set body = 'null' where id = 'd-left'", "d-left"),
    "rollback": ("update rollbacks set body = '{' where id = 'r-new'", "r-new"),
    "open rollback": ("update rollbacks set body = '{' where id = 'r-open'", "r-open"),
    "events of rollbacks": ("update rollback_events set body = '{'", ""),
    "newest drill": ("update drills set body = '{' where id = 'drill-2'", "drill-2"),
    "target": ("update target_state set body = '{' where target = 'checkout'", ""),
    "release": ("update releases set body = '{' where version = 'v2'", ""),
}
RECORDS = {  # what is listed of checkout, by kind
    "rollbacks": ["r-new", "r-old"],
    "decisions": ["d-left", "d-new", "d-old"],
    "drills": ["drill-2", "drill-1"],
}


async def filled(journal):
    """Two rollbacks of checkout that are over, a decision that led to none, two drills; one of search that waits."""
    for number, name in enumerate(("old", "new")):
        began = NOW - 3600 + 600 * number
        made = decision(f"d-{name}", rollback_id=f"r-{name}", decided_at=began)
        done = Said("ann", "because")
        opened = rollback(f"r-{name}", decision_id=f"d-{name}", opened_at=began)
        await journal.record(made, opened, action=done.action("trigger", "checkout", began))
        over = noted("closed", outcome="recovered", at=began + 60)
        await journal.append(f"r-{name}", over, action=done.action("close", f"r-{name}", began + 60))
        checks = (Check("current", True, "v2 serves."),)
        drill = Drill(f"drill-{number + 1}", "checkout", began, "ann", "to try", checks=checks)
        await journal.begin_drill(drill, given_up=0.0, action=done.action("drill", "checkout", began))
        await journal.end_drill(replace(drill, ended_at=began + 1))
    left, done = decision("d-left", decided_at=NOW - 60), Said("ann", "because")
    await journal.record(left, action=done.action("trigger", "checkout", NOW))
    waits = {"phase": Phase.WAITING, "needs_approval": True, "wait_until": NOW + 7200, "opened_at": NOW}
    made = decision("d-open", target="search", rollback_id="r-open", decided_at=NOW)
    opened = rollback("r-open", of=OF_SEARCH, decision_id="d-open", **waits)
    await journal.record(made, opened, action=done.action("trigger", "search", NOW))
    for each in (good("v1"), serves("v2", first_seen=NOW - 7200, last_seen=NOW)):
        await journal.change_release("checkout", each.version, lambda _known, each=each: each)
    known = {"serving_version": "v2", "serving_since": NOW - 7200}
    await journal.change_target("checkout", lambda state: replace(state, **known))
    await journal.close()


@dataclass
class Damaged:
    """A service over a damaged journal."""

    service: object
    kind: str
    own: str  # the record that cannot be shown

    def ids(self, kind):
        return [each for each in RECORDS[kind] if each != self.own]

    def unreadable(self, kind):
        is_there = self.own in RECORDS[kind] and "gone" not in self.kind
        return [self.own] if is_there else []


@pytest.fixture(params=DAMAGES)
async def damaged(request, tmp_path, store):
    statement, own = DAMAGES[request.param]
    await filled(await store.open())
    assert await store.rows(f"{statement} returning 1")
    async with serving(tmp_path, journal=await store.open()) as service:
        yield Damaged(service, request.param, own)


async def test_every_route_answers_and_lists_all_other_records(damaged):
    get = damaged.service.get
    for kind, path in (
        ("rollbacks", "rollback/history?target=checkout"),
        ("decisions", "decisions?target=checkout"),
        ("drills", "targets/checkout/drills"),
    ):
        status, page = await get(f"{BASE}/{path}")
        assert (status, [each["id"] for each in page[kind]]) == (200, damaged.ids(kind)), path
        assert page.get("unreadable", []) == damaged.unreadable(kind)
    for name in ("r-old", "r-new", "r-open"):
        status, found = await get(f"{BASE}/rollback/{name}")
        assert status == (503 if name == damaged.own else 200), (name, found)
        if status == 200:
            its = found["decision_id"]
            assert (found["decision"] is None) == (its == damaged.own)
            assert name == "r-open" or found["actions"]
    for name in ("d-old", "d-new", "d-left", "d-open"):
        status, found = await get(f"{BASE}/decisions/{name}")
        assert status == ((404 if "gone" in damaged.kind else 503) if name == damaged.own else 200), (name, found)
    for name in ("checkout", "search"):
        status, found = await get(f"{BASE}/targets/{name}/releases")
        assert status == 200, found
    for path in ("audit", "dashboard"):
        assert (await get(f"{BASE}/{path}"))[0] == 200
    status, found = await get(f"{BASE}/rollback/status")
    assert status == 200, found
    assert [each["id"] for each in found["recent"]] == damaged.ids("rollbacks")
    assert [each["name"] for each in found["targets"]] == ["checkout", "search"]
    assert found["targets"][0]["last_drill"]["id"] == damaged.ids("drills")[0]


async def test_status_says_what_follows_from_a_damaged_target_and_a_damaged_open_rollback(damaged):
    _, found = await damaged.service.get(f"{BASE}/rollback/status")
    checkout, search = found["targets"]
    assert checkout["armed"] is (damaged.kind != "target"), "nothing is rolled back that cannot be judged"
    assert ("damaged" in checkout["armed_reason"]) is (damaged.kind == "target")
    assert any("damaged" in each for each in checkout["known"]) is (damaged.kind == "target")
    assert search["open_rollback"] == "r-open"
    lost = [each for each in found["warnings"] if "r-open" in each and "damaged" in each and "search" in each]
    assert bool(lost) is (damaged.kind == "open rollback"), found["warnings"]


@pytest.fixture
async def browser(damaged):
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True), trust_env=False) as session:
        browser = Browser(damaged.service, session)
        await browser.log_in()
        yield browser


async def test_every_page_is_there_and_says_what_cannot_be_shown(damaged, browser):
    async def page(path):
        response, text = await browser.get(path)
        assert response.status == 200, (path, text)
        return text

    for path in ("/", "/disarm", "/backtest", "/targets/search", "/targets/search/drills"):
        await page(path)
    for act in ("trigger", "arm", "disarm", "drill"):
        await page(f"/targets/checkout/{act}")
    lists = {
        "rollbacks": ["/rollbacks", "/targets/checkout", "/"],
        "decisions": ["/decisions", "/targets/checkout"],
        "drills": ["/targets/checkout/drills", "/targets/checkout"],
    }
    for kind, paths in lists.items():
        for path in paths:
            text = await page(path)
            if kind != "drills":
                for name in damaged.ids(kind):
                    assert f'href="/{kind}/{name}"' in text, (path, name)
            for name in damaged.unreadable(kind):
                assert name in text, (path, "names what it cannot show")
                assert "damaged" in text
    assert "never drilled" not in await page("/targets/checkout")
    for over in ("hour", "day", "fortnight"):
        await page(f"/targets/checkout?over={over}")
    for name in {"r-old", "r-new", "r-open"} - {damaged.own}:
        text = await page(f"/rollbacks/{name}")
        its = name.replace("r-", "d-")
        assert ("The decision cannot be shown" in text) is (its == damaged.own)
        assert (f'href="/decisions/{its}"' in text) is (its != damaged.own)
    for act in ("approve", "veto") if damaged.own != "r-open" else ():
        await page(f"/rollbacks/r-open/{act}")
    for name in {"d-old", "d-new", "d-left", "d-open"} - {damaged.own}:
        await page(f"/decisions/{name}")
    assert ("damaged" in await page("/")) is (damaged.kind in ("target", "open rollback", "rollback"))


async def test_every_command_that_reads_tells_what_there_is(damaged, monkeypatch, capsys):
    monkeypatch.setenv("REARGUARD_URL", damaged.service.url)
    monkeypatch.setenv("REARGUARD_TOKEN_FILE", str(damaged.service.folder / "viewer"))

    async def told(*words, code=0):
        capsys.readouterr()
        with structlog.testing.capture_logs():  # the controller's own, in this process
            given = await asyncio.to_thread(main, words)
        said = capsys.readouterr()
        assert given == code, (words, said)
        return said.out + said.err

    for words in (("status",), ("audit",), ("releases", "checkout")):
        await told(*words)
    for kind, command in (("rollbacks", "history"), ("decisions", "decisions")):
        text = await told(command)
        assert all(name in text for name in RECORDS[kind] if "gone" not in damaged.kind or name != damaged.own)
    for name in {"r-old", "r-new", "r-open"} - {damaged.own}:
        assert name in await told("show", name)
        its = name.replace("r-", "d-")
        if its == damaged.own:
            text = await told("explain", name, code=1)
            assert name in text
            assert "cannot be shown" in text
        else:
            assert its in await told("explain", name)
    newest = damaged.ids("decisions")[0]
    text = await told("explain", "checkout")
    assert newest in text
    assert ("d-left" in text and "damaged" in text) is (damaged.own == "d-left") or newest == "d-left"


async def test_a_request_that_comes_again_is_answered_although_its_decision_is_damaged(tmp_path, store):
    async with serving(tmp_path, journal=await store.open()) as service:
        wish = {"target": "checkout", "reason": "r", "to_version": "v1", "force": True}
        key = {"headers": {"Idempotency-Key": "k"}}
        _, first = await service.post(f"{BASE}/rollback/trigger", wish, OPERATOR, **key)
        await service.closed(first["rollback_id"])
        await store.rows("update decisions set body = '{'")
        status, again = await service.post(f"{BASE}/rollback/trigger", wish, OPERATOR, **key)
        assert (status, again["rollback_id"], again["repeated"]) == (200, first["rollback_id"], True)
        assert again["decision_id"] == first["decision_id"]


async def test_all_targets_are_disarmed_although_the_record_of_one_is_damaged(tmp_path, store):
    await filled(await store.open())
    await store.rows("update target_state set body = '{' where target = 'checkout'")
    async with serving(tmp_path, journal=await store.open()) as service:
        status, answer = await service.post(f"{BASE}/disarm", {"reason": "freeze"}, OPERATOR)
        assert (status, [each["armed"] for each in answer["targets"]]) == (200, [False, False])
        status, found = await service.get(f"{BASE}/rollback/status", VIEWER)
        assert [each["armed"] for each in found["targets"]] == [False, False]
