"""What is answered has a bound in bytes, whatever the journal and Prometheus hold; no record is skipped."""

import json
from dataclasses import replace

import pytest

from real.controller.journal_kit import beside
from real.controller.served import BASE, alerts, serving
from rearguard_controller.api.bounded import MOST_BYTES, AlertRoom
from rearguard_controller.errors import InvalidInputError
from rearguard_controller.journal.sqlite.store import SqliteJournal
from rearguard_controller.model import OperatorAction
from unit.controller import factories as make

MOST = 1024 * 1024  # characters of a page, as docs/api.md has it
SENDER = "Bearer send-1"
FOR_EVER = "retention: 73000d\n"  # records of 1970 stay, however long a test takes


def noted(number, reason="why"):
    return OperatorAction(make.NOW + number, "ann", "trigger", "checkout", reason)


async def fill(journal, sizes):
    """Decisions of these sizes in characters, oldest first."""
    for number, size in enumerate(sizes):
        wordy = make.decision(f"d{number}", note="x" * size)
        await journal.record(wordy, action=noted(number))


async def walk(ask):
    """All pages, from the newest on: the records of each."""
    pages, before = [], None
    while True:
        items, before = await ask(before)
        pages.append(items)
        if before is None:
            return pages


@pytest.mark.parametrize("limit", [1, 3, 500])
@pytest.mark.parametrize(
    "sizes", [[10] * 7, [300_000] * 7, [10, 2_000_000, 10, 2_000_000], [MOST, 1, MOST], [2_000_000], []]
)
async def test_pages_have_a_bound_in_text_and_in_number_and_skip_nothing(journal, sizes, limit):
    await fill(journal, sizes)

    async def ask(before):
        page = await journal.decisions(limit=limit, before=before)
        return [(each.id, len(each.note)) for each in page.items], page.next

    pages = await walk(ask)
    assert [name for page in pages for name, _ in page] == [f"d{number}" for number in reversed(range(len(sizes)))]
    for page in pages:
        assert len(page) <= limit
        assert sum(size for _, size in page) <= MOST or len(page) == 1
    if len(sizes) == 7 and limit == 500:
        assert len(pages) == (1 if sizes[0] == 10 else 3)


@pytest.mark.parametrize("subject", [None, "checkout"])
async def test_the_audit_comes_in_pages_of_bounded_text_and_skips_nothing(journal, subject):
    sizes = [10, 700_000, 700_000, 10, 10, 2_000_000]
    for number, size in enumerate(sizes):
        await journal.record(make.decision(f"d{number}"), action=noted(number, "x" * size))

    async def ask(before):
        page = await journal.audit(subject=subject, limit=4, before=before)
        return [len(each.reason) for each in page.items], page.next

    pages = await walk(ask)
    assert [size for page in pages for size in page] == sizes[::-1]
    assert all(sum(page) <= MOST or len(page) == 1 for page in pages)
    for odd in ("x", "-1", "٣", "9" * 30, ""):
        with pytest.raises(InvalidInputError):
            await journal.audit(before=odd)


async def test_lists_over_http_go_on_where_a_page_of_much_text_ended(tmp_path):
    journal = SqliteJournal.open(tmp_path / "journal.db")
    await fill(journal, [400_000] * 5)
    await journal.close()
    async with serving(tmp_path, more=FOR_EVER) as service:
        for path, name in (("decisions", "decisions"), ("audit", "actions")):

            async def ask(before, path=path, name=name):
                params = {"limit": 500, **({"before": before} if before else {})}
                status, page = await service.get(f"{BASE}/{path}", params=params)
                assert status == 200
                assert len(json.dumps(page)) < 1.5 * MOST
                return [each.get("id") or each["at"] for each in page[name]], page["next"]

            found = [each for page in await walk(ask) for each in page]
            assert len(found) == len(set(found)) == 5


async def test_a_damaged_record_is_named_in_its_page(tmp_path):
    journal = SqliteJournal.open(tmp_path / "journal.db")
    await fill(journal, [1, 1, 1])
    await journal.close()
    async with serving(tmp_path, more=FOR_EVER) as service:
        with beside(tmp_path / "journal.db") as connection:
            connection.execute("update decisions set body = '{' where id = 'd1'")
        _, page = await service.get(f"{BASE}/decisions")
        assert ([each["id"] for each in page["decisions"]], page["unreadable"]) == (["d2", "d0"], ["d1"])
        _, page = await service.get(f"{BASE}/decisions", params={"limit": 2})
        assert (page["unreadable"], page["next"]) == (["d1"], "d1")


async def test_a_decision_of_before_with_endless_annotations_is_shown_with_bounded_ones(tmp_path):
    journal = SqliteJournal.open(tmp_path / "journal.db")
    long = replace(make.alert(), annotations={f"a{number}": "x" * 65_000 for number in range(100)})
    await journal.record(make.decision("d1", alert=long), action=noted(1))
    await journal.close()
    async with serving(tmp_path, more=FOR_EVER) as service:
        _, page = await service.get(f"{BASE}/decisions")
        [shown] = page["decisions"]
        assert len(json.dumps(page)) < 300_000
        assert len(shown["alert"]["annotations"]) == 100
        assert all("(cut: it had 65000 bytes)" in text for text in shown["alert"]["annotations"].values())


def test_alerts_in_one_answer_have_a_bound_and_the_others_are_counted():
    wide = [replace(make.alert(f"A{number}"), annotations={"a": "x" * 50_000}) for number in range(60_000)]
    room = AlertRoom()
    shown, left_out = room.take(wide)
    assert (len(shown), left_out) == (20, 59_980)
    assert room.take(wide[:5]) == ([], 5)
    assert AlertRoom().take(wide[:3]) == (wide[:3], 0)
    assert MOST_BYTES == MOST


async def test_status_and_dashboard_show_as_many_alerts_as_fit_and_count_the_others(tmp_path):
    wide = [replace(make.alert(f"A{number}"), annotations={"a": "x" * 50_000}) for number in range(100)]
    async with serving(tmp_path) as service:
        watcher = service.controller.parts.watcher
        for left_out, firing in ((None, wide[:3]), (80, wide)):
            watcher._last["checkout"] = replace(watcher._last["checkout"], firing=tuple(firing))
            _, status = await service.get(f"{BASE}/rollback/status")
            _, dashboard = await service.get(f"{BASE}/dashboard")
            for one in (status["targets"][0], dashboard["targets"][0]):
                assert (one.get("firing_left_out"), one["name"]) == (left_out, "checkout")
                assert len(one["firing"]) + (left_out or 0) == len(firing)
            assert len(json.dumps(status)) < 3 * MOST


async def test_a_delivery_of_endless_annotations_is_taken_and_kept_within_bounds(tmp_path):
    async with serving(tmp_path) as service:
        body = alerts("Big")
        body["alerts"][0]["annotations"] = {f"a{number}": "x" * 65_000 for number in range(200)}
        assert (await service.post("/webhook/alertmanager", body, token=SENDER))[0] == 202
    assert sum(each.stat().st_size for each in tmp_path.glob("journal.db*") if each.is_file()) < 40 * MOST
