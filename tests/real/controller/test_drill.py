"""Drills: the whole way back is walked with a real Alertmanager in it, and nothing that serves is touched."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from dataclasses import replace

import pytest
import yaml

from local_stack import binaries
from local_stack.process import free_ports
from real.cluster.replicas import Program, until
from real.controller.hosted import hosted
from real.controller.served import BASE, CONFIGURATION, SENDER, listening, serving
from real.controller.test_brakes import firing
from rearguard_controller.cli import main
from rearguard_controller.errors import ConflictError
from rearguard_controller.journal.opening import open_journal
from rearguard_controller.model import Check, Drill, OperatorAction
from unit.controller.factories import NOW, TARGET

MATCH = {"service_name": "checkout", "deployment_environment_name": "production"}
WITHIN = 1.0  # seconds that an alert may take, where a test waits until it is lost


class Manager:
    """A real Alertmanager, alone, whose rollback route may be led to any address."""

    def __init__(self, folder):
        self._file = folder / "alertmanager.yml"
        (port,) = free_ports(1)
        words = (
            binaries.find("prometheus-alertmanager"),
            f"--config.file={self._file}",
            f"--storage.path={folder / 'alertmanager'}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--cluster.listen-address=",
        )
        self.url = f"http://127.0.0.1:{port}"
        self.program = Program(folder, "alertmanager", words, self.url, ready="/-/ready")
        self.write(None)

    def write(self, url):
        routes = (
            [{"matchers": ['action="rollback"'], "receiver": "rearguard", "group_wait": "0s", "group_interval": "1s"}]
            if url
            else []
        )
        token = {"authorization": {"credentials": SENDER.removeprefix("Bearer ")}}
        hook = {"url": f"{url}/webhook/alertmanager", "http_config": token, "send_resolved": True}
        receivers = [{"name": "nobody"}, {"name": "rearguard", "webhook_configs": [hook] if url else []}]
        self._file.write_text(
            yaml.safe_dump({"route": {"receiver": "nobody", "routes": routes}, "receivers": receivers})
        )

    async def lead_to(self, url):
        self.write(url)
        assert (await self.program.ask("POST", "/-/reload"))[0] == 200


@pytest.fixture
async def manager(tmp_path):
    folder = tmp_path / "manager"
    folder.mkdir()
    made = Manager(folder)
    await made.program.start()
    yield made
    await made.program.remove()


def of(drill):
    return {check["name"]: check for check in drill["checks"]}


async def drill(service, target="checkout", **fields):
    status, found = await service.post(f"{BASE}/targets/{target}/drill", fields)
    assert status == 200, found
    return found


async def say_good(service, version, target="checkout"):
    status, found = await service.post(f"{BASE}/targets/{target}/releases", {"version": version, "good": True})
    assert status == 200, found


async def decided(service):
    _, found = await service.get(f"{BASE}/decisions")
    return found["decisions"]


async def nothing_waits(controller):
    await until(lambda: waiting(controller), what="the inbox is empty", within=10)


async def waiting(controller):
    return not await controller.journal.unjudged(10)


# --- with a real Alertmanager ---------------------------------------------------------------------------------


async def test_a_drills_alert_comes_back_by_way_of_alertmanager_and_nothing_follows_from_it(tmp_path, manager):
    async with (
        listening([]) as (prometheus, _),
        serving(tmp_path, prometheus, more=f"alertmanager: {{url: {manager.url}}}\n") as service,
    ):
        await manager.lead_to(service.url)
        await say_good(service, "v1")
        found = await drill(service, reason="before the weekend")
        checks = of(found)
        assert checks["routing"]["holds"] is True, checks["routing"]
        assert checks["destination"] == {
            "name": "destination",
            "holds": True,
            "detail": "A rollback would go from v2 to v1.",
        }
        good = ("current", "deploy", "rollback_command", "hooks", "health", "prometheus", "alertmanager", "notify")
        good += ("journal",)
        assert {name for name in good if checks[name]["holds"] is not True} == set()
        assert (found["operator"], found["reason"], found["target"]) == ("ann", "before the weekend", "checkout")
        assert checks["trigger_rules"]["holds"] is False  # this Prometheus has none
        assert found["ok"] is False

        await nothing_waits(service.controller)
        assert await decided(service) == []
        assert (tmp_path / "current").read_text() == "v2\n"
        _, listed = await service.get(f"{BASE}/targets/checkout/drills")
        assert listed == {"drills": [found], "next": None}
        _, state = await service.get(f"{BASE}/rollback/status")
        assert [each["last_drill"] for each in state["targets"]] == [
            {"id": found["id"], "at": found["at"], "ok": False},
            None,
        ]
        _, audit = await service.get(f"{BASE}/audit?subject=checkout")
        assert audit["actions"][0]["action"] == "drill"


async def test_a_route_that_does_not_end_at_the_controller_fails_the_drill_with_the_labels_to_route(
    tmp_path, manager
):
    async with (
        listening([]) as (prometheus, _),
        serving(tmp_path, prometheus, more=f"alertmanager: {{url: {manager.url}}}\n") as service,
    ):
        service.controller.parts.drills._back_within = WITHIN
        check = of(await drill(service))["routing"]
        assert check["holds"] is False
        assert 'action="rollback"' in check["detail"]
        assert 'service_name="checkout"' in check["detail"]
        assert "/webhook/alertmanager" in check["detail"]


async def test_a_drill_that_is_silenced_says_so(tmp_path, manager):
    async with (
        listening([]) as (prometheus, _),
        serving(tmp_path, prometheus, more=f"alertmanager: {{url: {manager.url}}}\n") as service,
    ):
        service.controller.parts.drills._back_within = WITHIN
        await manager.lead_to(service.url)
        now = time.time()
        silence = {
            "matchers": [{"name": "service_name", "value": "checkout", "isRegex": False, "isEqual": True}],
            "startsAt": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now - 60)),
            "endsAt": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now + 600)),
            "createdBy": "ann",
            "comment": "moving house",
        }
        assert (await manager.program.ask("POST", "/api/v2/silences", json=silence))[0] == 200
        check = of(await drill(service))["routing"]
        assert check["holds"] is False
        assert "holds it back: silence " in check["detail"]


async def test_a_second_drill_of_a_target_is_refused_while_one_goes_on_and_possible_after_it(tmp_path, manager):
    async with (
        listening([]) as (prometheus, _),
        serving(tmp_path, prometheus, more=f"alertmanager: {{url: {manager.url}}}\n") as service,
    ):
        service.controller.parts.drills._back_within = WITHIN
        first = asyncio.create_task(drill(service))

        async def begun():
            return (await service.get(f"{BASE}/targets/checkout/drills"))[1]["drills"]

        (goes_on,), _ = await until(begun, what="the first drill began", within=10)
        assert (goes_on["ended_at"], goes_on["ok"]) == (None, None)
        status, refused = await service.post(f"{BASE}/targets/checkout/drill", {})
        assert (status, refused["error"]["code"]) == (409, "conflict")
        await first
        await manager.lead_to(service.url)
        await drill(service)


async def test_an_alert_that_comes_back_to_another_replica_is_found_by_the_one_that_drills(
    tmp_path, manager, postgres_server
):
    address = await postgres_server.database()
    async with contextlib.AsyncExitStack() as stack:
        prometheus, _ = await stack.enter_async_context(listening([]))
        made = []
        for name in ("one", "two"):
            folder = tmp_path / name
            folder.mkdir()
            more = f"alertmanager: {{url: {manager.url}}}\n"
            replica = hosted(folder, more, prometheus=prometheus, journal=await open_journal(address))
            made.append(await stack.enter_async_context(replica))
        (one, _), (_, port) = made
        await manager.lead_to(f"http://127.0.0.1:{port}")
        found = await one.parts.drills.run(one.parts.people.target("checkout"), "ann", "")
        check = next(each for each in found.checks if each.name == "routing")
        assert check.holds is True, check
        await nothing_waits(one)
        assert (await one.journal.decisions()).items == ()


INSTANCE = {"job": "checkout", "instance": "127.0.0.1:8080"}
ALL_GOOD = {
    "groups": [
        {
            "name": "release",
            "interval": 5,
            "rules": [
                {
                    "type": "alerting",
                    "name": "Errors",
                    "query": "errors > 0.1",
                    "duration": 60,
                    "labels": {"action": "rollback"},
                    "annotations": {},
                    "health": "ok",
                }
            ],
        }
    ],
    "targets": [{"labels": INSTANCE, "scrapeInterval": "5s"}],
    "samples": [{"metric": {**MATCH, **INSTANCE}, "value": [NOW, "1"]}],
}


async def test_the_command_says_yes_no_or_unknown_by_table_and_exit_code(tmp_path, manager, monkeypatch, capsys):
    async with contextlib.AsyncExitStack() as stack:
        prometheus, _ = await stack.enter_async_context(listening([], **ALL_GOOD))
        more = f"alertmanager: {{url: {manager.url}}}\n"
        service = await stack.enter_async_context(serving(tmp_path, prometheus, more=more))
        await manager.lead_to(service.url)

        monkeypatch.setenv("REARGUARD_URL", service.url)
        monkeypatch.setenv("REARGUARD_TOKEN_FILE", str(tmp_path / "operator"))

        async def shown(*words):
            capsys.readouterr()
            code = await asyncio.to_thread(main, words)
            lines = capsys.readouterr().out.splitlines()
            return code, [line for line in lines if not line.startswith("20")]  # the controller's log

        async def seen():
            _, state = await service.get(f"{BASE}/rollback/status")
            return state["targets"][0]["checks"]["scrape_interval"]

        await until(seen, what="the first poll", within=10)
        await say_good(service, "v1")
        code, lines = await shown("drill", "checkout", "--reason", "a try")
        assert code == 0, lines
        assert {line.split()[1] for line in lines[1:-2]} == {"yes"}
        assert "could be rolled back now: every check holds" in lines[-1]
        (tmp_path / "current").unlink()
        code, lines = await shown("drill", "checkout", "--json")
        assert (code, json.loads("\n".join(lines))["ok"]) == (1, False)
        (tmp_path / "current").write_text("v2\n")
        file = tmp_path / "rearguard.yaml"
        file.write_text(file.read_text().replace(more, ""))
        await service.controller.reload()
        await until(seen, what="the first poll after the reload", within=10)
        code, lines = await shown("drill", "checkout")
        assert (code, "not everything is known" in lines[-1]) == (4, True), lines
        code, lines = await shown("drill", "checkout", "--history", "--limit", "3")
        assert code == 0
        assert [line.split()[3] for line in lines[1:]] == ["unknown", "no", "yes"]
        assert ("current" in lines[2], "a try" in lines[3]) == (True, True)


# --- without it -----------------------------------------------------------------------------------------------


async def test_a_forged_alert_with_the_drill_label_leads_to_nothing_and_one_without_it_is_judged(tmp_path):
    real = firing("checkout")
    forged = {**real, "labels": {**real["labels"], "rearguard_drill": "x1"}}
    fires = [forged]
    async with listening(fires) as (prometheus, _), serving(tmp_path, prometheus) as service:
        await say_good(service, "v1")
        before = service.controller._telemetry.registry.get_sample_value
        for labels in (forged["labels"], {**forged["labels"], "service_name": "nobody's"}):
            body = {"version": "4", "alerts": [{"status": "firing", "labels": labels, "annotations": {}}]}
            assert (await service.post("/webhook/alertmanager", body, token=SENDER))[0] == 202
        await nothing_waits(service.controller)
        await until(lambda: service.controller._runtime.lead.epoch is not None, what="it leads", within=10)
        parts = service.controller.parts
        await parts.watcher.poll(parts.intake)
        assert parts.watcher.firing("checkout") == ()
        assert await decided(service) == []
        assert before("rearguard_alerts_received_total", {"source": "prometheus"}) == 0  # nor is Prometheus' own
        fires[:] = [real]
        body = {"version": "4", "alerts": [{"status": "firing", "labels": real["labels"], "annotations": {}}]}
        assert (await service.post("/webhook/alertmanager", body, token=SENDER))[0] == 202
        (decision,), _ = await until(lambda: decided(service), what="the real one is judged", within=10)
        assert (decision["target"], decision["alert"]["name"]) == ("checkout", "Down")


HOOKS = """    hooks:
      before:
        - name: drain
          command: [./hook, drained]
          undo: {command: [./gone]}
        - name: save
          command: [./hook, saved]
          check: {command: [./hook, checked, "{to_version}"]}
      after:
        - {name: clear, http: {url: "http://127.0.0.1:9/clear"}}
        - {name: refuse, command: [./hook, refused], check: {command: ["false"]}}
"""


async def test_hooks_are_looked_at_or_asked_by_their_own_check_and_never_run(tmp_path):
    (tmp_path / "hook").write_text('#!/bin/sh\necho "$2" > "$1"\n')
    (tmp_path / "hook").chmod(0o755)
    async with listening([]) as (prometheus, _), serving(tmp_path, prometheus, of_checkout=HOOKS) as service:
        await say_good(service, "v1")
        check = of(await drill(service))["hooks"]
    assert check["holds"] is False
    assert "Hook undo drain: ./gone is not there, or not executable." in check["detail"]
    assert "Hook clear: 127.0.0.1 cannot be connected to" in check["detail"]
    assert "Hook refuse: its check failed" in check["detail"]
    assert "Hook save" not in check["detail"]
    assert (tmp_path / "checked").read_text() == "v1\n"
    assert [name for name in ("drained", "saved", "refused") if (tmp_path / name).exists()] == []


async def test_a_receiver_whose_file_is_unreadable_or_host_gone_fails_the_drill(tmp_path):
    more = 'notify: [{url_file: nowhere}, {name: pager, url: "http://127.0.0.1:9/secret"}]\n'
    async with listening([]) as (prometheus, _), serving(tmp_path, prometheus, more=more) as service:
        check = of(await drill(service))["notify"]
    assert check["holds"] is False
    assert "nowhere cannot be read" in check["detail"]
    assert "Notices to pager would not arrive: 127.0.0.1 cannot be connected to" in check["detail"]
    assert "secret" not in check["detail"]


async def test_what_cannot_be_tried_is_unknown_and_what_is_away_is_told(tmp_path):
    async with serving(tmp_path) as service:
        (tmp_path / "current").unlink()
        checks = of(await drill(service))
        of_prometheus = ("trigger_rules", "thresholds", "scrape_interval")
        assert {name: checks[name]["holds"] for name in ("routing", *of_prometheus)} == dict.fromkeys(
            ("routing", *of_prometheus)
        )
        assert {name: checks[name]["holds"] for name in ("current", "prometheus", "journal")} == {
            "current": False,
            "prometheus": False,
            "journal": True,
        }
        assert "alertmanager.url" in checks["routing"]["detail"]


async def test_an_alertmanager_that_is_away_and_a_health_address_that_is_not_good_are_told(tmp_path):
    async with listening([]) as (prometheus, _):
        health = f"    verify: {{health: {{url: '{prometheus}/healthz'}}}}\n"  # answers 404
        more = "alertmanager: {url: 'http://127.0.0.1:9'}\n"
        async with serving(tmp_path, prometheus, more=more, of_checkout=health) as service:
            checks = of(await drill(service))
    assert checks["alertmanager"]["holds"] is False
    assert checks["alertmanager"]["detail"].endswith("Is Alertmanager running, and alertmanager.url right?")
    assert (checks["routing"]["holds"], checks["routing"]["detail"][:10]) == (None, "Not tried:")
    assert checks["health"]["holds"] is False
    assert "404" in checks["health"]["detail"]
    assert "verify.health.url" in checks["health"]["detail"]


async def test_a_drill_of_a_target_that_nobody_knows_or_that_is_being_rolled_back_is_refused(tmp_path):
    async with listening([]) as (prometheus, _), serving(tmp_path, prometheus) as service:
        assert (await service.post(f"{BASE}/targets/nobody/drill", {}))[0] == 404
        assert (await service.get(f"{BASE}/targets/nobody/drills"))[0] == 404
        (tmp_path / "hold").touch()
        await say_good(service, "v1")
        status, made = await service.post(f"{BASE}/rollback/trigger", {"target": "checkout", "reason": "test"})
        assert status == 202, made
        status, refused = await service.post(f"{BASE}/targets/checkout/drill", {})
        assert (status, made["rollback_id"] in refused["error"]["message"]) == (409, True)
        (tmp_path / "hold").unlink()
        await service.closed(made["rollback_id"])


# --- by themselves --------------------------------------------------------------------------------------------


async def test_a_missing_way_back_is_told_before_the_bad_night_and_gone_when_a_version_is_called_good(tmp_path):
    text = CONFIGURATION.replace("poll_interval: 1h", "poll_interval: 1s")
    async with (
        listening([]) as (prometheus, _),
        hosted(tmp_path, text=text, prometheus=prometheus) as (controller, _),
    ):

        def metric(check):
            labels = {"target": "checkout", "check": check}
            return controller._telemetry.registry.get_sample_value("rearguard_target_ready", labels)

        assert metric("destination") == 0
        await until(lambda: metric("rollback_command") == 1, what="the first look", within=10)
        lacking = {check.name: check.detail for check in controller.parts.watcher.not_ready("checkout")}
        assert "rearguard release checkout VERSION --good" in lacking["destination"]
        assert metric("destination") == 0
        assert metric("deploy") == 1
        await controller.journal.change_target("checkout", lambda state: replace(state, deploy_started_at=1.0))
        await controller.parts.people.announce("checkout", "v1", good=True, operator="ann")
        await until(lambda: metric("deploy") == 0, what="a deployment without an end is seen", within=10)
        lacking = {check.name: check.detail for check in controller.parts.watcher.not_ready("checkout")}
        assert "--phase finished" in lacking["deploy"]
        await until(lambda: metric("destination") == 1, what="the way back is seen", within=10)


async def test_a_program_that_is_gone_is_seen_at_the_next_look_and_told_in_status(tmp_path):
    text = CONFIGURATION.replace("poll_interval: 1h", "poll_interval: 1s").replace(
        "  - name: search\n", "    hooks: {{before: [{{name: drain, command: [./hook]}}]}}\n  - name: search\n"
    )
    (tmp_path / "hook").touch(mode=0o755)
    async with (
        listening([]) as (prometheus, _),
        hosted(tmp_path, text=text, prometheus=prometheus) as (controller, _),
    ):

        def metric():
            labels = {"target": "checkout", "check": "hooks"}
            return controller._telemetry.registry.get_sample_value("rearguard_target_ready", labels)

        await until(lambda: metric() == 1, what="the first look", within=10)
        (tmp_path / "hook").unlink()
        controller.parts.watcher._readiness._looks["checkout"].due = 0.0  # five minutes later
        await until(lambda: metric() == 0, what="the next look", within=10)
        lacking = {check.name: check.detail for check in controller.parts.watcher.not_ready("checkout")}
        assert lacking["hooks"] == "Hook drain: ./hook is not there, or not executable."


# --- the journal ------------------------------------------------------------------------------------------------


def a_drill(drill_id, at=NOW, **fields):
    return Drill(drill_id, TARGET, at, "ann", **fields)


def action(at=NOW):
    return OperatorAction(at, "ann", "drill", TARGET, "")


async def begin(journal, drill_id, at=NOW, given_up=0.0):
    await journal.begin_drill(a_drill(drill_id, at), given_up=given_up, action=action(at))


async def test_one_drill_of_a_target_goes_on_at_a_time_and_one_whose_process_is_gone_holds_up_no_other(journal):
    await begin(journal, "x1")
    with pytest.raises(ConflictError):
        await begin(journal, "x2", NOW + 1)
    await begin(journal, "x3", NOW + 400, given_up=NOW + 100)
    with pytest.raises(ConflictError):
        await begin(journal, "x4", NOW + 401, given_up=NOW + 101)
    done = a_drill("x3", NOW + 400, ended_at=NOW + 460, checks=(Check("routing", None, "Not tried."),))
    await journal.end_drill(done)
    await begin(journal, "x5", NOW + 500, given_up=NOW + 200)
    page = await journal.drills(target=TARGET, limit=2)
    assert [each.id for each in page.items] == ["x5", "x3"]
    assert page.items[1] == done
    rest = await journal.drills(target=TARGET, before=page.next)
    assert [each.id for each in rest.items] == ["x1"]
    assert len(await journal.operator_actions(subject=TARGET)) == 3


async def test_the_targets_that_were_drilled_are_known(journal):
    assert await journal.drilled() == frozenset()
    await begin(journal, "x1")
    await journal.end_drill(a_drill("x1", NOW, ended_at=NOW + 60))
    await begin(journal, "x2", NOW + 100)
    assert await journal.drilled() == {TARGET}


async def test_the_first_return_of_a_drills_alert_counts_and_that_of_an_unknown_one_is_nothing(journal):
    await begin(journal, "x1")
    assert await journal.drill_back_at("x1") is None
    for at in (NOW + 5, NOW + 9):
        await journal.note_drill_back("x1", at)
    await journal.note_drill_back("forged", NOW)
    assert await journal.drill_back_at("x1") == NOW + 5
    assert await journal.drill_back_at("forged") is None


async def test_drills_are_kept_as_long_as_everything_else(journal):
    for number in range(3):
        await begin(journal, f"x{number}", NOW + number)
        await journal.end_drill(a_drill(f"x{number}", NOW + number, ended_at=NOW + number))
    await journal.prune(NOW + 1, 1_000_000)
    assert [each.id for each in (await journal.drills(target=TARGET)).items] == ["x2", "x1"]
