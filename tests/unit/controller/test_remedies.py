"""What would have to change: one sentence with its numbers for each question that stands in the way."""

import pytest

from rearguard_controller import wording
from rearguard_controller.judgement.case import READ_CURRENT, Case
from rearguard_controller.judgement.policy import Wish, decide, decide_by_hand
from rearguard_controller.judgement.questions import remedy
from rearguard_controller.model import (
    AlertsSeen,
    AlertState,
    Budget,
    Decision,
    Facts,
    KubernetesRelease,
    Measurement,
    Mode,
    Outcome,
    Phase,
    ReasonCode,
    SeenAlert,
    SharedFault,
    Silencing,
    Tally,
    Target,
    WorkloadKind,
)
from unit.controller.factories import (
    DEPLOYED,
    HOUR,
    MINUTE,
    NOW,
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
)

SICK = {"sick_dependencies": {"payments": "a trigger alert of it fires"}}
SPARED = {"spared": "in a storm of 40 targets none is asked by itself"}
AFTER_STORM = "The storm would have to pass: then it is asked, and judged anew."
ENDED = {"phase": Phase.CLOSED, "closed_at": NOW - MINUTE}
BARRIER = release("v1.5", first_seen=NOW - 2 * HOUR, barrier=True)
ONLY = (serving("v2", service_version="2.0"),)
SEEN = (SeenAlert("ReleaseErrorRate", AlertState.PENDING),)
UNTRUSTED = (release("v1"), *ONLY)
NOISY = tuple(Tally(DEPLOYED - 15.0 * n, 300.0, 24.0) for n in range(239, -1, -1))
# NOW is 1970-01-12T13:46:40Z, v2 came at 13:36:40Z. Each case: what it changes of the facts and of the target, the
# question that then stands in the way, and what would have to change, as a person would say it.
CASES = {
    "observing": (
        {}, {"policy": policy(mode=Mode.OBSERVE)}, "mode_allows", "Set mode: act (or ask) in policy standard.",
    ),
    "disarmed": ({"state": state(armed=False)}, {}, "armed", 'Arm it: rearguard arm checkout --reason "...".'),
    "disarmed for a while": (
        {"state": state(armed=False, disarmed_until=NOW + 192)}, {}, "armed",
        ('Arm it: rearguard arm checkout --reason "...", or wait until 1970-01-12T13:49:52Z, in 3m12s, when it is '
         "armed again."),
    ),
    "staging": (
        {}, {"environment": "staging"}, "environment_allows",
        "Set `act_outside_production: true` in policy standard, or `environment: production` if that is what it is.",
    ),
    "silenced": (
        {"silencing": Silencing(0.5, silence="silence 1 of ann", until=NOW + HOUR)}, {}, "not_silenced",
        "The silence ends at 1970-01-12T14:46:40Z, in 1h, or when it is expired in Alertmanager.",
    ),
    "silenced just now": (
        {"silencing": Silencing(0.5, silence="silence 1")}, {}, "not_silenced",
        "The silence would have to end, or be expired in Alertmanager.",
    ),
    "inhibited": (
        {"silencing": Silencing(0.5, inhibited_by="f1")}, {}, "not_silenced",
        "The alert with fingerprint f1 that inhibits it would have to end.",
    ),
    "Prometheus away": (
        {"alert_state": AlertState.UNKNOWN}, {}, "alert_confirmed",
        "Prometheus would have to answer: see `prometheus.url` and whether it runs.",
    ),
    "pending": (
        {"alert_state": AlertState.PENDING}, {}, "alert_confirmed",
        "ReleaseErrorRate would have to stay pending until the `for` of its rule is over, and fire.",
    ),
    "gone": (
        {"alert_state": AlertState.INACTIVE}, {}, "alert_confirmed",
        "ReleaseErrorRate would have to fire in Prometheus, with labels that do not contradict the delivered ones.",
    ),
    "figure over": (
        {"measurement": measurement(0.04, past=False)}, {}, "alert_confirmed",
        "The figure would have to be past > 0.1 (it was 0.04).",
    ),
    "expression over": (
        {"measurement": Measurement(None, None, "exists", past=False)}, {}, "alert_confirmed",
        "The expression of its rule would have to return something (it returned nothing).",
    ),
    "no data": (
        {"measurement": measurement(None, past=None)}, {}, "alert_confirmed",
        "The figure and its threshold would have to have a value for the version that serves.",
    ),
    "not asked in a storm": (
        {**SPARED, "measurement": None}, {}, "alert_confirmed", AFTER_STORM,
    ),
    "day one": (
        {"state": state(is_release=False)}, {}, "recent_release",
        "A version that has not earned trust would have to be released; v2 is none.",
    ),
    "outside the window": (
        {"state": state(serving_since=NOW - 3 * HOUR)}, {}, "recent_release",
        ("The alert would have to come within 2h of the release, it came after 3h: watch_window in policy standard "
         "says how long."),
    ),
    "the clock went back": (
        {"state": state(serving_since=NOW + HOUR), "condition_since": NOW + HOUR}, {}, "recent_release",
        (f"The clock would have to reach {wording.clock_time(NOW + HOUR)}, when the release began by it. A person can"
         ' go back: rearguard rollback checkout --reason "...".'),
    ),
    "deploying": (
        {"state": state(deploy_started_at=NOW - MINUTE)}, {}, "no_deploy_in_progress",
        "Announce its end: rearguard release checkout v2 --phase finished.",
    ),
    "began before": (
        {"condition_since": DEPLOYED - 40}, {}, "began_after_release",
        "The condition would have to begin at or after 1970-01-12T13:36:40Z (it began at 1970-01-12T13:36:00Z).",
    ),
    "there before the release": (
        {"state": state(alerts_before=AlertsSeen(DEPLOYED - 20, SEEN))},
        {}, "began_after_release",
        "ReleaseErrorRate would have to be neither pending nor firing right before the release.",
    ),
    "not known what was there before the release": (
        {"state": state(alerts_before=AlertsSeen(DEPLOYED - 20, (), unknown="it was away"))},
        {}, "began_after_release",
        ("Nobody saw whether ReleaseErrorRate was there before the release. A person can go back: rearguard rollback"
         ' checkout --reason "...".'),
    ),
    "beginning unknown": (
        {"condition_since": None}, {}, "began_after_release",
        "Prometheus would have to have the figure's history since the release, up to now.",
    ),
    "began while nobody looked": (
        {"condition_since": DEPLOYED - 10, "state": state(changed_after=DEPLOYED - HOUR)}, {}, "began_after_release",
        ("Nobody saw whether the fault or the version came first. A person can go back: rearguard rollback checkout "
         '--reason "...".'),
    ),
    "a canary": (
        {"releases": (good("v1"), serving("v2", service_version="1.9"))}, {}, "version_matches",
        "The alert would have to be about 1.9, the version that serves (it is about 2.0).",
    ),
    "old version sick too": (
        {"previous_measurement": measurement(0.3)}, {}, "previous_version_healthy",
        "The version before would have to be not past > 0.1 by the same figure (it was at 0.3).",
    ),
    "old version's expression holds, too": (
        {"previous_measurement": Measurement(1.0, None, "exists", past=True)}, {}, "previous_version_healthy",
        "The rule's expression would have to return nothing for the version before.",
    ),
    "an older version showed it beside": (
        {"shared": SharedFault("ReleaseErrorRate", "ratio", "> 0.1", "1.0", DEPLOYED)}, {}, "not_shown_by_older",
        ("Both versions would have to be well side by side, and later only this one show the fault. Look at what both"
         ' depend on. A person can go back: rearguard rollback checkout --reason "...".'),
    ),
    "may be luck": (
        {"counts": counts(*(20,) * 6, before=NOISY)}, {}, "evidence_suffices",
        "There would have to be 16.48 nats of evidence (it was 3.358): more requests that fail like these.",
    ),
    "both show it in the same seconds": (
        {"counts": counts(beside=counts().own)}, {}, "evidence_suffices",
        "In the same seconds 1.0 would have to fail less than half as often.",
    ),
    "over": (
        {"counts": counts(*(0,) * 8, 90, 90, 90, 0, 0)}, {}, "not_a_blip",
        "It would have to be past what is allowed for 15s, or again and again within two minutes.",
    ),
    "sick dependency": (
        SICK, {"depends_on": ("ledger", "payments")}, "dependencies_healthy",
        "What the target depends on would have to be well: payments.",
    ),
    "dependency not known": (
        {"dependencies_detail": "it is away"}, {"depends_on": ("payments",)}, "dependencies_healthy",
        "Prometheus would have to answer: see `prometheus.url` and whether it runs.",
    ),
    "nothing earned trust": (
        {"releases": UNTRUSTED}, {}, "known_good_exists",
        "v1 did not serve 15m cleanly; if it is good: rearguard release checkout v1 --good.",
    ),
    "first version ever": (
        {"releases": ONLY}, {}, "known_good_exists",
        "Another version would have to earn trust; v2 itself earns it by 15m of clean service.",
    ),
    "first version ever, on its way": (
        {"releases": ONLY, "state": state(clean_since=NOW - 11 * MINUTE)}, {}, "known_good_exists",
        "Another version would have to earn trust; v2 itself earns it by another 4m of clean service.",
    ),
    "rolled away from": (
        {"releases": (good("v1", bad_at=NOW), *ONLY)}, {}, "known_good_exists",
        "If v1 is good after all: rearguard release checkout v1 --good.",
    ),
    "destination gone": (
        {"activatable": frozenset({"v2"})}, {}, "known_good_exists",
        "The target's command `versions` would have to list v1.",
    ),
    "check refuses": (
        {"checked": {"v1": "its check failed"}}, {}, "known_good_exists",
        "The target's command `check` would have to succeed for v1.",
    ),
    "handled before": (
        {"handled_by": "r0"}, {}, "not_already_handled",
        'A person can go back: rearguard rollback checkout --reason "...", or release another version.',
    ),
    "vetoed before": (
        {"ended_waits": (rollback("r0", outcome=Outcome.VETOED, **ENDED),)}, {}, "not_already_handled",
        'Arm it: rearguard arm checkout --reason "...", or release another version.',
    ),
    "one under way": (
        {"open_rollback": "r0"}, {}, "no_open_rollback",
        "Rollback r0 would have to end: rearguard show r0 says how far it is.",
    ),
    "inside the cooldown": (
        {"last_action_at": NOW - 108}, {}, "cooldown_over", "The cooldown ends at 1970-01-12T13:49:52Z, in 3m12s.",
    ),
    "asked in vain": (
        {"ended_waits": (rollback("r0", outcome=Outcome.EXPIRED, **ENDED),)}, {}, "cooldown_over",
        "The cooldown ends at 1970-01-12T13:50:40Z, in 4m.",
    ),
    "budget used up": (
        {"actions_in_budget": 3, "budget_frees_at": NOW + HOUR}, {}, "budget_left",
        ("One is left again at 1970-01-12T14:46:40Z, in 1h; else the budget in policy standard would have to allow "
         "more than 3."),
    ),
    "no budget at all": (
        {}, {"policy": policy(budget=Budget(0, HOUR))}, "budget_left",
        "The budget in policy standard would have to allow more than 0.",
    ),
    "a storm": (
        {"troubled": ("a", "b", "c", "checkout")}, {}, "no_storm",
        "At most 3 targets may have had trigger alerts within 5m (4 had); storm in the configuration says how many.",
    ),
}  # fmt: skip
# Questions that never stand in the way of a target that is changed by a command.
ELSEWHERE = {
    "target_known": "A target would have to be configured whose `match` is among the labels of the alert"
    " (service_name: checkout, deployment_environment_name: production, action: rollback).",
    "owner_allows": "Whoever owns the version of checkout would have to let it be changed.",
    "capacity_suffices": "There would have to be room for v1.",
    "together_allows": "The targets that go back together with it would have to be able to.",
}


def judged(the_facts: Facts, of: Target) -> Decision:
    return decide("d1", alert(service_version="2.0"), of, the_facts)


def remedies_of(decision: Decision) -> dict[str, str]:
    return {reason.code.value: reason.remedy for reason in decision.reasons if reason.remedy}


@pytest.mark.parametrize("name", CASES)
def test_an_answer_in_the_way_says_what_would_have_to_change_and_the_others_say_nothing(name):
    of_facts, of_target, code, sentence = CASES[name]
    decision = judged(facts(**of_facts), target(**of_target))
    assert remedies_of(decision) == {code: sentence}
    assert wording.summary(decision) == f"1 of 25 answers would have to differ: {code}."


def test_a_barrier_says_how_to_go_back_past_it():
    decision = judged(facts(releases=(good("v1", last_seen=NOW - 2 * HOUR), BARRIER, *ONLY)), target())
    sentence = "rearguard release checkout v1.5 --no-barrier."
    assert remedies_of(decision) == {
        "known_good_exists": f"v1.5 did not serve 15m cleanly; if it is good: rearguard release checkout v1.5 --good."
        f" To go back past v1.5: {sentence}",
        "no_barrier": f"If it may be gone back past: {sentence}",
    }
    assert wording.summary(decision) == "2 of 25 answers would have to differ: known_good_exists, no_barrier."


@pytest.mark.parametrize("code", ELSEWHERE)
def test_a_question_that_a_command_target_always_answers_has_its_sentence_too(code):
    case = Case(alert(), target(), facts(), good("v1"))
    assert remedy(ReasonCode(code), case) == ELSEWHERE[code]


def test_no_question_is_without_a_way_to_another_answer():
    shown = {code for _, _, code, _ in CASES.values()} | {"no_barrier"} | set(ELSEWHERE)
    assert shown == {code.value for code in ReasonCode}


def test_what_was_not_asked_in_a_storm_is_asked_when_it_is_over():
    unasked = {"measurement": None, "condition_since": None, "activatable": None, "counts": None}
    told = judged(facts(**SPARED, **unasked, counts_detail="it was not asked", by_evidence=True), target())
    assert remedies_of(told) == dict.fromkeys(
        ("alert_confirmed", "began_after_release", "evidence_suffices", "not_a_blip", "known_good_exists"),
        AFTER_STORM,
    )


def test_unknown_serving_version_points_at_the_command_that_reads_it():
    found = remedies_of(judged(facts(serving_version=None, state=None), target()))
    assert found["recent_release"] == found["known_good_exists"]
    assert found["known_good_exists"] == "The target's command `current` would have to print the version that serves."
    assert found["armed"].startswith("The journal's record of the target would have to be readable")


def test_a_verdict_that_acts_has_nothing_in_its_way():
    decision = judged(facts(), target())
    assert remedies_of(decision) == {}
    assert wording.summary(decision) == "None of 25 answers stands in the way."


def test_an_alert_of_no_target_names_the_labels_that_a_target_would_have_to_match():
    decision = decide("d1", alert(), None, facts())
    assert remedies_of(decision) == {"target_known": ELSEWHERE["target_known"]}
    assert wording.summary(decision) == "1 of 1 answers would have to differ: target_known."


@pytest.mark.parametrize(
    ("wish", "changes", "sentence"),
    [
        (Wish("v2"), {}, "Another version would have to be named."),
        (Wish("v9"), {}, "The target's command `versions` would have to list v9."),
        (Wish("v1"), {"checked": {"v1": "no"}}, "The target's command `check` would have to succeed for v1."),
        (Wish("v1"), {"releases": UNTRUSTED}, "A person can insist on it: --force."),
        (Wish("v1"), {"serving_version": None}, READ_CURRENT),
        (
            Wish(),
            {"releases": UNTRUSTED},
            (
                "v1 did not serve 15m cleanly; if it is good: rearguard release checkout v1 --good. Or name a "
                "version: --to VERSION."
            ),
        ),
    ],
)
def test_a_refused_request_by_hand_says_what_would_have_to_change(wish, changes, sentence):
    decision = decide_by_hand("d1", wish, target(), facts(**changes))
    assert remedies_of(decision) == {"known_good_exists": sentence}
    assert wording.summary(decision) == "1 of 3 answers would have to differ: known_good_exists."


def test_the_remedy_of_a_workload_names_no_command():
    workload = target(release=KubernetesRelease("shop", WorkloadKind.DEPLOYMENT, "shop", 300.0))
    asked = {"v9": {}, "v1": {"checked": {"v1": "it is paused"}}}
    told = {
        version: remedies_of(decide_by_hand("d1", Wish(version), workload, facts(**changes)))["known_good_exists"]
        for version, changes in asked.items()
    }
    assert told == {
        "v9": "The cluster would have to have the template of v9 still: see revisionHistoryLimit.",
        "v1": "What keeps the cluster from taking the template of v1 would have to be mended.",
    }


def test_a_request_by_hand_counts_only_what_is_asked_of_one():
    busy = decide_by_hand("d1", Wish("v1"), target(), facts(open_rollback="r0"))
    assert remedies_of(busy)["no_open_rollback"].startswith("Rollback r0 would have to end")
    assert wording.summary(decide_by_hand("d1", Wish(), target(), facts())) == "None of 3 answers stands in the way."
