"""Chats and mail in their own wire formats over a real socket, as their documentation has it; receivers that lie."""

from __future__ import annotations

import email
import email.policy
import json
import threading
import time
from dataclasses import replace

import pytest

from real.controller.notice_kit import NASTY, TS, URL, closed, in_file, mailbox, of_kind, story, with_token
from real.controller.receivers import receiving
from real.controller.test_notify import telling
from rearguard_controller.adapters.notices import delivery
from rearguard_controller.adapters.notices.kinds import slack
from rearguard_controller.config import ReceiverKind
from rearguard_controller.errors import ConfigError
from unit.controller.factories import NOW, TARGET, alert, decision

# --- Slack ---


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
    assert "recovered, and v1 serves instead of v2" in receiver.posted[-1]["text"]


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


# --- Teams ---


async def test_teams_gets_a_card_in_which_no_text_is_markup_and_that_is_never_too_large():
    it = replace(alert("A", pod="x"), annotations={"summary": NASTY * 300, "figure": "é" * 60_000})
    taken = (202, "", {})
    async with receiving(taken) as receiver, telling(of_kind(ReceiverKind.TEAMS, receiver)) as told:
        story(told)
        told.notify.alerts([(it, NOW)], lambda _: TARGET)
        await told.until(sent=4)
    for body in receiver.posted:
        assert len(json.dumps(body, ensure_ascii=False).encode()) < 28 * 1024
        [attachment] = body["attachments"]
        assert (body["type"], attachment["contentType"]) == ("message", "application/vnd.microsoft.card.adaptive")
        card = attachment["content"]
        assert (card["type"], card["version"]) == ("AdaptiveCard", "1.4")
        assert {each["type"] for each in card["body"]} == {"RichTextBlock"}  # its runs are shown as they are
        assert {run["type"] for each in card["body"] for run in each["inlines"]} == {"TextRun"}
        assert "\u202e" not in str(card)
    assert receiver.posted[0]["attachments"][0]["content"]["actions"][0]["url"] == f"{URL}/rollbacks/r1"


# --- Discord ---


def check_discord(body):
    assert body["allowed_mentions"] == {"parse": []}
    [embed] = body["embeds"]
    assert 0 < len(embed["title"]) <= 256
    assert len(embed["description"]) <= 4096
    assert len(embed["fields"]) <= 25
    assert all(0 < len(each["name"]) <= 256 and 0 < len(each["value"]) <= 1024 for each in embed["fields"])
    texts = [embed["title"], embed["description"]]
    texts += [text for each in embed["fields"] for text in (each["name"], each["value"])]
    assert sum(map(len, texts)) <= 6000
    return texts


async def test_discord_gets_each_message_and_its_first_one_shows_how_things_stand():
    made = (200, {"id": "123456", "channel_id": "1"}, {})
    path = "/api/webhooks/1/Secret?thread_id=7"
    async with receiving(made) as receiver, telling(of_kind(ReceiverKind.DISCORD, receiver, path)) as told:
        story(told)
        await told.until(sent=3)
    new = "/api/webhooks/1/Secret?thread_id=7&wait=true"
    first = "/api/webhooks/1/Secret/messages/123456?thread_id=7"
    assert list(zip(receiver.methods, receiver.paths, strict=True)) == [
        ("POST", new),
        *[("POST", new), ("PATCH", first)] * 2,
    ]
    for body in receiver.posted:
        check_discord(body)


async def test_nothing_that_others_wrote_is_markup_or_mentions_anybody_in_discord():
    it = replace(alert("A"), annotations={"summary": NASTY * 400, "figure": NASTY * 400, "threshold": NASTY * 400})
    async with receiving(204) as receiver, telling(of_kind(ReceiverKind.DISCORD, receiver)) as told:
        told.notify.alerts([(it, NOW)], lambda _: TARGET)
        await told.until(sent=1)
    for text in check_discord(receiver.posted[0]):
        assert "@everyone" not in text
        for mark in ("*bold", "`code", "[x]("):
            assert mark not in text.replace(f"\\{mark[0]}", "")
        assert not text.endswith("\\…")


async def test_a_pause_in_the_body_of_discord_is_kept():
    busy = (429, {"message": "You are being rate limited.", "retry_after": 0.7, "global": False}, {})
    async with receiving(busy, 204) as receiver, telling(of_kind(ReceiverKind.DISCORD, receiver)) as told:
        began = time.monotonic()
        told.finish()
        await told.until(sent=1)
        assert time.monotonic() - began >= 0.7


# --- mail and the rest, by Apprise ---


async def test_mail_is_plain_and_no_text_adds_a_header_or_markup(tmp_path):
    it = replace(
        alert("A\r\nBcc: evil@example.com"), annotations={"summary": "<script>alert(1)</script>\r\n.\r\nRCPT TO:<x>"}
    )
    async with mailbox() as mails:
        url = f"mailto://127.0.0.1:{mails.port}?from=rearguard@example.com&to=ops@example.com"
        async with telling(in_file(tmp_path, url)) as told:
            told.notify.alerts([(it, NOW)], lambda _: TARGET)
            told.finish()
            await told.until(sent=2)
            assert {service for service, _ in told.counted} == {"mailto"}
    assert mails.recipients == {"<ops@example.com>"}
    first, second = (email.message_from_bytes(each, policy=email.policy.default) for each in mails.received)
    assert first["Bcc"] is None
    assert "Bcc" in first["Subject"]  # as words of one line
    assert "ended as" in str(second) or "the rollback" in str(second["Subject"])
    for part in first.walk():
        if part.get_content_type() == "text/html":
            assert "<script" not in part.get_content()


async def test_what_apprise_cannot_deliver_is_tried_again_and_tells_no_secret(tmp_path):
    async with (
        receiving(500) as receiver,
        telling(in_file(tmp_path, f"json://Secret-user:Secret-pw@{receiver.host}/Secret-path"), give_up=20) as told,
    ):
        told.finish()
        await told.until(failed=1)
        assert len(receiver.posted) == 5
        assert "Apprise could not deliver it" in told.log
        assert "Secret" not in told.log + str(told.counted)


def test_an_address_that_apprise_does_not_know_is_refused_by_check_without_telling_it(tmp_path):
    for url in ("nosuch://Secret-host", "mailto://"):
        with pytest.raises(ConfigError) as refused_:
            delivery.check(in_file(tmp_path, url))
        assert "Secret" not in f"{refused_.value.message} {refused_.value.hint}"


async def test_a_mail_server_that_hangs_holds_up_nobody_and_has_one_thread_at_most(tmp_path):
    async with mailbox(hangs=True) as mails, receiving() as well:
        url = f"mailto://127.0.0.1:{mails.port}?from=a@example.com&to=b@example.com"
        entries = (in_file(tmp_path, url, timeout=0.2), of_kind(ReceiverKind.WEBHOOK, well))
        async with telling(*entries, give_up=2) as told:
            began = time.monotonic()
            told.finish()
            await well.got(1)
            assert time.monotonic() - began < 2
            await told.until(sent=1, failed=1)
            assert sum(each.name == "notice by Apprise" for each in threading.enumerate()) == 1
            assert "still hangs" in told.log or "no answer within" in told.log
