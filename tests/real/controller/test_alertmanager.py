"""Silences and inhibitions of a real Alertmanager: whose alert they hold back, and for how long without it."""

import json
import time
from datetime import UTC, datetime

import pytest
import yaml

from local_stack import binaries
from local_stack.process import free_ports
from real.cluster.replicas import Program, until
from real.controller.hosted import hosted
from real.controller.served import listening
from real.controller.test_brakes import judged
from rearguard_controller.adapters.alertmanager import Alertmanager
from rearguard_controller.config import AlertmanagerSettings
from rearguard_controller.facts.silences import Silences
from rearguard_controller.judgement.policy import decide
from rearguard_controller.model import Alert, ReasonCode
from unit.controller.factories import facts, target

RULES = {
    "route": {"receiver": "nobody"},
    "receivers": [{"name": "nobody"}],
    "inhibit_rules": [
        {"source_matchers": ["alertname=DataCentreDown"], "target_matchers": ["team=shop"]},
        {"source_matchers": ["action=rollback"], "target_matchers": ["team=web"]},
    ],
}
EXTERNAL = {"cluster": "eu-1"}  # a label that Prometheus adds on the way


class Clock:
    """The time, some seconds later."""

    def __init__(self, base):
        self.base, self.later = base, 0.0

    def __call__(self):
        return self.base() + self.later


def alert(name, **labels):
    return Alert(name, {"alertname": name, **labels})


@pytest.fixture
async def manager(tmp_path):
    """A real Alertmanager, alone."""
    (tmp_path / "alertmanager.yml").write_text(yaml.safe_dump(RULES))
    (port,) = free_ports(1)
    words = (
        binaries.find("prometheus-alertmanager"),
        "--config.file=alertmanager.yml",
        f"--storage.path={tmp_path / 'alertmanager'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--cluster.listen-address=",
    )
    program = Program(tmp_path, "alertmanager", words, f"http://127.0.0.1:{port}", ready="/-/ready")
    await program.start()
    yield program
    await program.remove()


async def fire(manager, *alerts):
    body = [{"labels": {**each.labels, **EXTERNAL}} for each in alerts]
    assert (await manager.ask("POST", "/api/v2/alerts", json=body))[0] == 200


async def silence(manager, seconds, **matchers):
    """Silence for so long what matches; a value that begins with ~ is a regular expression."""
    now = time.time()
    body = {
        "matchers": [
            {"name": name, "value": value.removeprefix("~"), "isRegex": value.startswith("~"), "isEqual": True}
            for name, value in matchers.items()
        ],
        "startsAt": datetime.fromtimestamp(now, UTC).isoformat(),
        "endsAt": datetime.fromtimestamp(now + seconds, UTC).isoformat(),
        "createdBy": "ann",
        "comment": "moving\nhouse",
    }
    status, text = await manager.ask("POST", "/api/v2/silences", json=body)
    assert status == 200, text


@pytest.fixture
async def silences(manager):
    """What a controller keeps of it, with clocks that a test may put forward."""
    clock, monotonic = Clock(time.time), Clock(time.monotonic)
    edge = Alertmanager(AlertmanagerSettings(("http://127.0.0.1:9", manager.url)))  # the first one is away
    kept = Silences(edge, clock=clock, monotonic=monotonic)

    def later(seconds):
        clock.later += seconds
        monotonic.later += seconds

    yield kept, later
    await edge.close()


def not_silenced(silences, of, now):
    """The reason as it is judged."""
    decision = decide("d1", of, target(), facts(now=now, silencing=silences.of(of)))
    return next(each for each in decision.reasons if each.code is ReasonCode.NOT_SILENCED)


async def held(silences, *alerts):
    """Read until Alertmanager, which takes a moment, holds back these alerts."""
    kept, later = silences

    async def all_held():
        later(1.0)
        await kept.look()
        return all(kept.of(each).silence or kept.of(each).inhibited_by for each in alerts)

    await until(all_held, what="Alertmanager holds the alerts back")


async def test_alertmanagers_own_word_counts_also_where_a_silence_names_a_label_that_only_it_knows(manager, silences):
    quiet, loud = alert("Quiet", team="data"), alert("Loud", team="data")
    await fire(manager, quiet, loud)
    await silence(manager, 5000, alertname="Quiet", cluster="eu-1")
    await held(silences, quiet)
    kept, _ = silences
    assert not_silenced(kept, loud, time.time()).holds is True
    reason = not_silenced(kept, quiet, time.time())
    assert reason.holds is False
    assert reason.detail.startswith("Alertmanager silences the alert for another 1h23m: silence ")
    assert reason.detail.endswith(" of ann (moving house).")


async def test_an_inhibited_alert_counts_as_silenced(manager, silences):
    inhibited = alert("Errors", team="shop")
    await fire(manager, inhibited, alert("DataCentreDown"))
    await held(silences, inhibited)
    reason = not_silenced(silences[0], inhibited, time.time())
    assert reason.holds is False
    assert "inhibits" in reason.detail


async def test_a_drills_alert_inhibits_nothing_here_though_it_does_for_alertmanager(manager, silences):
    of_drill, real = alert("Errors", team="web"), alert("Errors", team="shop")
    drill = alert("RearguardDrill", action="rollback", rearguard_drill="x1")
    await fire(manager, of_drill, real, drill, alert("DataCentreDown"))

    async def both_inhibited():
        _, text = await manager.ask("GET", "/api/v2/alerts")
        return len([each for each in json.loads(text) if each["status"]["inhibitedBy"]]) == 2

    await until(both_inhibited, what="Alertmanager inhibits both")
    await held(silences, real)
    kept, _ = silences
    assert not_silenced(kept, of_drill, time.time()).holds is True
    assert not_silenced(kept, real, time.time()).holds is False


async def test_a_silence_holds_for_an_alert_that_alertmanager_has_not_heard_of_yet(manager, silences):
    await silence(manager, 3600, alertname="~New.*", team="shop")
    await held(silences, alert("NewErrors", team="shop"))
    kept, _ = silences
    assert kept.of(alert("Errors", team="shop")).until is None
    assert kept.of(alert("NewErrors", team="data")).until is None


async def test_without_alertmanager_the_last_list_holds_until_its_silences_end_and_for_ten_minutes(manager, silences):
    short, long = alert("Short"), alert("Long")
    await silence(manager, 120, alertname="Short")
    await silence(manager, 3600, alertname="Long")
    await held(silences, short, long)
    kept, later = silences
    await manager.remove()
    began = kept._clock()

    async def answers(seconds):
        later(seconds)
        await kept.look()
        return [not_silenced(kept, each, kept._clock()).holds for each in (short, long)]

    assert await answers(60) == [False, False]
    assert await answers(60) == [True, False]
    assert await answers(600 - (kept._clock() - began) - 5) == [True, False]
    assert await answers(10) == [None, None]
    assert "cannot be asked" in not_silenced(kept, long, kept._clock()).detail


@pytest.mark.parametrize("skew", [0.0, 400.0, -400.0])
async def test_silences_hold_by_alertmanagers_clock_however_wrong_ours_is(manager, skew):
    """With ours 400 s ahead a silence of two minutes was over, and the silenced release was rolled back."""

    def ours():
        return time.time() - skew  # so Alertmanager's clock is `skew` seconds ahead

    edge, monotonic = Alertmanager(AlertmanagerSettings((manager.url,)), clock=ours), Clock(time.monotonic)
    kept = Silences(edge, clock=ours, monotonic=monotonic)
    await silence(manager, 120, alertname="Short")
    ends_at = time.time() + 120 - skew
    await held((kept, lambda seconds: setattr(monotonic, "later", monotonic.later + seconds)), alert("Short"))
    assert kept.of(alert("Short")).until == pytest.approx(ends_at, abs=2.0)
    await edge.post_alerts([alert("Drilled")], ends_at=ours() + 60)
    _, text = await manager.ask("GET", "/api/v2/alerts?active=true")
    (drilled,) = (each for each in json.loads(text) if each["labels"]["alertname"] == "Drilled")
    assert datetime.fromisoformat(drilled["endsAt"]).timestamp() == pytest.approx(time.time() + 60, abs=5.0)
    await edge.close()


async def test_an_alertmanager_that_never_answered_holds_nothing_up():
    edge = Alertmanager(AlertmanagerSettings(("http://127.0.0.1:9",)))
    kept = Silences(edge, clock=time.time, monotonic=time.monotonic)
    await kept.look()
    reason = not_silenced(kept, alert("A"), time.time())
    assert (reason.holds, reason.blocks) == (None, False)
    await edge.close()


@pytest.mark.parametrize("reloaded", [False, True])
async def test_a_served_controller_leaves_a_silenced_alert_and_says_whose_silence_it_is(manager, tmp_path, reloaded):
    await silence(manager, 3600, service_name="checkout")
    says, more = [], f"alertmanager: {{url: {manager.url}}}\n"
    at_first = "" if reloaded else more
    async with listening(says) as (address, _), hosted(tmp_path, at_first, prometheus=address) as (controller, _):
        if reloaded:
            with (tmp_path / "rearguard.yaml").open("a") as file:
                file.write(more)
            await controller.reload()
        quiet, loud = await judged(controller, says, "checkout", "search")
    assert (quiet["not_silenced"].holds, loud["not_silenced"].holds) == (False, True)
    assert "of ann" in quiet["not_silenced"].detail
