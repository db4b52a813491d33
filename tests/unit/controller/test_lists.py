"""Where Prometheus' lists take long, its triggers are read alone; and what is kept of a list, by labels alone."""

import asyncio
import gc
import json

import pytest

from deadline import in_time
from rearguard_controller.adapters import foreign_json
from rearguard_controller.adapters.prometheus import AlertingRule, PrometheusAlert, Rules, series_of_alerts
from rearguard_controller.errors import SourceError
from rearguard_controller.facts import lists
from rearguard_controller.facts.concern import MOST_OF_A_TARGET, MOST_OF_OTHERS, Concern
from rearguard_controller.facts.lists import Lists
from rearguard_controller.model import AlertState, Sample
from unit.controller.factories import MATCH, NOW, policy, target

TRIGGER = {"action": "rollback"}
FIRING = PrometheusAlert({"alertname": "Errors", **TRIGGER, **MATCH}, {}, AlertState.FIRING, NOW, None)
OTHER = PrometheusAlert({"alertname": "Info", **MATCH}, {}, AlertState.FIRING, NOW, None)


def rule(name="Errors", labels=TRIGGER, **annotations):
    return AlertingRule(name, "x > 1", labels, annotations, 0.0, "ok", "", "g", 5.0)


class Slow:
    """A Prometheus whose lists come when a test lets them; its series of alerts come at once."""

    def __init__(self):
        self.let, self.away, self.asked = asyncio.Event(), False, []
        self.let.set()

    async def alerts(self):
        self.asked.append("alerts")
        await self.let.wait()
        return (FIRING, OTHER)

    async def rules(self):
        await self.let.wait()
        return Rules((rule(),))

    async def alerting(self, labels, _rules):
        self.asked.append("alerting")
        if self.away:
            raise SourceError("Prometheus does not answer.")
        assert dict(labels) == TRIGGER
        return (FIRING,)


@pytest.fixture
def slow(monkeypatch):
    monkeypatch.setattr(lists, "PATIENCE", 0.05)
    return Slow()


async def test_lists_that_come_in_time_are_all_that_is_asked_for(slow):
    assert await Lists(slow, [TRIGGER]).read() == ((FIRING, OTHER), Rules((rule(),)))
    assert slow.asked == ["alerts"]


async def test_once_lists_take_long_triggers_stand_in_and_one_reading_of_the_lists_is_under_way(slow, monkeypatch):
    reader = Lists(slow, [TRIGGER])
    await reader.read()
    slow.let.clear()
    for _ in range(3):
        assert await in_time(reader.read(), 30) == ((FIRING,), Rules((rule(),)))
    assert slow.asked == ["alerts", "alerts", "alerting", "alerting", "alerting"]
    slow.let.set()
    await asyncio.sleep(0.01)
    assert (await reader.read())[0] == (FIRING,)  # not at once again: it was too much for it
    monkeypatch.setattr(reader, "_next_at", 0.0)
    assert (await reader.read())[0] == (FIRING, OTHER)


async def test_before_any_rules_are_known_the_lists_are_waited_for(slow):
    slow.let.clear()
    asyncio.get_running_loop().call_later(0.3, slow.let.set)
    assert (await Lists(slow, [TRIGGER]).read())[0] == (FIRING, OTHER)


async def test_a_prometheus_that_answers_nothing_is_told_without_waiting_for_its_lists(slow):
    slow.away = True
    slow.let.clear()
    with pytest.raises(SourceError, match="does not answer"):
        await in_time(Lists(slow, [TRIGGER]).read(), 30)


async def test_rules_that_could_not_be_read_for_long_are_of_unknown_health(slow, monkeypatch):
    reader = Lists(slow, [TRIGGER])
    await reader.read()
    slow.let.clear()
    monkeypatch.setattr(lists, "RULES_HOLD", 0.0)
    assert [each.health for each in (await reader.read())[1].alerting] == ["unknown"]


# --- alerts by their series


def test_alerts_by_their_series_have_the_labels_the_beginning_and_their_rules_annotations():
    labels = {"alertname": "Errors", "team": "shop", "tier": "1", **TRIGGER, **MATCH}
    mine = rule(
        labels={**TRIGGER, "team": "{{ $labels.team }}"}, figure='x{s="{{ $labels.team }}"}', summary="{{ $value }}"
    )
    rules = Rules((rule(labels={**TRIGGER, "tier": "2"}, figure="wrong"), mine))
    shown = [Sample({"__name__": "ALERTS", "alertstate": "pending", **labels}, NOW - 1, NOW)]
    since = [Sample({"__name__": "ALERTS_FOR_STATE", **labels}, NOW - 40, NOW)]
    (found,) = series_of_alerts.alerts(shown, since, rules)
    annotations = {"figure": 'x{s="shop"}', "summary": "{{ $value }}"}
    assert found == PrometheusAlert(labels, annotations, AlertState.PENDING, NOW - 40, None)


# --- what may concern us


def test_of_a_flood_every_target_keeps_its_alerts_and_others_only_a_few():
    it, other = target(), target(name="payments", match=({"service_name": "payments"},))
    wanted = Concern([it, other]).of_reading()
    flood = [{"alertname": "Lag", "tenant": str(number)} for number in range(MOST_OF_A_TARGET + 5)]
    kept = [
        sum(wanted({**labels, **more}) for labels in flood)
        for more in ({}, {"severity": "page"}, TRIGGER, MATCH, {**MATCH, **TRIGGER}, {"service_name": "payments"})
    ]
    assert kept == [0, 0, MOST_OF_OTHERS, MOST_OF_A_TARGET, MOST_OF_A_TARGET, MOST_OF_A_TARGET]
    assert wanted({"alertname": "Errors", **MATCH, **TRIGGER})
    assert wanted({"alertname": "Errors", "service_name": "payments", **TRIGGER})


@pytest.mark.parametrize(
    ("shape", "key"),
    [
        (lambda labels, state: {"labels": labels, "state": state}, "labels"),
        (lambda labels, state: {"labels": labels, "status": {"state": state}}, "labels"),
        (lambda labels, state: {"metric": {**labels, "alertstate": state}}, "metric"),
    ],
    ids=["prometheus", "alertmanager", "series"],
)
def test_an_alert_that_fires_is_kept_after_any_number_of_pending_ones_of_its_name(shape, key):
    """One rule with an alert for each customer of the target."""
    keep = foreign_json.only(Concern([target()]).of_reading, key)
    labels = {"alertname": "OrdersFail", **MATCH, **TRIGGER}
    flood = [shape({**labels, "tenant": str(number)}, "pending") for number in range(MOST_OF_A_TARGET + 5)]
    assert sum(bool(keep(json.dumps(each).encode())) for each in flood) == MOST_OF_A_TARGET
    assert keep(json.dumps(shape({**labels, "tenant": "last"}, "firing")).encode())


def test_the_labels_of_triggers_follow_the_policies_in_use():
    page = target(name="till", policy=policy(alerts={"severity": "page", "action": "rollback"}))
    assert Concern([target(), page]).everywhere() == {"action": "rollback"}
    assert Concern([page]).everywhere() == {"severity": "page", "action": "rollback"}
    assert Concern([target(policy=policy(alerts={"rollback": "yes"})), page]).everywhere() == {}
    assert Concern([]).everywhere() == {}
    wanted = Concern([target(policy=policy(alerts={"rollback": "yes"}))]).of_reading()
    assert wanted({"alertname": "Errors", "rollback": "yes"})
    assert not wanted({"alertname": "Errors", "action": "rollback"})


async def test_a_reader_that_is_ended_as_the_lists_fail_leaves_no_error_that_nobody_fetched(slow):
    """The process stops, or another replica leads, in the very moment in which Prometheus goes away."""
    faults = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, said: faults.append(said["message"]))

    async def gone():
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:  # the connection broke, too
            raise SourceError("Prometheus is gone.") from None

    slow.alerts = gone
    reader = asyncio.create_task(Lists(slow, []).read())
    while len(asyncio.all_tasks()) < len(("test", "reader", "lists", "alerts")):  # noqa: ASYNC110 - only our own tasks
        await asyncio.sleep(0)
    await asyncio.sleep(0)
    reader.cancel()
    await asyncio.gather(reader, return_exceptions=True)
    assert reader.cancelled()
    del reader
    while len(asyncio.all_tasks()) > 1:  # noqa: ASYNC110
        await asyncio.sleep(0)
    gc.collect()
    await asyncio.sleep(0)
    assert faults == []
