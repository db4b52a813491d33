"""What both versions show at polls is kept in the journal: a judgement finds it when the older version is gone."""

from dataclasses import replace

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rearguard_controller import json_views
from rearguard_controller.adapters.actions import Actions
from rearguard_controller.adapters.prometheus import AlertingRule, PrometheusAlert, Rules
from rearguard_controller.adapters.prometheus.promql import presence
from rearguard_controller.adapters.release_kinds import ReleaseKinds
from rearguard_controller.facts.measurements import measure
from rearguard_controller.journal import codec
from rearguard_controller.journal.sqlite.store import SqliteJournal
from rearguard_controller.judgement.beside import Beside, Pair, follow, reading_of
from rearguard_controller.model import AlertState, Condition, Release, Sample, SharedFault
from rearguard_controller.releases.presence import Instances
from rearguard_controller.releases.tracking import Releases
from rearguard_controller.watching import current_figures
from rearguard_controller.watching.side_by_side import Figures, SideBySide
from rearguard_controller.wording import moment
from unit.controller.factories import MATCH, NOW, TARGET, facts, good, serving, state, target
from unit.controller.runtime_kit import runtime
from unit.controller.wire import version

FIGURE, ENOUGH, CRASHES = "shop:errors:ratio", "shop:requests:enough", "shop:crashes"
POLL = 15.0


def rule(name="ReleaseErrorRate", **annotations):
    return AlertingRule(name, CRASHES, {"action": "rollback"}, annotations, 30.0, "ok", "", "release", 5.0)


ERRORS = rule(figure=FIGURE, threshold="> 0.1", comparable=ENOUGH)
OF_ERRORS = Condition("ReleaseErrorRate", FIGURE, "> 0.1", MATCH, comparable=ENOUGH)


@pytest.fixture
async def journal(tmp_path):
    opened = SqliteJournal.open(tmp_path / "journal.db")
    await opened.change_target(TARGET, lambda _: state())
    for each in (good("v1", service_version="1.0"), serving("v2", service_version="2.0")):
        await opened.change_release(TARGET, each.version, lambda _, each=each: each)
    yield opened
    await opened.close()


class Polls:
    """Polls one target; `shows` gives what each version shows, `scraped` which versions answer."""

    def __init__(self, journal, wire, prometheus, rules=(ERRORS,), figure=FIGURE):
        self.journal, self.wire, self.prometheus, self.rules = journal, wire, prometheus, rules
        self.figure, self.now = figure, NOW
        self.restart()

    def restart(self):
        of = runtime(self.journal, clock=lambda: self.now)
        self.beside = SideBySide(
            of, self.prometheus, Releases(of, ReleaseKinds(Actions()), lambda _: self.prometheus)
        )

    async def __call__(self, *, scraped=("1.0", "2.0"), alerts=(), enough=(), **shows):
        self.now += POLL
        values = [Sample(version(name.removeprefix("v") + ".0"), value) for name, value in shows.items()]
        self.wire.vectors = {
            self.figure: values,
            ENOUGH: [Sample(version(name), 1.0) for name in enough],
        }
        table = await current_figures.tabulate(self.prometheus, self.rules)
        self.wire.asked.clear()
        there = Instances(self.now, [Sample(version(name), 1.0) for name in scraped])
        shown = Figures(Rules(alerting=self.rules), self.rules, table, alerts, there)
        known = await self.journal.releases(TARGET)
        await self.beside.look(target(), await self.journal.target_state(TARGET), known, shown)
        return await self.kept()

    async def kept(self):
        known = {each.version: each for each in await self.journal.releases(TARGET)}
        return [each for each in known["v2"].shared_faults if each.ended_at is None]

    async def judged(self, condition=OF_ERRORS):
        """What a judgement finds when only v2 is left, and history says nothing of v1."""
        self.wire.vectors = {condition.figure: [Sample(version("2.0"), 0.5)], presence(MATCH): []}
        self.wire.over_time = {condition.figure: {"2.0": lambda _at: 0.5}}
        known = facts(now=self.now, releases=await self.journal.releases(TARGET))
        return (await measure(self.prometheus, condition, known, lambda: self.now)).shared


@pytest.fixture
def polls(journal, wire, prometheus):
    return Polls(journal, wire, prometheus)


async def test_what_two_polls_saw_side_by_side_holds_when_the_older_version_is_gone(polls):
    assert await polls(v1=0.3, v2=0.4) == []
    (kept,) = await polls(v1=0.3, v2=0.4)
    assert (kept.alert, kept.version, kept.own, kept.older, kept.limit) == ("ReleaseErrorRate", "1.0", 0.4, 0.3, 0.1)
    polls.restart()
    for _ in range(4):
        await polls(v2=0.5, scraped=("2.0",))
    assert await polls.judged() == kept


async def test_nothing_is_asked_of_a_target_whose_versions_do_not_share_a_fault(polls):
    for shows in ({"v2": 0.5}, {"v1": 0.0, "v2": 0.5}, {"v1": 0.5, "v2": 0.0}):
        assert await polls(**shows) == []
        assert polls.wire.asked == []


async def test_a_moment_of_silence_in_between_does_not_break_it(polls):
    assert await polls(v1=0.3, v2=0.4) == []
    assert await polls(v2=0.4) == []
    assert len(await polls(v1=0.3, v2=0.4)) == 1


@pytest.mark.parametrize(
    "between", [{"v1": 0.0, "v2": 0.4}, {"v1": 0.3, "v2": 0.0}, {"v1": 0.3, "v2": 0.4, "scraped": ("2.0",)}]
)
async def test_a_fault_that_comes_and_goes_in_one_of_them_must_last_anew(polls, between):
    await polls(v1=0.3, v2=0.4)
    scraped = between.get("scraped")
    found = await polls(**between)
    assert found == []
    assert len(await polls(v1=0.3, v2=0.4)) == (1 if scraped else 0)  # one that is not scraped says nothing


async def test_a_release_is_cleared_of_that_fault_and_of_no_other(polls):
    await polls(v1=0.3, v2=0.4)
    await polls(v1=0.3, v2=0.4)
    assert await polls.judged() is not None
    assert await polls.judged(Condition("Crashes", CRASHES, "> 0", MATCH)) is None
    assert await polls.judged(Condition("ReleaseErrorRate", FIGURE, "> 0.4", MATCH)) is None


OF_LIMIT = (
    "> shop:errors:threshold"  # a recorded threshold: what is compared with it measures the same, over any window
)


async def seen_beside(journal, **fields):
    """What a poll kept: v1 showed it beside v2."""
    fault = SharedFault("ReleaseErrorRate", FIGURE, OF_LIMIT, "1.0", NOW, 0.4, 0.3, 0.1)
    kept = replace(fault, **fields)
    await journal.change_release(
        TARGET, "v2", lambda known: replace(known, shared_faults=(*known.shared_faults, kept))
    )
    return kept


async def test_a_release_is_cleared_of_the_same_fault_by_a_figure_over_another_window(polls, journal):
    """A fault of 20 s beside the older version never fills the window of a figure that looks back for a minute."""
    kept = await seen_beside(journal)
    assert await polls.judged(Condition("HighErrorRate", "shop:errors:over1m", OF_LIMIT, MATCH)) == kept
    assert (
        await polls.judged(Condition("SlowResponses", "shop:seconds:over1m", "> shop:seconds:threshold", MATCH))
        is None
    )
    assert await polls.judged(Condition("HighErrorRate", "shop:errors:over1m", "> 0.1", MATCH)) is None


async def test_the_alerts_of_evidence_and_of_error_ratios_are_about_the_same_fault(polls, journal):
    figure, limit = "version:http_error_ratio:newest", "> service:http_error_ratio:threshold"
    kept = await seen_beside(journal, figure=figure, threshold=limit)
    worse = ("version:http_error_evidence:nats", "> service:http_error_evidence:needed")
    slower = ("version:http_slow_evidence:nats", "> service:http_slow_evidence:needed")
    assert await polls.judged(Condition("ReleaseWorse", *worse, MATCH)) == kept
    assert await polls.judged(Condition("ReleaseSlower", *slower, MATCH)) is None


async def test_the_evidence_of_slow_answers_and_mean_times_are_about_the_same_fault(polls, journal):
    slower = ("version:http_slow_evidence:nats", "> service:http_slow_evidence:needed")
    kept = await seen_beside(journal, figure=slower[0], threshold=slower[1])
    mean = ("version:http_mean_seconds:newest", "> service:http_mean_seconds:threshold")
    assert await polls.judged(Condition("ReleaseSlowResponses", *mean, MATCH)) == kept
    memory = ("version:memory_usage:ratio", "> service:memory_critical_ratio:threshold")
    assert await polls.judged(Condition("CriticalMemoryUsage", *memory, MATCH)) is None


async def test_what_ended_by_one_figure_holds_by_another_only_if_it_was_seen_later(polls, journal):
    other = Condition("HighErrorRate", "shop:errors:over1m", OF_LIMIT, MATCH)
    kept = await seen_beside(journal)
    await seen_beside(journal, figure=other.figure, at=NOW - 100, well_at=NOW - 60, ended_at=NOW + 10)
    assert await polls.judged(other) is None
    await seen_beside(journal, figure="shop:errors:over5m", at=NOW + 20)
    assert (await polls.judged(other)).at == NOW + 20
    assert await polls.judged(Condition("A", FIGURE, OF_LIMIT, MATCH)) == kept


async def test_after_health_of_both_a_fault_of_the_release_alone_is_its_own_for_good(polls):
    await polls(v1=0.3, v2=0.4)
    await polls(v1=0.3, v2=0.4)
    await polls(v1=0.0, v2=0.4)  # no health in between: the older one recovered first
    assert len(await polls(v1=0.0, v2=0.4)) == 1
    assert len(await polls(v1=0.0, v2=0.0)) == 1
    assert len(await polls(v1=0.0, v2=0.4)) == 1  # a moment
    assert await polls(v1=0.0, v2=0.4) == []
    polls.restart()
    polls.wire.over_time = {}
    assert await polls.judged() is None


async def test_an_alert_without_a_figure_is_shared_when_both_versions_have_it(journal, wire, prometheus):
    polls = Polls(journal, wire, prometheus, rules=(rule("Crashes"),))
    both = [PrometheusAlert({"alertname": "Crashes", **version(each)}, {}, AlertState.PENDING, NOW, 1.0)
            for each in ("1.0", "2.0")]  # fmt: skip
    assert await polls(alerts=both) == []
    (kept,) = await polls(alerts=both)
    assert (kept.alert, kept.figure, kept.threshold) == ("Crashes", CRASHES, "exists")


LOOKS_BACK = "max_over_time(shop:errors:ratio[40s])"


@pytest.mark.parametrize(("enough", "found"), [(("1.0", "2.0"), [0, 1, 1, 1]), (("2.0",), [0, 0, 0, 1])])
async def test_without_enough_traffic_a_fault_must_last_as_long_as_its_figure_looks_back(
    journal, wire, prometheus, enough, found
):
    slow = rule(figure=LOOKS_BACK, threshold="> 0.1", comparable=ENOUGH)
    polls = Polls(journal, wire, prometheus, rules=(slow,), figure=LOOKS_BACK)
    assert [len(await polls(v1=0.3, v2=0.4, enough=enough)) for _ in range(4)] == found


async def test_the_api_shows_what_an_older_version_showed_and_when_that_ended(polls, journal):
    for _ in range(2):
        await polls(v1=0.4, v2=0.5)
    v2 = next(each for each in await journal.releases(TARGET) if each.version == "v2")
    (fault,) = json_views.release(v2)["shared_faults"]
    assert {name: fault[name] for name in ("alert", "figure", "threshold", "version", "own", "older", "limit")} == {
        "alert": "ReleaseErrorRate",
        "figure": FIGURE,
        "threshold": "> 0.1",
        "version": "1.0",
        "own": 0.5,
        "older": 0.4,
        "limit": 0.1,
    }
    assert (fault["at"], fault["ended_at"]) == (moment(v2.shared_faults[0].at), None)
    over = replace(v2, shared_faults=(replace(v2.shared_faults[0], ended_at=NOW),))
    assert json_views.release(over)["shared_faults"][0]["ended_at"] == moment(NOW)


async def test_a_release_in_the_journal_of_an_older_rearguard_was_cleared_of_nothing(journal):
    old = orjson.loads(codec.dump(good("v1")))
    del old["shared_faults"]
    assert codec.load(Release, orjson.dumps(old).decode()) == good("v1")


MOMENTS = st.lists(
    st.tuples(st.floats(1.0, 40.0), st.sampled_from([None, 0.0, 0.08, 0.3]), st.sampled_from([None, 0.0, 0.08, 0.3])),
    max_size=12,
)


@given(MOMENTS)
def test_a_release_is_cleared_only_by_two_moments_in_which_both_showed_the_fault(moments):
    condition = Condition("A", FIGURE, "> 0.1", MATCH, settle=20.0)
    at, known, both = 0.0, Beside(), []
    for pause, own, older in moments:
        at += pause
        values = [(name, value) for name, value in (("2.0", own), ("1.0", older)) if value is not None]
        reading = reading_of(at, (">", 0.1), values, Pair("2.0", frozenset({"1.0"})), ("1.0", "2.0"))
        both += [at] if own == older == 0.3 else []
        known = follow(known, condition, reading)
        if known.fault is not None and known.fault.at == at:
            assert any(at - 20.0 >= moment for moment in both)
    assert known.fault is None or known.fault.at in both
