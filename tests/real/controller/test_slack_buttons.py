"""Buttons of Slack: only what Slack itself signed a moment ago, only by people who may, like the API's words."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from urllib.parse import urlencode

import pytest

from real.controller.receivers import HANG, receiving
from real.controller.served import BASE, serving
from rearguard_controller.adapters.notices import slack_buttons
from rearguard_controller.model import Phase
from unit.controller.factories import decision, rollback

SECRET = "8f742231b10e8888abcd99yyyzzz85a5"
PATH = "/integrations/slack"
MORE = "slack: {signing_secret_file: slack-secret, operators: {U1: ann}}\n"


def signed(body, *, secret=SECRET, age=0.0):
    at = str(int(time.time() - age))
    made = hmac.new(secret.encode(), f"v0:{at}:{body}".encode(), hashlib.sha256).hexdigest()
    return {
        "X-Slack-Request-Timestamp": at,
        "X-Slack-Signature": f"v0={made}",
        "Content-Type": "application/x-www-form-urlencoded",
    }


def pressed(action, rollback_id, *, user="U1", answer_to=""):
    payload = {
        "type": "block_actions",
        "user": {"id": user, "username": "ann", "team_id": "T1"},
        "actions": [{"action_id": action, "block_id": "b", "value": rollback_id, "type": "button"}],
        "response_url": answer_to,
    }
    return urlencode({"payload": json.dumps(payload)})


async def post(service, body, headers):
    async with service.session.post(service.url + PATH, data=body, headers=headers) as response:
        return response.status, await response.json()


async def waiting(service):
    """A rollback that waits for approval."""
    it = rollback("r1", phase=Phase.WAITING, needs_approval=True, wait_until=time.time() + 600, opened_at=time.time())
    await service.controller.journal.record(decision(rollback_id="r1"), it)
    return it.id


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "slack-secret").write_text(SECRET + "\n")
    return tmp_path


def test_the_signature_is_the_one_of_the_example_in_slacks_documentation():
    body = (
        b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name="
        b"foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2F"
        b"hooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47"
        b"445629121.803a0bc887a14d10d2c447fce8b6703c"
    )
    signature = "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503"
    secret = "8f742231b10e8888abcd99yyyzzz85a5"
    assert slack_buttons.is_genuine(secret, "1531420618", signature, body, now=1531420618 + 299)
    assert not slack_buttons.is_genuine(secret, "1531420618", signature, body, now=1531420618 + 301)
    assert not slack_buttons.is_genuine(secret, "1531420618", signature, body + b"x", now=1531420618)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"X-Slack-Signature": "v0=" + "0" * 64}, "another signature"),
        ({"X-Slack-Signature": ""}, "no signature"),
        ({"X-Slack-Signature": "v0=\u00e9"}, "no ASCII"),
        ({"X-Slack-Request-Timestamp": "0"}, "another time"),
        ({"X-Slack-Request-Timestamp": "now"}, "no time"),
        ({"X-Slack-Request-Timestamp": "9" * 400}, "no time at all"),
    ],
)
async def test_what_slack_did_not_sign_is_refused_and_does_nothing(folder, change, why):
    async with serving(folder, more=MORE) as service:
        identity = await waiting(service)
        body = pressed("rearguard_veto", identity)
        status, answer = await post(service, body, {**signed(body), **change})
        assert (status, answer["error"]["code"]) == (401, "unauthorized"), why
        assert SECRET not in str(answer)
        assert (await service.controller.journal.rollback(identity)).phase is Phase.WAITING


async def test_an_old_request_or_one_of_another_app_is_refused(folder):
    async with serving(folder, more=MORE) as service:
        body = pressed("rearguard_veto", "r1")
        assert (await post(service, body, signed(body, age=301)))[0] == 401
        assert (await post(service, body, signed(body, age=-600)))[0] == 401
        assert (await post(service, body, signed(body, secret="another")))[0] == 401


async def test_a_veto_by_button_closes_the_rollback_and_is_in_the_audit_with_who_pressed(folder):
    async with receiving() as slack, serving(folder, more=MORE) as service:
        identity = await waiting(service)
        body = pressed("rearguard_veto", identity, answer_to=slack.url)
        began = time.monotonic()
        assert (await post(service, body, signed(body)))[0] == 200
        assert time.monotonic() - began < 3
        assert (await service.closed(identity))["outcome"] == "vetoed"
        [told] = await slack.got(1)
        assert (told["text"], told["response_type"]) == ("ann vetoed the rollback r1.", "in_channel")
        actions = (await service.get(f"{BASE}/audit"))[1]["actions"]
        assert (actions[0]["operator"], actions[0]["action"], actions[0]["subject"]) == ("ann", "veto", "r1")
        assert "U1" in actions[0]["reason"]
        assert (await post(service, body, signed(body)))[0] == 200  # the same again changes nothing
        assert (await slack.got(2))[1]["text"].startswith("Not vetoed: ")


async def test_an_approval_by_button_is_one_like_any_other(folder):
    async with receiving() as slack, serving(folder, more=MORE) as service:
        identity = await waiting(service)
        body = pressed("rearguard_approve", identity, answer_to=slack.url)
        assert (await post(service, body, signed(body)))[0] == 200
        [told] = await slack.got(1)
        assert told["text"] == "ann approved the rollback r1."
        actions = (await service.get(f"{BASE}/audit"))[1]["actions"]
        assert (actions[0]["operator"], actions[0]["action"]) == ("ann", "approve")


async def test_whoever_is_no_operator_is_told_so_alone_and_nothing_is_done(folder):
    async with receiving() as slack, serving(folder, more=MORE) as service:
        identity = await waiting(service)
        body = pressed("rearguard_approve", identity, user="U2", answer_to=slack.url)
        assert (await post(service, body, signed(body)))[0] == 200
        [told] = await slack.got(1)
        assert told["response_type"] == "ephemeral"
        assert "U2 is not among slack.operators" in told["text"]
        found = await service.controller.journal.rollback(identity)
        assert (found.phase, found.approved) == (Phase.WAITING, False)


async def test_slack_is_answered_in_time_however_long_the_answer_in_the_channel_takes(folder):
    async with receiving(HANG) as slack, serving(folder, more=MORE) as service:
        identity = await waiting(service)
        body = pressed("rearguard_veto", identity, answer_to=slack.url)
        began = time.monotonic()
        assert (await post(service, body, signed(body)))[0] == 200
        assert time.monotonic() - began < 3
        assert (await service.closed(identity))["outcome"] == "vetoed"


@pytest.mark.parametrize(
    "body",
    [
        "",
        "payload=",
        "payload=%7B",
        "payload=[]",
        "payload=%7B%22user%22%3A1%7D",
        "x=1",
        "payload=1&payload=2",
        "\x00%ff",
    ],
)
async def test_a_signed_request_that_tells_of_no_button_is_a_bad_request(folder, body):
    async with serving(folder, more=MORE) as service:
        assert (await post(service, body, signed(body)))[0] == 400


async def test_a_button_of_another_kind_and_an_unknown_rollback_do_no_harm(folder):
    async with receiving() as slack, serving(folder, more=MORE) as service:
        body = pressed("rearguard_open", "r1")
        assert (await post(service, body, signed(body)))[0] == 200
        body = pressed("rearguard_veto", "r<!channel>", answer_to=slack.url)
        assert (await post(service, body, signed(body)))[0] == 200
        [told] = await slack.got(1)
        assert "<" not in told["text"]


async def test_without_configuration_or_secret_the_route_says_so(folder):
    body = pressed("rearguard_veto", "r1")
    async with serving(folder) as service:
        assert (await post(service, body, signed(body)))[0] == 404
    (folder / "slack-secret").write_text("")
    async with serving(folder, more=MORE) as service:
        assert (await post(service, body, signed(body)))[0] == 503
