"""Several replicas of Prometheus: an alert fires if any says so, a condition counts only if none denies it."""

import asyncio

import pytest

from rearguard_controller.adapters.http_source import AwayError
from rearguard_controller.adapters.prometheus import AlertingRule, Prometheus, PrometheusAlert, Rules, figures
from rearguard_controller.adapters.prometheus.replicas import Replicas, connect
from rearguard_controller.config import PrometheusSettings
from rearguard_controller.errors import SourceError
from rearguard_controller.facts.measurements import measure_before, measure_now
from rearguard_controller.model import AlertState, Sample
from rearguard_controller.model.observations import EXISTS
from unit.controller.factories import MATCH, NOW, condition, facts

URLS = ("http://a:9090", "http://b:9090")
OF = condition(figure="ratio", threshold="> 0.1")
ANY = condition(figure="up == 0", threshold=EXISTS)
PRESENCE = 'target_info{deployment_environment_name="production",service_name="checkout"}'


class One(Prometheus):
    """A replica whose answers a test gives: samples by the beginning of a question."""

    def __init__(self, url, **says):
        super().__init__(PrometheusSettings((url,)))
        self.says = says

    async def _answer(self, what):
        await asyncio.sleep(0)
        fault = self.says.get("fault")
        if fault is not None:
            raise fault
        return tuple(self.says.get(what, ()))

    async def query(self, expression, _time=None):
        return await self._answer("present" if expression.startswith("target_info") else "figure")

    async def query_range(self, *_question):
        return await self._answer("series")

    async def alerts(self):
        return await self._answer("alerts")

    async def rules(self):
        return Rules(await self._answer("rules"))

    async def scrape_intervals(self):
        return dict(await self._answer("intervals"))


def figure(value):
    return [Sample({**MATCH, "service_version": "2.0"}, value, NOW)]


def pair(first, second):
    """Two replicas that answer so."""
    both = Replicas(PrometheusSettings(URLS))
    both._each = tuple(One(url, **says) for url, says in zip(URLS, (first, second), strict=True))
    return both


UP, BLIND = {"present": figure(1.0)}, {}
AWAY = {"fault": AwayError("Prometheus at http://b:9090 cannot be asked", hint="Is it running?")}
PAST, NOT_PAST = {"figure": figure(0.4), **UP}, {"figure": figure(0.0), **UP}


@pytest.mark.parametrize(
    ("first", "second", "past"),
    [
        (PAST, PAST, True),
        (PAST, {"figure": figure(0.2), **UP}, True),
        (NOT_PAST, NOT_PAST, False),
        (PAST, BLIND, True),  # a replica that does not scrape the target says nothing
        (NOT_PAST, BLIND, False),
        (PAST, AWAY, True),
        (NOT_PAST, AWAY, False),
        (BLIND, BLIND, None),
        (UP, UP, None),
        (PAST, NOT_PAST, "disagree"),
        (PAST, UP, "disagree"),  # it scrapes the target, and has no figure of it: it does not confirm
        (NOT_PAST, UP, "disagree"),
        (AWAY, AWAY, "cannot be asked"),
        (PAST, {"fault": SourceError("many-to-many")}, "many-to-many"),
    ],
)
@pytest.mark.parametrize("swapped", [False, True])
async def test_a_condition_holds_or_is_over_only_if_no_replica_denies_it(first, second, past, swapped):
    both = pair(second, first) if swapped else pair(first, second)
    if isinstance(past, str):
        with pytest.raises(SourceError, match=past):
            await figures.measure(both, OF)
        return
    assert (await figures.measure(both, OF)).past is past


@pytest.mark.parametrize(
    ("first", "second", "past"),
    [
        ({"figure": figure(1.0)}, {"figure": figure(1.0)}, True),
        ({"figure": figure(1.0)}, BLIND, True),
        (UP, UP, False),
        (UP, BLIND, False),
        (BLIND, BLIND, None),
        ({"figure": figure(1.0)}, UP, "disagree"),
    ],
)
async def test_an_expression_without_a_threshold_is_judged_alike(first, second, past):
    if past == "disagree":
        with pytest.raises(SourceError, match="disagree"):
            await figures.measure(pair(first, second), ANY)
        return
    assert (await figures.measure(pair(first, second), ANY)).past is past


async def test_who_claims_least_is_believed_and_each_one_is_evidence_with_its_address():
    both = pair({"figure": figure(0.9), **UP}, {"figure": figure(0.2), **UP})
    answer = await measure_now(both, OF, facts().target, lambda: NOW)
    assert answer.value.value == 0.2
    assert [each.answer for each in answer.evidence] == ["http://a:9090 says 0.9", "http://b:9090 says 0.2"]


async def test_a_disagreement_is_unknown_and_names_what_each_one_says():
    answer = await measure_now(pair(PAST, NOT_PAST), OF, facts().target, lambda: NOW)
    assert answer.value is None
    assert "disagree (http://a:9090: 0.4, past the threshold > 0.1; http://b:9090: 0, not past" in answer.detail
    before = await measure_before(pair(PAST, NOT_PAST), OF, facts().target, lambda: NOW)
    assert before.value is None or before.value.past is None


def alert(state, since, name="Errors"):
    return PrometheusAlert({"alertname": name}, {}, state, since, 1.0)


async def test_an_alert_fires_if_any_says_so_and_began_with_the_first():
    first = alert(AlertState.PENDING, NOW - 60), alert(AlertState.PENDING, NOW, "Slow")
    both = pair({"alerts": first}, {"alerts": [alert(AlertState.FIRING, NOW - 30)]})
    found = {each.name: each for each in await both.alerts()}
    assert (found["Errors"].state, found["Errors"].active_at) == (AlertState.FIRING, NOW - 60)
    assert found["Slow"].state == AlertState.PENDING


def rule(name, health, *alerts):
    seen = frozenset(frozenset(each.items()) for each in alerts)
    return AlertingRule(name, "x > 1", {}, {}, 0.0, health, "", "g", 5.0, alerts=seen)


async def test_a_rule_has_the_alerts_of_every_replica():
    first, second = {"alertname": "A", "pod": "1"}, {"alertname": "A", "pod": "2"}
    both = pair({"rules": [rule("A", "ok", first)]}, {"rules": [rule("A", "err", second)]})
    (found,) = (await both.rules()).alerting
    assert (found.health, found.alerts) == ("err", {frozenset(first.items()), frozenset(second.items())})


async def test_a_rule_is_healthy_if_every_replica_that_has_it_says_so_and_the_longest_interval_counts():
    both = pair(
        {"rules": [rule("A", "ok"), rule("B", "ok")], "intervals": [(("j", "i"), 5.0)]},
        {"rules": [rule("A", "err"), rule("C", "ok")], "intervals": [(("j", "i"), 30.0)]},
    )
    assert {each.name: each.health for each in (await both.rules()).alerting} == {"A": "err", "B": "ok", "C": "ok"}
    assert await both.scrape_intervals() == {("j", "i"): 30.0}
    assert {url: [each.name for each in of.alerting] for url, of in both.rules_of.items()} == {
        "http://a:9090": ["A", "B"],
        "http://b:9090": ["A", "C"],
    }


async def test_a_replica_that_is_away_is_told_left_alone_for_a_while_and_asked_again(monkeypatch):
    both, loop = pair(PAST, dict(AWAY)), asyncio.get_running_loop()
    assert both.away == {}
    assert len(await both.query("ratio")) == 1
    assert "cannot be asked" in both.away["http://b:9090"]
    assert len(both.replicas) == 1
    both._each[1].says = dict(PAST)
    assert len(await both.query("ratio")) == 1  # it rests
    both._rests = dict.fromkeys(both._rests, loop.time())
    assert len(await both.query("ratio")) == 2
    assert both.away == {}
    assert len(both.replicas) == 2


async def test_one_address_is_asked_as_ever():
    alone = connect(PrometheusSettings(URLS[:1]))
    assert type(alone) is Prometheus
    assert alone.replicas == (alone,)
    assert isinstance(connect(PrometheusSettings(URLS)), Replicas)
