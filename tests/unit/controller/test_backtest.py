"""The replay on pasts that were made by hand: what would have been rolled back, when, and why the rest was left."""

import json
from dataclasses import dataclass, field, replace

import pytest

from rearguard_controller.adapters.prometheus import AlertingRule, Rules, Series, figures
from rearguard_controller.backtest import compare, replay, stretches
from rearguard_controller.backtest.curves import wanted
from rearguard_controller.backtest.nouns import (
    AlertHistory,
    Change,
    Curve,
    Presence,
    Return,
    Stretch,
    World,
    curve_key,
)
from rearguard_controller.backtest.report import obstacle
from rearguard_controller.backtest.selectors import narrowed, of_all
from rearguard_controller.backtest.serving import changes, returns
from rearguard_controller.model import Budget, Condition, Mode, ReasonCode, StormLimit, Trust, Verdict
from rearguard_controller.model.observations import EXISTS
from unit.controller.factories import HOUR, MINUTE, policy, target

START, END = 1_000_000.0, 1_000_000.0 + 48 * HOUR
FIGURE, THRESHOLD = "version:errors:ratio", "> 0.1"
RULES = Rules(
    alerting=(
        AlertingRule(
            name="ReleaseErrorRate",
            query="version:errors:ratio > 0.1",
            labels={"action": "rollback"},
            annotations={"figure": FIGURE, "threshold": THRESHOLD},
            for_seconds=60.0,
            health="ok",
            last_error="",
            group="release",
            interval=15.0,
        ),
        AlertingRule("NoFigure", "up == 0", {"action": "rollback"}, {}, 60.0, "ok", "", "release", 15.0),
    )
)


def labels(name):
    return {"service_name": name}


def shop(name="checkout", **fields):
    return target(name=name, match=(labels(name),), telemetry=labels(name), **fields)


@dataclass
class Made:
    """A past in hours since its start; versions and figures of targets are lists of pieces."""

    targets: tuple
    presence: dict = field(default_factory=dict)
    values: dict = field(default_factory=dict)
    alerts: list = field(default_factory=list)
    storm: StormLimit = field(default_factory=StormLimit)
    enough: tuple = ()
    rules: Rules = RULES

    def serves(self, version, start, end, *, of="checkout", figure=0.0):
        """A version is scraped, and shows this figure; None: it shows none."""
        one = Presence(version, START + start * HOUR, START + end * HOUR)
        self.presence.setdefault(of, []).append(one)
        if figure is not None:
            self.shows(version, start, end, figure, of=of)
        return self

    def shows(self, version, start, end, value, *, of="checkout"):
        """From `start` to `end` its figure is this, whatever was said before."""
        self.values.setdefault((of, version), []).append((START + start * HOUR, START + end * HOUR, value))
        return self

    def fires(self, start, end, *, of="checkout", version="v2", name="ReleaseErrorRate", pending=0.0, **more):
        """An alert fires, after it was pending for some hours."""
        own = {"alertname": name, "action": "rollback", **labels(of), "service_version": version, **more}
        firing = Stretch(START + start * HOUR, START + end * HOUR)
        active = Stretch(START + (start - pending) * HOUR, firing.end)
        self.alerts.append(AlertHistory({k: v for k, v in own.items() if v}, (active,), (firing,)))
        return self

    def comparable(self, *versions):
        """These versions have enough traffic to be compared, all the time."""
        self.enough = versions
        return self

    def world(self, *, settle=0.0):
        presence = {each.name: tuple(self.presence.get(each.name, ())) for each in self.targets}
        world = World(
            START, END, self.targets, presence, tuple(self.alerts), self.rules, storm=self.storm, silences=True
        )
        changed = {name: changes(found, world.look_every) for name, found in presence.items()}
        curves = {}
        for each in wanted(world, changed):
            step = figures.step_between(each.start, each.end)
            own = tuple(self.series(each, version, step) for name, version in self.values if name == each.target.name)
            grid = [each.start + n * step for n in range(int((each.end - each.start) / step) + 1)]
            enough = tuple(
                Series({**labels(each.target.name), "service_version": version}, tuple((at, 1.0) for at in grid))
                for version in self.enough
            )
            condition = replace(each.condition, settle=settle)
            shown = tuple(one for one in own if one.points)
            curve = Curve(condition, each.start, each.end, step, shown, comparable=enough)
            curves.setdefault(curve_key(each.target, each.condition), []).append(curve)
        return replace(world, curves=curves)

    def series(self, each, version, step):
        pieces = self.values[each.target.name, version]
        grid = [each.start + n * step for n in range(int((each.end - each.start) / step) + 1)]
        said = [(at, [value for start, end, value in pieces if start <= at <= end]) for at in grid]
        points = tuple((at, values[-1]) for at, values in said if values)
        return Series({**labels(each.target.name), "service_version": version}, points)

    def judged(self, *, settle=0.0):
        world = self.world(settle=settle)
        return compare(world, replay(world))


def begun(report):
    """(target, from, to, hours since the start) of what would have been rolled back."""
    return [
        (
            each.record.decision.target,
            each.record.decision.from_version,
            each.record.decision.to_version,
            round((each.record.decision.decided_at - START) / HOUR, 3),
        )
        for each in report.rollbacks
    ]


def codes(report):
    """What stood in the way of what was left, in order."""
    return [obstacle(each.decision).code.value for each in report.left]


def bad_release(**fields):
    """v1 for ten hours, then v2, which fails from its sixth minute on and whose alert fires at its twelfth."""
    made = Made((shop(**fields),))
    made.serves("v1", 0, 10).serves("v2", 10.001, 12).shows("v2", 10.1, 12, 0.3)
    return made.fires(10.2, 12, pending=0.1)


# --- what would have been rolled back


def test_a_bad_release_is_rolled_back_at_the_moment_its_alert_fires():
    report = bad_release().judged()
    assert begun(report) == [("checkout", "v2", "v1", 10.2)]
    decision = report.rollbacks[0].record.decision
    assert (decision.verdict, decision.would) == (Verdict.ROLL_BACK, Verdict.ROLL_BACK)
    assert {reason.code for reason in decision.reasons} == set(ReasonCode)
    silenced = next(reason for reason in decision.reasons if reason.code is ReasonCode.NOT_SILENCED)
    assert (silenced.holds, silenced.blocks) == (None, False)
    assert "history holds no silences" in silenced.detail


def test_the_mode_is_judged_as_if_it_acted_and_what_it_would_have_said_is_kept():
    report = bad_release(policy=policy(mode=Mode.OBSERVE), environment="staging").judged()
    assert begun(report) == [("checkout", "v2", "v1", 10.2)]
    assert report.rollbacks[0].record.decision.verdict is Verdict.LEAVE


def test_mode_ask_would_have_asked():
    report = bad_release(policy=policy(mode=Mode.ASK)).judged()
    assert [each.record.decision.would for each in report.rollbacks] == [Verdict.ASK]


def test_two_bad_releases_in_a_row_go_back_to_the_last_good_one_and_not_to_each_other():
    made = bad_release()
    made.serves("v3", 12.001, 20).shows("v3", 12.1, 20, 0.4).fires(12.2, 20, version="v3", pending=0.1)
    report = made.judged()
    assert begun(report) == [("checkout", "v2", "v1", 10.2), ("checkout", "v3", "v1", 12.2)]
    before = next(
        reason
        for reason in report.rollbacks[1].record.decision.reasons
        if reason.code is ReasonCode.PREVIOUS_VERSION_HEALTHY
    )
    assert before.holds is True  # v1 by its last minutes: it would have served again
    assert "v1" in before.detail


def test_what_is_rolled_back_is_judged_no_more_until_another_version_serves():
    made = bad_release()
    made.fires(11, 11.9, name="ReleaseErrorRate", instance="b")
    report = made.judged()
    assert len(report.rollbacks) == 1
    assert codes(report) == ["not_already_handled"]


def test_a_version_rolled_away_from_is_left_alone_when_it_comes_back():
    made = bad_release()
    made.serves("v1", 12.001, 14).serves("v2", 14.001, 16).shows("v2", 14.1, 16, 0.3)
    made.fires(14.2, 16, pending=0.1)
    report = made.judged()
    assert begun(report) == [("checkout", "v2", "v1", 10.2)]
    assert "not_already_handled" in codes(report)


def test_a_leak_found_late_goes_back_though_the_version_had_earned_trust():
    made = Made((shop(),)).serves("v1", 0, 10).serves("v2", 10.001, 13).shows("v2", 11.4, 13, 0.3)
    assert begun(made.fires(11.5, 13).judged()) == [("checkout", "v2", "v1", 11.5)]


def test_a_version_that_would_have_been_left_is_no_destination_though_it_had_earned_trust():
    made = Made((shop(),)).serves("v1", 0, 10).serves("v2", 10.001, 13).shows("v2", 11.4, 13, 0.3).fires(11.5, 13)
    made.serves("v3", 13.001, 15).shows("v3", 13.1, 15, 0.3).fires(13.2, 15, version="v3")
    assert begun(made.judged()) == [("checkout", "v2", "v1", 11.5), ("checkout", "v3", "v1", 13.2)]


def test_an_alert_that_was_pending_first_is_judged_again_until_the_figure_says_the_same():
    made = Made((shop(),)).serves("v1", 0, 10).serves("v2", 10.001, 12).shows("v2", 10.5, 12, 0.3)
    report = made.fires(10.2, 12).judged()  # fires before the figure is past the threshold
    assert codes(report)[0] == "alert_confirmed"
    ((_, _, _, hours),) = begun(report)
    assert 10.5 <= hours < 10.51  # at the next look


def test_an_alert_without_a_figure_is_judged_by_its_expression():
    made = Made((shop(),)).serves("v1", 0, 10, figure=None).serves("v2", 10.001, 12, figure=None)
    made.shows("v2", 10.1, 12, 1.0).fires(10.2, 12, name="NoFigure")
    report = made.judged()
    assert begun(report) == [("checkout", "v2", "v1", 10.2)]
    reasons = {reason.code: reason for reason in report.rollbacks[0].record.decision.reasons}
    assert reasons[ReasonCode.ALERT_CONFIRMED].detail == "NoFigure fires in Prometheus, and its figure is present."
    assert reasons[ReasonCode.PREVIOUS_VERSION_HEALTHY].holds is None


def test_a_database_alert_that_cannot_be_compared_would_have_been_asked_about():
    made = Made((shop(),)).serves("v1", 0, 10, figure=None).serves("v2", 10.001, 12).shows("v2", 10.1, 12, 0.3)
    report = made.fires(10.2, 12, component="database").judged()
    assert [each.record.decision.would for each in report.rollbacks] == [Verdict.ASK]


# --- what is left alone


def test_an_alert_without_a_release_is_left():
    made = Made((shop(),)).serves("v1", 0, 48).shows("v1", 20, 48, 0.3).fires(20.1, 48, version="v1")
    report = made.judged()
    assert (begun(report), codes(report)) == ([], ["recent_release"])


def test_a_release_older_than_the_watch_window_is_left():
    made = Made((shop(),)).serves("v1", 0, 10).serves("v2", 10.001, 20).shows("v2", 13, 20, 0.3)
    report = made.fires(13.1, 20).judged()
    assert (begun(report), codes(report)) == ([], ["recent_release"])


def test_a_fault_that_began_before_the_release_is_not_blamed_on_it():
    made = Made((shop(),)).serves("v1", 0, 10).shows("v1", 9.9, 10, 0.3)
    made.serves("v2", 10.001, 12).shows("v2", 10.001, 12, 0.3).fires(9.95, 12, version=None)
    report = made.judged()
    assert begun(report) == []
    assert "began_after_release" in codes(report)


def test_a_fault_that_both_versions_had_in_turn_is_not_blamed_though_only_the_new_one_has_an_alert():
    made = Made((shop(),)).serves("v1", 0, 10).shows("v1", 9.95, 10, 0.3)  # three minutes: the median is well
    made.serves("v2", 10.001, 12).shows("v2", 10.001, 12, 0.3).fires(10.05, 12)
    report = made.judged()
    assert (begun(report), codes(report)[0]) == ([], "began_after_release")


def test_an_alert_that_was_there_before_the_release_is_not_blamed_on_it():
    made = Made((shop(),)).serves("v1", 0, 10).serves("v2", 10.001, 12).shows("v2", 10.1, 12, 0.3)
    report = made.fires(9.5, 12, version="v1").fires(10.2, 12).judged()
    assert begun(report) == []
    details = [reason.detail for each in report.left for reason in each.decision.reasons if reason.blocks]
    assert any("ReleaseErrorRate was already firing" in detail for detail in details)


def test_instances_of_the_new_version_that_served_beside_the_old_one_came_with_the_release():
    made = Made((shop(),)).serves("v1", 0, 10).serves("v2", 10.001, 12).shows("v2", 9.99, 12, 0.3)
    assert begun(made.fires(10.2, 12).judged()) == [("checkout", "v2", "v1", 10.2)]


def test_a_fault_of_both_versions_is_not_blamed_on_the_new_one():
    made = Made((shop(),)).serves("v1", 0, 12).serves("v2", 10, 12)
    made.shows("v1", 10.5, 12, 0.3).shows("v2", 10.5, 12, 0.3)
    report = made.fires(10.6, 12).judged()
    assert (begun(report), codes(report)) == ([], ["previous_version_healthy"])


def test_a_sick_dependency_is_not_blamed_on_the_release():
    made = Made((shop(depends_on=("payments",)), shop("payments")))
    made.serves("v1", 0, 10).serves("v2", 10.001, 12).shows("v2", 10.1, 12, 0.3).fires(10.2, 10.9)
    made.serves("p1", 0, 48, of="payments").fires(10.15, 12, of="payments", version="p1")
    report = made.judged()
    assert begun(report) == []
    assert codes(report) == ["recent_release", "dependencies_healthy"]


def test_a_dependency_whose_alert_pends_holds_a_rollback_up_until_it_fires():
    def past(**pending):
        made = Made((shop(depends_on=("payments",)), shop("payments")))
        made.serves("v1", 0, 10).serves("v2", 10.001, 12).shows("v2", 10.1, 12, 0.3).fires(10.12, 10.9)
        made.serves("p1", 0, 48, of="payments")
        return made.fires(10.14, 12, of="payments", version="p1", **pending).judged()

    assert begun(past()) == [("checkout", "v2", "v1", 10.12)]
    report = past(pending=0.03)
    assert begun(report) == []
    assert set(codes(report)) == {"recent_release", "dependencies_healthy"}
    detail = next(each.decision.reasons for each in report.left if each.decision.target == "checkout")
    assert any("its trigger alert ReleaseErrorRate pends since" in each.detail for each in detail)


def test_without_data_nothing_is_rolled_back():
    made = Made((shop(),)).serves("v1", 0, 10).serves("v2", 10.001, 12, figure=None).fires(10.2, 12)
    report = made.judged()
    assert (begun(report), codes(report)) == ([], ["alert_confirmed"])
    confirmed = next(each for each in report.left[0].decision.reasons if each.code is ReasonCode.ALERT_CONFIRMED)
    assert confirmed.holds is None


def test_a_rule_that_is_not_loaded_any_more_confirms_nothing():
    made = Made((shop(),)).serves("v1", 0, 10).serves("v2", 10.001, 12).fires(10.2, 12, name="Gone")
    report = made.judged()
    assert (begun(report), codes(report)) == ([], ["alert_confirmed"])


def test_trust_that_is_not_earned_is_no_destination():
    made = Made((shop(),)).serves("v1", 0, 10).serves("v2", 10.001, 10.1).serves("v3", 10.101, 12)
    made.shows("v1", 0, 1, 0.0)
    made.shows("v3", 10.2, 12, 0.3).fires(10.3, 12, version="v3")
    assert begun(made.judged()) == [("checkout", "v3", "v1", 10.3)]  # v2 served for six minutes only


def test_an_alert_while_it_serves_keeps_a_version_from_trust():
    made = Made((shop(),)).serves("v1", 0, 10).serves("v2", 10.001, 10.4).serves("v3", 10.401, 12)
    made.fires(10.2, 10.25, name="Gone")  # v2 was clean for twelve minutes, then for nine
    made.shows("v3", 10.5, 12, 0.3).fires(10.6, 12, version="v3")
    assert begun(made.judged()) == [("checkout", "v3", "v1", 10.6)]
    made.alerts.pop(0)  # without it v2 earned trust in 24 minutes
    assert begun(made.judged()) == [("checkout", "v3", "v2", 10.6)]


@pytest.mark.parametrize(
    ("begins", "to"),
    [
        (0, "v2"),  # long before v2
        (9.99, "v1"),  # half a minute before v2: it may have come with v2
        (10.1, "v1"),  # while v2 serves, so that it says nothing for v3 either
    ],
)
def test_an_alert_that_stood_long_before_a_release_denies_it_no_trust(begins, to):
    """As SlowResponses, which is always pending for a service with streams."""
    made = Made((shop(),)).serves("v1", 0, 10).serves("v2", 10.001, 14)
    made.serves("v3", 14.001, 20).shows("v3", 14.1, 20, 0.4).fires(14.2, 20, version="v3", pending=0.1)
    always = {"alertname": "SlowResponses", "action": "rollback", **labels("checkout")}
    made.alerts.append(AlertHistory(always, (Stretch(START + begins * HOUR, END),), ()))
    assert begun(made.judged()) == [("checkout", "v3", to, 14.2)]


def test_a_version_of_which_nothing_was_measured_is_no_destination_unless_by_up():
    for trust, destination in ((Trust.FIGURES, "v1"), (Trust.BY_UP, "v2")):
        of = shop(policy=replace(shop().policy, trust=trust))
        made = Made((of,)).serves("v1", 0, 10).serves("v2", 10.001, 10.5).serves("v3", 10.501, 12)
        made.shows("v3", 10.6, 12, 0.3).fires(10.7, 12, version="v3")
        measured = {"checkout": {"v1": (START + HOUR,), "v3": (START + 10.6 * HOUR,)}}
        world = replace(made.world(), measured=measured)
        assert begun(compare(world, replay(world))) == [("checkout", "v3", destination, 10.7)]


def test_a_version_that_is_measured_late_is_known_good_from_then_on():
    made = Made((shop(),)).serves("v1", 0, 10).serves("v2", 10.001, 10.8).serves("v3", 10.801, 12)
    made.shows("v3", 10.9, 12, 0.3).fires(11, 12, version="v3")
    for measured_at, destination in ((10.7, "v2"), (10.85, "v1")):  # the latter when it had left
        moments = {"v1": (START + HOUR,), "v2": (START + measured_at * HOUR,), "v3": (START + 11 * HOUR,)}
        world = replace(made.world(), measured={"checkout": moments})
        assert begun(compare(world, replay(world))) == [("checkout", "v3", destination, 11)]


def test_service_with_a_break_earns_no_trust_across_it():
    made = Made((shop(),)).serves("v1", 0, 10).serves("v2", 10.001, 10.2).serves("v2", 10.3, 10.5)
    made.serves("v3", 10.501, 12).shows("v3", 10.6, 12, 0.3).fires(10.7, 12, version="v3")
    assert begun(made.judged()) == [("checkout", "v3", "v1", 10.7)]  # twelve minutes, twice


def test_a_figure_that_outlives_its_version_says_nothing_of_it():
    made = bad_release().shows("v1", 10, 12, 0.9)
    assert begun(made.judged()) == [("checkout", "v2", "v1", 10.2)]


def test_more_targets_than_a_storm_allows_are_left_alone():
    names = ("a", "b", "c", "d")
    made = Made(tuple(shop(name) for name in names))
    for name in names:
        made.serves("v1", 0, 10, of=name).serves("v2", 10.001, 12, of=name).shows("v2", 10.1, 12, 0.3, of=name)
        made.fires(10.2, 11, of=name)
    report = made.judged()
    assert (begun(report), set(codes(report))) == ([], {"no_storm"})
    made.storm = StormLimit(targets=4)
    assert len(made.judged().rollbacks) == 4


def test_a_storm_is_over_when_its_alerts_were_quiet_for_long_enough():
    names = ("a", "b", "c", "d")
    made = Made(tuple(shop(name) for name in names))
    for name in names:
        made.serves("v1", 0, 10, of=name).serves("v2", 10.001, 12, of=name).shows("v2", 10.1, 12, 0.3, of=name)
        made.fires(10.2, 11 if name == "a" else 10.3, of=name)
    ((name, _, _, hours),) = begun(made.judged())
    assert name == "a"
    assert 10.3 + 5 / 60 < hours < 10.3 + 6 / 60


def test_a_version_that_would_have_been_left_is_no_storm_for_others():
    names = ("a", "b", "c", "d", "e")
    made = Made(tuple(shop(name) for name in names))
    for number, name in enumerate(names):
        at = 10 + number  # one bad release an hour, and people leave them all
        made.serves("v1", 0, at, of=name).serves("v2", at + 0.001, 20, of=name)
        made.shows("v2", at + 0.1, 20, 0.3, of=name).fires(at + 0.2, 20, of=name)
    assert [name for name, *_ in begun(made.judged())] == list(names)


def test_the_cooldown_delays_and_the_budget_ends():
    careful = policy(cooldown=30 * MINUTE, budget=Budget(2, 24 * HOUR))
    made = Made((shop(policy=careful),)).serves("v1", 0, 10)
    for version, came, left in (("v2", 10.001, 10.39), ("v3", 10.401, 10.79), ("v4", 10.801, 13)):
        made.serves(version, came, left).shows(version, came + 0.02, left, 0.3).fires(
            came + 0.1, left, version=version
        )
    report = made.judged()
    # v3's alert fires 24 minutes after the first rollback, whose cooldown is over 30 minutes after it
    assert begun(report) == [("checkout", "v2", "v1", 10.101), ("checkout", "v3", "v1", 10.601)]
    assert codes(report)[0] == "cooldown_over"
    assert codes(report)[-1] == "recent_release"  # v4's alert fires on when its watch window is over
    blocked = [reason.code for reason in report.left[-2].decision.reasons if reason.blocks]
    assert blocked == [ReasonCode.BUDGET_LEFT]


def test_a_release_that_is_bad_at_once_after_a_bad_one_is_blamed_all_the_same():
    made = bad_release().serves("v3", 12.001, 14).shows("v3", 12.001, 14, 0.4).fires(12.05, 14, version="v3")
    assert begun(made.judged()) == [("checkout", "v2", "v1", 10.2), ("checkout", "v3", "v1", 12.05)]


def test_an_alert_of_several_targets_belongs_to_the_one_with_a_recent_release():
    both = ({"team": "shop"},)
    made = Made((replace(shop(), match=both), replace(shop("search"), match=both)))
    made.serves("v1", 0, 10).serves("v2", 10.001, 12).shows("v2", 10.1, 12, 0.3)
    made.serves("s1", 0, 48, of="search").fires(10.2, 11.9, version=None, team="shop")
    assert begun(made.judged()) == [("checkout", "v2", "v1", 10.2)]
    made.serves("s2", 10, 12, of="search")
    report = made.judged()
    assert begun(report) == []
    assert "several targets (checkout, search)" in report.left[0].decision.reasons[0].detail


def test_an_alert_of_no_target_is_counted_in_a_note():
    made = bad_release().fires(10, 11, of="elsewhere")
    assert [note for note in made.judged().notes if "ReleaseErrorRate: 1 alert " in note]


def test_an_alert_about_another_version_than_the_serving_one_is_left():
    made = Made((shop(),)).serves("v1", 0, 10).serves("v2", 10.001, 12).shows("v2", 10.1, 12, 0.3)
    assert codes(made.fires(10.2, 12, version="v1").judged())[0] == "version_matches"


def test_the_same_answer_is_recorded_once_and_its_episodes_are_counted():
    made = Made((shop(),)).serves("v1", 0, 48)
    flapping = tuple(Stretch(START + hour * HOUR, START + hour * HOUR + 60) for hour in range(1, 41))
    own = {"alertname": "ReleaseErrorRate", "action": "rollback", **labels("checkout")}
    made.alerts.append(AlertHistory(own, flapping, flapping))
    (record,) = made.judged().left
    assert (record.times, record.last_at) == (40, START + 40 * HOUR)


# --- beside what people did


def test_people_who_rolled_back_later_agree():
    report = bad_release().serves("v1", 12.001, 20).judged()
    assert [each.people for each in report.rollbacks] == [Return("checkout", START + 12.001 * HOUR, "v2", "v1")]
    assert report.rollbacks[0].earlier == pytest.approx(1.801 * HOUR)
    assert report.only_people == ()
    assert report.summary() == (
        "Of 2 changes of version 1 would have been rolled back. People rolled it back, too, a median of 1h48m later."
    )


def test_going_back_that_did_not_help_people_disarms_and_marks_nothing():
    made = bad_release().serves("v1", 12.001, 20).shows("v1", 12.001, 13, 0.3).fires(12.02, 13, version="v1")
    made.serves("v3", 20.001, 22).shows("v3", 20.1, 22, 0.3).fires(20.2, 22, version="v3")
    report = made.judged()
    assert [(each.record.helped, each.record.decision.verdict) for each in report.rollbacks] == [
        (False, Verdict.ROLL_BACK),
        (None, Verdict.LEAVE),
    ]
    armed = next(each for each in report.rollbacks[1].record.decision.reasons if each.code is ReasonCode.ARMED)
    assert armed.detail == ("The target is disarmed: b1 did not help: the alert fired on when people had gone back.")


def test_going_back_that_helped_people_is_known_to_help():
    report = bad_release().serves("v1", 12.001, 20).fires(12.001, 12.05, version="v1").judged()
    assert [each.record.helped for each in report.rollbacks] == [True]  # it ended within five minutes


def test_people_who_rolled_back_before_the_alert_fired_were_alone():
    made = Made((shop(),)).serves("v1", 0, 10).serves("v2", 10.001, 10.15).serves("v1", 10.151, 20)
    made.shows("v2", 10.1, 10.15, 0.3)
    report = made.judged()
    assert begun(report) == []
    (only,) = report.only_people
    assert (only.people.from_version, only.people.to_version) == ("v2", "v1")
    assert only.why == "No trigger alert of the target fired while v2 served."


def test_why_people_were_alone_is_the_last_answer_while_the_version_served():
    made = Made((shop(),)).serves("v1", 0, 10).serves("v2", 10.001, 15).shows("v2", 13, 15, 0.3)
    report = made.fires(13.1, 15).serves("v1", 15.001, 20).judged()
    assert report.only_people[0].why.endswith("the watch window is 2h.")


def test_people_who_rolled_forward_are_told_by_what_came_next():
    report = bad_release().serves("v3", 12.001, 20).judged()
    assert (report.rollbacks[0].people, report.rollbacks[0].next_change.version) == (None, "v3")


def test_a_return_after_another_release_is_no_answer_to_the_first_one():
    report = bad_release().serves("v3", 12.001, 20).serves("v2", 20.001, 21).serves("v1", 21.001, 30).judged()
    assert report.rollbacks[0].people is None
    assert [each.people.from_version for each in report.only_people] == ["v3", "v2"]


def test_the_shape_is_json_and_its_score_counts_what_is_in_it():
    shape = json.loads(json.dumps(bad_release().serves("v1", 12.001, 20).judged().shape()))
    assert shape["score"] == {
        "agreed": 1,
        "only_rearguard": 0,
        "only_people": 0,
        "median_earlier_s": pytest.approx(1.801 * HOUR),
    }
    assert shape["rollbacks"][0]["in_the_way"] is None
    assert len(shape["rollbacks"][0]["reasons"]) == len(ReasonCode)


# --- which version serves


def at(*presence):
    return [(change.version, change.at) for change in changes([Presence(*each) for each in presence], 15.0)]


def test_a_new_version_serves_from_its_first_sample_also_beside_the_old_one():
    assert at(("v1", 0, 200), ("v2", 100, 300)) == [("v1", 0), ("v2", 100)]
    assert changes([Presence("v1", 0, 200), Presence("v2", 100, 300)], 15.0)[1].changed_after == 85


def test_a_gap_between_two_versions_belongs_to_the_change():
    assert changes([Presence("v1", 0, 60), Presence("v2", 100, 300)], 15.0)[1] == Change(100, "v2", 60)


def test_an_old_version_that_comes_and_goes_in_a_rolling_update_serves_no_more():
    assert at(("v1", 0, 120), ("v2", 100, 300), ("v1", 150, 180)) == [("v1", 0), ("v2", 100)]


def test_an_old_version_serves_again_when_the_new_one_is_gone():
    changed = changes([Presence("v1", 0, 100), Presence("v2", 110, 300), Presence("v1", 250, 500)], 15.0)
    assert [(each.version, each.at) for each in changed] == [("v1", 0), ("v2", 110), ("v1", 300)]
    assert returns("checkout", changed) == (Return("checkout", 300, "v2", "v1"),)


def test_a_version_that_was_away_for_a_while_is_no_change():
    assert at(("v1", 0, 100), ("v1", 4000, 5000)) == [("v1", 0)]


def test_going_on_to_a_newer_version_is_no_return():
    assert returns("checkout", [Change(0, "v1"), Change(1, "v2"), Change(2, "v3")]) == ()


def turns(*shown, every=15.0):
    """What a scrape through a load balancer shows, one version at a time."""
    return [Presence(version, number * every, number * every) for number, version in enumerate(shown)]


def test_versions_that_are_scraped_in_turn_are_one_rollout_that_nobody_took_back():
    changed = changes(
        [Presence("v1", -600, -15), *turns("v2", "v1", "v2", "v1", "v1", "v2"), Presence("v2", 90, 900)], 15.0
    )
    assert [(each.version, each.at) for each in changed] == [("v1", -600), ("v2", 0)]
    assert returns("checkout", changed) == ()


def test_a_version_that_is_taken_back_for_good_after_it_was_scraped_in_turn_is_gone_back_from():
    changed = changes([Presence("v1", -600, -15), *turns("v2", "v1", "v2"), Presence("v1", 45, 900)], 15.0)
    assert returns("checkout", changed) == (Return("checkout", 45, "v2", "v1"),)


def test_a_version_that_comes_back_after_more_than_five_minutes_is_a_release_again():
    shown = [Presence("v1", 0, 100), Presence("v2", 115, 200), Presence("v1", 215, 530), Presence("v2", 545, 900)]
    changed = changes(shown, 15.0)
    assert [each.version for each in changed] == ["v1", "v2", "v1", "v2"]
    assert len(returns("checkout", changed)) == 1


def test_an_older_version_that_comes_back_within_minutes_was_put_back_by_people():
    shown = [Presence("v0", 0, 100), Presence("v1", 115, 900), Presence("v2", 915, 960), Presence("v1", 975, 2000)]
    assert returns("checkout", changes(shown, 15.0)) == (Return("checkout", 975, "v2", "v1"),)


# --- points and questions


def test_points_within_a_gap_are_one_stretch():
    assert stretches.unbroken([0, 15, 30, 90, 105], 45) == [Stretch(0, 30), Stretch(90, 105)]


def test_the_edges_of_a_stretch_are_the_samples_that_its_points_speak_for():
    samples = [41.0, 55.0, 71.0, 101.0, 118.0]
    assert stretches.refined(Stretch(60, 120), 20, samples) == Stretch(41.0, 118.0)
    assert stretches.refined(Stretch(60, 120), 20, []) == Stretch(60, 120)


def test_a_sample_one_step_before_the_last_point_is_the_end_although_prometheus_2_let_that_point_speak_for_it():
    assert stretches.refined(Stretch(60, 120), 20, [60.0, 100.0]) == Stretch(60.0, 100.0)


def test_only_breaks_longer_than_the_gap_are_breaks():
    given = [Stretch(0, 30), Stretch(75, 90), Stretch(136, 140)]
    assert stretches.joined(given, 45) == [Stretch(0, 90), Stretch(136, 140)]


def test_a_break_in_which_another_version_came_and_went_is_a_break_however_short():
    given = [Stretch(0, 60), Stretch(90, 120)]
    assert stretches.joined(given, 45, [Stretch(65, 85)]) == given  # restarted with it, and back again
    for beside in (Stretch(65, 95), Stretch(50, 85), Stretch(0, 120)):  # it served beside: scrapes were missed
        assert stretches.joined(given, 45, [beside]) == [Stretch(0, 120)]


def test_only_what_lies_in_a_time_is_left():
    given = [Stretch(0, 9), Stretch(5, 20), Stretch(30, 50), Stretch(41, 60)]
    assert stretches.within(given, 10, 40) == [Stretch(10, 20), Stretch(30, 40)]


def test_how_far_samples_lie_apart_is_not_told_by_what_comes_back_after_a_long_time():
    assert stretches.usual_distance([86400, 0, 60, 86460, 86520], 300) == 60
    assert stretches.usual_distance([0, 86400, 172800], 300) == 0


def test_windows_that_overlap_are_asked_together_up_to_a_limit():
    asked = [Stretch(0, 60), Stretch(50, 100), Stretch(90, 300), Stretch(500, 560)]
    assert stretches.windows(asked, 120) == [Stretch(0, 100), Stretch(90, 300), Stretch(500, 560)]
    assert stretches.windows(asked, 300, near=200) == [Stretch(0, 300), Stretch(500, 560)]


def test_one_selector_serves_all_targets():
    given = [{"service_name": "a.b", "env": "prod"}, {"service_name": 'c"d'}]
    assert of_all(given, "target_info", "service_version") == (
        'target_info{service_version!="",service_name=~"a\\\\.b|c\\"d"}'
    )


def test_only_a_bare_name_is_narrowed_to_the_target():
    of = Condition("A", " version:errors:ratio\n", "> 0.1", {"service_name": "a"})
    assert narrowed(of) == 'version:errors:ratio{service_name="a"}'
    assert narrowed(replace(of, figure="a / b")) == "a / b"


def test_a_figure_is_narrowed_to_no_label_that_not_all_its_values_wear():
    of = Condition(
        "A", "broken", "> 0.1", {"service_name": "a", "env": "prod"}, labels={"namespace": "a", "env": "prod"}
    )
    assert narrowed(of) == 'broken{env="prod"}'
    assert narrowed(replace(of, labels={"namespace": "a"})) == "broken"
    assert narrowed(replace(of, threshold=EXISTS, labels={"env": "prod"})) == "broken"
