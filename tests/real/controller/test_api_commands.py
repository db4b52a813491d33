"""What operators can change over HTTP: rollbacks by hand, abort and close, arming, releases."""

from __future__ import annotations

import asyncio

import pytest

from real.controller.served import BASE, serving


@pytest.fixture
async def service(tmp_path):
    async with serving(tmp_path) as served:
        yield served


async def trust(service, version="v1", target="checkout"):
    status, body = await service.post(f"{BASE}/targets/{target}/releases", {"version": version, "good": True})
    assert (status, body["version"]) == (200, version)
    assert body["known_good_at"].endswith("Z")


# --- by hand ---------------------------------------------------------------------------------------------------


async def test_a_dry_run_shows_decision_and_plan_and_changes_nothing(service):
    await trust(service)
    asked = {"target": "checkout", "reason": "try", "dry_run": True}
    status, body = await service.post(f"{BASE}/rollback/trigger", asked)
    assert status == 200
    assert (body["decision"]["verdict"], body["decision"]["to_version"]) == ("roll_back", "v1")
    assert [step["kind"] for step in body["plan"]] == ["roll_back"]
    assert (service.folder / "current").read_text() == "v2\n"
    assert (await service.get(f"{BASE}/decisions"))[1]["decisions"] == []


async def test_a_dry_run_fills_in_the_version_and_finds_a_program_that_may_not_be_run(service):
    await trust(service)
    asked = {"target": "checkout", "reason": "try", "dry_run": True}
    _, body = await service.post(f"{BASE}/rollback/trigger", asked)
    (step,) = body["plan"]
    assert (step["action"], step["detail"]) == ({"command": ["./release", "activate", "v1"]}, "")
    (service.folder / "release").chmod(0o644)
    _, body = await service.post(f"{BASE}/rollback/trigger", {**asked, "to_version": "v1", "force": True})
    (step,) = body["plan"]
    assert step["detail"] == "It could not be carried out: ./release is not there, or not executable."


async def test_a_rollback_by_hand_is_carried_out_and_can_be_read(service):
    await trust(service)
    status, body = await service.post(f"{BASE}/rollback/trigger", {"target": "checkout", "reason": "v2 is slow"})
    assert status == 202
    rollback = await service.closed(body["rollback_id"])
    assert (service.folder / "current").read_text() == "v1\n"
    shown = {key: rollback[key] for key in ("target", "trigger", "reason", "from_version", "to_version", "outcome")}
    assert shown == {
        "target": "checkout",
        "trigger": "manual",
        "reason": "v2 is slow",
        "from_version": "v2",
        "to_version": "v1",
        "outcome": "completed",
    }
    step = rollback["steps"][0]
    assert (step["name"], step["state"], step["output"].strip()) == ("roll-back", "done", "activated v1")
    assert rollback["started_at"] <= step["started_at"] <= step["ended_at"] <= rollback["closed_at"]
    assert rollback["decision"]["id"] == rollback["decision_id"]
    codes = [reason["code"] for reason in rollback["decision"]["reasons"]]
    assert codes[0] == "target_known"
    status, decision = await service.get(f"{BASE}/decisions/{rollback['decision_id']}")
    assert (status, decision["rollback_id"]) == (200, rollback["id"])
    _, state = await service.get(f"{BASE}/rollback/status")
    assert [each["id"] for each in state["recent"]] == [rollback["id"]]
    assert (await service.get(f"{BASE}/rollback/history?outcome=failed"))[1]["rollbacks"] == []
    page = (await service.get(f"{BASE}/rollback/history?target=checkout&outcome=completed&limit=1"))[1]
    assert [each["id"] for each in page["rollbacks"]] == [rollback["id"]]


async def test_an_idempotency_key_makes_a_repeated_request_harmless(service):
    await trust(service)
    asked, headers = {"target": "checkout", "reason": "once"}, {"Idempotency-Key": "k-1"}
    status, first = await service.post(f"{BASE}/rollback/trigger", asked, headers=headers)
    assert (status, first["repeated"]) == (202, False)
    await service.closed(first["rollback_id"])
    (service.folder / "current").write_text("v2\n")
    status, again = await service.post(f"{BASE}/rollback/trigger", asked, headers=headers)
    assert (status, again["repeated"], again["rollback_id"]) == (200, True, first["rollback_id"])
    assert (service.folder / "current").read_text() == "v2\n"
    status, body = await service.post(f"{BASE}/rollback/trigger", asked, headers={"Idempotency-Key": "x" * 300})
    assert (status, body["error"]["field"]) == (422, "Idempotency-Key")


async def test_a_key_that_led_somewhere_else_is_refused_and_names_the_header(service):
    for target in ("checkout", "search"):
        await trust(service, "v1", target)
    path, headers = f"{BASE}/rollback/trigger", {"Idempotency-Key": "k-1"}
    status, first = await service.post(path, {"target": "checkout", "reason": "once"}, headers=headers)
    assert status == 202
    await service.closed(first["rollback_id"])
    for other in ({"target": "search"}, {"target": "checkout", "to_version": "v3", "force": True}):
        status, body = await service.post(path, {"reason": "once", **other}, headers=headers)
        assert (status, body["error"]["field"]) == (422, "Idempotency-Key"), body
        assert first["rollback_id"] in body["error"]["message"]
    same = {"target": "checkout", "reason": "once", "to_version": "v1"}
    status, again = await service.post(path, same, headers=headers)
    assert (status, again["rollback_id"]) == (200, first["rollback_id"])
    assert (await service.get(f"{BASE}/rollback/history?target=search"))[1]["rollbacks"] == []


async def test_the_same_request_many_times_at_once_is_one_rollback_and_the_same_answer(service):
    await trust(service)
    asked, headers = {"target": "checkout", "reason": "once"}, {"Idempotency-Key": "k-2"}
    sent = [service.post(f"{BASE}/rollback/trigger", asked, headers=headers) for _ in range(4)]
    answers = await asyncio.gather(*sent)
    assert sorted(status for status, _ in answers) == [200, 200, 200, 202]
    assert len({body["rollback_id"] for _, body in answers}) == 1
    assert len((await service.get(f"{BASE}/decisions"))[1]["decisions"]) == 1


async def test_one_key_for_two_targets_at_once_opens_one_rollback(service):
    for target in ("checkout", "search"):
        await trust(service, "v1", target)
    headers = {"Idempotency-Key": "k-3"}
    sent = [
        service.post(f"{BASE}/rollback/trigger", {"target": target, "reason": "once"}, headers=headers)
        for target in ("checkout", "search")
    ]
    answers = await asyncio.gather(*sent)
    assert sorted(status for status, _ in answers) == [202, 422]
    assert [body["error"]["field"] for status, body in answers if status == 422] == ["Idempotency-Key"]
    assert len((await service.get(f"{BASE}/rollback/history"))[1]["rollbacks"]) == 1


async def test_a_refused_trigger_is_kept_with_who_why_and_the_refusal(service):
    status, body = await service.post(f"{BASE}/rollback/trigger", {"target": "checkout", "reason": "v2 is slow"})
    assert status == 422
    kept = await service.controller.journal.operator_actions(subject="checkout")
    assert [(each.operator, each.action) for each in kept] == [("ann", "trigger")]
    assert kept[0].reason == f"v2 is slow (refused: {body['error']['message']})"


async def test_a_second_rollback_waits_for_the_first_and_an_open_one_can_be_aborted(service):
    await trust(service)
    (service.folder / "hold").touch()
    asked = {"target": "checkout", "reason": "first"}
    _, first = await service.post(f"{BASE}/rollback/trigger", asked)
    status, body = await service.post(f"{BASE}/rollback/trigger", {**asked, "reason": "second"})
    assert (status, body["error"]["code"]) == (409, "conflict")
    _, state = await service.get(f"{BASE}/rollback/status")
    assert state["state"] == "running"
    assert [each["id"] for each in state["open"]] == [first["rollback_id"]]
    status, body = await service.post(f"{BASE}/rollback/{first['rollback_id']}/abort", {"reason": "wrong target"})
    assert (status, body["stopping"]) == (200, "aborted")
    (service.folder / "hold").unlink()
    assert (await service.closed(first["rollback_id"]))["outcome"] == "aborted"
    for verb in ("abort", "close"):
        status, body = await service.post(f"{BASE}/rollback/{first['rollback_id']}/{verb}", {"reason": "late"})
        assert (status, body["error"]["code"]) == (409, "conflict")
        assert (await service.post(f"{BASE}/rollback/nothing/{verb}", {"reason": "r"}))[0] == 404


async def test_history_pages_from_newest_to_oldest_without_loss(service):
    await trust(service, "v1")
    await trust(service, "v2")
    made = []
    for version in ("v1", "v2", "v1"):
        asked = {"target": "checkout", "reason": "there and back", "to_version": version, "force": True}
        status, body = await service.post(f"{BASE}/rollback/trigger", asked)
        assert status == 202, body
        made.append(body["rollback_id"])
        await service.closed(made[-1])
    seen, cursor = [], ""
    while cursor is not None:
        _, page = await service.get(f"{BASE}/rollback/history?limit=2{cursor and '&before=' + cursor}")
        seen += [each["id"] for each in page["rollbacks"]]
        cursor = page["next"]
    assert seen == made[::-1]


# --- arming and releases -------------------------------------------------------------------------------------


async def test_disarming_is_shown_and_undone_and_kept_for_the_audit(service):
    path = f"{BASE}/targets/checkout"
    status, body = await service.post(f"{path}/disarm", {"reason": "big sale", "until": "2999-01-01T00:00:00+01:00"})
    assert (status, body["armed"], body["disarmed_until"]) == (200, False, "2998-12-31T23:00:00.000Z")
    _, state = await service.get(f"{BASE}/rollback/status")
    shown = {each["name"]: (each["state"], each["armed"], each["armed_reason"]) for each in state["targets"]}
    assert shown == {"checkout": ("disarmed", False, "big sale"), "search": ("steady", True, "")}
    assert state["state"] == "disarmed"
    status, body = await service.post(f"{path}/arm", {"reason": "over"})
    assert (status, body["armed"]) == (200, True)
    status, body = await service.post(f"{BASE}/disarm", {"reason": "fire drill"})
    assert [each["armed"] for each in body["targets"]] == [False, False]
    audit = await service.controller.journal.operator_actions(subject="checkout")
    assert [(each.operator, each.action, each.reason) for each in audit] == [
        ("ann", "disarm", "fire drill"),
        ("ann", "arm", "over"),
        ("ann", "disarm", "big sale"),
    ]


EDGES = ["9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+23:59"]


@pytest.mark.parametrize("until", ["tomorrow", "2999-01-01", "2000-01-01T00:00:00Z", 7, *EDGES])
async def test_an_end_of_disarming_must_be_a_future_time_with_a_zone(service, until):
    status, body = await service.post(f"{BASE}/disarm", {"reason": "r", "until": until})
    assert (status, body["error"]["field"]) == (422, "until")


async def test_what_ci_says_of_a_release_is_remembered(service):
    path = f"{BASE}/targets/checkout/releases"
    status, body = await service.post(path, {"version": "v3", "phase": "started", "barrier": True})
    assert (status, body["barrier"], body["known_good_at"]) == (200, True, None)
    for bad, field in (
        ({"version": "v3", "phase": "done"}, "phase"),
        ({"version": "-v"}, "version"),
        ({}, "version"),
    ):
        status, body = await service.post(path, bad)
        assert (status, body["error"]["field"]) == (422, field)
