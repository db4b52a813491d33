"""How trust is earned poll by poll: scraped without a break, healthy trigger rules, a figure, no trigger alert."""

from dataclasses import replace

import pytest

from real.controller.journal_kit import noted, started
from rearguard_controller.adapters.actions import Actions
from rearguard_controller.adapters.prometheus import AlertingRule, PrometheusAlert, RecordingRule, Rules, figures
from rearguard_controller.adapters.release_kinds import ReleaseKinds
from rearguard_controller.errors import SourceError
from rearguard_controller.journal.sqlite.store import SqliteJournal
from rearguard_controller.model import (
    AlertState,
    Check,
    CommandAction,
    CommandRelease,
    Facts,
    Sample,
    TargetFacts,
    TargetState,
    Trust,
)
from rearguard_controller.releases.looks import Watch
from rearguard_controller.releases.tracking import Releases
from rearguard_controller.watching.readiness_rules import destination
from unit.controller.factories import HOLDING, MATCH, NOW, TARGET, policy, target
from unit.controller.runtime_kit import runtime

CLEAN = Watch(HOLDING, figures=frozenset({None}))  # a figure that names no version has a value
POLL, NEEDED = 15.0, 60.0


class Prometheus:
    """Sees two instances of the target; `up` is what each shows, None no answer."""

    def __init__(self):
        self.up = (1.0, 1.0)

    async def query(self, expression, _at=None):
        if self.up is None:
            raise SourceError("Prometheus is away.")
        if expression.startswith("timestamp"):
            return ()
        return tuple(Sample({**MATCH, "instance": str(number)}, value) for number, value in enumerate(self.up))


@pytest.fixture
async def journal(tmp_path):
    opened = SqliteJournal.open(tmp_path / "journal.db")
    yield opened
    await opened.close()


@pytest.fixture
async def polls(tmp_path, journal):
    """Poll once with what is to be seen; answers whether v1 is known good."""
    read, actions, prometheus = CommandAction(("cat", "current"), 10.0, str(tmp_path)), Actions(), Prometheus()
    it = target(release=CommandRelease(read, read), policy=policy(known_good_after=NEEDED))
    clock = {"now": NOW}
    known = TargetState(TARGET, serving_version="v1", serving_since=NOW, looked_at=NOW)
    await journal.change_target(TARGET, lambda _state: known)  # not new, so that nothing is adopted
    releases = Releases(runtime(journal, clock=lambda: clock["now"]), ReleaseKinds(actions), lambda _: prometheus)
    (tmp_path / "current").write_text("v1")

    async def poll(watch=CLEAN, *, up=(1.0, 1.0), version="v1", after=POLL, every=None, trust=Trust.FIGURES):
        clock["now"] += after
        prometheus.up = up
        (tmp_path / "current").write_text(version)
        how = replace(it, policy=replace(it.policy, trust=trust))
        await releases.track(how, watch, poll_interval=POLL, every=every)
        return any(each.version == "v1" and each.known_good_at for each in await journal.releases(TARGET))

    async def way_back():
        """The check `destination` after the last poll."""
        shown = TargetFacts("v1", state=known, releases=await journal.releases(TARGET))
        return destination(it, Facts(clock["now"], shown), releases.denied(TARGET))

    poll.way_back = way_back
    yield poll
    await actions.close()


async def test_a_version_earns_trust_by_serving_well_with_a_figure_that_had_a_value_once(polls):
    silent = Watch(HOLDING)
    assert [await polls(watch) for watch in (silent, CLEAN, silent, silent, silent)] == [*[False] * 4, True]


async def test_a_version_without_any_figure_never_earns_trust_by_being_scraped(polls):
    assert not any([await polls(Watch(HOLDING)) for _ in range(20)])
    other = Watch(HOLDING, figures=frozenset({"v0"}))  # what lingers of another version
    assert not any([await polls(other) for _ in range(20)])


async def test_a_policy_may_trust_by_up(polls):
    told = tuple(check for check in HOLDING if check.name != "figures")
    assert [await polls(Watch(told), trust=Trust.BY_UP) for _ in range(5)] == [*[False] * 4, True]


@pytest.mark.parametrize(
    "broken",
    [
        {
            "watch": Watch(figures=frozenset({None}))
        },  # Prometheus' lists are not known, or a trigger rule is missing or fails
        {"watch": Watch(HOLDING, ({"alertname": "HighErrorRate"},), frozenset({None}))},  # pending or firing
        {"up": (1.0, 0.0)},
        {"up": ()},
        {"up": None},
        {"version": ""},  # `current` cannot be read
        {"after": 4 * POLL},  # nobody looked
        {"after": -4 * POLL},
    ],
)
async def test_one_poll_that_does_not_find_it_so_begins_the_time_anew(polls, broken):
    for _ in range(4):
        assert await polls() is False
    assert await polls(**broken) is False
    begun = "after" in broken  # that poll itself is clean, and the first one
    assert [await polls() for _ in range(5 - begun)] == [*[False] * (4 - begun), True]


def test_the_looks_that_a_held_up_process_did_not_make_earn_nothing(scene):
    """76 s without a look, of polls every 5 s, counted as unbroken service: the gap was its own measure."""
    it = scene(known_good_after=60.0).controller

    def earned(after):
        it.run_for(after)
        it.poll()
        return any(each.known_good_at for each in it.do(it.file.releases(it.target.name)))

    assert not earned(5.0)
    assert not earned(76.0)
    assert not any(earned(5.0) for _ in range(11))
    assert earned(5.0)


async def test_polls_that_all_last_longer_than_three_intervals_earn_trust(polls):
    """With 1,000 targets every poll took 75 s, and no version ever became known good."""
    long = 5 * POLL
    assert [await polls(after=long, every=long) for _ in range(2)] == [False, True]


FIGURE = "shop:error_ratio"
RULES = Rules(
    alerting=(
        AlertingRule(
            "Errors", f"{FIGURE} > 0.1 and rate(requests_total[1h]) > 1", {}, {}, 0.0, "ok", "", "shop", interval=5.0
        ),
    ),
    recording=(RecordingRule(FIGURE, "rate(errors_total[1m])", {}, "ok", "", "shop", interval=5.0),),
)


@pytest.mark.parametrize(("polls_with_alert", "trusted"), [(4, True), (5, False)])
async def test_an_alert_counts_against_a_version_put_back_once_its_figure_shows_nothing_from_before(
    polls, journal, polls_with_alert, trusted
):
    """For 70 s: the figure's minute and an evaluation of each rule, whatever else the rule looks at."""
    labels = {"alertname": "Errors", **MATCH}
    fired = PrometheusAlert(labels, {"figure": FIGURE, "threshold": "> 0.1"}, AlertState.FIRING, NOW, 1.0)
    rollback = await started(journal, conditions=(figures.condition_of(fired, RULES, target()),))
    await journal.append(rollback.id, noted("step_done", 0, at=NOW))
    firing = Watch(HOLDING, (labels,), frozenset({None}))
    assert [await polls(firing if number < polls_with_alert else CLEAN) for number in range(5)] == [
        *[False] * 4,
        trusted,
    ]


def without(*names, holds=False):
    """A poll's checks, of which these do not hold."""
    return replace(
        CLEAN,
        checks=tuple(Check(each.name, holds, "Because of that.") if each.name in names else each for each in HOLDING),
    )


@pytest.mark.parametrize(
    ("watch", "up", "told"),
    [
        (
            without("figures"),
            (1.0, 1.0),
            "while the check figures does not hold. Because of that. Once it holds, wait",
        ),
        (
            without("one_process_per_address", holds=None),
            (1.0, 1.0),
            "one_process_per_address is not known. Because of that.",
        ),
        (CLEAN, (1.0, 0.0), "while Prometheus does not see every instance of it up"),
        (CLEAN, None, "while Prometheus does not see every instance of it up"),
        (replace(CLEAN, alerts=({"alertname": "Slow"},)), (1.0, 1.0), "which begins once Slow is neither pending"),
    ],
)
async def test_without_a_way_back_the_sentence_names_what_keeps_the_version_from_earning_trust(
    polls, watch, up, told
):
    await polls(watch, up=up)
    check = await polls.way_back()
    assert check.holds is False
    assert told in check.detail
    assert "rearguard release checkout VERSION --good" in check.detail
