"""What joins notices to incidents, releases and graphs, in each service's own wire format over a real socket."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from real.controller.notice_kit import NASTY, URL, closed, story, with_token
from real.controller.receivers import receiving
from real.controller.test_notify import ALL, telling
from rearguard_controller.adapters.notices.kinds import sentry
from rearguard_controller.adapters.notices.message import message
from rearguard_controller.adapters.notices.notice import Notice
from rearguard_controller.config import NotifyEntry, ReceiverKind
from rearguard_controller.model import Alert, NoticeEvent, Outcome
from unit.controller.factories import NOW, TARGET, alert, decision, release, rollback

# --- PagerDuty ---


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


# --- Opsgenie ---


async def test_opsgenie_gets_one_alert_for_a_rollback_that_closes_itself(tmp_path):
    taken = (202, {"result": "Request will be processed", "took": 0.1, "requestId": "x"}, {})
    async with (
        receiving(taken) as receiver,
        telling(with_token(tmp_path, ReceiverKind.OPSGENIE, receiver)) as told,
    ):
        story(told)
        await told.until(sent=3)
    alias = "rearguard%2Fr1"
    assert receiver.paths == [
        "/v2/alerts",
        "/v2/alerts",
        f"/v2/alerts/{alias}/notes?identifierType=alias",
        f"/v2/alerts/{alias}/close?identifierType=alias",
    ]
    assert {each["Authorization"] for each in receiver.headers} == {"GenieKey Secret-token"}
    first, _, note, close = receiver.posted
    assert (first["alias"], first["priority"]) == ("rearguard/r1", "P1")  # a person should approve
    assert "recovered, and v1 serves instead of v2" in close["note"]
    assert "has started" in note["note"]
    for body in receiver.posted[:2]:
        assert 0 < len(body["message"]) <= 130
        assert len(body["description"]) <= 15_000
        assert sum(len(name) + len(value) for name, value in body["details"].items()) <= 8000
        assert all(len(each) <= 50 for each in body["tags"])


# --- Sentry, Datadog, Grafana ---


def envelope(content):
    head, item, event, rest = content.split(b"\n")
    assert rest == b""
    head, item = json.loads(head), json.loads(item)
    assert (item["type"], item["length"]) == ("event", len(event))
    event = json.loads(event)
    assert head["event_id"] == event["event_id"]
    assert len(event["event_id"]) == 32
    int(event["event_id"], 16)
    assert event["level"] in ("fatal", "error", "warning", "info", "debug")
    assert all(len(value) <= 200 for value in event["tags"].values())
    return event


async def test_sentry_has_one_issue_for_a_version_tied_to_its_release_and_the_serving_release_is_marked(tmp_path):
    (tmp_path / "token").write_text("Secret-token\n")
    async with receiving((200, {"id": "x"}, {})) as receiver:
        (tmp_path / "dsn").write_text(f"http://0123key@{receiver.host}/prefix/42\n")
        entry = NotifyEntry(
            ALL,
            url_file=tmp_path / "dsn",
            kind=ReceiverKind.SENTRY,
            token_file=tmp_path / "token",
            organization="acme",
        )
        async with telling(entry) as told:
            story(told)
            await told.until(sent=3)
            assert "0123key" not in told.log + str(told.counted)
    assert receiver.paths == [
        *["/prefix/api/42/envelope/"] * 3,
        "/prefix/api/0/organizations/acme/releases/v1/deploys/",
    ]
    for headers in receiver.headers[:3]:
        assert headers["X-Sentry-Auth"].startswith("Sentry sentry_version=7, sentry_client=")
        assert headers["X-Sentry-Auth"].endswith("sentry_key=0123key")
        assert headers["Content-Type"] == "application/x-sentry-envelope"
    events = [envelope(each) for each in receiver.posted[:3]]
    assert {(each["release"], each["environment"]) for each in events} == {("v2", "production")}
    assert {tuple(each["fingerprint"]) for each in events} == {("rearguard", "checkout", "v2")}
    assert events[0]["tags"]["service_name"] == "checkout"
    assert receiver.headers[3]["Authorization"] == "Bearer Secret-token"
    assert (receiver.posted[3]["environment"], receiver.posted[3]["name"]) == ("production", "rollback r1")


@pytest.mark.parametrize(
    ("dsn", "api"),
    [
        ("https://o1.ingest.us.sentry.io", "https://us.sentry.io"),
        ("https://o1.ingest.sentry.io", "https://sentry.io"),
        ("https://sentry.example.com/base", "https://sentry.example.com/base"),
    ],
)
def test_the_api_of_sentry_is_found_from_its_dsn(dsn, api):
    assert sentry._api(dsn) == api


def test_a_notice_has_the_labels_of_the_metrics_by_whichever_name_and_none_that_nobody_told():
    older = {"service_name": "shop", "service_version": "unknown", "deployment_environment": "staging"}
    notice = Notice(NoticeEvent.ALERT, NOW, None, alert=Alert("HighErrorRate", older, starts_at=NOW))
    assert message(notice).tags() == {"service_name": "shop", "deployment_environment_name": "staging"}


@pytest.mark.parametrize("version", ["", "a/b", "a b", "..", "x" * 201, "a\\b"])
def test_a_version_that_sentry_would_refuse_is_no_release(version):
    assert not sentry.is_release(version)


async def test_datadog_gets_events_that_belong_together_and_a_deployment(tmp_path):
    taken = (202, {"status": "ok"}, {})
    async with receiving(taken) as receiver, telling(with_token(tmp_path, ReceiverKind.DATADOG, receiver)) as told:
        story(told)
        await told.until(sent=3)
    assert receiver.paths == [*["/api/v1/events"] * 3, "/api/v2/dora/deployment"]
    assert {each["DD-API-KEY"] for each in receiver.headers} == {"Secret-token"}
    for body in receiver.posted[:3]:
        assert 0 < len(body["title"]) <= 100
        assert len(body["text"]) <= 4000
        assert body["aggregation_key"] == "rearguard/r1"
        assert {"service:checkout", "env:production", "version:v2"} <= set(body["tags"])
    assert [body["alert_type"] for body in receiver.posted[:3]] == ["error", "warning", "success"]
    deployed = receiver.posted[3]["data"]["attributes"]
    assert (deployed["service"], deployed["version"], deployed["env"]) == ("checkout", "v1", "production")
    assert deployed["started_at"] < deployed["finished_at"] == (int(NOW) + 60) * 10**9


async def test_nothing_that_others_wrote_notifies_anybody_or_is_markup_in_datadog_or_grafana(tmp_path):
    it = replace(alert("A"), annotations={"summary": NASTY * 300})
    async with receiving((200, {"id": 1}, {})) as receiver:
        kinds = (ReceiverKind.DATADOG, ReceiverKind.GRAFANA)
        entries = [with_token(tmp_path, kind, receiver, name=kind.value) for kind in kinds]
        async with telling(*entries) as told:
            told.notify.alerts([(it, NOW)], lambda _: TARGET)
            await told.until(sent=2)
    for path, body in zip(receiver.paths, receiver.posted, strict=True):
        if "annotations" in path:
            assert "<" not in body["text"].replace("<br>", "")
        else:
            assert "%%%" not in body["text"]
            assert "@everyone" not in body["text"]


async def test_grafana_shows_the_time_of_a_rollback_as_one_region(tmp_path):
    made = (200, {"message": "Annotation added", "id": 77}, {})
    async with receiving(made) as receiver, telling(with_token(tmp_path, ReceiverKind.GRAFANA, receiver)) as told:
        story(told)
        await told.until(sent=2)
        told.notify.finished(closed(Outcome.FAILED, id="r9"), decision())  # it began before a restart
        await told.until(sent=3)
    assert list(zip(receiver.methods, receiver.paths, strict=True)) == [
        ("POST", "/api/annotations"),
        ("PATCH", "/api/annotations/77"),
        ("POST", "/api/annotations"),
    ]
    begun, ended, both = receiver.posted
    assert "timeEnd" not in begun
    assert ended["timeEnd"] == (int(NOW) + 60) * 1000
    assert (both["time"], both["timeEnd"]) == (int(NOW) * 1000, (int(NOW) + 60) * 1000)
    assert begun["tags"] == ["rearguard", "started", "checkout", "production"]
