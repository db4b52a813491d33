"""Alertmanager's webhook body becomes alerts, or one typed error that names the place."""

import copy
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rearguard_controller.api import webhook_body
from rearguard_controller.errors import InvalidInputError
from rearguard_controller.model.identity import key_of

# As Alertmanager 0.25 writes it (captured fields; values shortened).
BODY = {
    "receiver": "rearguard",
    "status": "firing",
    "alerts": [
        {
            "status": "firing",
            "labels": {"alertname": "HighErrorRate", "service_name": "checkout", "action": "rollback"},
            "annotations": {"summary": "Too many requests fail", "figure": "x"},
            "startsAt": "2026-11-23T05:24:00.123456789Z",
            "endsAt": "0001-01-01T00:00:00Z",
            "generatorURL": "http://prometheus:9090/graph?g0.expr=x",
            "fingerprint": "a1b2c3d4e5f60718",
        },
        {"status": "resolved", "labels": {"alertname": "Down"}, "startsAt": "2026-11-23T07:24:00+02:00"},
    ],
    "groupLabels": {},
    "commonLabels": {},
    "commonAnnotations": {},
    "externalURL": "http://alertmanager:9093",
    "version": "4",
    "groupKey": '{}:{alertname="HighErrorRate"}',
    "truncatedAlerts": 0,
}


def encoded(**changes) -> bytes:
    return json.dumps({**BODY, **changes}).encode()


def with_alert(**changes) -> bytes:
    """The body with its second alert changed; None takes a key out."""
    body = copy.deepcopy(BODY)
    alert = {**body["alerts"][1], **changes}
    body["alerts"][1] = {key: value for key, value in alert.items() if value is not None}
    return json.dumps(body).encode()


def test_what_alertmanager_sends_is_read():
    first, second = webhook_body.parse(encoded())
    assert first.name == "HighErrorRate"
    assert first.labels == BODY["alerts"][0]["labels"]
    assert first.annotations == BODY["alerts"][0]["annotations"]
    assert first.firing
    assert first.starts_at == pytest.approx(1_795_411_440.123456)
    assert first.fingerprint == "a1b2c3d4e5f60718"
    assert first.source == "webhook"
    assert (second.name, second.firing, second.annotations, second.fingerprint) == ("Down", False, {}, "")
    assert second.starts_at == 1_795_411_440.0


def test_fields_of_other_versions_are_ignored():
    changes = {"notification_reason": "repeat interval elapsed", "routeLabels": {"a": 1}, "future": [None]}
    assert len(webhook_body.parse(encoded(**changes))) == 2
    assert len(webhook_body.parse(with_alert(future={"deep": [1]}, endsAt="whatever"))) == 2


def test_no_alerts_are_no_error():
    assert webhook_body.parse(encoded(alerts=[])) == ()


def test_the_zero_time_and_null_mean_not_known():
    assert webhook_body.parse(with_alert(startsAt="0001-01-01T00:00:00Z"))[1].starts_at is None
    body = json.loads(encoded())
    body["alerts"][1] |= {"startsAt": None, "annotations": None, "fingerprint": None}
    assert webhook_body.parse(json.dumps(body).encode())[1].starts_at is None


HOSTILE = ["; rm -rf /", "$(reboot)", "`id`", "a\nb", "--flag", "../../x", "\u202e", "", "x" * 60_000]


@pytest.mark.parametrize("value", HOSTILE)
def test_hostile_values_stay_what_they_are(value):
    alert = webhook_body.parse(with_alert(labels={"alertname": "A", "evil": value}))[1]
    assert alert.labels["evil"] == value


def test_of_a_key_that_stands_twice_the_last_one_counts():
    inner = b'{"status": "resolved", "status": "firing", "labels": {"alertname": "A", "alertname": "B"}}'
    [only] = webhook_body.parse(b'{"version": "3", "alerts": 7, "alerts": [' + inner + b'], "version": "4"}')
    assert (only.name, only.firing) == ("B", True)
    with pytest.raises(InvalidInputError):
        webhook_body.parse(b'{"version": "4", "alerts": [], "alerts": 7}')


def test_names_of_prometheus_3_are_labels():
    labels = {"alertname": "A", "http.route": "/", "größe": "1", 'a "b"': "2", "c\\d": "3", "{e}=": "4", " ": "5"}
    assert webhook_body.parse(with_alert(labels=labels, annotations=labels))[1].labels == labels


def test_no_labels_pass_for_the_labels_of_another_alert():
    sets = [{"a": "1", "b": "2"}, {"a": "1,b=2"}, {"a": "1','b'='2"}, {"a=1,b": "2"}, {"a'='1','b": "2"}]
    parsed = [webhook_body.parse(with_alert(labels={"alertname": "A", **labels}))[1] for labels in sets]
    assert len({key_of(alert) for alert in parsed}) == len(sets)


@pytest.mark.parametrize("letter", ["x", "ä", "€", "\U0001f600"])
def test_an_annotation_that_is_too_long_is_cut_and_says_so_and_its_delivery_is_accepted(letter):
    size = len(letter.encode())
    fits, too_long = letter * (65_536 // size), letter * 70_000
    first, second = webhook_body.parse(with_alert(annotations={"a": fits, "b": too_long, "c": "short"}))
    assert first.name == "HighErrorRate"
    assert (second.annotations["a"], second.annotations["c"]) == (fits, "short")
    text, mark = second.annotations["b"].split(" … ")
    assert mark == f"(cut: it had {70_000 * size} bytes)"
    assert text == letter * len(text)
    assert 65_536 - 64 - size < len(second.annotations["b"].encode()) <= 65_536


@pytest.mark.parametrize("letter", ["x", "ä"])
def test_all_labels_of_an_alert_together_have_a_bound(letter):
    room = 65_536 - len("alertnameA") - 9 * len("l0")
    values = {f"l{number}": letter * (room // len(letter.encode()) // 9) for number in range(9)}
    assert webhook_body.parse(with_alert(labels={"alertname": "A", **values}))[1].labels["l8"] == values["l8"]
    with pytest.raises(InvalidInputError, match="65536 bytes") as caught:
        webhook_body.parse(with_alert(labels={"alertname": "A", **values, "one": letter * 64}))
    assert caught.value.field == "alerts[1].labels"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"", "body"),
        (b"{", "body"),
        (b"\xff\xfe", "body"),
        (b"null", "body"),
        (b"[]", "body"),
        (b"[" * 100_000, "body"),
        (b'{"alerts":' * 5_000 + b"1" + b"}" * 5_000, "body"),
        (b'{"alerts": NaN}', "body"),
        (b'{"alerts": 1e999}', "body"),
        (b'{"alerts": ' + b"9" * 5_000 + b"}", "body"),
        (b'{"alerts": "\\ud800"}', "body"),
        (b'{"a": "' + b"\xc3\x28" + b'"}', "body"),
        (b"{}", "alerts"),
        (encoded(alerts=None), "alerts"),
        (encoded(alerts={}), "alerts"),
        (encoded(alerts="x"), "alerts"),
        (encoded(alerts=[{}] * 10_001), "alerts"),
        (encoded(version="3"), "version"),
        (encoded(version=4), "version"),
        (encoded(alerts=[1]), "alerts[0]"),
        (encoded(alerts=[None]), "alerts[0]"),
        (with_alert(status="Firing"), "alerts[1].status"),
        (with_alert(status=["firing"]), "alerts[1].status"),
        (with_alert(status=None), "alerts[1].status"),
        (with_alert(labels=None), "alerts[1].labels"),
        (with_alert(labels=[]), "alerts[1].labels"),
        (with_alert(labels={}), "alerts[1].labels.alertname"),
        (with_alert(labels={"alertname": ""}), "alerts[1].labels.alertname"),
        (with_alert(labels={"alertname": 7}), "alerts[1].labels.alertname"),
        (with_alert(labels={"alertname": "A", "x": None}), "alerts[1].labels.x"),
        (with_alert(labels={"alertname": "A", "x": "a\0b"}), "alerts[1].labels.x"),
        (with_alert(labels={"alertname": "A", "x": "y" * 65_537}), "alerts[1].labels.x"),
        (with_alert(labels={"alertname": "A", "": "y"}), "alerts[1].labels"),
        (with_alert(labels={"alertname": "A", "x\0y": "y"}), "alerts[1].labels"),
        (with_alert(labels={"alertname": "A", "x\x85y": "y"}), "alerts[1].labels"),
        (with_alert(labels={"alertname": "A", "x\ny": "y"}), "alerts[1].labels"),
        (with_alert(labels={"alertname": "A", "x" * 1_025: "y"}), "alerts[1].labels"),
        (with_alert(labels={"alertname": "A"} | {f"l{n}": "" for n in range(256)}), "alerts[1].labels"),
        (with_alert(annotations=[]), "alerts[1].annotations"),
        (with_alert(annotations={"a": 1}), "alerts[1].annotations.a"),
        (with_alert(annotations={"a": "\0"}), "alerts[1].annotations.a"),
        (with_alert(startsAt=1), "alerts[1].startsAt"),
        (with_alert(startsAt="yesterday"), "alerts[1].startsAt"),
        (with_alert(startsAt="2026-13-01T00:00:00Z"), "alerts[1].startsAt"),
        (with_alert(startsAt="2026-01-01T00:00:00"), "alerts[1].startsAt"),
        (with_alert(startsAt="2026-W01-1T00:00:00Z"), "alerts[1].startsAt"),
        (with_alert(fingerprint=5), "alerts[1].fingerprint"),
        (with_alert(fingerprint="x" * 129), "alerts[1].fingerprint"),
    ],
)
def test_bad_input_is_one_typed_error_that_names_the_place(body, field):
    with pytest.raises(InvalidInputError) as caught:
        webhook_body.parse(body)
    assert caught.value.field == field
    assert len(caught.value.message) < 300
    assert "\n" not in caught.value.message


def test_a_name_that_is_repeated_in_an_error_cannot_end_a_line():
    with pytest.raises(InvalidInputError) as caught:
        webhook_body.parse(with_alert(status="x\ny\x1b[31m"))
    assert caught.value.message.isprintable()


def only_the_typed_error(body: bytes) -> None:
    place = "none"
    try:
        for alert in webhook_body.parse(body):
            assert alert.name
            assert alert.labels["alertname"] == alert.name
    except InvalidInputError as error:
        place = error.field
    assert place


@given(st.binary())
def test_no_bytes_raise_anything_but_the_typed_error(body):
    only_the_typed_error(body)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
NEAR_ALERT = st.fixed_dictionaries(
    {},
    optional={
        "status": st.sampled_from(["firing", "resolved"]) | JSON,
        "labels": st.dictionaries(st.sampled_from(["alertname", "x"]) | st.text(), st.text() | JSON, max_size=3)
        | JSON,
        "annotations": st.dictionaries(st.text(), st.text(), max_size=2) | JSON,
        "startsAt": st.datetimes().map(lambda moment: moment.isoformat() + "Z") | JSON,
        "fingerprint": JSON,
    },
)


@given(st.fixed_dictionaries({"alerts": st.lists(NEAR_ALERT, max_size=3) | JSON}))
def test_no_document_raises_anything_but_the_typed_error(document):
    only_the_typed_error(json.dumps(document).encode("utf-8", errors="surrogatepass"))
