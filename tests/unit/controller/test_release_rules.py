"""Which version serves and which earned trust: the pure rules, along time-lines of polls."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rearguard_controller.judgement.policy import decide
from rearguard_controller.model import (
    AlertsSeen,
    AlertState,
    Check,
    Release,
    SeenAlert,
    TargetFacts,
    TargetState,
    Trust,
    Verdict,
)
from rearguard_controller.model.checks import TRUST_CHECKS
from rearguard_controller.releases.trust import (
    against_trust,
    announced,
    believable,
    concerns,
    earns,
    has_returned,
    seen,
    serves,
    stands,
    tended,
    trusted,
    with_alerts,
)
from unit.controller.factories import (
    DEPLOYED,
    HOLDING,
    HOUR,
    MINUTE,
    NOW,
    TARGET,
    alert,
    facts,
    good,
    policy,
    release,
    serving,
    state,
    target,
)

POLL = 15.0
MOST_GAP = 3 * POLL
FRESH = TargetState(TARGET)

# --- what trust needs


def test_each_check_of_trust_denies_it_while_it_does_not_hold_or_is_not_known():
    assert against_trust(HOLDING, Trust.FIGURES) == ()
    for name in TRUST_CHECKS:
        others = [check for check in HOLDING if check.name != name]
        for holds in (False, None):
            missing = Check(name, holds, "No rule is loaded.")
            assert against_trust([*others, missing], Trust.FIGURES) == (missing,)
        assert [(each.name, each.holds) for each in against_trust(others, Trust.FIGURES)] == [(name, None)]


def test_checks_that_trust_does_not_need_deny_nothing():
    assert against_trust([*HOLDING, Check("notify", False, "Nobody could be told.")], Trust.FIGURES) == ()


def test_scrapes_that_are_too_rare_deny_trust_and_scrapes_that_are_not_known_do_not():
    for holds, denied in ((False, ["scrape_interval"]), (None, []), (True, [])):
        checks = [*HOLDING, Check("scrape_interval", holds, "Every minute.")]
        assert [check.name for check in against_trust(checks, Trust.FIGURES)] == denied


def test_only_a_policy_that_trusts_by_up_needs_no_figure():
    unseen = [check for check in HOLDING if check.name != "figures"]
    assert [check.name for check in against_trust(unseen, Trust.FIGURES)] == ["figures"]
    assert against_trust(unseen, Trust.BY_UP) == ()
    assert [check.name for check in against_trust((), Trust.BY_UP)] == [
        name for name in TRUST_CHECKS if name != "figures"
    ]


def test_a_figure_counts_for_trust_only_if_it_had_a_value_while_the_version_served_well():
    since = NOW - HOUR
    served = state(clean_since=since, clean_checked_at=NOW)
    unproven = release("v2", known_good_at=None)
    for figure_at, earned in ((None, False), (since - 1, False), (since, True), (NOW, True)):
        assert earns(unproven, replace(served, figure_at=figure_at), NOW, policy(known_good_after=HOUR)) is earned
    assert earns(unproven, served, NOW, policy(known_good_after=HOUR, trust=Trust.BY_UP))


def test_what_was_measured_of_the_version_before_says_nothing_of_the_next():
    measured = tended(state(), NOW, clean=True, most_gap=MOST_GAP, has_figure=True)
    assert measured.figure_at == NOW
    assert serves(measured, "v3", NOW + 1, trusted=False).figure_at is None


# --- what serves


def test_the_first_version_ever_seen_is_no_release():
    first = serves(FRESH, "v1", NOW, trusted=False)
    assert (first.serving_version, first.serving_since, first.is_release) == ("v1", NOW, False)


def test_an_unseen_version_is_a_release_and_remembers_what_it_replaced():
    after = serves(serves(FRESH, "v1", NOW, trusted=False), "v2", NOW + 60, trusted=False)
    assert (after.serving_version, after.serving_since, after.previous_version) == ("v2", NOW + 60, "v1")
    assert after.is_release


def test_a_return_to_a_version_that_was_known_good_is_no_release_whoever_does_it():
    after = serves(state(), "v1", NOW, trusted=True)
    assert (after.serving_version, after.is_release) == ("v1", False)


def test_a_version_that_goes_on_serving_keeps_its_beginning():
    again = serves(state(), "v2", NOW, trusted=False)
    assert (again.serving_since, again.is_release, again.previous_version) == (DEPLOYED, True, "v1")
    trusted = serves(state(), "v2", NOW, trusted=True)  # it earned trust while it served
    assert trusted.is_release


def test_the_change_lies_between_the_last_look_at_the_old_and_the_first_at_the_new_version():
    before = serves(state(), "v2", NOW, trusted=False)
    after = serves(before, "v3", NOW + POLL, trusted=False)
    assert (after.changed_after, after.serving_since) == (NOW, NOW + POLL)


def test_a_change_begins_the_way_to_trust_anew():
    before = state(clean_since=DEPLOYED, clean_checked_at=NOW)
    after = serves(before, "v3", NOW, trusted=False)
    assert (after.clean_since, after.clean_checked_at) == (None, None)


def test_a_change_of_version_neither_arms_nor_disarms():
    before = state(armed=False, armed_reason="tests", disarmed_until=NOW + 9)
    after = serves(before, "v3", NOW, trusted=False)
    assert (after.armed, after.armed_reason, after.disarmed_until) == (False, "tests", NOW + 9)


def test_a_version_keeps_when_it_was_first_seen_and_its_marks():
    first = seen(None, TARGET, "v1", NOW)
    assert (first.target, first.version, first.first_seen, first.last_seen) == (TARGET, "v1", NOW, NOW)
    marked = replace(first, bad_at=NOW, barrier=True)
    later = seen(marked, TARGET, "v1", NOW + 86_400)
    assert later == replace(marked, last_seen=NOW + 86_400)


def test_last_seen_is_not_written_at_every_poll_and_never_goes_back():
    known = seen(None, TARGET, "v1", NOW)
    assert seen(known, TARGET, "v1", NOW + POLL) is known
    assert seen(known, TARGET, "v1", NOW - 3600) is known


# --- earning trust


def polled(*polls: tuple[float, bool]) -> TargetState:
    found = FRESH
    for at, clean in polls:
        found = tended(found, at, clean=clean, most_gap=MOST_GAP, has_figure=True)
    return found


def served_well(found: TargetState, now: float) -> float | None:
    return None if found.clean_since is None else now - found.clean_since


def test_good_service_counts_from_its_first_clean_poll():
    polls = [(NOW + POLL * number, True) for number in range(60)]
    assert served_well(polled(*polls), polls[-1][0]) == 59 * POLL


def test_one_poll_that_is_not_clean_begins_it_anew():
    polls = [(NOW + POLL * number, number != 30) for number in range(60)]
    assert served_well(polled(*polls), polls[-1][0]) == 28 * POLL
    assert polled(*polls[:31]).clean_since is None


def test_a_gap_without_polls_is_no_unbroken_service():
    assert served_well(polled((NOW, True), (NOW + MOST_GAP, True)), NOW + MOST_GAP) == MOST_GAP
    assert served_well(polled((NOW, True), (NOW + MOST_GAP + 1, True)), NOW + MOST_GAP + 1) == 0


def test_a_clock_that_jumps_earns_nothing():
    assert served_well(polled((NOW, True), (NOW + 3600, True)), NOW + 3600) == 0
    assert served_well(polled((NOW, True), (NOW - 3600, True)), NOW - 3600) == 0


@given(st.lists(st.tuples(st.floats(-100, 100), st.booleans()), max_size=30))
def test_no_more_is_earned_than_was_watched(steps):
    now, polls = NOW, []
    for step, clean in steps:
        now += step
        polls.append((now, clean))
    found = polled(*polls)
    if found.clean_since is None:
        assert not polls or not polls[-1][1]
        return
    run = []
    for at, clean in reversed(polls):
        if not clean or (run and not 0 <= run[-1] - at <= MOST_GAP):
            break
        run.append(at)
    assert found.clean_since == run[-1]


# --- which label a version shows


def test_what_prometheus_shows_is_learned():
    known = {"v1": good("v1", service_version="1.0"), "v2": serving("v2")}
    assert believable(known, state(), "2.0", NOW) == "2.0"
    assert believable(known, state(), None, NOW) is None


@pytest.mark.parametrize(("age", "expected"), [(0, None), (59, None), (60, "1.0"), (600, "1.0")])
def test_a_label_of_another_version_lingers_after_a_change_and_is_believed_only_after_a_while(age, expected):
    known = {"v1": good("v1", service_version="1.0"), "v2": serving("v2")}
    assert believable(known, state(serving_since=NOW - age), "1.0", NOW) == expected


def test_a_version_that_shows_its_own_name_is_believed_at_once():
    known = {"v1": good("v1", service_version="v2"), "v2": serving("v2")}
    assert believable(known, state(serving_since=NOW), "v2", NOW) == "v2"


@pytest.mark.parametrize(
    ("labels", "shown", "expected"),
    [
        ({}, "2.0", True),
        ({"service_version": "2.0"}, "2.0", True),
        ({"service_version": "1.0"}, "2.0", False),  # still in the windows of the version before
        ({"service_version": "1.0"}, None, True),
    ],
)
def test_an_alert_stains_the_version_that_it_names_or_the_one_that_serves(labels, shown, expected):
    assert concerns(labels, shown) is expected


# --- what people and CI say


def spoken(known, **said):
    return announced(known, TARGET, "v2", NOW, **{"barrier": None, "good": None, **said})


def test_an_announced_version_is_remembered_without_trust():
    new = spoken(None)
    assert (new.version, new.first_seen, new.known_good_at, new.barrier) == ("v2", NOW, None, False)


def test_good_clears_every_mark_and_gives_trust():
    after = spoken(release("v2", suspect_at=NOW - MINUTE, bad_at=NOW - MINUTE), good=True)
    assert (after.known_good_at, after.distrusted) == (NOW, False)
    assert spoken(good("v2"), good=True).known_good_at == good("v2").known_good_at


def test_not_good_takes_trust_away_and_clears_nothing():
    after = spoken(good("v2", bad_at=NOW - MINUTE), good=False)
    assert (after.known_good_at, after.bad_at) == (None, NOW - MINUTE)


def test_a_barrier_is_set_and_lifted_and_left_alone():
    barred = spoken(good("v2"), barrier=True)
    assert barred == replace(good("v2"), barrier=True)
    assert spoken(barred) == barred
    assert spoken(barred, barrier=False) == good("v2")


@pytest.mark.parametrize(
    ("marked", "expected"),
    [(None, False), (DEPLOYED - 1, True), (DEPLOYED, False), (DEPLOYED + 60, False)],
)
def test_a_version_has_returned_when_it_began_to_serve_after_its_mark(marked, expected):
    assert has_returned(state(), serving("v2", suspect_at=marked)) is expected
    assert has_returned(state(), serving("v2", bad_at=marked)) is expected
    assert not has_returned(state(serving_version="v1"), serving("v2", bad_at=marked))


def test_trust_is_not_earned_again_nor_against_a_mark():
    assert trusted(release("v2"), NOW).known_good_at == NOW
    assert trusted(good("v2"), NOW) == good("v2")
    assert trusted(release("v2", suspect_at=NOW), NOW).known_good_at is None


# --- one release after another


class Diary:
    """Releases and state of a target along its polls, as the journal keeps them."""

    def __init__(self):
        self.now, self.releases, self.state = NOW - 24 * 3600, {}, FRESH

    def serve(self, version: str, polls: int, *, clean: bool = True):
        for _ in range(polls):
            self.now += POLL
            known = self.releases[version] = seen(self.releases.get(version), TARGET, version, self.now)
            self.state = serves(self.state, version, self.now, trusted=known.known_good_at is not None)
            self.state = tended(
                with_alerts(self.state, AlertsSeen(self.now)),
                self.now,
                clean=clean,
                most_gap=MOST_GAP,
                has_figure=True,
            )
            if (served_well(self.state, self.now) or 0) >= 15 * MINUTE:
                self.releases[version] = trusted(self.releases[version], self.now)

    def mark(self, version: str, **marks):
        self.releases[version] = replace(self.releases[version], **marks)

    def judged(self):
        """The verdict about the serving version, with an alert that began a little after it."""
        since = self.state.serving_since
        known = facts(
            now=self.now, state=self.state, serving_version=self.state.serving_version, activatable=None,
            condition_since=since + 5, releases=tuple(self.releases.values()),
        )  # fmt: skip
        decision = decide("d1", alert(), target(), known)
        return decision.verdict, decision.to_version


@pytest.mark.parametrize("undone_by", ["a rollback", "hand"])
def test_two_bad_releases_in_a_row_go_back_to_the_last_good_one_and_not_to_each_other(undone_by):
    diary = Diary()
    diary.serve("v1", 100)
    diary.serve("v2", 8, clean=False)
    assert diary.judged() == (Verdict.ROLL_BACK, "v1")
    if undone_by == "a rollback":
        diary.mark("v2", suspect_at=diary.now, bad_at=diary.now)
        diary.serve("v1", 4)
    diary.serve("v3", 8, clean=False)
    assert diary.state.previous_version == ("v1" if undone_by == "a rollback" else "v2")
    assert diary.judged() == (Verdict.ROLL_BACK, "v1")


def test_a_version_that_was_bad_from_its_first_poll_on_never_earns_trust_however_long_it_serves():
    diary = Diary()
    diary.serve("v1", 100)
    diary.serve("v2", 400, clean=False)
    diary.serve("v3", 4, clean=False)
    assert diary.releases["v2"].known_good_at is None
    assert diary.judged() == (Verdict.ROLL_BACK, "v1")


# --- alerts that were there before

SLOW = SeenAlert("SlowResponses", AlertState.PENDING, since=NOW - HOUR)
WINDOW = 7200.0


def released(before: Release, *seen: SeenAlert):
    """A target whose version v2 came after `before`, which showed these alerts."""
    known = state(
        serving_version="v2", serving_since=NOW - 60, previous_version=before.version, is_release=True,
        alerts_before=AlertsSeen(NOW - 65, seen),
    )  # fmt: skip
    return TargetFacts("v2", state=known, releases=(release("v2"), before))


@pytest.mark.parametrize(
    ("known", "holds"),
    [
        (released(good("v1"), SLOW), True),
        (released(good("v1"), replace(SLOW, service_version="v1")), True),
        (released(good("v1")), False),  # it came with the release
        (released(good("v1"), replace(SLOW, since=NOW - 65 - 5 * MINUTE)), True),
        (released(good("v1"), replace(SLOW, since=NOW - 65 - 5 * MINUTE + 1)), False),  # it may have come with it
        (released(good("v1"), replace(SLOW, since=None)), False),  # nobody knows how long it was there
        (released(good("v1"), replace(SLOW, name="HighErrorRate")), False),
        (released(good("v1"), replace(SLOW, service_version="v2")), False),  # its own, before `current` named it
        (released(release("v1"), SLOW), False),  # that version never earned trust: both may be bad
        (released(replace(good("v1"), bad_at=NOW), SLOW), False),
    ],
)
def test_an_alert_that_a_trusted_version_had_before_does_not_deny_trust_to_the_next(known, holds):
    assert stands("SlowResponses", known, NOW - 50, NOW, WINDOW) is holds


@pytest.mark.parametrize(
    ("began", "holds"), [(NOW - WINDOW - 1, True), (NOW - WINDOW + 1, False), (NOW - 5, False), (None, False)]
)
def test_without_a_version_before_an_alert_denies_trust_for_the_watch_window(began, holds):
    known = TargetFacts("v1", state=state(serving_version="v1", is_release=False), releases=(release("v1"),))
    assert stands("SlowResponses", known, began, NOW, WINDOW) is holds


def test_of_an_unknown_target_no_alert_stands():
    assert stands("SlowResponses", TargetFacts("v1"), NOW - 9 * WINDOW, NOW, WINDOW) is False
