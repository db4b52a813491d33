"""A rule without a past is evaluated over it; Prometheus is faked at the wire, expressions are functions of time."""

from dataclasses import replace

import pytest

from rearguard_controller.adapters.prometheus import AlertingRule
from rearguard_controller.backtest.archive import Archive
from rearguard_controller.backtest.evaluation import evaluate
from rearguard_controller.backtest.nouns import Stretch
from unit.controller.factories import target
from unit.controller.wire import version

DAY = 86400.0
RULE = AlertingRule(
    "Errors", "errors > 1", {"action": "rollback", "team": "{{ $labels.x }}"}, {}, 120.0, "ok", "", "shop", 15.0
)


@pytest.fixture
def judged(wire, prometheus):
    async def evaluated(holds, *, of=None, targets=None, step=60.0):
        wire.over_time["errors > 1"] = {"v2": lambda at: 2.0 if holds(at) else None}
        asked = []
        archive = Archive(prometheus, lambda *words: asked.append(words))
        found = await evaluate(archive, of or RULE, targets or (target(),), 0.0, DAY, step)
        return found, asked

    return evaluated


async def test_it_fires_after_its_for_and_is_dated_finely(judged):
    ((alert,), _) = await judged(lambda at: 1000 <= at <= 5000)
    assert alert.labels == {**version("v2"), "action": "rollback", "alertname": "Errors"}
    (active,), (firing,) = alert.active, alert.firing
    assert (1000 <= active.start < 1015, 4985 < active.end <= 5000) == (True, True)
    assert firing == Stretch(active.start + 120, active.end)


async def test_it_is_dated_the_same_however_far_apart_the_points_of_the_whole_time_lie(judged):
    rule = replace(RULE, interval=30.0)
    found = [(await judged(lambda at: 1007 <= at <= 5003, of=rule, step=step))[0] for step in (15.0, 30.0, 60.0)]
    assert found == [found[0]] * 3
    assert found[0][0].active == (Stretch(1020, 4980),)


async def test_what_ends_before_its_for_is_over_was_pending_only(judged):
    ((alert,), _) = await judged(lambda at: 1000 <= at <= 1090)
    assert (len(alert.active), alert.firing) == (1, ())


async def test_a_break_that_only_a_fine_look_shows_begins_for_anew(judged):
    ((alert,), _) = await judged(lambda at: 1000 <= at <= 1200 and not 1090 < at < 1130)
    assert (len(alert.active), alert.firing) == (2, ())


async def test_alerts_of_nobody_are_left_out(judged):
    found, _ = await judged(lambda at: at > 1000, targets=(target(match=({"service_name": "other"},)),))
    assert found == []


async def test_what_comes_and_goes_hundreds_of_times_is_not_looked_at_finely(judged):
    ((alert,), asked) = await judged(lambda at: at % 600 < 180 and at < DAY)
    assert len(alert.active) == 144
    assert len(asked) > 144
    ((alert,), asked) = await judged(lambda at: at % 300 < 120 and at < DAY)
    assert len(alert.active) == 288
    assert len(asked) == 1
