"""What Prometheus might answer, at the wire; and how far back a figure reaches."""

import asyncio
import json
import ssl
import time
from pathlib import Path

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from rearguard_controller.adapters.foreign_json import ShapeError
from rearguard_controller.adapters.prometheus import (
    AlertingRule,
    Prometheus,
    RecordingRule,
    Rules,
    answers,
    clear_seconds,
    settle_seconds,
)
from rearguard_controller.config import PrometheusSettings
from rearguard_controller.config.http_config import HttpConfig, TlsConfig
from rearguard_controller.errors import SourceError
from rearguard_controller.model import AlertState


@pytest.fixture
async def wire():
    """A server that answers whatever a test says; remembers what it was asked."""
    state = {"status": 200, "body": b"", "seen": [], "delay": 0.0, "headers": {}}

    async def answer(request: web.Request) -> web.Response:
        state["seen"].append((request.path, dict(request.headers), dict(await request.post())))
        await asyncio.sleep(state["delay"])
        return web.Response(status=state["status"], body=state["body"], headers=state["headers"])

    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", answer)
    runner = web.AppRunner(app, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    state["url"] = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield state
    await runner.cleanup()


@pytest.fixture
async def asked(wire):
    """Prometheus at the wire."""
    edge = Prometheus(PrometheusSettings(urls=(wire["url"],)))
    yield edge
    await edge.close()


def success(data) -> bytes:
    return json.dumps({"status": "success", "data": data}).encode()


async def test_inf_is_a_value_and_nan_and_histograms_are_none(wire, asked):
    values = [[1, "+Inf"], [1, "-Inf"], [1, "NaN"], [1, "1e-3"]]
    result = [{"metric": {"n": str(index)}, "value": value} for index, value in enumerate(values)]
    result.append({"metric": {}, "histogram": [1, {"count": "3"}]})
    wire["body"] = success({"resultType": "vector", "result": result})
    found = [(sample.labels["n"], sample.value) for sample in await asked.query("x")]
    assert found == [("0", float("inf")), ("1", float("-inf")), ("3", 0.001)]


async def test_one_that_tells_no_time_is_asked_for_it_once_and_one_that_was_away_again(wire):
    edge = Prometheus(PrometheusSettings(urls=(wire["url"],)), clock=time.time)
    wire["status"] = 503
    for _ in range(2):
        with pytest.raises(SourceError):
            await edge.query("x")
    wire["status"], wire["body"] = 200, success({"resultType": "vector", "result": []})
    for _ in range(3):
        await edge.query("x")
    await edge.compare_clocks()  # as every poll does
    await edge.close()
    assert [form["query"] for _, _, form in wire["seen"]] == [*["time()", "x"] * 3, "x", "x", "time()"]


async def test_an_empty_answer_is_no_alerts_and_no_rules(wire, asked):
    wire["body"] = success({"alerts": None})
    assert await asked.alerts() == ()
    wire["body"] = success({"groups": []})
    assert await asked.rules() == Rules()


async def test_unknown_fields_states_and_rule_types_do_no_harm(wire, asked):
    wire["body"] = success({"alerts": [{"labels": {"alertname": "A"}, "state": "odd", "keepFiringSince": "x"}]})
    (alert,) = await asked.alerts()
    assert (alert.state, alert.active_at, alert.value, alert.annotations) == (AlertState.UNKNOWN, None, None, {})
    rule = {"type": "recording", "name": "r", "query": "x", "health": "ok"}
    group = {"name": "g", "interval": 5, "rules": [{"type": "future"}, rule]}
    wire["body"] = success({"groups": [group], "groupNextToken": ""})
    assert [found.name for found in (await asked.rules()).recording] == ["r"]


@pytest.mark.parametrize(
    ("status", "body", "part"),
    [
        (200, b"", "did not answer in JSON"),
        (200, b"<html>", "did not answer in JSON"),
        (200, b"[]", "did not answer in JSON"),
        (200, b'{"status": "error", "error": "out of luck"}', "out of luck"),
        (200, success(None), "unexpected answer"),
        (200, success({"resultType": "vector"}) + b"x", "JSON"),
        (200, success({"resultType": "vector", "result": 5}), "data.result is no list"),
        (200, success({"resultType": "vector", "result": [{"metric": {}, "value": 1}]}), "no pair"),
        (200, success({"resultType": "vector", "result": [{"metric": {}, "value": [1, "x"]}]}), "no number"),
        (200, success({"resultType": "vector", "result": [{"metric": {"a": 1}, "value": [1, "1"]}]}), "no text"),
        (200, success({"resultType": "string", "result": [1, "x"]}), "one value per series"),
        (200, b"[" * 100_000, "did not answer in JSON"),
        (302, b"", "302"),
        (401, b"Unauthorized", "401"),
        (422, b'{"status":"error","errorType":"execution","error":"many-to-many"}', "many-to-many"),
        (500, b'{"status":"error","error":"boom"}', "boom"),
        (503, b"Service Unavailable", "503"),
    ],
)
async def test_any_wrong_answer_is_a_source_error_with_a_sentence_and_a_hint(wire, asked, status, body, part):
    wire["status"], wire["body"] = status, body
    if status == 302:
        wire["headers"] = {"Location": wire["url"] + "/elsewhere"}
    with pytest.raises(SourceError) as caught:
        await asked.query("x")
    assert part in caught.value.message
    assert caught.value.hint
    assert len(wire["seen"]) == 1


async def test_an_answer_beyond_the_cap_is_refused(wire, asked):
    wire["body"] = b" " * (16 * 1024 * 1024 + 1)
    with pytest.raises(SourceError, match="more than 16 MiB"):
        await asked.query("x")


async def test_an_answer_that_does_not_come_is_a_source_error_after_five_seconds(wire, asked):
    wire["delay"] = 20.0
    started = time.monotonic()
    with pytest.raises(SourceError, match="did not answer within 5 s"):
        await asked.query("x")
    assert 4.5 < time.monotonic() - started < 8.0


async def test_an_address_where_nobody_listens_is_a_source_error(unused_tcp_port):
    edge = Prometheus(PrometheusSettings(urls=(f"http://127.0.0.1:{unused_tcp_port}",)))
    with pytest.raises(SourceError, match="cannot be asked"):
        await edge.rules()
    await edge.close()


async def test_when_no_address_answers_each_is_named(wire, unused_tcp_port):
    wire["status"] = 503
    first = f"http://127.0.0.1:{unused_tcp_port}"
    edge = Prometheus(PrometheusSettings(urls=(first, wire["url"])))
    with pytest.raises(SourceError) as caught:
        await edge.alerts()
    await edge.close()
    assert first in caught.value.message
    assert wire["url"] in caught.value.message


async def test_a_bad_expression_is_not_carried_to_the_next_address(wire):
    wire["status"], wire["body"] = 400, b'{"status":"error","error":"parse error"}'
    edge = Prometheus(PrometheusSettings(urls=(wire["url"], wire["url"])))
    with pytest.raises(SourceError, match="parse error"):
        await edge.query("(")
    await edge.close()
    assert len(wire["seen"]) == 1


async def test_the_token_is_read_at_each_use(wire, tmp_path):
    file = tmp_path / "token"
    wire["body"] = success({"alerts": []})
    edge = Prometheus(PrometheusSettings(urls=(wire["url"],), http=HttpConfig(file)))
    for token in ("one", "two"):
        file.write_text(token + "\n")
        await edge.alerts()
    assert [headers["Authorization"] for _, headers, _ in wire["seen"]] == ["Bearer one", "Bearer two"]
    file.unlink()
    with pytest.raises(SourceError, match="token file"):
        await edge.alerts()
    await edge.close()


async def test_moments_and_expressions_arrive_as_given(wire, asked):
    wire["body"] = success({"resultType": "matrix", "result": []})
    expression = 'x{a="é+&=%"}'
    assert await asked.query_range(expression, 1.5, 61.5, 15.0) == ()
    path, _, fields = wire["seen"][0]
    assert path == "/api/v1/query_range"
    whole = {"partial_response": "false", "deny_partial_response": "1"}  # of Thanos, and of VictoriaMetrics' cluster
    assert fields == {"query": expression, "start": "1.500", "end": "61.500", "step": "15", "timeout": "5s", **whole}


async def test_the_certificate_must_lead_to_the_ca_file():
    folder = Path(__file__).parent  # a certificate for 127.0.0.1 that signs itself, and its key: for this test only
    key, certificate = folder / "loopback-key.pem", folder / "loopback-cert.pem"
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)

    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=success({"alerts": []}))

    app = web.Application()
    app.router.add_get("/api/v1/alerts", answer)
    runner = web.AppRunner(app, handler_cancellation=True)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
        url = f"https://127.0.0.1:{runner.addresses[0][1]}"
        trusting = Prometheus(PrometheusSettings(urls=(url,), http=HttpConfig(tls=TlsConfig(certificate))))
        assert await trusting.alerts() == ()
        await trusting.close()
        strict = Prometheus(PrometheusSettings(urls=(url,)))
        with pytest.raises(SourceError, match="certificate"):
            await strict.alerts()
        await strict.close()
        lost = Prometheus(PrometheusSettings(urls=(url,), http=HttpConfig(tls=TlsConfig(key))))
        with pytest.raises(SourceError, match="cannot be used"):
            await lost.alerts()
        await lost.close()
    finally:
        await runner.cleanup()


NAMES = [
    "alerts",
    "groups",
    "rules",
    "result",
    "resultType",
    "metric",
    "value",
    "labels",
    "state",
    "name",
    "type",
    "query",
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4),
    max_leaves=15,
)


@pytest.mark.parametrize("shape", [answers.alerts, answers.rules, answers.samples, answers.series])
@given(data=JSON)
def test_no_document_raises_anything_but_the_shape_error(shape, data):
    problem = ""
    try:
        shape(data)
    except ShapeError as error:
        problem = str(error)
    assert "\n" not in problem


# --- how far back ----------------------------------------------------------------------------------------------


def recorded(name: str, query: str, interval: float) -> RecordingRule:
    return RecordingRule(name, query, {}, "ok", "", "g", interval)


RULES = Rules(
    recording=(
        recorded("a:errors:rate1m", 'sum by (a) (rate(errors_total{x="[9h]"}[1m]))', 5.0),
        recorded("a:requests:rate30s", "sum by (a) (rate(requests_total[30s]))", 5.0),
        recorded("a:ratio", "a:errors:rate1m / a:requests:rate30s", 15.0),
        recorded("a:threshold", "vector(0.1)", 60.0),
        recorded("twice", "x[1m]", 5.0),
        recorded("twice", "x[3m]", 5.0),
        recorded("loop:a", "loop:b + x[2m]", 5.0),
        recorded("loop:b", "loop:a + x[1m]", 5.0),
    )
)


@pytest.mark.parametrize(
    ("figure", "seconds"),
    [
        ("up", 0.0),
        ("", 0.0),
        ("db_up == 0", 0.0),
        ("rate(x[1m])", 60.0),
        ("rate(x[1m30s])", 90.0),
        ("rate(x[ 45s ])", 45.0),
        ("rate(x[90])", 90.0),
        ("rate(x[30s]) / rate(y[2m])", 120.0),
        ("rate(x[1m] offset 10m)", 660.0),
        ("rate(x[1m] offset -10m)", 60.0),
        ("x offset 5m", 300.0),
        ("sum(rate(x[1m])) offset 30s", 90.0),
        ("max_over_time(rate(x[1m])[5m:30s])", 360.0),
        ("max_over_time(x[30s:5s])", 30.0),
        ("max_over_time((a + rate(b[1m]))[5m:]) + c", 360.0),
        ("x{a=\"[1h]\", b=~'[2h]', c!=`[3h]`}", 0.0),
        ('x{a="}[1h]"}[1m]', 60.0),
        ('x{a="\\"[1h]"}', 0.0),
        ("x # [1h]\n + y", 0.0),
        ('{__name__="x"}[2m]', 120.0),
        ("sum by (twice) (x)", 0.0),
        ("x / on (twice) group_left (twice) y", 0.0),
        ("x[1m] @ end()", 60.0),
        ("a:requests:rate30s", 35.0),
        ("a:ratio", 80.0),
        ("a:ratio > bool a:threshold", 80.0),
        ("a:threshold", 60.0),
        ("a:ratio offset 1m", 140.0),
        ("twice", 185.0),
        ("rate(x[$__rate_interval])", 300.0),
        ("(((((", 0.0),
        (")))]]]", 0.0),
    ],
)
def test_the_settle_time_is_the_longest_way_back(figure, seconds):
    assert settle_seconds(figure, RULES) == seconds


def test_what_a_figure_is_compared_with_may_be_older_than_a_rollback():
    figure = "rate(x[30s]) / a:threshold"
    assert settle_seconds(figure, RULES) == 60.0
    assert settle_seconds(figure, RULES, ["a:threshold"]) == 30.0
    assert settle_seconds(figure, RULES) == 60.0
    assert settle_seconds(figure, RULES, ["of_nobody"]) == 60.0


def clears(expression, figure):
    """Seconds that an alert with this expression may linger, without the 5 s of its own evaluation."""
    rule = AlertingRule("A", expression, {}, {}, 0.0, "ok", "", "g", interval=5.0)
    return clear_seconds(rule, RULES, figure) - 5.0


@pytest.mark.parametrize(
    ("expression", "seconds"),
    [
        ("a:ratio > 0.1", 80.0),
        ("last_over_time(a:ratio[20s]) > a:threshold and rate(x[1h]) > 1", 100.0),
        ("rate(x[1h]) > 1 and on (pod) (last_over_time(a:ratio[20s]) > 0.1)", 100.0),
        ("a:ratio > 0.1 unless rate(x[1h]) > 1", 80.0),
        ("(a:ratio > 0.1 and rate(x[1h]) > 1) * 0", 80.0),
        ("a:ratio > 0.1 and x offset 1h AND y", 80.0),
        ("a:ratio > 0.1 or rate(x[1h]) > 1", 3600.0),  # the other one may fire by itself
        ("(a:ratio > 0.1 or rate(x[1h]) > 1) and y", 3600.0),
        ("a:ratio * rate(x[1h]) > 0.1", 3600.0),  # it is part of what is compared
        ("a:ratio > avg_over_time(x[1h])", 3600.0),
        ("rate(x[1h]) > 1 unless a:ratio < 0.1", 3600.0),  # it only keeps the alert from firing
        ("rate(x[1h]) > 1", 3600.0),  # the figure is not there
        ("f(a:ratio and y, rate(x[1h]))", 3600.0),
    ],
)
def test_what_is_only_joined_to_the_figure_does_not_keep_an_alert_firing(expression, seconds):
    assert clears(expression, "a:ratio") == seconds
    assert clears("a:ratio > 0.1 and rate(x[1h]) > 1", "rate(x[1h])") == 3600.0  # no name that could be looked for


@given(
    st.lists(st.sampled_from(["a:ratio", "x[1m]", " and ", " unless ", " or ", "(", ")", ",", "[2h:]"]), max_size=20)
)
def test_a_figure_only_ever_shortens_the_time_that_an_alert_may_linger(pieces):
    assert 0.0 <= clears("".join(pieces), "a:ratio") <= clears("".join(pieces), "")


def test_rules_that_refer_to_each_other_end():
    assert 120.0 <= settle_seconds("loop:a", RULES) < 200.0


@given(st.text(alphabet="x[]{}()\"'`#:,5ms offset@\\\n", max_size=200))
def test_the_scan_never_fails(figure):
    assert settle_seconds(figure, RULES) >= 0.0


@pytest.mark.parametrize("piece", ["{", "[", '"', "(", '{"a"', "'{[", "a[1m]"])
def test_hostile_figures_are_scanned_quickly(piece):
    started = time.process_time()
    settle_seconds((piece * 100_000)[:100_000], RULES)
    settle_seconds((piece * 8_000)[:8_000], RULES)
    assert time.process_time() - started < 2.0
