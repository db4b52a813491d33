"""What Alertmanager might answer, at the wire, and how its silences are read."""

import json

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from rearguard_controller.adapters.alertmanager import Alertmanager, answers
from rearguard_controller.adapters.foreign_json import ShapeError
from rearguard_controller.config import AlertmanagerSettings
from rearguard_controller.config.http_config import HttpConfig
from rearguard_controller.errors import SourceError
from rearguard_controller.facts.silences import FAILURE_HOLDS, READING_HOLDS, Silences, _fits
from unit.controller.factories import alert

START = 1_767_225_600.0  # 2026-01-01T00:00:00Z


@pytest.fixture
async def wire():
    """A server that answers whatever a test says, by path; remembers what it was asked."""
    state = {"status": 200, "alerts": [], "silences": [], "seen": []}

    async def answer(request: web.Request) -> web.Response:
        state["seen"].append((request.path, request.headers.get("Authorization")))
        body = state[request.path.rpartition("/")[2]]
        text = body if isinstance(body, str) else json.dumps(body)
        return web.Response(status=state["status"], text=text)

    app = web.Application()
    app.router.add_get("/api/v2/{what}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    state["url"] = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield state
    await runner.cleanup()


@pytest.fixture
async def edge(wire, tmp_path):
    (tmp_path / "token").write_text("s3cret\n")
    made = Alertmanager(AlertmanagerSettings((wire["url"],), http=HttpConfig(tmp_path / "token")))
    yield made
    await made.close()


class Clock:
    """A clock that a test sets."""

    def __init__(self):
        self.now = START

    def __call__(self):
        return self.now


def silence(*matchers, starts="2026-01-01T00:00:00.000Z", ends="2026-01-01T01:00:00.000Z", state="active"):
    return {
        "id": "s1",
        "status": {"state": state},
        "startsAt": starts,
        "endsAt": ends,
        "matchers": [
            {"name": "alertname", "value": "X", "isRegex": False, "isEqual": True, **each} for each in matchers
        ],
    }


@pytest.mark.parametrize(
    ("status", "body", "part"),
    [
        (200, "", "did not answer in JSON"),
        (200, "<html>", "did not answer in JSON"),
        (200, "{}", "alerts is no list"),
        (200, '[{"labels": {}}]', "alerts[0].status is no object"),
        (200, '[{"labels": {}, "status": {"silencedBy": "a"}}]', "silencedBy is no list"),
        (401, "Unauthorized", "401"),
        (404, "404 page not found", "404"),
        (500, '"boom"', "boom"),
        (503, '{"code": 503, "message": "not ready"}', "not ready"),
    ],
)
async def test_any_wrong_answer_is_a_source_error_with_a_sentence_and_a_hint(wire, edge, status, body, part):
    wire["status"], wire["alerts"] = status, body
    with pytest.raises(SourceError) as caught:
        await edge.alerts(only_held=True)
    assert part in caught.value.message
    assert "Alertmanager" in caught.value.message
    assert "lertmanager" in caught.value.hint
    assert wire["seen"] == [("/api/v2/alerts", "Bearer s3cret")]


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(),
    lambda each: st.lists(each) | st.dictionaries(st.text() | st.sampled_from(["labels", "status", "id"]), each),
    max_leaves=10,
)


@pytest.mark.parametrize("shape", [answers.alerts, answers.silences])
@given(data=JSON)
def test_no_document_raises_anything_but_the_shape_error(shape, data):
    problem = ""
    try:
        shape(data)
    except ShapeError as error:
        problem = str(error)
    assert "\n" not in problem


@pytest.mark.parametrize(
    ("matchers", "silenced"),
    [
        ([{"value": "ReleaseErrorRate"}], True),
        ([{"value": "Release"}], False),
        ([{"value": "Release.*", "isRegex": True}], True),
        ([{"value": "Release", "isRegex": True}], False),  # anchored, as Alertmanager has it
        ([{"value": "Other", "isEqual": False}], True),
        ([{"value": "Release.*", "isRegex": True, "isEqual": False}], False),
        ([{"value": "ReleaseErrorRate"}, {"name": "team", "value": "shop"}], False),
        ([{"value": "ReleaseErrorRate"}, {"name": "team", "value": ""}], True),  # absent is empty
        ([{"value": r"\pL+", "isRegex": True}], True),  # Go's syntax, of an alert that Alertmanager does not know
        ([{"value": r"\pL+", "isRegex": True}, {"name": "team", "value": "shop"}], False),
    ],
)
async def test_a_silence_is_compared_with_an_alert_as_alertmanager_does(wire, edge, matchers, silenced):
    wire["silences"] = [silence(*matchers)]
    kept = Silences(edge, clock=Clock(), monotonic=Clock())
    await kept.look()
    assert (kept.of(alert()).until is not None) is silenced


@pytest.mark.parametrize(
    ("pattern", "value", "fits"),
    [
        ("", "", True),
        ("shop-.*", "shop-eu", True),
        ("shop|basket", "basket", True),
        ("shop|basket", "baskets", False),
        ("(shop|basket)-[0-9]+", "shop-12", True),
        ("^(?:a|b)?c$", "bc", True),
        (r"10\.0\.0\.\d+:9090", "10.0.0.17:9090", True),
        (r"10\.0\.0\.\d+:9090", "10x0.0.17:9090", False),
        ("a.*|b.*|c.*|d.*|e.*", "eee", True),
        ("(a+)+", "a" * 60 + "b", None),
        ("(a|a)*", "a" * 60 + "b", None),
        ("(?i)shop", "SHOP", None),
        (".*a.*a.*a.*", "a" * 200, None),
        ("a{3}", "aaa", None),
        ("[[:alpha:]]+", "abc", None),
        ("(", "(", None),
        ("x*", "x" * 300, None),
    ],
)
def test_simple_expressions_are_compared_here_and_costly_or_foreign_ones_are_not(pattern, value, fits):
    assert _fits(pattern, value) is fits


@given(st.text("ab.*+?|()[]^$\\d{", max_size=12), st.text("ab1", max_size=12))
def test_no_expression_breaks_a_judgement(pattern, value):
    assert _fits(pattern, value) in (True, False, None)


async def test_alertmanager_itself_says_whether_a_costly_expression_fits_an_alert_that_it_knows(wire, edge):
    wire["silences"] = [silence({"value": "(Release|Error)+", "isRegex": True})]
    known = {"labels": {**alert().labels, "cluster": "eu"}, "status": {"silencedBy": [], "inhibitedBy": []}}
    wire["alerts"], monotonic = [known], Clock()
    kept = Silences(edge, clock=Clock(), monotonic=monotonic)
    await kept.look()
    assert kept.of(alert()).silence == ""
    monotonic.now += READING_HOLDS
    known["status"]["silencedBy"] = ["s1"]
    await kept.look()
    assert kept.of(alert()).silence == "silence s1"


async def test_a_silence_that_is_made_between_the_two_readings_counts(wire, edge):
    wire["alerts"] = [{"labels": alert().labels, "status": {"silencedBy": ["new"], "inhibitedBy": []}}]
    kept = Silences(edge, clock=Clock(), monotonic=Clock())
    await kept.look()
    assert (kept.of(alert()).silence, kept.of(alert()).until) == ("silence new", None)


async def test_a_silence_holds_from_its_start_to_its_end_and_not_once_it_is_expired(wire, edge):
    later = {"starts": "2026-01-01T00:10:00Z", "ends": "2026-01-01T00:20:00Z", "state": "pending"}
    wire["silences"] = [silence({"value": "ReleaseErrorRate"}, **later), silence({"name": "a"}, state="expired")]
    wire["silences"][1]["matchers"] = []
    clock = Clock()
    kept = Silences(edge, clock=clock, monotonic=Clock())
    await kept.look()
    found = []
    for minute in (0, 10, 19, 20):
        clock.now = START + 60 * minute
        found.append(kept.of(alert()).until)
    assert found == [None, START + 1200, START + 1200, None]


async def test_judgements_within_a_second_share_one_reading_and_a_failure_is_not_repeated_at_once(wire, edge):
    monotonic = Clock()
    kept = Silences(edge, clock=Clock(), monotonic=monotonic)
    for _ in range(3):
        await kept.look()
    assert len(wire["seen"]) == 2
    monotonic.now += READING_HOLDS
    wire["status"] = 500
    await kept.look()
    monotonic.now += FAILURE_HOLDS / 2
    await kept.look()
    assert len(wire["seen"]) == 3
    assert (kept.of(alert()).age, "500" in kept.of(alert()).fault) == (READING_HOLDS + FAILURE_HOLDS / 2, True)
    monotonic.now += FAILURE_HOLDS
    wire["status"] = 200
    await kept.look()
    assert (kept.of(alert()).age, kept.of(alert()).fault) == (0.0, "")
