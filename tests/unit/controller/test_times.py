"""A time from outside is within bounds, or refused at the door; whatever is stored can be shown."""

import json
import math

import orjson
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from rearguard_controller import json_views, wording
from rearguard_controller.adapters.alertmanager import answers as of_alertmanager
from rearguard_controller.adapters.foreign_json import ShapeError
from rearguard_controller.adapters.prometheus import Prometheus
from rearguard_controller.adapters.prometheus import answers as of_prometheus
from rearguard_controller.api import webhook_body
from rearguard_controller.cli import terminal
from rearguard_controller.config import PrometheusSettings
from rearguard_controller.errors import InvalidInputError
from rearguard_controller.model import Evidence, EvidenceSource, Sample
from rearguard_controller.times import moments
from unit.controller import factories as make
from unit.controller import hostile

TOO_LATE = ["9999-12-31T23:59:59-14:00", "9999-12-31T23:59:59Z", "9001-01-01T00:00:00Z"]
TOO_EARLY = ["0001-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00", "0001-12-31T23:59:59Z"]
NUMBERS = [math.nan, math.inf, -math.inf, 1e300, -1e300, 253402300800.0, -62135596801.0, 2.6e11, -7e10, 0.0]


@pytest.mark.parametrize("text", TOO_LATE + TOO_EARLY)
def test_a_time_outside_the_bounds_is_refused(text):
    with pytest.raises(moments.OutOfRangeError):
        moments.seconds_of(text)


@given(st.floats())
def test_any_number_is_refused_or_shown_exactly_and_in_every_zone(seconds):
    shown = wording.moment(seconds)
    assert len(shown) == len("2026-01-01T00:00:00.000Z")
    assert wording.clock_time(seconds)
    assert wording.span(seconds)
    assert terminal.when(shown)
    try:
        moments.bounded(seconds)
    except moments.OutOfRangeError:
        return
    assert abs(moments.seconds_of(shown) - seconds) <= 0.001


@pytest.mark.parametrize("seconds", NUMBERS)
def test_a_moment_that_no_calendar_shows_is_its_first_or_last_day(seconds):
    assert wording.moment(seconds)[:4] in ("0001", "9999", "1970")
    assert wording.clock_time(seconds)[:4] in ("0001", "9999", "1970")


def delivery(*starts):
    alerts = [{"status": "firing", "labels": {"alertname": f"A{n}"}, "startsAt": at} for n, at in enumerate(starts)]
    return json.dumps({"version": "4", "alerts": alerts}).encode()


@pytest.mark.parametrize("text", TOO_LATE)
def test_of_a_delivery_only_the_alert_with_a_time_out_of_bounds_is_refused(text):
    refused = []
    found = webhook_body.parse(delivery("2026-01-01T00:00:00Z", text, "2026-01-02T00:00:00Z"), refused)
    assert [alert.name for alert in found] == ["A0", "A2"]
    assert [error.field for error in refused] == ["alerts[1].startsAt"]
    assert "up to the year 9000" in refused[0].message
    with pytest.raises(InvalidInputError):
        webhook_body.parse(delivery(text))


@pytest.mark.parametrize("text", TOO_EARLY)
def test_a_delivered_time_before_the_bounds_is_gos_zero_time_and_counts_as_none(text):
    [alert] = webhook_body.parse(delivery(text))
    assert alert.starts_at is None
    assert json_views.alert(alert)["starts_at"] is None


@pytest.mark.parametrize("text", TOO_LATE + TOO_EARLY)
def test_an_alert_of_prometheus_stays_and_its_time_is_unknown(text):
    [alert] = of_prometheus.alerts({"alerts": [{**hostile.ALERT, "activeAt": text}]})
    assert alert.active_at is None
    assert alert.state == "firing"


@pytest.mark.parametrize("text", TOO_LATE)
def test_a_silence_without_an_end_in_sight_holds(text):
    [silence] = of_alertmanager.silences([{**hostile.SILENCE, "endsAt": text}])
    assert silence.ends_at == moments.LAST
    assert wording.clock_time(silence.ends_at).startswith("9000-12-31")


@pytest.mark.parametrize("at", ["NaN", "+Inf", "-Inf", 1e300, -1e300, "1e400", 1e12, None, "x"])
@pytest.mark.parametrize("shape", ["vector", "scalar", "matrix"])
def test_a_sample_whose_time_is_out_of_bounds_makes_the_answer_none(at, shape):
    point = [at, "1"]
    result = {
        "vector": [{"metric": {}, "value": point}],
        "scalar": point,
        "matrix": [{"metric": {}, "values": [point]}],
    }
    read = of_prometheus.series if shape == "matrix" else of_prometheus.samples
    with pytest.raises(ShapeError):
        read({"resultType": shape, "result": result[shape]})


def test_the_command_line_shows_a_time_of_the_end_of_the_calendar():
    assert terminal.when("9999-12-31T23:59:59.999Z")
    assert terminal.lasted("2026-01-01T00:00:00Z", "9999-12-31T23:59:59.999Z") == terminal.NOTHING


@pytest.mark.parametrize("said", ["+Inf", "-Inf", "NaN", "1e300", "-1e12"])
async def test_a_clock_of_prometheus_that_no_calendar_shows_moves_no_question(said):
    asked = []

    async def answer(request):
        form = await request.post()
        asked.append(dict(form))
        point = [make.NOW, said if form["query"] == "time()" else "1"]
        data = {"resultType": "scalar", "result": point}
        return web.json_response({"status": "success", "data": data})

    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    edge = Prometheus(PrometheusSettings((url,)), clock=lambda: make.NOW)
    [found] = await edge.query("up", make.NOW)
    await edge.close()
    await runner.cleanup()
    assert edge.skews == {}
    assert found.at == make.NOW
    assert float(asked[-1]["time"]) == make.NOW


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan, 0.3])
def test_a_number_that_is_not_finite_is_null_in_an_answer(value):
    shown = json_views.decision(make.decision(evidence=(evidence(value),)))
    [number] = shown["evidence"][0]["values"]
    assert number["value"] == (0.3 if value == 0.3 else None)
    assert json.loads(orjson.dumps(shown))


def evidence(value):
    return Evidence(EvidenceSource.PROMETHEUS, "up", "told", make.NOW, (), values=(Sample({"a": "b"}, value),))
