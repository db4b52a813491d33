"""Notices of a whole controller: they follow from what was recorded, once, and stand in nobody's way."""

from __future__ import annotations

import asyncio
import time

import pytest

from real.controller.journal_kit import Store
from real.controller.notice_kit import TS
from real.controller.receivers import HANG, receiving
from real.controller.served import BASE, SENDER, alerts, metrics, serving
from real.controller.test_security import calling
from rearguard_controller.cli import main
from rearguard_controller.intake.heartbeat import WATCHDOG

OF_SEARCH = {"service_name": "search", "deployment_environment_name": "production", "action": "rollback"}
ALL = "events: [alert, decided, started, finished]"
WISH = {"target": "checkout", "reason": "by hand", "to_version": "v1", "force": True}


def notify(*entries):
    return f"notify: [{', '.join(entries)}]\n"


def to(receiver, more=ALL):
    return f"{{url: '{receiver.url}', {more}}}"


async def deliver(service, *names, **labels):
    assert (await service.post("/webhook/alertmanager", alerts(*names, **labels), SENDER))[0] == 202


async def quiet(receiver, number, seconds=0.4):
    """Nothing more comes than was there; time that is spent on proving that nothing happens."""
    await asyncio.sleep(seconds)
    assert len(receiver.posted) == number, receiver.posted


async def counted(service):
    return {
        (sample.labels["service"], sample.labels["result"]): sample.value
        for sample in (await metrics(service))["rearguard_notifications"].samples
    }


async def test_a_rollback_by_hand_is_told_in_order_and_each_event_once(tmp_path):
    hook = "    hooks: {before: [{name: drain, command: ['true'], undo: {command: ['true']}}]}\n"
    async with receiving() as receiver, serving(tmp_path, more=notify(to(receiver)), of_checkout=hook) as service:
        _, answer = await service.post(f"{BASE}/rollback/trigger", WISH)
        rollback = await service.closed(answer["rollback_id"])
        bodies = await receiver.got(3)
        assert [body["event"] for body in bodies] == ["decided", "started", "finished"]
        assert {body["rollback"]["id"] for body in bodies} == {answer["rollback_id"]}
        assert {body["target"] for body in bodies} == {"checkout"}
        assert [body["at"] for body in bodies[1:]] == [rollback["steps"][0]["started_at"], rollback["closed_at"]]
        assert (bodies[0]["decision"]["note"], bodies[2]["rollback"]["outcome"]) == ("by hand", "completed")
        assert bodies[2]["text"].startswith("The rollback of checkout from v2 to v1 ended as completed")
        await quiet(receiver, 3)
        counts = {"sent": 3, "failed": 0, "refused": 0, "dropped": 0}
        assert await counted(service) == {("127.0.0.1", result): number for result, number in counts.items()}


async def test_what_waits_at_a_stop_is_still_told(tmp_path):
    async with receiving(0.3) as receiver:
        async with serving(tmp_path, more=notify(to(receiver))) as service:
            _, answer = await service.post(f"{BASE}/rollback/trigger", WISH)
            await service.closed(answer["rollback_id"])
        assert receiver.events == ["decided", "started", "finished"]


async def test_a_dry_run_or_a_refused_request_is_told_to_nobody(tmp_path):
    async with receiving() as receiver, serving(tmp_path, more=notify(to(receiver))) as service:
        assert (await service.post(f"{BASE}/rollback/trigger", {**WISH, "dry_run": True}))[0] == 200
        assert (await service.post(f"{BASE}/rollback/trigger", {**WISH, "to_version": "v2"}))[0] == 422
        await quiet(receiver, 0)


async def test_a_receiver_that_hangs_delays_no_rollback(tmp_path):
    async def seconds(folder, more):
        folder.mkdir()
        async with serving(folder, more=more) as service:
            began = time.monotonic()
            status, answer = await service.post(f"{BASE}/rollback/trigger", WISH)
            assert status == 202
            assert (await service.closed(answer["rollback_id"]))["outcome"] == "completed"
            took = time.monotonic() - began
            file = folder / "rearguard.yaml"  # so that the end waits for nobody, either
            file.write_text(file.read_text().replace(more, "") if more else file.read_text())
            assert (await service.post("/-/reload", None))[0] == 200
            return took

    async with receiving(HANG) as receiver:
        alone = await seconds(tmp_path / "a", "")
        beside = await seconds(tmp_path / "b", notify(to(receiver, f"{ALL}, timeout: 1m")))
        assert receiver.events == ["decided"]  # the others wait for it, and nobody else does
    assert beside < alone + 2


async def test_services_that_are_slow_refuse_limit_or_lie_delay_no_rollback_and_are_shown_with_it(tmp_path):
    async def seconds(folder, more):
        folder.mkdir()
        (folder / "token").write_text("Secret-token\n")
        async with serving(folder, more=more) as service:
            began = time.monotonic()
            _, answer = await service.post(f"{BASE}/rollback/trigger", WISH)
            assert (await service.closed(answer["rollback_id"]))["outcome"] == "completed"
            took = time.monotonic() - began
            shown = await service.shown(answer["rollback_id"], 6) if more else []
            file = folder / "rearguard.yaml"  # so that the end waits for nobody
            file.write_text(file.read_text().replace(more, "") if more else file.read_text())
            assert (await service.post("/-/reload", None))[0] == 200
            return took, shown

    limits, lies = (429, "", {"Retry-After": "300"}), (200, {"ok": False, "error": "not_in_channel"}, {})
    async with (
        receiving(HANG) as hangs,
        receiving(400) as refuses,
        receiving(limits) as busy,
        receiving(lies) as liar,
    ):
        entries = (
            f"{{name: hangs, kind: discord, url: '{hangs.url}', {ALL}}}",
            f"{{name: refuses, kind: pagerduty, url: '{refuses.url}', token_file: token, {ALL}}}",
            f"{{name: limits, kind: opsgenie, url: '{busy.url}', token_file: token, {ALL}}}",
            f"{{name: lies, kind: slack, url: '{liar.url}', token_file: token, channel: C1, {ALL}}}",
        )
        alone, _ = await seconds(tmp_path / "a", "")
        beside, shown = await seconds(tmp_path / "b", notify(*entries))
    assert beside < alone + 2, (alone, beside)
    assert shown == sorted(
        [f"{event} to refuses: refused: answered 400" for event in ("decided", "started", "finished")]
        + [f"{event} to lies: refused: answered 200, but refused: not_in_channel"
           for event in ("decided", "started", "finished")]
    )  # fmt: skip


async def test_every_delivered_alert_is_told_once_the_heartbeat_never_and_decisions_after_it(tmp_path):
    async with receiving() as receiver, serving(tmp_path, more=notify(to(receiver))) as service:
        await deliver(service, WATCHDOG)
        for _ in range(3):
            await deliver(service, "DiskFull", instance="a")
        [first] = await receiver.got(1)
        assert (first["event"], first["alert"]["name"], first["target"]) == ("alert", "DiskFull", None)
        await deliver(service, "ReleaseErrorRate", **OF_SEARCH)
        told = {body["event"]: body for body in (await receiver.got(3))[1:]}
        assert told["alert"]["target"] == "search"
        assert (told["decided"]["decision"]["verdict"], told["decided"]["target"]) == ("leave", "search")
        assert told["decided"]["text"].startswith("search is left as it is: ")
        await deliver(service, "ReleaseErrorRate", **OF_SEARCH)
        await quiet(receiver, 3)


async def test_after_a_restart_nothing_is_told_again_of_a_closed_rollback(tmp_path):
    async with receiving() as receiver:
        async with serving(tmp_path, more=notify(to(receiver))) as service:
            _, answer = await service.post(f"{BASE}/rollback/trigger", WISH)
            await service.closed(answer["rollback_id"])
            await receiver.got(3)
        async with serving(tmp_path, more=notify(to(receiver))) as service:
            assert (await service.closed(answer["rollback_id"]))["outcome"] == "completed"
            await quiet(receiver, 3, seconds=1.2)  # longer than the runner's pause between two looks


async def test_a_thread_of_slack_goes_on_after_a_restart(tmp_path):
    (tmp_path / "token").write_text("Secret-token\n")
    (tmp_path / "hold").touch()
    async with receiving((200, TS, {})) as receiver:
        more = notify(to(receiver, f"kind: slack, token_file: token, channel: C1, {ALL}"))
        async with serving(tmp_path, more=more) as service:
            _, answer = await service.post(f"{BASE}/rollback/trigger", WISH)
            first, second, _ = await receiver.got(3)  # decided; started, below it; and the first one, changed
            assert "thread_ts" not in first
            assert second["thread_ts"] == TS["ts"]
        (tmp_path / "hold").unlink()
        before = len(receiver.posted)
        async with serving(tmp_path, more=more) as service:
            outcome = (await service.closed(answer["rollback_id"]))["outcome"]
            told = (await receiver.got(before + 2))[before:]
    assert outcome == "completed"
    assert any(path.endswith("/chat.postMessage") for path in receiver.paths[before:])
    assert {each.get("thread_ts") or each["ts"] for each in told} == {TS["ts"]}


async def test_every_receiver_has_its_series_at_0_from_the_start_and_from_a_reload_on(tmp_path):
    (tmp_path / "chat").write_text("https://hooks.example.com/Secret-path\n")
    entries = ("{url_file: chat}", "{name: pager, url: 'http://127.0.0.1:9/Secret'}")
    async with serving(tmp_path, more=notify(entries[0])) as service:
        results = ("sent", "failed", "refused", "dropped")
        assert await counted(service) == {("hooks.example.com", result): 0 for result in results}
        file = tmp_path / "rearguard.yaml"
        file.write_text(file.read_text().replace(notify(entries[0]), notify(*entries)))
        assert (await service.post("/-/reload", None))[0] == 200
        services = ("hooks.example.com", "pager")
        assert await counted(service) == {(each, result): 0 for each in services for result in results}


async def test_a_reload_takes_effect_at_once(tmp_path):
    async with receiving() as before, receiving() as after, serving(tmp_path, more=notify(to(before))) as service:
        await deliver(service, "First")
        await before.got(1)
        file = tmp_path / "rearguard.yaml"
        file.write_text(file.read_text().replace(before.url, after.url))
        assert (await service.post("/-/reload", None))[0] == 200
        await deliver(service, "First")  # known already
        await deliver(service, "Second")
        [body] = await after.got(1)
        assert body["alert"]["name"] == "Second"
        assert len(before.posted) == 1


async def test_a_replica_that_does_not_lead_tells_nobody_and_whoever_leads_tells_all_once(tmp_path, postgres_server):
    store = Store(await postgres_server.database())
    other = await store.open()
    lease = await other.take_lease("another", 60.0)
    async with (
        receiving() as receiver,
        calling(tmp_path, notify(to(receiver)), journal=await store.open()) as (_, caller),
    ):
        assert (await caller.post("/webhook/alertmanager", alerts("DiskFull"), SENDER))[0] == 202
        status, answer = await caller.post(f"{BASE}/rollback/trigger", WISH)
        assert status == 202, answer
        await quiet(receiver, 0, seconds=1.2)
        await other.release_lease(lease)
        bodies = await receiver.got(4, within=20)
        assert sorted(body["event"] for body in bodies) == ["alert", "decided", "finished", "started"]
        await quiet(receiver, 4)
    await other.close()


def test_check_names_a_file_of_an_address_that_cannot_be_used_and_exits_1(tmp_path, capsys):
    file = tmp_path / "rearguard.yaml"
    file.write_text(
        "environment: production\njournal: sqlite:///tmp/j.db\nprometheus: {url: 'http://p'}\n"
        "notify: [{url_file: chat, headers_file: headers}]\n"
        "targets: [{name: t, match: {a: b}, release: {command: {current: [x], rollback: [x]}}}]\n"
    )
    (tmp_path / "headers").write_text("X-Key: Secret-value\n")
    assert main(["check", "--config", str(file)]) == 1
    assert f"the address file {tmp_path / 'chat'} cannot be read" in capsys.readouterr().err
    (tmp_path / "chat").write_text("Secret-words\n")
    assert main(["check", "--config", str(file)]) == 1
    said = capsys.readouterr()
    assert "holds no http or https address" in said.err
    assert "Secret" not in said.out + said.err
    (tmp_path / "chat").write_text("https://hooks.example.com/Secret-path\n")
    assert main(["check", "--config", str(file)]) == 0
    assert "Secret" not in capsys.readouterr().out


@pytest.mark.soak  # three pauses between attempts: 1 s, 2 s, 4 s; and a fourth of 8 s
async def test_the_third_failure_of_an_undo_is_told_once_and_it_is_tried_until_it_succeeds(tmp_path):
    fails = "echo x >> undone; [ $(wc -l < undone) -gt 4 ]"
    hook = f"    hooks: {{before: [{{name: drain, command: ['true'], undo: {{command: [sh, -c, '{fails}']}}}}]}}\n"
    events = "events: [undo_failing, finished]"
    async with (
        receiving() as receiver,
        serving(tmp_path, more=notify(to(receiver, events)), of_checkout=hook) as service,
    ):
        began = time.monotonic()
        await service.post(f"{BASE}/rollback/trigger", WISH)
        failing, finished = await receiver.got(2, within=40)
        assert time.monotonic() - began > 14
        assert [failing["event"], finished["event"]] == ["undo_failing", "finished"]
        assert (failing["step"]["kind"], failing["step"]["attempt"]) == ("undo_hook", 3)
        assert failing["rollback"]["id"] == finished["rollback"]["id"]
        assert finished["rollback"]["outcome"] == "completed"
        await quiet(receiver, 2)
        assert (tmp_path / "undone").read_text() == "x\n" * 5
