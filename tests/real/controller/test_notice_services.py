"""Each service's own wire format over a real socket, as its public documentation has it, and receivers that lie.

The receiver here checks what the service would check: fields, lengths, keys and their order.
"""

from __future__ import annotations

import json
import time
from dataclasses import replace

import pytest

from real.controller.receivers import receiving
from real.controller.test_notify import ALL, telling
from rearguard_controller.adapters.notices.kinds import slack
from rearguard_controller.config import NotifyEntry, ReceiverKind
from rearguard_controller.model import Outcome, Phase, StepKind, StepState
from unit.controller.factories import NOW, TARGET, alert, decision, release, rollback

URL = "https://rearguard.example.com"
NASTY = "<!channel> & <http://evil|click> *bold* `code` @everyone [x](http://evil) \u202e %%% \x1b[31m"
TS = {"ok": True, "channel": "C1", "ts": "1700000000.000100"}


def waiting(**fields):
    return rollback(phase=Phase.WAITING, needs_approval=True, wait_until=NOW + 1800, **fields)


def closed(outcome=Outcome.RECOVERED, **fields):
    done = rollback(**fields)
    state = StepState.DONE
    steps = tuple(
        replace(step, state=state, attempt=1, started_at=NOW) if step.kind is StepKind.ROLL_BACK else step
        for step in done.steps
    )
    return replace(done, steps=steps, phase=Phase.CLOSED, outcome=outcome, closed_at=NOW + 60, detail="0.01 now.")


def of_kind(kind, receiver, path="", **fields):
    return NotifyEntry(
        **{"events": ALL, "url": f"http://{receiver.host}{path}", "timeout": 2.0, "kind": kind, **fields}
    )


def with_token(tmp_path, kind, receiver, **fields):
    (tmp_path / "token").write_text("Secret-token\n")
    return of_kind(kind, receiver, token_file=tmp_path / "token", **fields)


def story(told, receiver_url=URL):
    """A rollback from the question to its good end."""
    told.use(external_url=receiver_url)
    told.notify.decided(decision(rollback_id="r1"), waiting())
    told.notify.started(rollback(), decision())
    told.notify.finished(closed(), decision())


# --- Slack -------------------------------------------------------------------------------------------------------


def check_slack(body):
    """What Slack refuses as invalid_blocks: texts and lists that are too long."""
    assert len(body["text"]) <= 4000
    assert 1 <= len(body["blocks"]) <= 50
    for block in body["blocks"]:
        if block["type"] == "header":
            assert block["text"]["type"] == "plain_text"
            assert len(block["text"]["text"]) <= 150
        elif block["type"] == "section":
            texts = [*block.get("fields", []), *([block["text"]] if "text" in block else [])]
            assert texts
            assert len(block.get("fields", [])) <= 10
            assert all(0 < len(each["text"]) <= (2000 if "fields" in block else 3000) for each in texts)
        else:
            assert block["type"] == "actions"
            assert all(len(each["text"]["text"]) <= 75 for each in block["elements"])


async def test_a_bot_of_slack_makes_a_thread_of_what_belongs_together_and_updates_its_first_message(tmp_path):
    async with receiving((200, TS, {})) as receiver:
        entry = with_token(tmp_path, ReceiverKind.SLACK, receiver, channel="C1")
        async with telling(entry) as told:
            story(told)
            await told.until(sent=3)
            assert "Secret" not in told.log
    assert receiver.paths == ["/chat.postMessage", *["/chat.postMessage", "/chat.update"] * 2]
    assert {each["Authorization"] for each in receiver.headers} == {"Bearer Secret-token"}
    first, *later = receiver.posted
    assert "thread_ts" not in first
    assert first["channel"] == "C1"
    assert [each.get("thread_ts") or each.get("ts") for each in later] == [TS["ts"]] * 4
    for body in receiver.posted:
        check_slack(body)
    buttons = first["blocks"][-1]["elements"]
    assert [each["action_id"] for each in buttons] == ["rearguard_open", slack.APPROVE, slack.VETO]
    assert (buttons[0]["url"], {each["value"] for each in buttons[1:]}) == (f"{URL}/rollbacks/r1", {"r1"})
    assert slack.APPROVE not in str(later)  # there is nothing to approve any more
    assert "recovered: v1 serves instead of v2" in receiver.posted[-1]["text"]


async def test_a_webhook_of_slack_gets_each_message_with_versions_alert_and_numbers():
    async with receiving((200, "ok", {})) as receiver, telling(of_kind(ReceiverKind.SLACK, receiver)) as told:
        story(told)
        await told.until(sent=3)
    for body in receiver.posted:
        check_slack(body)
        assert "channel" not in body
    last = str(receiver.posted[-1]["blocks"])
    for said in ("*Serves now*\\nv1", "*Rolled away from*\\nv2", "*Alert*\\nReleaseErrorRate"):
        assert said in last


async def test_nothing_that_others_wrote_is_a_link_or_a_mention_in_slack():
    it = replace(alert("A", pod=NASTY), annotations={"summary": NASTY * 200})
    async with receiving((200, "ok", {})) as receiver, telling(of_kind(ReceiverKind.SLACK, receiver)) as told:
        told.notify.alerts([(it, NOW)], lambda _: TARGET)
        told.notify.finished(closed(reason=NASTY, from_version=NASTY), decision())
        await told.until(sent=2)
    for body in receiver.posted:
        check_slack(body)
        said = json.dumps(body, ensure_ascii=False).replace("&amp;", "").replace("&lt;", "").replace("&gt;", "")
        assert "\u202e" not in said
        assert "\x1b" not in said
        for block in body["blocks"]:
            if block["type"] == "section":
                texts = [*block.get("fields", []), *([block["text"]] if "text" in block else [])]
                assert not any("<" in each["text"] or "`code`" in each["text"] for each in texts)


@pytest.mark.parametrize(
    ("answer", "result", "why"),
    [
        ((200, {"ok": False, "error": "channel_not_found"}, {}), "refused", "refused: channel_not_found"),
        ((200, {"ok": False, "error": "Secret token <x>"}, {}), "refused", "refused: unknown"),
        ((200, "<html>welcome to the hotel wifi</html>", {}), "refused", "refused: unknown"),
        ((200, {"ok": False, "error": "internal_error"}, {}), "failed", "refused: internal_error"),
        ((401, "", {}), "refused", "answered 401"),
    ],
)
async def test_a_bot_of_slack_that_answers_200_and_means_no_is_no_success(tmp_path, answer, result, why):
    async with (
        receiving(answer) as receiver,
        telling(with_token(tmp_path, ReceiverKind.SLACK, receiver, channel="C1")) as told,
    ):
        told.finish(2)
        await told.until(**{result: 2})
        assert why in told.log
        assert "Secret" not in told.log
        if result == "refused":
            assert told.log.count("notice_not_sent") == 1  # it is told once
            assert len(receiver.posted) == 2


async def test_a_webhook_of_slack_that_answers_200_with_something_else_is_no_success():
    answer = (200, "<html>sign in</html>", {})
    async with receiving(answer) as receiver, telling(of_kind(ReceiverKind.SLACK, receiver)) as told:
        told.finish()
        await told.until(refused=1)


async def test_a_pause_that_a_service_asks_for_is_kept_and_does_not_use_up_the_patience():
    busy = (429, "", {"Retry-After": "1"})
    async with (
        receiving(busy, busy, (200, "ok", {})) as receiver,
        telling(of_kind(ReceiverKind.SLACK, receiver), give_up=1.5) as told,
    ):
        began = time.monotonic()
        told.finish()
        await told.until(sent=1)
        assert time.monotonic() - began >= 2
        assert len(receiver.posted) == 3


@pytest.mark.parametrize("said", ["-5", "nan", "soon", "Wed, 21 Oct 2015 07:28:00 GMT", ""])
async def test_a_pause_that_makes_no_sense_is_none(said):
    busy = (429, "", {"Retry-After": said})
    async with receiving(busy, (200, "ok", {})) as receiver, telling(of_kind(ReceiverKind.SLACK, receiver)) as told:
        told.finish()
        await told.until(sent=1)


# --- PagerDuty ---------------------------------------------------------------------------------------------------


def check_pagerduty(body):
    assert body["routing_key"] == "Secret-token"
    assert 0 < len(body["dedup_key"]) <= 255
    payload = body["payload"]
    assert 0 < len(payload["summary"]) <= 1024
    assert payload["severity"] in ("critical", "error", "warning", "info")
    assert payload["source"]


async def test_pagerduty_gets_one_alert_for_a_rollback_that_resolves_itself(tmp_path):
    taken = (202, {"status": "success", "message": "Event processed"}, {})
    async with receiving(taken) as receiver, telling(with_token(tmp_path, ReceiverKind.PAGERDUTY, receiver)) as told:
        story(told)
        await told.until(sent=3)
    assert set(receiver.paths) == {"/v2/enqueue"}
    for body in receiver.posted:
        check_pagerduty(body)
    assert {body["dedup_key"] for body in receiver.posted} == {"rearguard/r1"}
    assert [body["event_action"] for body in receiver.posted] == ["trigger", "trigger", "resolve"]
    assert receiver.posted[0]["links"] == [{"href": f"{URL}/rollbacks/r1", "text": "Rearguard"}]


@pytest.mark.parametrize(
    ("outcome", "action", "severity"),
    [
        (Outcome.RECOVERED, "resolve", "info"),
        (Outcome.VETOED, "resolve", "info"),
        (Outcome.NOT_RECOVERED, "trigger", "critical"),
        (Outcome.NEEDS_A_PERSON, "trigger", "critical"),
        (Outcome.EXPIRED, "trigger", "critical"),
        (Outcome.FAILED, "trigger", "critical"),
    ],
)
async def test_pagerduty_wakes_people_only_when_they_are_needed(tmp_path, outcome, action, severity):
    async with receiving(202) as receiver, telling(with_token(tmp_path, ReceiverKind.PAGERDUTY, receiver)) as told:
        told.notify.finished(closed(outcome), decision())
        await told.until(sent=1)
    [body] = receiver.posted
    check_pagerduty(body)
    assert (body["event_action"], body["payload"]["severity"]) == (action, severity)


async def test_what_is_only_observed_is_a_change_in_pagerduty_which_wakes_nobody_and_is_told_once(tmp_path):
    async with receiving(202) as receiver, telling(with_token(tmp_path, ReceiverKind.PAGERDUTY, receiver)) as told:
        for _ in range(3):
            told.notify.decided(decision(would="roll_back", to_version="v1"), None)
        told.notify.decided(decision(), None)  # it would not be rolled back in any case
        told.notify.bad_version(release("v2", bad_at=NOW - 60), rollback(), NOW)
        await told.until(sent=2)
    assert receiver.paths == ["/v2/change/enqueue", "/v2/enqueue"]
    assert receiver.posted[0]["payload"]["summary"] == (
        "checkout: would be rolled back from v2 to v1, but is left as it is"
    )
    assert receiver.posted[1]["dedup_key"] == "rearguard/checkout/v2"


async def test_long_names_keep_their_place_in_pagerduty(tmp_path):
    async with receiving(202) as receiver, telling(with_token(tmp_path, ReceiverKind.PAGERDUTY, receiver)) as told:
        for version in ("v" * 5000 + "1", "v" * 5000 + "2"):
            told.notify.bad_version(release(version, bad_at=NOW), None, NOW)
        await told.until(sent=2)
    for body in receiver.posted:
        check_pagerduty(body)
    assert len({body["dedup_key"] for body in receiver.posted}) == 2


async def test_a_refusal_of_pagerduty_is_told_without_its_words(tmp_path):
    answer = (400, {"status": "invalid event", "errors": ["Secret-words"]}, {})
    async with receiving(answer) as receiver, telling(with_token(tmp_path, ReceiverKind.PAGERDUTY, receiver)) as told:
        told.finish()
        await told.until(refused=1)
        assert "answered 400" in told.log
        assert "Secret" not in told.log
