"""Posting notices to receivers that are slow, fail, hang or redirect: bounded, counted, and nobody's secret told."""

from __future__ import annotations

import asyncio
import contextlib
import io
import logging
import os
import ssl
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import structlog

from real.controller.receivers import HANG, receiving
from rearguard_controller.adapters.notices import delivery
from rearguard_controller.adapters.notices.delivery import Notify
from rearguard_controller.config import NotifyEntry
from rearguard_controller.errors import ConfigError
from rearguard_controller.model import NoticeEvent
from rearguard_controller.service import logs
from unit.controller.factories import NOW, alert, decision, rollback

ALL = frozenset(NoticeEvent)
CERTIFICATES = Path(__file__).parents[2] / "unit" / "controller"


class Told:
    """A `Notify` with a short back-off, what it counted, and what it logged."""

    def __init__(self, notify_, counted, written):
        self.notify, self.counted, self._written = notify_, counted, written

    @property
    def log(self):
        return self._written.getvalue()

    def use(self, **more):
        self.notify.use([receiver.entry for receiver in self.notify._receivers], **more)

    def finish(self, number=1):
        for each in range(number):
            self.notify.finished(rollback(f"r{each}"), decision())

    async def until(self, **results):
        """Wait until exactly this was counted, over all services."""
        deadline = time.monotonic() + 10
        while (found := Counter(dict.fromkeys(results, 0))) is not None:
            for (_, result), number in self.counted.items():
                found[result] += number
            if found == results:
                return
            assert time.monotonic() < deadline, (self.counted, self.log)
            await asyncio.sleep(0.01)


@contextlib.contextmanager
def logging_to(stream):
    """Lines go there as in production; afterwards logging is as it was, for the tests after this one."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    logs.configure(stream=stream, level="debug", as_json=True)
    try:
        yield
    finally:
        structlog.reset_defaults()
        root.handlers[:], root.level = handlers, level


@contextlib.asynccontextmanager
async def telling(*entries, back_off=0.01, give_up=5.0):
    written, counted = io.StringIO(), Counter()

    def count(service, result):
        counted[service, result] += 1

    with logging_to(written):
        it = Notify(count, back_off=back_off, give_up=give_up)
        it.use(entries)
        try:
            yield Told(it, counted, written)
        finally:
            await it.close(grace=0)


def entry(url, **fields):
    return NotifyEntry(**{"events": ALL, "url": url, "timeout": 1.0, **fields})


# --- what a receiver answers -------------------------------------------------------------------------------------


async def test_a_notice_says_what_happened_in_the_shapes_of_the_api_and_in_a_sentence():
    async with receiving() as receiver, telling(entry(receiver.url)) as notices:
        notices.finish()
        [body] = await receiver.got(1)
    told = {"event", "at", "target", "alert", "decision", "rollback", "text", "title", "severity", "facts"}
    assert set(body) == told
    assert (body["event"], body["target"], body["at"]) == ("finished", "checkout", "1970-01-12T13:46:40.000Z")
    assert (body["rollback"]["id"], body["decision"]["id"]) == ("r0", "d1")
    assert body["alert"]["labels"]["alertname"] == "ReleaseErrorRate"
    assert body["text"].startswith("The rollback of checkout from v2 to v1 ended as")
    assert receiver.headers[0]["Content-Type"] == "application/json"


async def test_an_answer_500_is_tried_again_until_it_is_200_and_counts_once():
    async with receiving(500, 503, 200) as receiver, telling(entry(receiver.url)) as told:
        told.finish()
        await told.until(sent=1)
        assert receiver.events == ["finished"] * 3


async def test_a_receiver_that_always_fails_is_given_up_after_five_attempts_and_the_next_notice_is_tried():
    async with receiving(*[500] * 5, 200) as receiver, telling(entry(receiver.url)) as told:
        told.finish(2)
        await told.until(failed=1, sent=1)
        assert [body["rollback"]["id"] for body in receiver.posted] == ["r0"] * 5 + ["r1"]
        assert "answered 500" in told.log


async def test_a_refusal_that_another_attempt_would_not_change_is_final():
    async with receiving(403) as receiver, telling(entry(receiver.url)) as told:
        told.finish()
        await told.until(refused=1)
        assert len(receiver.posted) == 1


async def test_a_redirect_is_not_followed():
    async with receiving() as elsewhere, receiving(elsewhere.url) as receiver, telling(entry(receiver.url)) as told:
        told.finish()
        await told.until(refused=1)
        assert (len(receiver.posted), elsewhere.posted) == (1, [])
        assert elsewhere.host not in told.log


async def test_a_receiver_that_hangs_is_given_up_in_time_and_holds_up_no_other():
    async with receiving(HANG) as hanging, receiving() as well:
        entries = (entry(hanging.url, name="slow", timeout=0.1), entry(well.url, name="quick"))
        async with telling(*entries, give_up=0.3) as told:
            began = time.monotonic()
            told.finish(2)
            await well.got(2)
            assert time.monotonic() - began < 0.3
            await told.until(sent=2, failed=2)
            assert time.monotonic() - began < 3
            assert told.counted["slow", "failed"] == 2


async def test_nobody_there_is_a_failure_like_any_other():
    async with telling(entry("http://127.0.0.1:9/x")) as told:
        told.finish()
        await told.until(failed=1)


async def test_a_certificate_that_nobody_vouches_for_is_refused():
    served = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    served.load_cert_chain(CERTIFICATES / "loopback-cert.pem", CERTIFICATES / "loopback-key.pem")
    async with receiving(ssl_context=served) as receiver:
        async with telling(entry(f"https://{receiver.host}/x")) as told:
            told.finish()
            await told.until(failed=1)
            assert "its certificate is not to be trusted" in told.log
        assert receiver.posted == []


# --- what waits ----------------------------------------------------------------------------------------------------


async def test_what_waits_is_bounded_alerts_go_first_then_the_oldest_and_each_is_counted():
    async with receiving(HANG) as receiver, telling(entry(receiver.url, timeout=60), give_up=60) as told:
        told.finish()
        await receiver.got(1)  # it is being posted, and waits no more
        told.notify.started(rollback(), decision())
        for number in range(delivery.QUEUE - 1):
            told.notify.alerts([(alert(f"A{number}"), NOW)], lambda _: None)
        told.finish(delivery.QUEUE - 1)
        await told.until(dropped=delivery.QUEUE - 1)
        [waits] = told.notify._receivers
        events = [notice.event for notice in waits._waiting]
        assert events == [NoticeEvent.STARTED] + [NoticeEvent.FINISHED] * (delivery.QUEUE - 1)
        told.finish(1)
        await told.until(dropped=delivery.QUEUE)
        assert {notice.event for notice in waits._waiting} == {NoticeEvent.FINISHED}
        assert told.log.count("notices_dropped") == 1


async def test_a_receiver_is_told_only_of_its_events():
    async with receiving() as receiver, telling(entry(receiver.url, events=frozenset({NoticeEvent.DECIDED}))) as told:
        told.finish()
        told.notify.decided(decision(), None)
        await told.until(sent=1)
        assert receiver.events == ["decided"]


async def test_the_end_gives_what_waits_a_short_time_and_no_more():
    async with receiving() as well, receiving(HANG) as hanging:
        entries = (entry(well.url, name="quick"), entry(hanging.url, name="slow", timeout=60))
        async with telling(*entries, give_up=60) as told:
            told.finish(3)
            began = time.monotonic()
            await told.notify.close(grace=2)
            assert time.monotonic() - began < 10
            assert told.counted == {("quick", "sent"): 3, ("slow", "dropped"): 3}


async def test_what_waits_for_an_entry_that_is_corrected_goes_to_its_new_address_and_nothing_to_the_old_one():
    async with receiving(HANG) as before, receiving() as after:
        old = entry(before.url, name="chat", timeout=60)
        async with telling(old, give_up=60) as told:
            told.finish(3)
            await before.got(1)
            told.notify.use([replace(old, url=after.url)])
            await told.until(dropped=1, sent=2)
            assert [body["rollback"]["id"] for body in after.posted] == ["r1", "r2"]
            assert len(before.posted) == 1


async def test_an_entry_that_stays_goes_on_through_a_reload():
    async with receiving() as receiver, telling(entry(receiver.url)) as told:
        told.finish(3)
        told.notify.use([entry(receiver.url), entry("http://127.0.0.1:9/x", name="another")])
        await told.until(sent=3)


# --- alerts --------------------------------------------------------------------------------------------------------


async def test_an_alert_is_told_once_and_again_when_its_status_changes():
    async with receiving() as receiver, telling(entry(receiver.url)) as told:
        for firing in (True, True, False, False, True):
            told.notify.alerts([(replace(alert(), firing=firing), NOW)], lambda _: "checkout")
        told.notify.alerts([(alert(pod="b"), NOW)], lambda _: "checkout")
        await told.until(sent=4)
        assert [body["alert"]["status"] for body in receiver.posted] == ["firing", "resolved", "firing", "firing"]
        assert receiver.posted[1]["text"] == "ReleaseErrorRate for checkout is over."
        assert told.log.count('"message": "alert"') == 4


async def test_of_alerts_that_come_together_each_is_told_and_those_that_differ_only_in_labels_share_a_line():
    async with receiving() as receiver, telling(entry(receiver.url)) as told:
        came = [*(alert(pod=pod) for pod in "aabc"), alert("Other"), replace(alert(pod="d"), firing=False)]
        told.notify.alerts([(each, NOW) for each in came], lambda _: "checkout")
        await told.until(sent=5)
        assert told.log.count('"message": "alert"') == 3
        assert told.log.count('"rearguard.alike": 2') == 1


# --- secrets -------------------------------------------------------------------------------------------------------


async def test_the_file_of_an_address_and_of_headers_is_read_again_at_each_use(tmp_path):
    (tmp_path / "url").write_text("")
    (tmp_path / "headers").write_text("# ours\n\nAuthorization: Bearer one\n")
    async with receiving() as receiver:
        (tmp_path / "url").write_text(f"{receiver.url}/first\n")
        it = entry(None, url_file=tmp_path / "url", headers_file=tmp_path / "headers")
        async with telling(it) as told:
            told.finish()
            await told.until(sent=1)
            (tmp_path / "url").write_text(f"{receiver.url}/second\n")
            (tmp_path / "headers").write_text("Authorization: Bearer two\n")
            told.finish()
            await told.until(sent=2)
            assert told.counted == {("127.0.0.1", "sent"): 2}
    assert receiver.paths == ["/hook/first", "/hook/second"]
    assert [each["Authorization"] for each in receiver.headers] == ["Bearer one", "Bearer two"]


async def test_a_file_that_is_being_replaced_is_waited_for(tmp_path):
    async with receiving() as receiver, telling(entry(None, url_file=tmp_path / "url"), back_off=0.1) as told:
        told.finish()
        (tmp_path / "url").write_text(receiver.url)
        await told.until(sent=1)
        assert told.counted == {("unknown", "sent"): 1}
        told.notify.use([entry(None, url_file=tmp_path / "url")])
        assert told.notify.services == ("127.0.0.1",)


@pytest.mark.parametrize(
    "content",
    [
        "http://u:Secret-pw@{host}/Secret-path?key=Secret-query",
        "http://127.0.0.1:9/Secret-path",
        "http://nowhere.invalid/Secret-path",
        "http://a..b/Secret-path",
        "Secret-without-scheme",
        "http://Secret words/Secret-path",
        "http://127.0.0.1:99999/Secret-port",
        "http://[Secret/Secret-path",
        "ftp://127.0.0.1/Secret-path",
        "",
    ],
)
async def test_nothing_of_an_address_but_its_host_is_ever_told_whatever_fails(tmp_path, content):
    async with receiving(404) as receiver:
        (tmp_path / "url").write_text(content.replace("{host}", receiver.host))
        (tmp_path / "headers").write_text("X-Key: Secret-header\n")
        patience = 9.0 if content.startswith("ftp:") else 1.0  # a library has to be loaded
        it = entry(None, url_file=tmp_path / "url", headers_file=tmp_path / "headers", timeout=patience)
        async with telling(it, give_up=patience) as told:
            told.finish()
            await told.until(**{"refused" if "{host}" in content or content.startswith("ftp:") else "failed": 1})
            assert "notice_not_sent" in told.log
            assert "Secret" not in told.log + str(told.counted)


@pytest.mark.parametrize("line", ["Secret-without-colon", "X-Key: Secret\x00value", "Bad name: Secret-value"])
async def test_headers_that_cannot_be_sent_are_a_failure_that_does_not_tell_them(tmp_path, line):
    (tmp_path / "headers").write_text(f"{line}\n")
    async with (
        receiving(404) as receiver,
        telling(entry(receiver.url, headers_file=tmp_path / "headers")) as told,
    ):
        told.finish()
        await told.until(failed=1)
        assert "line 1 of the headers file" in told.log
        assert "Secret" not in told.log


def test_what_check_says_of_a_file_names_it_and_nothing_of_what_stands_in_it(tmp_path):
    file = tmp_path / "url"
    for content in (None, "Secret", "http://Secret words"):
        if content is not None:
            file.write_text(content)
        with pytest.raises(ConfigError) as refused:
            delivery.check(entry(None, url_file=file))
        assert str(file) in refused.value.message
        assert "Secret" not in f"{refused.value.message} {refused.value.hint}"


def test_an_address_file_that_is_a_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "url")
    with pytest.raises(ConfigError, match="cannot be read"):
        delivery.check(entry(None, url_file=tmp_path / "url"))
