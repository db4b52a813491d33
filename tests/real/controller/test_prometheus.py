"""Against a real Prometheus: what it answers is read as it means it."""

import asyncio
import time
from statistics import median

import pytest

from local_stack.process import free_ports
from real.prometheus import running
from rearguard_controller.adapters.prometheus import Prometheus, clear_seconds, settle_seconds
from rearguard_controller.adapters.prometheus.figures import of_target
from rearguard_controller.config import PrometheusSettings
from rearguard_controller.errors import SourceError
from rearguard_controller.facts.measurements import measure
from rearguard_controller.model import AlertState, Condition, ReasonCode
from unit.controller.factories import facts, good, serving, state

DEADLINE = 30.0
SETTINGS = """\
global: {{scrape_interval: 1s, evaluation_interval: 1s}}
rule_files: [rules.yml]
scrape_configs:
  - job_name: itself
    static_configs: [{{targets: ["127.0.0.1:{port}"]}}]
"""
RULES = """\
groups:
  - name: recorded
    interval: 2s
    rules:
      - record: job:scrapes:rate30s
        expr: 'sum by (job) (rate(scrape_samples_scraped[30s]))  # not [9h]'
  - name: of many services
    interval: 1s
    rules:
      - &of
        record: version:errors:ratio
        expr: vector(1)
        labels: {service_name: "a.b|c(1)", deployment_environment_name: prod, service_version: v1}
      - {<<: *of, expr: vector(2), labels: {service_name: "a.b|c(1)", deployment_environment: prod}}
      - {<<: *of, expr: vector(3), labels: {service_name: "a.b|c(1)", deployment_environment_name: test}}
      - {<<: *of, expr: vector(4), labels: {service_name: axb, deployment_environment_name: prod}}
      - {<<: *of, expr: vector(5), labels: {service_name: c(1), deployment_environment_name: prod}}
      - {<<: *of, expr: vector(6), labels: {}}
  - name: judged
    interval: 1s
    rules:
      - alert: Certain
        expr: vector(3) > 2
        labels: {action: rollback}
        annotations: {summary: "it is {{ $value }}", figure: "job:scrapes:rate30s / 2", threshold: "> 1"}
      - alert: Patient
        expr: vector(1)
        for: 1h
      - alert: Sticky
        expr: job:scrapes:rate30s > 1e9
        for: 5m
        keep_firing_for: 7m
      - alert: Quiet
        expr: vector(1) > 2
"""


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    folder = tmp_path_factory.mktemp("prometheus")
    (port,) = free_ports(1)
    (folder / "prometheus.yml").write_text(SETTINGS.format(port=port))
    (folder / "rules.yml").write_text(RULES)
    with running(folder, port=port) as found:
        yield found


@pytest.fixture
async def prometheus(address):
    edge = Prometheus(PrometheusSettings(urls=(address,)))
    yield edge
    await edge.close()


async def until(ask):
    """The first answer that is not empty."""
    deadline = time.monotonic() + DEADLINE
    while not (answer := await ask()):
        assert time.monotonic() < deadline, "the answer stayed empty"
        await asyncio.sleep(0.1)
    return answer


async def test_its_alerts_are_read_with_state_time_and_value(prometheus):
    async def certain():
        found = {alert.name: alert for alert in await prometheus.alerts()}
        return found if {"Certain", "Patient"} <= set(found) else None

    found = await until(certain)
    alert = found["Certain"]
    assert alert.state is AlertState.FIRING
    assert alert.labels == {"alertname": "Certain", "action": "rollback"}
    assert alert.annotations == {"summary": "it is 3", "figure": "job:scrapes:rate30s / 2", "threshold": "> 1"}
    assert alert.value == 3.0
    assert abs(alert.active_at - time.time()) < DEADLINE + 60
    assert found["Patient"].state is AlertState.PENDING
    assert "Quiet" not in found


async def test_its_rules_are_read_and_the_settle_time_follows_recorded_names(prometheus):
    async def evaluated():
        rules = await prometheus.rules()
        return rules if {rule.health for rule in rules.alerting} == {"ok"} else None

    rules = await until(evaluated)
    by_name = {rule.name: rule for rule in rules.alerting}
    assert (by_name["Patient"].for_seconds, by_name["Patient"].interval) == (3_600.0, 1.0)
    assert by_name["Certain"].labels == {"action": "rollback"}
    assert by_name["Certain"].annotations["summary"] == "it is {{ $value }}"
    assert ("job:scrapes:rate30s", 2.0, "recorded") in [
        (each.name, each.interval, each.group) for each in rules.recording
    ]
    assert settle_seconds(by_name["Certain"].annotations["figure"], rules) == 32.0
    assert by_name["Sticky"].keep_firing_for == 420.0
    assert clear_seconds(by_name["Sticky"], rules) == 30 + 2 + 420 + 1
    assert by_name["Quiet"].keep_firing_for == 0.0


async def test_a_vector_is_read_with_its_labels(prometheus, address):
    (sample,) = await until(lambda: prometheus.query("up"))
    assert sample.value == 1.0
    assert sample.labels == {"__name__": "up", "job": "itself", "instance": address.removeprefix("http://")}


async def test_a_scalar_is_one_value_without_labels_and_nan_is_none(prometheus):
    (sample,) = await prometheus.query("scalar(vector(0.10))")
    assert (sample.value, sample.labels) == (0.10, {})
    assert await prometheus.query("vector(0) / vector(0)") == ()
    assert [sample.value for sample in await prometheus.query("vector(1) / vector(0)")] == [float("inf")]
    assert await prometheus.query("absent_metric_of_nobody") == ()


async def test_a_moment_in_the_past_can_be_asked(prometheus):
    assert [sample.value for sample in await prometheus.query("time()", time=1_700_000_000.0)] == [1_700_000_000.0]


async def test_a_figure_over_time_is_read_in_points(prometheus):
    (series,) = await prometheus.query_range("vector(7)", 1_700_000_000.0, 1_700_000_010.0, 5.0)
    assert series.points == ((1_700_000_000.0, 7.0), (1_700_000_005.0, 7.0), (1_700_000_010.0, 7.0))


@pytest.mark.parametrize("expression", ["sum(", "", "up{job=~'('}"])
async def test_a_bad_expression_is_refused_in_its_own_words(prometheus, expression):
    with pytest.raises(SourceError) as caught:
        await prometheus.query(expression)
    assert "refused the request (400)" in caught.value.message
    assert "parse error" in caught.value.message or "error parsing regexp" in caught.value.message


@pytest.mark.parametrize("expression", ["up[1m]", '"text"'])
async def test_what_is_no_vector_is_a_source_error(prometheus, expression):
    with pytest.raises(SourceError) as caught:
        await prometheus.query(expression)
    assert "one value per series" in caught.value.message


async def test_a_wrong_path_is_explained(address):
    edge = Prometheus(PrometheusSettings(urls=(address + "/api/v1",)))
    with pytest.raises(SourceError) as caught:
        await edge.alerts()
    await edge.close()
    assert "404" in caught.value.message
    assert "base address" in caught.value.hint


async def test_the_second_address_answers_when_the_first_is_away(address, unused_tcp_port):
    edge = Prometheus(PrometheusSettings(urls=(f"http://127.0.0.1:{unused_tcp_port}", address)))
    assert [sample.value for sample in await edge.query("vector(5)")] == [5.0]
    await edge.close()


# --- evidence

ITSELF = {"job": "itself"}
CLOCK = (
    'up{job="itself"} * 0 + time()'  # another value at every moment: only the recorded one gives the recorded value
)
THRESHOLD = 'up{job="itself"} * 0 + time() / 2'


async def test_of_a_plain_name_prometheus_is_asked_for_one_target_s_points_only(prometheus):
    of = {"service_name": "a.b|c(1)", "deployment_environment_name": "prod"}
    condition = Condition("Errors", "version:errors:ratio", "> 0.1", of, labels={"service_name": "a.b|c(1)"})
    await until(lambda: prometheus.query(condition.figure))
    asked, now = of_target(condition.figure, condition), time.time()
    found = await until(lambda: prometheus.query_range(asked, now - 5, now + 5, 1.0))
    assert {each.points[0][1] for each in found} == {1, 2, 6}  # by either name of a label; and what speaks for all
    for written in ("version:errors:ratio * 2", "sum(up)"):
        assert of_target(written, condition) == written


async def test_every_recorded_question_gives_the_recorded_value_again_at_the_recorded_time(prometheus):
    await until(lambda: prometheus.query(CLOCK))
    now = time.time()
    known = facts(
        now=now,
        state=state(serving_since=now - 5, changed_after=now),
        releases=(good("v1", service_version="1.0"), serving("v2", service_version="2.0")),
    )
    found = await measure(prometheus, Condition("Errors", CLOCK, f"> {THRESHOLD}", ITSELF), known, time.time)
    assert {code for each in found.evidence for code in each.serves} == {
        ReasonCode.ALERT_CONFIRMED,
        ReasonCode.BEGAN_AFTER_RELEASE,
        ReasonCode.PREVIOUS_VERSION_HEALTHY,
        ReasonCode.NOT_SHOWN_BY_OLDER,
    }
    assert {CLOCK, THRESHOLD, 'target_info{job="itself"} or up{job="itself"}'} == {
        each.question for each in found.evidence
    }
    assert found.now.value in [each.value for one in found.evidence for each in one.values]
    await asyncio.sleep(0.01)  # another moment
    for each in found.evidence:
        assert each.values, each
        told = [value.value for value in each.values]
        if each.start is None:
            again = [sample.value for sample in await prometheus.query(each.question, each.at)]
            if each.question == CLOCK:
                assert [sample.value for sample in await prometheus.query(CLOCK)] != again
        else:
            series = await prometheus.query_range(each.question, each.start, each.at, each.step)
            again = [median(value for _, value in one.points) for one in series]
        assert again == pytest.approx(told, abs=1e-9), each
