"""One reading of Prometheus' alerts and rules is shared by all who ask for it within a second, and never too long."""

import asyncio
from dataclasses import replace

import pytest

from deadline import in_time
from rearguard_controller.adapters.prometheus import AlertingRule, PrometheusAlert, Rules
from rearguard_controller.errors import SourceError
from rearguard_controller.facts.alerts_now import READING_HOLDS, AlertsNow
from rearguard_controller.facts.storm import Trouble
from rearguard_controller.model import AlertState, PendingAlert, StormLimit
from unit.controller.factories import NOW, TARGET, alert, target


class Lists:
    """A Prometheus that counts how often its alerts are read."""

    def __init__(self, *firing):
        self.firing, self.pending, self.loaded = list(firing), [], Rules()
        self.reads, self.away, self.asked, self.answers = 0, False, asyncio.Event(), asyncio.Event()
        self.answers.set()

    async def alerts(self):
        self.reads += 1
        if self.away:
            raise SourceError("Prometheus did not answer.", hint="Start it.")
        found = [PrometheusAlert(each.labels, {}, AlertState.PENDING, NOW, 1.0) for each in self.pending]
        found += [PrometheusAlert(each.labels, {}, AlertState.FIRING, NOW, 1.0) for each in self.firing]
        self.asked.set()
        await self.answers.wait()
        return tuple(found)

    async def rules(self):
        return self.loaded


class Scene:
    """The reader of these lists, and a clock that a test sets."""

    def __init__(self, *firing):
        self.lists, self.now = Lists(*firing), NOW
        trouble = Trouble(lambda: self.now)
        trouble.use([target()], StormLimit())
        self.alerts_now = AlertsNow(self.lists, trouble, lambda: self.now)

    async def read(self, **how):
        return await self.alerts_now.read(**how)


async def test_a_trigger_alert_that_pends_is_told_with_its_target():
    scene = Scene(alert("Other", service_name="other"))
    scene.lists.pending = [alert(), alert("NoTrigger", action="page")]
    (pends,) = (await scene.read()).pending.items()
    assert pends == (TARGET, (PendingAlert(alert().name, NOW, of_errors=False),))
    assert (await scene.read()).troubled == frozenset()


async def test_all_who_ask_within_a_second_share_one_reading_and_later_ones_read_again():
    scene = Scene(alert())
    first = await scene.read()
    assert await asyncio.gather(*(scene.read() for _ in range(50))) == [first] * 50
    scene.now = NOW + READING_HOLDS - 0.01
    assert (await scene.read()).read_at == NOW
    scene.now = NOW + READING_HOLDS
    assert (await scene.read()).read_at == NOW + READING_HOLDS
    assert scene.lists.reads == 2


async def test_who_wants_no_age_reads_anew_and_what_it_read_serves_the_others():
    scene = Scene(alert())
    await scene.read()
    polled = await scene.read(max_age=0.0)
    assert scene.lists.reads == 2
    assert await scene.read() is polled
    assert scene.lists.reads == 2


async def test_a_delivered_alert_that_does_not_fire_in_an_older_reading_makes_it_read_again():
    scene = Scene()
    await scene.read(max_age=0.0)
    scene.now, scene.lists.firing = NOW + 0.2, [alert()]
    assert not (await scene.read(alerts=[alert()], delivered=NOW)).has_firing(alert())  # delivered before it was read
    assert (await scene.read(alerts=[alert()], delivered=NOW + 0.1)).has_firing(alert())
    assert scene.lists.reads == 2


async def test_a_pending_alert_that_is_delivered_makes_it_read_again_and_one_that_fires_does_not():
    scene = Scene(alert("Fires"))
    scene.lists.pending = [alert("Pends")]
    await scene.read()
    scene.now = NOW + 0.2
    await scene.read(alerts=[alert("Fires")], delivered=NOW + 0.1)
    assert scene.lists.reads == 1
    await scene.read(alerts=[alert("Fires"), alert("Pends")], delivered=NOW + 0.1)
    assert scene.lists.reads == 2


async def test_a_clock_that_was_set_back_makes_no_reading_last_longer():
    scene = Scene()
    await scene.read()
    scene.now = NOW - 3600
    assert (await scene.read()).read_at == NOW - 3600
    assert (await scene.read()).read_at == NOW - 3600
    assert scene.lists.reads == 2


async def test_who_reads_anew_does_not_wait_for_the_others_and_the_reading_begun_last_is_kept():
    scene = Scene()
    scene.lists.answers.clear()
    slow = asyncio.create_task(scene.read())
    await scene.lists.asked.wait()
    scene.lists.answers, held = asyncio.Event(), scene.lists.answers
    scene.lists.answers.set()
    scene.lists.firing = [alert()]
    assert (await in_time(scene.read(max_age=0.0), 30)).has_firing(alert())
    held.set()
    assert (await slow).has_firing(alert())  # what is newer serves whoever waited, too
    assert (await scene.read()).has_firing(alert())


async def test_all_who_waited_for_a_reading_share_it_however_long_it_took():
    """Each read again after the other, because the reading had become too old while they waited."""
    scene = Scene(alert())
    scene.lists.answers.clear()
    asking = [asyncio.create_task(scene.read()) for _ in range(20)]
    await scene.lists.asked.wait()
    scene.now = NOW + 10 * READING_HOLDS
    scene.lists.answers.set()
    assert {each.read_at for each in await asyncio.gather(*asking)} == {NOW}
    assert scene.lists.reads == 1


async def test_a_list_that_takes_long_is_read_again_before_it_is_too_old_and_nobody_waits_for_that():
    scene = Scene(alert())
    scene.lists.answers.clear()
    first = asyncio.create_task(scene.read())
    await scene.lists.asked.wait()
    await asyncio.sleep(0.3 * READING_HOLDS)  # it takes so long
    scene.lists.answers.set()
    await first
    scene.lists.answers.clear()
    scene.lists.asked.clear()
    scene.now = NOW + 0.99 * READING_HOLDS
    assert (await in_time(scene.read(), 30)).read_at == NOW
    await in_time(scene.lists.asked.wait(), 30)
    assert (await in_time(scene.read(), 30)).read_at == NOW
    scene.lists.answers.set()
    scene.now = NOW + 60
    assert (await scene.read()).read_at >= NOW + 0.99 * READING_HOLDS
    assert scene.lists.reads <= 3


async def test_prometheus_that_is_away_is_a_reading_without_alerts_that_says_why():
    scene = Scene(alert())
    scene.lists.away = True
    reading = await scene.read()
    assert (reading.fault, reading.hint, reading.alerts) == ("Prometheus did not answer.", "Start it.", ())
    assert reading.meant(alert()) == ()
    scene.lists.away = False
    assert (await scene.read(alerts=[alert()], delivered=NOW + 0.1)).has_firing(alert())


@pytest.mark.parametrize("label", ["instance", "pod"])
async def test_an_alert_is_found_by_the_labels_that_prometheus_has_and_a_firing_one_first(label):
    scene = Scene()
    scene.lists.pending = [alert(**{label: "a"})]
    scene.lists.firing = [alert()]
    reading = await scene.read()
    assert reading.meant(alert(**{label: "a", "cluster": "of-alertmanager"}))[0].labels == alert().labels
    assert reading.meant(alert("Other", **{label: "a"})) == ()
    assert reading.troubled == {TARGET}


async def test_a_delivery_that_lost_labels_may_mean_each_alert_of_its_name_that_it_does_not_contradict():
    scene = Scene(alert(pod="a"), alert(pod="b"), alert(service_name="payments"), alert("Other", pod="a"))
    reading = await scene.read()
    assert [each.labels["pod"] for each in reading.meant(alert())] == ["a", "b"]
    assert reading.meant(alert(pod="c")) == ()


async def test_a_delivery_that_has_all_labels_of_some_alerts_means_these_and_first_the_one_with_most():
    scene = Scene(alert(), alert(pod="a"), alert(pod="b"))
    reading = await scene.read()
    found = reading.meant(alert(pod="a", cluster="of-alertmanager"))
    assert [each.labels.get("pod") for each in found] == ["a", None]


async def test_trouble_that_pends_again_or_whose_rule_was_not_evaluated_since_is_not_over():
    """A Prometheus that starts anew shows nothing at first, and then lets its alerts pend anew."""
    scene, rule = Scene(alert()), AlertingRule("HighErrorRate", "x > 1", {}, {}, 45.0, "ok", "", "http", 5.0)
    scene.lists.loaded = Rules((rule,))
    assert (await scene.read(max_age=0.0)).troubled == {TARGET}
    scene.lists.firing, scene.lists.loaded = [], Rules((replace(rule, health="unknown"),))
    assert (await scene.read(max_age=0.0)).lasting == {TARGET}
    scene.lists.pending, scene.lists.loaded = [alert()], Rules((rule,))
    assert (await scene.read(max_age=0.0)).lasting == {TARGET}
    scene.lists.pending = []
    assert (await scene.read(max_age=0.0)).lasting == frozenset()
    scene.lists.pending, scene.now = [alert()], NOW + StormLimit().within + 1
    assert (await scene.read(max_age=0.0)).lasting == frozenset()  # too long ago to say anything of it
