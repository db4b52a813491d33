"""The judgement, one fact at a time: what each reason answers, and what stands in the way of what."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rearguard_controller.judgement.destination import choose_destination
from rearguard_controller.judgement.policy import Recheck, Wish, decide, decide_by_hand, look_again
from rearguard_controller.model import (
    AlertState,
    Budget,
    Caution,
    Decision,
    Facts,
    Measurement,
    Mode,
    Outcome,
    Phase,
    ReasonCode,
    Release,
    Rollback,
    SharedFault,
    Silencing,
    StormLimit,
    Tally,
    Target,
    TargetState,
    Trigger,
    Trust,
    Verdict,
)
from rearguard_controller.model.observations import is_armed
from unit.controller.factories import (
    DEPLOYED,
    HOUR,
    MINUTE,
    NOW,
    TARGET,
    alert,
    counts,
    facts,
    good,
    measurement,
    policy,
    release,
    rollback,
    serving,
    state,
    target,
    with_facts,
)

ROLL_BACK, ASK, LEAVE = Verdict.ROLL_BACK, Verdict.ASK, Verdict.LEAVE
EVERY_REASON = (  # in the order of judgement
    "target_known", "mode_allows", "armed", "environment_allows", "not_silenced", "alert_confirmed",
    "recent_release", "no_deploy_in_progress", "began_after_release", "version_matches", "previous_version_healthy",
    "not_shown_by_older", "evidence_suffices", "not_a_blip",
    "dependencies_healthy", "known_good_exists", "not_already_handled", "no_open_rollback",
    "cooldown_over", "budget_left", "no_storm", "no_barrier", "owner_allows", "capacity_suffices",
    "together_allows",
)  # fmt: skip


NOISY = tuple(Tally(DEPLOYED - 15.0 * n, 300.0, 24.0) for n in range(239, -1, -1))  # 8 % of its requests fail
SHARED = SharedFault("ReleaseErrorRate", "ratio", "> 0.1", "1.0", NOW - MINUTE, 0.3, 0.25, 0.1)


def judged(the_facts: Facts | None = None, *, of: Target | None = None, about=None) -> Decision:
    return decide("d1", about or alert(service_version="2.0"), of or target(), the_facts or facts())


def test_a_policy_that_trusts_by_up_says_so_in_every_decision_and_no_other_does():
    by_up = target(policy=policy(trust=Trust.BY_UP))
    for the_facts in (facts(), facts(releases=(serving("v2", service_version="2.0"),)), facts(serving_version=None)):
        for of, said in ((by_up, True), (target(), False)):
            wishes = [
                decide_by_hand("d1", wish, of, the_facts) for wish in (Wish(), Wish("v1"), Wish("v1", force=True))
            ]
            for decision in (judged(the_facts, of=of), *wishes):
                told = next(each.detail for each in decision.reasons if each.code == "known_good_exists")
                assert ("trust: by_up" in told) is said


def answers(decision: Decision) -> dict[str, bool | None]:
    return {reason.code.value: reason.holds for reason in decision.reasons}


def test_a_bad_release_with_every_reason_true_is_rolled_back_to_the_version_that_earned_trust():
    decision = judged()
    assert tuple(reason.code.value for reason in decision.reasons) == EVERY_REASON == tuple(ReasonCode)
    assert answers(decision) == dict.fromkeys(EVERY_REASON, True)
    assert (decision.verdict, decision.would, decision.trigger) == (ROLL_BACK, ROLL_BACK, Trigger.ALERT)
    assert (decision.from_version, decision.to_version, decision.decided_at) == ("v2", "v1", NOW)


def ended(outcome: Outcome, **fields) -> Rollback:
    """A rollback that was never begun, its wait over a minute ago."""
    return rollback("r0", **{"phase": Phase.CLOSED, "outcome": outcome, "closed_at": NOW - MINUTE, **fields})


# Each case flips one fact of the base world: what it changes, the reason that must answer differently, its answer,
# the verdict, and the verdict had mode, environment and arming allowed it.
def cut_off(times: int) -> tuple[Release, ...]:
    """The versions, after so many rollbacks away from v2 were interrupted, the last of them 5 s ago."""
    left = serving("v2", service_version="2.0", interrupted=times, interrupted_at=NOW - 5)
    return good("v1", service_version="1.0"), left


CASES = {
    # permissions: `would` looks past them
    "observing": ({}, {"policy": policy(mode=Mode.OBSERVE)}, "mode_allows", False, LEAVE, ROLL_BACK),
    "asking": ({}, {"policy": policy(mode=Mode.ASK)}, "mode_allows", True, ASK, ASK),
    "disarmed": ({"state": state(armed=False)}, {}, "armed", False, LEAVE, ROLL_BACK),
    "disarmed until later": (
        {"state": state(armed=False, disarmed_until=NOW + 1)}, {}, "armed", False, LEAVE, ROLL_BACK,
    ),
    "disarmed until now": (
        {"state": state(armed=False, disarmed_until=NOW)}, {}, "armed", True, ROLL_BACK, ROLL_BACK,
    ),
    "staging": ({}, {"environment": "staging"}, "environment_allows", False, LEAVE, ROLL_BACK),
    "no environment": ({}, {"environment": ""}, "environment_allows", False, LEAVE, ROLL_BACK),
    "staging that may act": (
        {}, {"environment": "staging", "policy": policy(act_outside_production=True)},
        "environment_allows", True, ROLL_BACK, ROLL_BACK,
    ),
    # silences: the last list holds until they end, and says nothing after ten minutes
    "not silenced": ({"silencing": Silencing(0.5)}, {}, "not_silenced", True, ROLL_BACK, ROLL_BACK),
    "silenced": (
        {"silencing": Silencing(0.5, silence="silence 1 of ann", until=NOW + HOUR)}, {}, "not_silenced", False, LEAVE,
        LEAVE,
    ),
    "inhibited": ({"silencing": Silencing(0.5, inhibited_by="f1")}, {}, "not_silenced", False, LEAVE, LEAVE),
    "silenced by a list of ten minutes ago": (
        {"silencing": Silencing(600.0, "it is away", "silence 1", NOW + HOUR)}, {}, "not_silenced", False, LEAVE,
        LEAVE,
    ),
    "silenced by an older list": (
        {"silencing": Silencing(600.1, "it is away", "silence 1", NOW + HOUR)}, {}, "not_silenced", None, ROLL_BACK,
        ROLL_BACK,
    ),
    "Alertmanager was never read": (
        {"silencing": Silencing(None, "it is away")}, {}, "not_silenced", None, ROLL_BACK, ROLL_BACK,
    ),
    # confirmation: firing at its source, and the figure past the threshold now
    "pending": ({"alert_state": AlertState.PENDING}, {}, "alert_confirmed", False, LEAVE, LEAVE),
    "gone": ({"alert_state": AlertState.INACTIVE}, {}, "alert_confirmed", False, LEAVE, LEAVE),
    "Prometheus away": ({"alert_state": AlertState.UNKNOWN}, {}, "alert_confirmed", None, LEAVE, LEAVE),
    "figure over": ({"measurement": measurement(0.01, past=False)}, {}, "alert_confirmed", False, LEAVE, LEAVE),
    "figure without data": ({"measurement": measurement(None, past=None)}, {}, "alert_confirmed", None, LEAVE, LEAVE),
    "no figure": ({"measurement": None}, {}, "alert_confirmed", None, LEAVE, LEAVE),
    "expression still returns something": (
        {"measurement": Measurement(1.0, None, "exists", True)}, {}, "alert_confirmed", True, ROLL_BACK, ROLL_BACK,
    ),
    # cause
    "return of a trusted version": ({"state": state(is_release=False)}, {}, "recent_release", False, LEAVE, LEAVE),
    "day one": (
        {"state": state(is_release=False, previous_version=None)}, {}, "recent_release", False, LEAVE, LEAVE,
    ),
    "just inside the window": (
        {"state": state(serving_since=NOW - 2 * HOUR)}, {}, "recent_release", True, ROLL_BACK, ROLL_BACK,
    ),
    "just outside the window": (
        {"state": state(serving_since=NOW - 2 * HOUR - 1)}, {}, "recent_release", False, LEAVE, LEAVE,
    ),
    "deploy announced": (
        {"state": state(deploy_started_at=NOW - MINUTE)}, {}, "no_deploy_in_progress", False, LEAVE, LEAVE,
    ),
    "began before": ({"condition_since": DEPLOYED - 1}, {}, "began_after_release", False, LEAVE, LEAVE),
    "began with it": ({"condition_since": DEPLOYED}, {}, "began_after_release", True, ROLL_BACK, ROLL_BACK),
    "began between the last look at the old and the first at the new version": (
        {"condition_since": DEPLOYED - 10, "state": state(changed_after=DEPLOYED - 15)},
        {}, "began_after_release", True, ROLL_BACK, ROLL_BACK,
    ),
    "began while the old version was seen": (
        {"condition_since": DEPLOYED - 16, "state": state(changed_after=DEPLOYED - 15)},
        {}, "began_after_release", False, LEAVE, LEAVE,
    ),
    "began while nobody looked": (
        {"condition_since": DEPLOYED - 10, "state": state(changed_after=DEPLOYED - HOUR)},
        {}, "began_after_release", None, LEAVE, LEAVE,
    ),
    "began after nobody looked": (
        {"condition_since": DEPLOYED + 10, "state": state(changed_after=DEPLOYED - HOUR)},
        {}, "began_after_release", True, ROLL_BACK, ROLL_BACK,
    ),
    "beginning unknown": ({"condition_since": None}, {}, "began_after_release", None, LEAVE, LEAVE),
    "mapping not learned": (
        {"releases": (good("v1"), serving("v2"))}, {}, "version_matches", None, ROLL_BACK, ROLL_BACK,
    ),
    "a canary's alert": (
        {"releases": (good("v1"), serving("v2", service_version="1.9"))}, {}, "version_matches", False, LEAVE, LEAVE,
    ),
    "old version sick too": (
        {"previous_measurement": measurement(0.3)}, {}, "previous_version_healthy", False, LEAVE, LEAVE,
    ),
    "old version not known": (
        {"previous_measurement": None}, {}, "previous_version_healthy", None, ROLL_BACK, ROLL_BACK,
    ),
    "old version without data": (
        {"previous_measurement": measurement(None, past=None)}, {}, "previous_version_healthy", None, ROLL_BACK,
        ROLL_BACK,
    ),
    "an older version showed it beside": (
        {"shared": SHARED}, {}, "not_shown_by_older", False, LEAVE, LEAVE,
    ),
    "luck by the counts, and a noisy version before": (
        {"counts": counts(*(20,) * 12, before=NOISY)}, {}, "evidence_suffices", False, LEAVE, LEAVE,
    ),
    "too few to prove, and a clear threshold": (
        {"counts": counts(0, 0, 0, 0, 1, 1, 1, 1, requests=2.0)}, {}, "evidence_suffices", None, ROLL_BACK, ROLL_BACK,
    ),
    "an alert of evidence without evidence": (
        {"counts": counts(0, 0, 0, 0, 1, 1, 1, 1, requests=2.0, limit=None), "by_evidence": True},
        {}, "evidence_suffices", False, LEAVE, LEAVE,
    ),
    "the version before shows as much in the same seconds": (
        {"counts": counts(beside=counts().own)}, {}, "evidence_suffices", False, LEAVE, LEAVE,
    ),
    "no evidence of a shown blip": (
        {"counts": counts(*(0,) * 8, 90, 90, 90, 0, 0)}, {}, "not_a_blip", False, LEAVE, LEAVE,
    ),
    "bad for ten seconds, after a fixed threshold waited": (
        {"counts": counts(*(0,) * 9, 90, 90, 90)}, {}, "not_a_blip", None, ROLL_BACK, ROLL_BACK,
    ),
    "bad for ten seconds": (
        {"counts": counts(*(0,) * 9, 90, 90, 90, limit=None)}, {}, "not_a_blip", False, LEAVE, LEAVE,
    ),
    "bad for fifteen seconds": (
        {"counts": counts(*(0,) * 8, 90, 90, 90, 90, limit=None)}, {}, "not_a_blip", True, ROLL_BACK, ROLL_BACK,
    ),
    "bad for fifteen seconds, and careful": (
        {"counts": counts(*(0,) * 8, 90, 90, 90, 90, limit=None)},
        {"policy": policy(caution=Caution.CAREFUL)}, "not_a_blip", False, LEAVE, LEAVE,
    ),
    "bad for ten seconds, and swift": (
        {"counts": counts(*(0,) * 9, 90, 90, 90, limit=None)},
        {"policy": policy(caution=Caution.SWIFT)}, "not_a_blip", True, ROLL_BACK, ROLL_BACK,
    ),
    "not known what older versions showed": (
        {"shared_detail": "no answer"}, {}, "not_shown_by_older", None, ROLL_BACK, ROLL_BACK,
    ),
    # dependencies
    "healthy dependency": ({}, {"depends_on": ("payments",)}, "dependencies_healthy", True, ROLL_BACK, ROLL_BACK),
    "sick dependency": (
        {"sick_dependencies": {"payments": "its alert fires"}}, {"depends_on": ("ledger", "payments")},
        "dependencies_healthy", False, LEAVE, LEAVE,
    ),
    "dependency not known": (
        {"dependencies_detail": "it is away"}, {"depends_on": ("payments",)}, "dependencies_healthy", None, LEAVE,
        LEAVE,
    ),
    # destination
    "nothing earned trust": (
        {"releases": (release("v1"), serving("v2", service_version="2.0"))}, {}, "known_good_exists", False, LEAVE,
        LEAVE,
    ),
    "first version ever": (
        {"releases": (serving("v2", service_version="2.0"),)}, {}, "known_good_exists", False, LEAVE, LEAVE,
    ),
    "destination gone": ({"activatable": frozenset({"v2"})}, {}, "known_good_exists", False, LEAVE, LEAVE),
    "target cannot list": ({"activatable": None}, {}, "known_good_exists", True, ROLL_BACK, ROLL_BACK),
    # once
    "handled before": ({"handled_by": "r0"}, {}, "not_already_handled", False, LEAVE, LEAVE),
    "interrupted twice before": (
        {"releases": cut_off(2)}, {},
        "not_already_handled", True, ROLL_BACK, ROLL_BACK,
    ),
    "interrupted three times": (
        {"releases": cut_off(3)}, {},
        "not_already_handled", False, LEAVE, LEAVE,
    ),
    "interrupted three times, and armed since": (
        {
            "releases": cut_off(3),
            "state": state(armed_changed_at=NOW - 4),
        },
        {}, "not_already_handled", True, ROLL_BACK, ROLL_BACK,
    ),
    "armed, and interrupted again since": (
        {
            "releases": cut_off(4),
            "state": state(armed_changed_at=NOW - 6),
        },
        {}, "not_already_handled", False, LEAVE, LEAVE,
    ),
    "vetoed before": ({"ended_waits": (ended(Outcome.VETOED),)}, {}, "not_already_handled", False, LEAVE, LEAVE),
    "vetoed, and armed again since": (
        {"ended_waits": (ended(Outcome.VETOED),), "state": state(armed_changed_at=NOW - 59)},
        {}, "not_already_handled", True, ROLL_BACK, ROLL_BACK,
    ),
    "armed, and vetoed since": (
        {"ended_waits": (ended(Outcome.VETOED),), "state": state(armed_changed_at=NOW - 61)},
        {}, "not_already_handled", False, LEAVE, LEAVE,
    ),
    "another version was vetoed": (
        {"ended_waits": (ended(Outcome.VETOED, from_version="v0"),)}, {}, "not_already_handled", True, ROLL_BACK,
        ROLL_BACK,
    ),
    "vetoed when it served before": (
        {"ended_waits": (ended(Outcome.VETOED, closed_at=DEPLOYED - 1),)}, {}, "not_already_handled", True,
        ROLL_BACK, ROLL_BACK,
    ),
    "asked in vain a minute ago": (
        {"ended_waits": (ended(Outcome.EXPIRED),)}, {}, "cooldown_over", False, LEAVE, LEAVE,
    ),
    "asked in vain a cooldown ago": (
        {"ended_waits": (ended(Outcome.EXPIRED, closed_at=NOW - 300),)}, {}, "cooldown_over", True, ROLL_BACK,
        ROLL_BACK,
    ),
    "not needed a minute ago": (
        {"ended_waits": (ended(Outcome.NOT_NEEDED),)}, {}, "cooldown_over", False, LEAVE, LEAVE,
    ),
    "asked in vain about another version": (
        {"ended_waits": (ended(Outcome.EXPIRED, from_version="v0"),)}, {}, "cooldown_over", True, ROLL_BACK,
        ROLL_BACK,
    ),
    "one under way": ({"open_rollback": "r0"}, {}, "no_open_rollback", False, LEAVE, LEAVE),
    "inside the cooldown": ({"last_action_at": NOW - 299}, {}, "cooldown_over", False, LEAVE, LEAVE),
    "cooldown just over": ({"last_action_at": NOW - 300}, {}, "cooldown_over", True, ROLL_BACK, ROLL_BACK),
    "clock went back": ({"last_action_at": NOW + HOUR}, {}, "cooldown_over", False, LEAVE, LEAVE),
    "budget used up": ({"actions_in_budget": 3}, {}, "budget_left", False, LEAVE, LEAVE),
    "last of the budget": ({"actions_in_budget": 2}, {}, "budget_left", True, ROLL_BACK, ROLL_BACK),
    "few in trouble": ({"troubled": ("a", "b", TARGET)}, {}, "no_storm", True, ROLL_BACK, ROLL_BACK),
    "a storm": ({"troubled": ("a", "b", TARGET, "c")}, {}, "no_storm", False, LEAVE, LEAVE),
    "no budget at all": ({}, {"policy": policy(budget=Budget(0, HOUR))}, "budget_left", False, LEAVE, LEAVE),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_one_fact_changes_one_answer_and_the_verdict_that_hangs_on_it(name):
    of_facts, of_target, code, holds, verdict, would = CASES[name]
    decision = judged(facts(**of_facts), of=target(**of_target))
    assert answers(decision) == {**dict.fromkeys(EVERY_REASON, True), code: holds}
    assert (decision.verdict, decision.would) == (verdict, would)


@pytest.mark.parametrize("name", CASES)
def test_every_reason_says_its_answer_in_a_sentence(name):
    of_facts, of_target, code, holds, *_ = CASES[name]
    decision = judged(facts(**of_facts), of=target(**of_target))
    for reason in decision.reasons:
        assert reason.detail[0].isupper() or reason.detail[0].isdigit() or reason.detail.startswith("v"), reason
        assert reason.detail.endswith((".", ")")), reason
    if holds is None and code != "version_matches":
        sentence = next(reason.detail for reason in decision.reasons if reason.code == code)
        assert "not" in sentence or "no data" in sentence


def test_an_alert_of_no_target_is_left_with_that_reason_alone():
    decision = decide("d1", alert(), None, facts())
    assert answers(decision) == {"target_known": False}
    assert (decision.verdict, decision.would, decision.target, decision.to_version) == (LEAVE, LEAVE, "", None)


def test_not_knowing_what_serves_leaves_the_release_and_the_destination_unknown():
    decision = judged(facts(serving_version=None, serving_detail="current timed out"))
    assert (answers(decision)["recent_release"], answers(decision)["known_good_exists"]) == (None, None)
    assert (decision.verdict, decision.would) == (LEAVE, LEAVE)
    assert any("current timed out" in reason.detail for reason in decision.reasons)


def test_an_unreadable_state_is_unknown_wherever_it_matters():
    found = answers(judged(facts(state=None)))
    assert [found[code] for code in ("armed", "recent_release", "began_after_release")] == [None, None, None]


def test_a_version_that_began_to_serve_in_the_future_is_no_recent_release():
    decision = judged(facts(state=state(serving_since=NOW + MINUTE), condition_since=NOW + MINUTE))
    assert answers(decision)["recent_release"] is False


def test_an_alert_that_names_no_version_is_not_blocked_by_that():
    decision = judged(about=alert())
    assert (answers(decision)["version_matches"], decision.verdict) == (None, ROLL_BACK)


@pytest.mark.parametrize("measured", [None, measurement(None, past=None)])
def test_a_database_alert_without_a_comparison_with_the_version_before_is_for_a_person(measured):
    about = alert("DatabaseConnectionFailures", component="database", service_version="2.0")
    decision = judged(facts(previous_measurement=measured), about=about)
    assert (decision.verdict, decision.would) == (ASK, ASK)


def test_a_database_alert_with_a_healthy_version_before_is_judged_like_any_other():
    assert judged(about=alert("DatabaseConnectionFailures", component="database")).verdict is ROLL_BACK


def test_a_database_alert_is_left_where_anything_else_stands_in_the_way():
    about = alert("DatabaseConnectionFailures", component="database")
    disarmed = judged(facts(previous_measurement=None, state=state(armed=False)), about=about)
    assert (disarmed.verdict, disarmed.would) == (LEAVE, ASK)
    handled = judged(facts(previous_measurement=None, handled_by="r0"), about=about)
    assert (handled.verdict, handled.would) == (LEAVE, LEAVE)


def test_a_decision_holds_all_reasons_not_only_the_first_refusal():
    decision = judged(facts(state=state(armed=False), open_rollback="r0", actions_in_budget=9))
    refused = {code for code, holds in answers(decision).items() if holds is False}
    assert refused == {"armed", "no_open_rollback", "budget_left"}


@pytest.mark.parametrize(
    ("armed", "until", "expected"),
    [(True, None, True), (False, None, False), (False, NOW + 1, False), (False, NOW, True), (True, NOW + 9, True)],
)
def test_a_disarming_ends_at_its_time_and_not_before(armed, until, expected):
    assert is_armed(TargetState(TARGET, armed=armed, disarmed_until=until), NOW) is expected


def test_a_mode_that_asks_would_ask_and_a_mode_that_observes_would_roll_back():
    asks = judged(facts(state=state(armed=False)), of=target(policy=policy(mode=Mode.ASK)))
    assert (asks.verdict, asks.would) == (LEAVE, ASK)
    observes = judged(of=target(policy=policy(mode=Mode.OBSERVE)))
    assert (observes.verdict, observes.would) == (LEAVE, ROLL_BACK)


# --- the fresh judgement of a rollback that waits

LATER = {
    # what is other now: facts, target, what the rollback has, and what follows
    "nothing": ({}, {}, {}, "holds"),
    "its figure": ({"measurement": measurement(0.01, past=False)}, {}, {}, "over"),
    "its alert": ({"alert_state": AlertState.INACTIVE}, {}, {}, "over"),
    "its alert, to pending": ({"alert_state": AlertState.PENDING}, {}, {}, "over"),
    "the version": ({"serving_version": "v3"}, {}, {}, "changed"),
    "the version and the alert": ({"serving_version": "v3", "alert_state": AlertState.INACTIVE}, {}, {}, "changed"),
    "Prometheus, which is away": ({"alert_state": AlertState.UNKNOWN}, {}, {}, "unknown"),
    "the figure, which has no data": ({"measurement": measurement(None, past=None)}, {}, {}, "unknown"),
    "current, which cannot be read": ({"serving_version": None}, {}, {}, "unknown"),
    "the arming": ({"state": state(armed=False)}, {}, {}, "barred"),
    "the arming, with Prometheus away": (
        {"state": state(armed=False), "alert_state": AlertState.UNKNOWN}, {}, {}, "barred",
    ),
    "the mode, to observe": ({}, {"policy": policy(mode=Mode.OBSERVE)}, {}, "barred"),
    "the mode, to ask": ({}, {"policy": policy(mode=Mode.ASK)}, {}, "barred"),
    "the mode, to ask, with approval": ({}, {"policy": policy(mode=Mode.ASK)}, {"approved": True}, "holds"),
    "a deployment that runs": ({"state": state(deploy_started_at=NOW)}, {}, {}, "barred"),
    "the version before, sick too": ({"previous_measurement": measurement(0.3)}, {}, {}, "barred"),
    "the destination, which is bad": (
        {"releases": (good("v0"), good("v1", bad_at=NOW), serving("v2", service_version="2.0")),
         "activatable": frozenset({"v0", "v1", "v2"})}, {}, {}, "barred",  # v0 would be right now; it is not the plan
    ),
    "the destination, which is bad, with current that cannot be read": (
        {"releases": (good("v1", bad_at=NOW), serving("v2")), "serving_version": None}, {}, {}, "unknown",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", LATER)
def test_a_rollback_that_waits_is_right_only_while_everything_still_holds(name):
    of_facts, of_target, has, expected = LATER[name]
    now = facts(**of_facts)
    recheck, sentence = look_again(rollback(**has), judged(now, of=target(**of_target)), now)
    assert recheck is Recheck(expected)
    assert sentence.endswith((".", ")"))


# --- the destination


def destination(*releases: Release, current: str | None = "v9", activatable=None) -> str | None:
    found = choose_destination(facts(serving_version=current, releases=releases, activatable=activatable).target)
    return found.version if found else None


def at(hours: float, version: str, **fields) -> Release:
    """A known-good version first seen so many hours ago, which served until the next hour."""
    return good(version, **{"first_seen": NOW - hours * HOUR, "last_seen": NOW - (hours - 1) * HOUR, **fields})


def test_two_bad_releases_in_a_row_go_back_to_the_last_good_one():
    bad = at(2, "v2", known_good_at=None, suspect_at=NOW - HOUR, bad_at=NOW - HOUR)
    assert destination(at(4, "v0"), at(3, "v1", last_seen=NOW - HOUR), bad, serving("v3"), current="v3") == "v1"


def test_the_newest_version_that_earned_trust_is_chosen_and_never_the_current_one():
    assert destination(at(3, "v1"), at(2, "v2"), at(1, "v9")) == "v2"


def test_a_version_that_came_back_counts_as_newest_by_when_it_served_last():
    assert destination(at(3, "v1", last_seen=NOW), at(2, "v2")) == "v1"


def test_a_version_that_is_only_said_to_be_good_comes_after_all_that_served():
    said = good("v8", first_seen=NOW, last_seen=NOW, served_at=None)
    assert destination(at(3, "v1"), said) == "v1"
    assert destination(said) == "v8"


def test_a_version_that_its_check_refuses_is_no_destination_and_the_next_one_is():
    refused = {"v2": "its check failed, exit code 1"}
    case = facts(
        releases=(at(3, "v1"), at(2, "v2"), serving("v3")), serving_version="v3", activatable=None, checked=refused
    )
    assert choose_destination(case.target).version == "v1"
    forced = decide_by_hand("d1", Wish("v2", force=True), target(), case)
    assert forced.verdict == "leave"
    assert any("its check failed" in reason.detail for reason in forced.reasons)


@pytest.mark.parametrize(
    "mark",
    [{"bad_at": NOW - 9}, {"suspect_at": NOW - 9}, {"known_good_at": None}],
    ids=["bad", "suspect", "unproven"],
)
def test_a_version_without_trust_is_passed_over(mark):
    assert destination(at(3, "v1"), at(2, "v2", **mark)) == "v1"
    assert destination(at(2, "v2", **mark)) is None


def test_nothing_lies_behind_a_barrier_but_the_barrier_itself_may_be_gone_back_to():
    assert destination(at(3, "v1"), at(1, "v9", barrier=True)) is None
    assert destination(at(3, "v1"), at(2, "v2", barrier=True), at(1, "v9")) == "v2"
    assert destination(at(3, "v1"), at(2, "v2", barrier=True, bad_at=NOW), at(1, "v9")) is None


def test_a_barrier_that_is_only_announced_was_never_passed():
    assert destination(at(3, "v1"), at(1, "v9", barrier=True, served_at=None)) == "v1"


def silencing_sentence(said: Silencing) -> str:
    reasons = judged(facts(silencing=said)).reasons
    return next(each.detail for each in reasons if each.code is ReasonCode.NOT_SILENCED)


def test_a_silence_is_told_with_its_end_and_how_old_the_list_is_that_it_stands_in():
    said = Silencing(90.0, "Alertmanager is away", "silence 1 of ann (deploying)", NOW + HOUR)
    sentence = "Alertmanager silences the alert for another 1h{}: silence 1 of ann (deploying)."
    assert silencing_sentence(replace(said, fault="")) == sentence.format("")
    assert silencing_sentence(said) == sentence.format(", by its list of 1m30s ago")
    assert silencing_sentence(replace(said, age=700.0)) == (
        "It is not known whether the alert is silenced, Alertmanager's list was last read 11m40s ago:"
        " Alertmanager is away."
    )


def test_a_storm_is_told_with_its_numbers_and_at_most_five_names():
    decision = judged(facts(troubled=tuple("abcdefg"), storm=StormLimit(2, 90.0)))
    sentence = next(each.detail for each in decision.reasons if each.code is ReasonCode.NO_STORM)
    assert sentence.startswith("7 targets had trigger alerts within 1m30s (a, b, c, d, e, ...); more than 2 at once")


def barred(*releases: Release, **fields) -> tuple[bool | None, str, Decision]:
    """The answer of `no_barrier`, its sentence and the decision, with v9 serving."""
    decision = judged(facts(serving_version="v9", releases=releases, **{"activatable": None, **fields}))
    reason = next(each for each in decision.reasons if each.code is ReasonCode.NO_BARRIER)
    return reason.holds, reason.detail, decision


def test_a_barrier_that_alone_keeps_the_newest_good_version_away_is_a_reason_that_names_both():
    holds, sentence, decision = barred(at(4, "v0"), at(3, "v1"), at(2, "v2", barrier=True, bad_at=NOW), at(1, "v9"))
    assert holds is False
    assert sentence == "v1 would be gone back to, but it lies behind the barrier release v2."
    assert (decision.verdict, decision.to_version) == (LEAVE, None)


def test_a_barrier_that_keeps_no_version_away_is_no_reason_against_a_rollback():
    assert barred(at(3, "v1"), at(2, "v2", barrier=True), at(1, "v9"))[:2] == (True, "v2 lies behind no barrier.")
    holds, sentence, _ = barred(at(3, "v1", bad_at=NOW), at(2, "v2", barrier=True, bad_at=NOW), at(1, "v9"))
    assert (holds, sentence) == (True, "No version that could be gone back to lies behind a barrier.")
    gone = barred(at(3, "v1"), at(2, "v2", barrier=True, bad_at=NOW), at(1, "v9"), activatable=frozenset({"v2"}))
    assert gone[0] is True


def test_only_what_the_target_lists_can_be_chosen():
    assert destination(at(3, "v1"), at(2, "v2"), activatable=frozenset({"v1"})) == "v1"
    assert destination(at(3, "v1"), activatable=frozenset()) is None


# --- by hand


def asked(the_facts: Facts | None = None, **wish) -> Decision:
    return decide_by_hand("d1", Wish(**wish), target(), the_facts or facts())


def test_a_request_by_hand_goes_to_the_known_good_version_by_default_and_has_no_brakes():
    hindered = facts(
        state=state(armed=False, is_release=False, deploy_started_at=NOW), alert_state=AlertState.UNKNOWN,
        measurement=None, handled_by="r0", last_action_at=NOW, actions_in_budget=99,
    )  # fmt: skip
    decision = asked(hindered, note="it smells")
    assert (decision.verdict, decision.to_version, decision.trigger) == (ROLL_BACK, "v1", Trigger.MANUAL)
    assert decision.note == "it smells"
    enforced = {"target_known", "no_open_rollback", "known_good_exists"}
    assert answers(decision) == {code: True if code in enforced else None for code in EVERY_REASON}


def test_a_request_by_hand_is_refused_while_a_rollback_is_open():
    assert asked(facts(open_rollback="r0"), to_version="v1", force=True).verdict is LEAVE


HAND = {
    # name: facts, wished version, without force, with force
    "known good": ({}, "v1", ROLL_BACK, ROLL_BACK),
    "serving now": ({}, "v2", LEAVE, LEAVE),
    "bad": ({"releases": (good("v1", bad_at=NOW), serving())}, "v1", LEAVE, ROLL_BACK),
    "suspect": ({"releases": (good("v1", suspect_at=NOW), serving())}, "v1", LEAVE, ROLL_BACK),
    "unproven": ({"releases": (release("v1"), serving())}, "v1", LEAVE, ROLL_BACK),
    "barred": ({"releases": (good("v1"), serving(barrier=True))}, "v1", LEAVE, ROLL_BACK),
    "never seen": ({"activatable": frozenset({"v7"})}, "v7", LEAVE, ROLL_BACK),
    "not activatable": ({"activatable": frozenset({"v2"})}, "v1", LEAVE, LEAVE),
    "cannot list": ({"activatable": None}, "v1", ROLL_BACK, ROLL_BACK),
    "what serves is unknown": ({"serving_version": None}, "v1", LEAVE, LEAVE),
    "nothing to go to": ({"releases": (serving(),)}, None, LEAVE, LEAVE),
    "what serves is unknown, none named": ({"serving_version": None}, None, LEAVE, LEAVE),
}


@pytest.mark.parametrize("name", HAND)
def test_force_allows_what_is_distrusted_and_never_what_is_impossible(name):
    of_facts, version, plain, forced = HAND[name]
    assert asked(facts(**of_facts), to_version=version).verdict is plain
    assert asked(facts(**of_facts), to_version=version, force=True).verdict is forced


# --- properties

MOMENTS = st.floats(NOW - 30 * HOUR, NOW + HOUR)
VERSIONS = st.sampled_from(["v1", "v2", "v3"])
LABELS = st.sampled_from(["1.0", "2.0", "3.0"])
SOMETIMES = st.none() | MOMENTS
RELEASES = st.builds(
    Release, st.just(TARGET), VERSIONS, first_seen=MOMENTS, last_seen=MOMENTS, service_version=st.none() | LABELS,
    known_good_at=SOMETIMES, suspect_at=SOMETIMES, bad_at=SOMETIMES, barrier=st.booleans(),
)  # fmt: skip
MEASURED = st.builds(Measurement, st.floats(0, 1), st.just(0.1), st.just(">"), st.sampled_from([True, False, None]))
STATES = st.builds(
    TargetState, st.just(TARGET), armed=st.booleans(), disarmed_until=SOMETIMES, serving_since=SOMETIMES,
    is_release=st.booleans(), deploy_started_at=SOMETIMES, changed_after=SOMETIMES,
)  # fmt: skip
WAITS = st.builds(
    ended, st.sampled_from([Outcome.VETOED, Outcome.EXPIRED, Outcome.NOT_NEEDED]), from_version=VERSIONS,
    closed_at=MOMENTS,
)  # fmt: skip
FIELDS = st.fixed_dictionaries({
    "alert_state": st.sampled_from(AlertState), "measurement": st.none() | MEASURED,
    "condition_since": SOMETIMES, "serving_version": st.none() | VERSIONS, "state": st.none() | STATES,
    "releases": st.lists(RELEASES, max_size=3, unique_by=lambda each: each.version).map(tuple),
    "activatable": st.none() | st.frozensets(VERSIONS), "previous_measurement": st.none() | MEASURED,
    "open_rollback": st.sampled_from([None, None, "r0"]), "handled_by": st.sampled_from([None, None, "r0"]),
    "last_action_at": SOMETIMES, "actions_in_budget": st.integers(0, 4),
    "ended_waits": st.lists(WAITS, max_size=2).map(tuple),
    "troubled": st.sampled_from([(), (), ("a",), ("a", "b", "c", "d")]),
    "silencing": st.sampled_from([None, Silencing(1.0), Silencing(1.0, silence="s"), Silencing(999.0, silence="s")]),
})  # fmt: skip
WORLDS = FIELDS.map(lambda fields: facts(**fields))  # every field of the base world is among them
# a world near the one that rolls back: at most a few facts taken from an arbitrary one
NEAR = st.builds(
    lambda fields, names: facts(**{name: fields[name] for name in names}),
    FIELDS,
    FIELDS.flatmap(lambda fields: st.sets(st.sampled_from(sorted(fields)), max_size=3)),
)


@given(WORLDS | NEAR, st.sampled_from(Mode), st.sampled_from(["production", "staging", ""]), st.none() | LABELS)
def test_a_rollback_is_decided_only_when_everything_that_must_hold_does(world, mode, environment, named):
    about = alert(**({} if named is None else {"service_version": named}))
    decision = judged(world, of=target(policy=policy(mode=mode), environment=environment), about=about)
    assert {reason.code for reason in decision.reasons} == set(ReasonCode)
    if decision.verdict is LEAVE:
        return
    assert decision.would is decision.verdict
    assert (mode, environment) == (Mode.ACT if decision.verdict is ROLL_BACK else Mode.ASK, "production")
    assert world.alert.state is AlertState.FIRING
    assert world.measured.now.past is True
    assert world.measured.before is None or world.measured.before.past is not True
    assert world.target.state.armed or world.target.state.disarmed_until <= NOW
    assert world.target.state.is_release
    assert NOW - 2 * HOUR <= world.target.state.serving_since <= NOW
    assert world.measured.since >= world.target.state.serving_since - 5 * MINUTE
    assert world.target.open_rollback is None
    assert world.target.handled_by is None
    vetoed = [each for each in world.target.ended_waits if each.outcome is Outcome.VETOED]
    mine = [each for each in vetoed if each.from_version == world.target.serving_version]
    assert all(each.closed_at < world.target.state.serving_since for each in mine)
    assert world.target.actions_in_budget < 3
    assert len(world.target.troubled) <= 3
    assert world.alert.silencing is None or not world.alert.silencing.silence or world.alert.silencing.age > 600
    there = next(each for each in world.target.releases if each.version == decision.to_version)
    assert there.known_good_at is not None
    assert there.bad_at is None
    assert there.suspect_at is None
    assert decision.to_version != decision.from_version == world.target.serving_version
    assert world.target.activatable is None or decision.to_version in world.target.activatable
    passed = [other.served_at for other in world.target.releases if other.barrier and other.served_at is not None]
    assert not any(served_at > (there.served_at or there.first_seen) for served_at in passed)


@given(WORLDS | NEAR)
def test_the_permissions_alone_never_change_what_would_be_decided(world):
    free = judged(with_facts(world, state=replace(world.target.state or state(), armed=True)))
    bound = judged(
        with_facts(world, state=replace(world.target.state or state(), armed=False, disarmed_until=None)),
        of=target(policy=policy(mode=Mode.OBSERVE), environment="development"),
    )
    assert free.would is bound.would is free.verdict
    assert bound.verdict is LEAVE


@given(WORLDS | NEAR, st.none() | VERSIONS, st.booleans())
def test_a_rollback_by_hand_always_changes_the_version_to_one_that_can_be_activated(world, version, force):
    decision = asked(world, to_version=version, force=force)
    if decision.verdict is ROLL_BACK:
        assert decision.to_version is not None
        assert decision.to_version != world.target.serving_version is not None
        assert world.target.activatable is None or decision.to_version in world.target.activatable
        assert world.target.open_rollback is None
