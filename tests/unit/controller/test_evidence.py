"""Evidence: what is taken down of answers, how it is merged and bounded, and what old journals hold of it."""

import orjson
import pytest

from rearguard_controller import json_views
from rearguard_controller.adapters.prometheus import PrometheusAlert, Series
from rearguard_controller.errors import SourceError
from rearguard_controller.facts import alert_facts, evidence, target_facts
from rearguard_controller.facts.measurements import measure, measure_before, measure_now
from rearguard_controller.facts.recorded_queries import RecordedQueries
from rearguard_controller.journal import codec
from rearguard_controller.judgement.policy import Wish, decide, decide_by_hand
from rearguard_controller.model import (
    AlertState,
    CommandRelease,
    Decision,
    Evidence,
    EvidenceSource,
    ReasonCode,
    Sample,
    Silencing,
)
from rearguard_controller.releases.looks import Serving
from unit.controller.factories import (
    DEPLOYED,
    MATCH,
    MINUTE,
    NOW,
    alert,
    command,
    condition,
    decision,
    facts,
    state,
    target,
)
from unit.controller.wire import version

FIGURE, THRESHOLD = "version:errors:ratio", "service:errors:threshold"
OWN_FIGURE = f'{FIGURE}{{deployment_environment_name=~"production|",service_name=~"checkout|"}}'
OF = condition(figure=FIGURE, threshold=f"> {THRESHOLD}")
CONFIRMED = (ReasonCode.ALERT_CONFIRMED,)
PROMETHEUS = EvidenceSource.PROMETHEUS


class Answers:
    """A Prometheus that answers everything alike."""

    def __init__(self, *samples: Sample, series: tuple[Series, ...] = ()) -> None:
        self.samples = samples
        self.series = series

    async def query(self, *_question) -> tuple[Sample, ...]:
        return self.samples

    async def query_range(self, *_question) -> tuple[Series, ...]:
        return self.series


class Away:
    async def query(self, *_question) -> tuple[Sample, ...]:
        raise SourceError("Prometheus did not answer.")

    async def query_range(self, *_question) -> tuple[Series, ...]:
        raise SourceError("Prometheus did not answer.")


def asked(question: str, answer: str = "0.3", *serves: ReasonCode, **fields) -> Evidence:
    return Evidence(PROMETHEUS, question, answer, NOW, serves or CONFIRMED, **fields)


def of_prometheus(asks, clock=lambda: NOW):
    return RecordedQueries(asks, condition(), clock, *CONFIRMED)


def told_of_target(of, known, listing=""):
    """The evidence of each reading of a target: its commands, and the journal's records."""
    serving = Serving(known.serving_version, known.serving_detail, known.state)
    return (
        *target_facts.of_commands(of, serving, known.activatable, listing, NOW),
        target_facts.of_state(of, known.state, NOW),
        target_facts.of_releases(of, known.releases, NOW),
        target_facts.of_rollbacks(of, known, NOW),
    )


# --- taking down


async def test_an_answer_is_dated_by_who_gave_it_and_only_the_targets_own_values_are_kept():
    elsewhere = {**version("2.0"), "service_name": "payments"}
    queries = of_prometheus(Answers(Sample(version("2.0"), 0.31, NOW - 7), Sample(elsewhere, 0.9, NOW - 7)))
    answered = await queries.query("errors")
    assert [each.value for each in answered] == [0.31, 0.9]  # as Prometheus gave it
    (taken,) = queries.evidence
    assert taken == Evidence(
        PROMETHEUS, "errors", "0.31", NOW - 7, CONFIRMED, (Sample({"service_version": "2.0"}, 0.31),)
    )


async def test_no_data_is_an_answer_of_the_moment_in_which_it_was_asked():
    queries = of_prometheus(Answers())
    await queries.query("errors")
    assert [(each.answer, each.at, each.values) for each in queries.evidence] == [("no data", NOW, ())]


@pytest.mark.parametrize("at", [float("nan"), float("inf"), 1e300, 0.0])
async def test_a_moment_that_cannot_be_one_is_replaced_by_our_own(at):
    queries = of_prometheus(Answers(Sample(version("2.0"), 0.31, at)))
    await queries.query("errors")
    (taken,) = queries.evidence
    assert taken.at == NOW
    assert json_views.evidence(taken)["at"] == "1970-01-12T13:46:40.000Z"


async def test_a_question_without_an_answer_is_kept_too():
    queries = of_prometheus(Away())
    with pytest.raises(SourceError):
        await queries.query("errors")
    with pytest.raises(SourceError):
        await queries.query_range("errors", NOW - 60, NOW, 5.0)
    assert [each.answer for each in queries.evidence] == ["no answer: Prometheus did not answer."] * 2
    assert (queries.evidence[1].start, queries.evidence[1].at) == (NOW - 60, NOW)


async def test_of_a_range_of_time_the_median_is_kept_and_what_was_made_of_it():
    points = tuple((NOW - 60 + 5 * number, float(number)) for number in range(5))
    queries = of_prometheus(Answers(series=(Series(version("1.0"), points),)))
    await queries.query_range("errors", NOW - 60, NOW, 5.0)
    queries.conclude("it has held since then")
    (taken,) = queries.evidence
    assert taken.answer == "it has held since then; 5 points from 0 to 4"
    assert taken.values == (Sample({"service_version": "1.0"}, 2.0),)
    assert (taken.start, taken.at, taken.step) == (NOW - 60, NOW, 5.0)


async def test_of_many_values_those_at_both_ends_are_kept_for_one_of_them_decides():
    samples = [Sample(version("2.0", instance=f"i{number}"), number / 10) for number in (5, 1, 9, 3, 7, 2)]
    queries = of_prometheus(Answers(*samples, Sample(version("2.0", instance="i"), float("inf"))))
    await queries.query("errors")
    (taken,) = queries.evidence
    assert taken.answer == "7 values from 0.1 to inf"
    assert sorted(each.value for each in taken.values) == [0.1, 0.2, 0.7, 0.9]  # JSON has no infinity


async def test_a_condition_is_measured_with_every_question_and_the_reasons_it_serves(wire, prometheus):
    wire.vectors = {
        FIGURE: [Sample(version("2.0"), 0.31), Sample(version("1.0"), 0.01)],
        THRESHOLD: [Sample(MATCH, 0.1)],
        PRESENCE: [Sample(version("2.0"), 1.0)],
    }
    wire.over_time = {FIGURE: {"2.0": lambda at: 0.3 if at >= NOW - 120 else 0.0, "1.0": lambda _at: 0.02}}
    known = facts(state=state(changed_after=DEPLOYED - 20))
    found = await measure(prometheus, OF, known, lambda: NOW)
    told = [(each.question, [code.value for code in each.serves], each.start, each.step) for each in found.evidence]
    over_time = ["began_after_release", "not_shown_by_older"]
    every = ["alert_confirmed", "began_after_release", "previous_version_healthy", "not_shown_by_older"]
    assert told == [
        (FIGURE, ["alert_confirmed", "previous_version_healthy"], None, None),
        (THRESHOLD, every, None, None),
        (OWN_FIGURE, over_time, DEPLOYED - 600, 5.0),
        (PRESENCE, ["previous_version_healthy"], None, None),
        (OWN_FIGURE, ["previous_version_healthy"], DEPLOYED - 620, 5.0),
    ]
    now, threshold, since, _, before = found.evidence
    assert {each.labels["service_version"]: each.value for each in now.values} == {"2.0": 0.31, "1.0": 0.01}
    assert (threshold.values, threshold.at) == ((Sample({}, 0.1),), NOW)
    assert since.answer.startswith("it has held since 1970-01-12T13:44:40Z; ")  # NOW is 13:46:40
    assert before.at == DEPLOYED - 20
    assert Sample({"service_version": "1.0"}, 0.02) in before.values
    for asked in (wire.asked, wire.asked_over_time):  # in a storm each question costs as much as an alert's judgement
        assert sorted(asked) == sorted(set(asked))


async def test_each_measurement_returns_its_value_together_with_what_was_asked_for_it(wire, prometheus):
    wire.vectors = {FIGURE: [Sample(version("2.0"), 0.31)], THRESHOLD: [Sample(MATCH, 0.1)]}
    now = await measure_now(prometheus, OF, facts().target, lambda: NOW)
    assert (now.value.value, [each.question for each in now.evidence]) == (0.31, [FIGURE, THRESHOLD])
    before = await measure_before(prometheus, OF, facts().target, lambda: NOW)
    assert before.value is None
    assert "no answer: " in before.evidence[-1].answer
    assert {code for each in before.evidence for code in each.serves} == {ReasonCode.PREVIOUS_VERSION_HEALTHY}


SELECTOR = '{deployment_environment_name="production",service_name="checkout"}'
OLDER = '{deployment_environment="production",deployment_environment_name="",service_name="checkout"}'
PRESENCE = f"target_info{SELECTOR} or target_info{OLDER} or up{SELECTOR} or up{OLDER}"


# --- merging and bounding


def test_a_question_that_alerts_share_is_kept_once_in_the_order_of_judgement():
    storm = asked("b", "none", ReasonCode.NO_STORM)
    again = asked("a", "0.3", ReasonCode.BEGAN_AFTER_RELEASE)
    assert evidence.merged([storm, asked("a"), again]) == (
        asked("a", "0.3", ReasonCode.ALERT_CONFIRMED, ReasonCode.BEGAN_AFTER_RELEASE),
        storm,
    )
    other = asked("a", "0.4", ReasonCode.BEGAN_AFTER_RELEASE)
    assert evidence.merged([asked("a"), other]) == (asked("a"), other)


LABELS = {"é" * 900: '"\\\n\x01' * 900, "b": "x" * 5000, "c": "y", "d": "z"}


@pytest.mark.parametrize("count", [1, 3, 16])
def test_the_evidence_of_a_decision_is_bounded_however_long_its_questions_are(count):
    values = tuple(Sample(LABELS, float(number)) for number in range(4))
    long = [asked(f"{number} " + 'sum("é\x01")' * 2000, "why? " * 900, values=values) for number in range(count)]
    found = evidence.kept(decision(evidence=tuple(long))).evidence
    assert len(orjson.dumps(found)) <= evidence.LIMIT
    assert found[0].question.startswith("0 sum(")
    assert found[0].question.endswith(" characters)")
    assert len(found) == count or count == 16


@pytest.mark.parametrize("length", [17, 32, 35, 40, 60, 70, 300])
def test_a_text_of_evidence_is_cut_only_where_that_makes_it_shorter(length):
    many = [asked(f"question {number}", str(number) + "a" * length) for number in range(60)]
    kept = evidence.bounded(many)
    assert all(len(one.answer) <= len(before.answer) for one, before in zip(kept, many, strict=False))


def test_a_question_is_cut_last_for_it_could_not_be_asked_again():
    question = f"sum by (service_version) (rate(errors_total{SELECTOR}[1m]))"
    values = tuple(Sample({"pod": "p" * 200}, float(number)) for number in range(4))
    full = [asked(question, f"{number} values, " * 40, values=values) for number in range(8)]
    full += [asked("releases", f"{number} versions, " * 40) for number in range(6)]
    found = evidence.kept(decision(evidence=tuple(full))).evidence
    assert len(orjson.dumps(found)) <= evidence.LIMIT
    assert [each.question for each in found] == [question] * 8 + ["releases"] * 6
    assert found[0].answer.endswith(" characters)")


def test_what_fits_is_kept_as_it_is():
    short = tuple(asked(f"rate(errors_total{{n='{number}'}}[1m])") for number in range(10))
    assert evidence.kept(decision(evidence=short)).evidence == short


async def test_a_decision_of_an_ordinary_case_grows_by_less_than_four_kilobytes(wire, prometheus):
    wire.vectors = {
        FIGURE: [Sample(version("2.0"), 0.31234567890123), Sample(version("1.0"), 0.01234567890123)],
        THRESHOLD: [Sample(MATCH, 0.1)],
        PRESENCE: [Sample(version("2.0", instance=f"10.0.0.{number}:9464", job="shop"), 1.0) for number in range(40)],
    }
    wire.over_time = {FIGURE: {"2.0": lambda _at: 0.3, "1.0": lambda _at: 0.02}}
    of = target(depends_on=("payments",))
    known = facts(state=state(changed_after=DEPLOYED - 20), silencing=Silencing(0.5))
    measured = await measure(prometheus, OF, known, lambda: NOW)
    fires = PrometheusAlert(alert().labels, {}, AlertState.FIRING, NOW - MINUTE, 0.31234567890123)
    all_of_it = (
        *told_of_target(of, known.target),
        target_facts.of_others(of, known.target, NOW),
        alert_facts.of_alert(fires, "", NOW),
        *alert_facts.of_silencing(known.alert.silencing, NOW),
        *measured.evidence,
    )
    judged = decide("d1", alert(), of, facts(evidence=all_of_it))
    grown = len(codec.dump(evidence.kept(judged))) - len(codec.dump(decide("d1", alert(), of, facts())))
    assert 1000 < grown < 4096
    assert {code for each in judged.evidence for code in each.serves} >= {
        ReasonCode.ARMED, ReasonCode.NOT_SILENCED, ReasonCode.ALERT_CONFIRMED, ReasonCode.RECENT_RELEASE,
        ReasonCode.BEGAN_AFTER_RELEASE, ReasonCode.PREVIOUS_VERSION_HEALTHY, ReasonCode.DEPENDENCIES_HEALTHY,
        ReasonCode.KNOWN_GOOD_EXISTS, ReasonCode.COOLDOWN_OVER, ReasonCode.NO_STORM,
    }  # fmt: skip


# --- what the rest of the facts rests on


def test_what_the_target_and_the_journal_said_is_told_in_a_few_words():
    of = target()
    told = {each.question: each.answer for each in told_of_target(of, facts(last_action_at=NOW - 60).target)}
    assert told == {
        "current": "v2",
        "state of checkout": "armed; v2 since 1970-01-12T13:36:40Z, a release; before it v1",
        "releases of checkout": "v2 (shows 2.0) not trusted, v1 (shows 1.0) known good since 1970-01-11T17:46:40Z",
        "rollbacks of checkout": "open: none; last started: 1970-01-12T13:45:40Z; automatic in the period: 0 of 3",
    }


def test_what_could_not_be_read_says_why():
    of = target()
    (current, *_) = told_of_target(of, facts(serving_version=None, serving_detail="it printed nothing").target)
    assert current.answer == "no answer: it printed nothing"
    assert alert_facts.of_alert(None, "Prometheus is away", NOW).answer == "no answer: Prometheus is away"
    assert alert_facts.of_silencing(Silencing(None, "it is away"), NOW)[0].answer == "no answer: it is away"
    assert alert_facts.of_silencing(None, NOW) == ()


def test_a_check_of_the_target_is_evidence_without_its_environment():
    check = command("./release", "check", "{to_version}")
    release = CommandRelease(check, check, check=check)
    found = target_facts.of_check(release, {"v1": "its check failed"}, NOW)
    assert (found.source, found.question) == (EvidenceSource.TARGET, "./release check {to_version}")
    assert found.answer == "v1: its check failed"


def test_a_command_is_evidence_without_what_is_secret_of_its_addresses():
    secret = command("./release", "current", "--of=https://bot:s3cret@registry/v2?key=s3cret")
    of = target(release=CommandRelease(secret, secret, versions=secret, check=secret))
    known = facts(checked={"v1": ""}).target
    told = [*told_of_target(of, known), target_facts.of_check(of.release, known.checked, NOW)]
    asked_of_target = [each.question for each in told if each.source is EvidenceSource.TARGET]
    assert set(asked_of_target) == {"./release current --of=https://registry/v2"}
    assert len(asked_of_target) == 3
    assert not any("s3cret" in each.question + each.answer for each in told)


def test_a_request_by_hand_shows_only_what_its_answers_rest_on():
    resting = (asked("errors"), asked("releases", "v1", ReasonCode.VERSION_MATCHES, ReasonCode.KNOWN_GOOD_EXISTS))
    found = decide_by_hand("d1", Wish(), target(), facts(evidence=resting)).evidence
    assert found == (asked("releases", "v1", ReasonCode.KNOWN_GOOD_EXISTS),)


# --- shapes and the journal


def test_evidence_comes_back_from_the_journal_as_it_was_and_reads_as_json():
    kept = decision(
        evidence=(asked("errors", values=(Sample({"service_version": "2.0"}, 0.3),), start=NOW - 60, step=5.0),)
    )
    assert codec.load(Decision, codec.dump(kept)) == kept
    assert json_views.decision(kept)["evidence"] == [
        {
            "source": "prometheus",
            "question": "errors",
            "at": "1970-01-12T13:46:40.000Z",
            "start": "1970-01-12T13:45:40.000Z",
            "step_s": 5.0,
            "answer": "0.3",
            "values": [{"labels": {"service_version": "2.0"}, "value": 0.3}],
            "serves": ["alert_confirmed"],
        }
    ]


def test_a_decision_of_a_journal_without_evidence_is_read():
    old = orjson.loads(codec.dump(decision()))
    del old["evidence"]
    for reason in old["reasons"]:
        del reason["remedy"]
    found = codec.load(Decision, orjson.dumps(old).decode())
    assert found == decision()
    assert json_views.decision(found)["evidence"] == []
    assert json_views.decision(found)["reasons"][0]["remedy"] is None
