"""What somebody is told who makes one of the usual mistakes: the cause, and what to do, where they look first."""

import time

import pytest
import structlog.testing

from check.plain_words import nested
from real.controller.served import BASE, alerts, listening, metrics, serving
from real.controller.test_watching import until
from unit.controller.factories import MATCH

HOOK = "/webhook/alertmanager"


async def not_ready(service, target="checkout"):
    _, status = await service.get(f"{BASE}/rollback/status")
    shown = next(each for each in status["targets"] if each["name"] == target)
    return {each["name"]: each for each in shown["not_ready"]}


async def warnings(service):
    return (await service.get(f"{BASE}/rollback/status"))[1]["warnings"]


async def poll(service):
    parts = service.controller.parts
    await parts.watcher.poll(parts.intake)


async def said(service, check, part):
    """The sentence of a check, once it has this part."""

    async def has():
        await poll(service)
        found = (await not_ready(service)).get(check)
        return found is not None and part in found["detail"] and found

    await until(has)
    return (await not_ready(service))[check]


FAILING = {
    "an exit code": ("#!/bin/sh\necho no such host >&2\nexit 3\n", 0o755, "exit code 3"),
    "two lines": ("#!/bin/sh\necho v1\necho v2\n", 0o755, "2 lines"),
    "nothing": ("#!/bin/sh\n", 0o755, "printed nothing"),
    "not executable": ("#!/bin/sh\necho v1\n", 0o644, "ermission"),
    "a banner": ("#!/bin/sh\necho 'Welcome to shop-1'\necho v1\n", 0o755, "2 lines"),
    "no first line that names a shell": ("echo v1\n", 0o755, "xec format error"),
    "not there": (None, 0, "./release could not be started (No such file or directory)"),
}


@pytest.mark.parametrize("how", FAILING)
async def test_a_current_that_fails_is_told_with_its_cause(tmp_path, how):
    text, mode, cause = FAILING[how]
    async with listening([]) as (address, _), serving(tmp_path, prometheus=address) as service:
        (tmp_path / "release").unlink()
        if text is not None:
            (tmp_path / "release").write_text(text)
            (tmp_path / "release").chmod(mode)

        async def fails():
            await poll(service)
            found = (await not_ready(service)).get("current")
            return found is not None and found["holds"] is False

        await until(fails)
        detail = (await not_ready(service))["current"]["detail"]
        assert detail.startswith("`current` gives no version: ")
        assert nested(f"checkout is not ready (current): {detail}") == []
        assert cause in detail
        assert "log says why" not in detail
        waits = (await not_ready(service))["service_version"]
        assert (waits["holds"], waits["detail"]) == (None, "Not known while the version that serves is not.")


HANGING = """#!/bin/sh
sleep 30
"""


async def test_while_current_hangs_every_check_that_waits_for_it_says_so(tmp_path):
    async with listening([]) as (address, _):
        (tmp_path / "bin").mkdir()
        (tmp_path / "bin" / "hang").write_text(HANGING)
        (tmp_path / "bin" / "hang").chmod(0o755)
        more = """  - name: slow
    match: {service_name: slow, deployment_environment_name: production}
    release: {command: {current: [bin/hang], rollback: [bin/hang, "{to_version}"], timeout: 20s}}
"""
        async with serving(tmp_path, prometheus=address, more=more) as service:

            async def hangs():
                found = await not_ready(service, "slow")
                return "has been running for" in found.get("current", {}).get("detail", "") and found

            await until(hangs)
            found = await not_ready(service, "slow")
            assert found["current"]["holds"] is None
            assert found["hooks"]["detail"].startswith("Not looked at yet: `current` has been running for")
            assert not any("only the replica" in each["detail"] for each in found.values())


async def test_a_single_process_blames_no_other_replica_for_what_nobody_looked_at(tmp_path):
    async with serving(tmp_path) as service:
        found = await not_ready(service)
        assert found
        assert not any("replica" in each["detail"] for each in found.values())


async def test_nor_before_it_leads(tmp_path):
    async with serving(tmp_path) as service:
        found = service.controller.parts.watcher.not_ready("checkout")  # at once: it has not begun to lead
        assert found
        assert not any("replica" in each.detail for each in found)


async def test_prometheus_that_cannot_be_reached_is_told_with_its_cause(tmp_path):
    async with serving(tmp_path) as service:
        detail = (await said(service, "prometheus", "did not answer"))["detail"]
        assert "127.0.0.1:9" in detail
        found = await not_ready(service)
        assert {
            found[name]["detail"] for name in ("scrape_interval", "trigger_rules", "one_process_per_address")
        } == {"Not known while Prometheus does not answer."}


@pytest.mark.parametrize("shown", [{}, {"service_version": "unknown"}, {"service_version": ""}])
async def test_instances_that_tell_no_version_are_named_with_what_to_set(tmp_path, shown):
    info = {"metric": {"__name__": "target_info", **MATCH, **shown}, "value": [time.time(), "1"]}
    async with (
        listening([], samples=[info]) as (address, _),
        serving(tmp_path, prometheus=address) as service,
    ):
        found = await said(service, "service_version", "OTEL_RESOURCE_ATTRIBUTES=service.version")
        assert found["holds"] is False
        metric = {**MATCH, "__name__": "target_info", "service_version": "1.0"}
        info["metric"] = metric

        async def mended():
            await poll(service)
            return "service_version" not in await not_ready(service)

        await until(mended)


async def test_targets_without_target_info_need_no_service_version(tmp_path):
    plain = {"metric": {"__name__": "up", **MATCH}, "value": [time.time(), "1"]}
    async with (
        listening([], samples=[plain]) as (address, _),
        serving(tmp_path, prometheus=address) as service,
    ):

        async def looked():
            await poll(service)
            return "service_version" not in await not_ready(service)

        await until(looked)


async def test_two_targets_that_take_the_same_alert_name_each_other(tmp_path):
    more = """  - name: wide
    match: {service_name: checkout}
    release: {command: {current: [./release, current], rollback: [./release, activate, "{to_version}"]}}
"""
    async with listening([]) as (address, _), serving(tmp_path, prometheus=address, more=more) as service:
        assert "checkout and wide" in (await said(service, "match", "add labels"))["detail"]
        assert "wide and checkout" in (await not_ready(service, "wide"))["match"]["detail"]
        assert "match" not in await not_ready(service, "search")


RULE = {
    "type": "alerting",
    "name": "HighErrorRate",
    "query": "errors > 0.1",
    "labels": {"action": "rollback"},
    "annotations": {},
    "duration": 0,
    "health": "ok",
    "alerts": [],
    "evaluationTime": 0.0,
    "lastEvaluation": "2026-11-25T14:00:00Z",
}


async def test_the_way_back_is_said_anew_as_soon_as_something_else_keeps_a_version_from_trust(tmp_path):
    """A look at a target that is not ready comes once a minute; what was mended before is not said until then."""
    groups = []
    async with listening([], groups=groups) as (address, _), serving(tmp_path, prometheus=address) as service:
        await said(service, "destination", "No trigger rule is loaded")
        groups.append({"name": "shop", "file": "shop.yml", "interval": 5, "rules": [RULE]})

        async def is_said_anew():
            await poll(service)
            return "No trigger rule is loaded" not in (await not_ready(service))["destination"]["detail"]

        await until(is_said_anew)


async def test_deliveries_with_a_wrong_token_are_told_until_one_is_taken(tmp_path):
    async with serving(tmp_path) as service:
        (tmp_path / "sender").write_text("am:send-1\n")
        assert await warnings(service) == []
        with structlog.testing.capture_logs() as logged:
            for _ in range(3):
                assert (await service.post(HOOK, alerts("A"), token="Bearer am:send-1"))[0] == 401
        (line,) = [each for each in logged if each["event"] == "delivery_refused"]
        assert (line["status"], line["log_level"]) == (401, "warning")
        (told,) = await warnings(service)
        assert told.startswith("Alertmanager's deliveries are refused, 3 times, last ")
        assert "401: This token is not known here. Send the token alone" in told
        refused = (await metrics(service))["rearguard_webhook_requests"].samples
        assert next(each.value for each in refused if each.labels.get("code") == "401") == 3
        assert (await service.post(HOOK, alerts("A"), token="Bearer send-1"))[0] == 202
        assert await warnings(service) == []


async def test_a_viewer_who_delivers_is_told_as_well(tmp_path):
    async with serving(tmp_path) as service:
        assert (await service.post(HOOK, alerts("A"), token="Bearer read-1"))[0] == 403
        assert "with 403: " in (await warnings(service))[0]


async def test_a_file_that_could_not_be_reloaded_is_told_until_one_could(tmp_path):
    async with serving(tmp_path) as service:
        file = tmp_path / "rearguard.yaml"
        good = file.read_text()
        file.write_text(good.replace("mode: act", "mode: attack"))
        assert (await service.post("/-/reload", None))[0] == 422
        (told,) = await warnings(service)
        assert told.startswith("The configuration was not reloaded at 2")
        assert "rearguard.yaml:7" in told
        file.write_text(good)
        assert (await service.post("/-/reload", None))[0] == 200
        assert await warnings(service) == []
