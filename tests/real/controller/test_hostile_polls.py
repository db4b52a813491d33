"""A poll survives every answer of Prometheus and Alertmanager, and says that it could not read it."""

import json
import random
from dataclasses import replace

import pytest
import structlog.testing
from aiohttp import web

from real.controller.served import BASE, alerts, serving
from rearguard_controller.journal.sqlite.store import SqliteJournal
from rearguard_controller.model import OperatorAction
from unit.controller import factories as make
from unit.controller import hostile

SEED = 4
ALERTMANAGER = 'alertmanager: {{url: "{url}"}}\n'


class Source:
    """Prometheus and Alertmanager at the wire: good answers, but for one path whatever a test puts there."""

    def __init__(self):
        self.odd = {}
        self.url = ""

    async def answer(self, request):
        path = request.path
        data = self.odd[path] if path in self.odd else hostile.READERS.get(path, (None, {}))[1]
        body = data if path.startswith("/api/v2") else {"status": "success", "data": data}
        return web.Response(body=json.dumps(body).encode(), content_type="application/json")


@pytest.fixture
async def source():
    found = Source()
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", found.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    found.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield found
    await runner.cleanup()


async def survives(tmp_path, source, path, documents):
    async with serving(tmp_path, source.url, more=ALERTMANAGER.format(url=source.url)) as service:
        watcher, intake = service.controller.parts.watcher, service.controller.parts.intake
        for place, document in documents:
            source.odd = {path: document}
            await watcher.poll(intake)
            assert (await service.get(f"{BASE}/rollback/status"))[0] == 200, place
            assert (await service.get(f"{BASE}/dashboard"))[0] == 200, place
        source.odd = {}
        await watcher.poll(intake)
        assert watcher.ready("checkout")["prometheus"] is True


PATHS = [path for path in hostile.READERS if " " not in path]


@pytest.mark.parametrize("path", PATHS)
async def test_a_poll_survives_a_hostile_value_in_some_fields_of_an_answer(tmp_path, source, path):
    documents = random.Random(SEED).sample(list(hostile.documents(path)), 6)  # noqa: S311  # seeded, to repeat it
    await survives(tmp_path, source, path, documents)


@pytest.mark.soak
@pytest.mark.parametrize("path", PATHS)
async def test_a_poll_survives_any_hostile_value_in_any_field_of_any_answer(tmp_path, source, path):
    await survives(tmp_path, source, path, list(hostile.documents(path)))


async def test_a_fault_of_ours_in_a_poll_is_told_and_logged_once_and_the_next_poll_is_good(
    tmp_path, source, monkeypatch
):
    async with serving(tmp_path, source.url) as service:
        watcher, intake = service.controller.parts.watcher, service.controller.parts.intake

        async def broken(*_args, **_more):
            raise ZeroDivisionError

        with structlog.testing.capture_logs() as said, monkeypatch.context() as broken_for_now:
            broken_for_now.setattr(watcher._checks, "ask", broken)
            for _ in range(3):
                await watcher.poll(intake)
            lacking = {check.name: check for check in watcher.not_ready("checkout")}
        assert "could not look" in lacking["prometheus"].detail
        [entry] = [each for each in said if each["event"] == "poll_failed"]
        assert isinstance(entry["exc_info"], ZeroDivisionError)
        await watcher.poll(intake)
        assert watcher.ready("checkout")["prometheus"] is True


POISON = [2.6e11, -1e14, 1e300]


@pytest.mark.parametrize("seconds", POISON)
async def test_a_record_of_before_with_a_time_that_no_calendar_shows_spoils_no_list(tmp_path, seconds):
    journal = SqliteJournal.open(tmp_path / "journal.db")
    for number, at in enumerate((make.NOW, seconds, make.NOW)):
        decision = make.decision(f"d-{number}", alert=replace(make.alert(), starts_at=at), decided_at=at)
        await journal.record(decision, action=OperatorAction(at, "ann", "trigger", "checkout", "why"))
    await journal.close()
    kept = "retention: 73000d\n"  # records of 1970 stay, however long this takes
    async with serving(tmp_path, more=kept) as service:
        status, page = await service.get(f"{BASE}/decisions")
        assert status == 200
        assert [each["id"] for each in page["decisions"]] == ["d-2", "d-1", "d-0"]
        assert page["decisions"][1]["alert"]["starts_at"][:4] in ("0001", "9999")
        for path in ("decisions/d-1", "audit", "rollback/status", "dashboard"):
            assert (await service.get(f"{BASE}/{path}"))[0] == 200


@pytest.mark.parametrize("text", ["9999-12-31T23:59:59-14:00", "9999-12-31T23:59:59Z"])
async def test_a_delivered_time_out_of_bounds_costs_its_alert_and_no_other(tmp_path, text):
    async with serving(tmp_path) as service:
        body = alerts("Good", "Poison")
        body["alerts"][1]["startsAt"] = text
        status, said = await service.post("/webhook/alertmanager", body, token="Bearer send-1")
        assert (status, said["accepted"]) == (202, 1)
        assert [each["field"] for each in said["refused"]] == ["alerts[1].startsAt"]
        body["alerts"] = body["alerts"][1:]
        status, said = await service.post("/webhook/alertmanager", body, token="Bearer send-1")
        assert (status, said["error"]["field"]) == (400, "alerts[0].startsAt")
        status, said = await service.post(f"{BASE}/disarm", {"reason": "x", "until": text})
        assert (status, said["error"]["field"]) == (422, "until")
