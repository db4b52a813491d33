"""Alerts that are judged together: what is found once for those that are alike is what each would be told alone."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rearguard_controller.facts import evidence
from rearguard_controller.facts.alert_facts import of_silencing
from rearguard_controller.facts.gather import Alike
from rearguard_controller.judgement.policy import Together, decide
from rearguard_controller.model import AlertFacts, AlertState, Measured, Silencing
from unit.controller.factories import alert, facts, good, measurement, serving, state, target
from unit.controller.factories import policy as make_policy

FACTS = (
    facts(),
    facts(alert_state=AlertState.INACTIVE),
    facts(alert_state=AlertState.UNKNOWN),
    facts(measurement=measurement(0.01, past=False)),
    facts(silencing=Silencing(0.5, silence="silence 1 of ann")),
    facts(state=state(armed=False), open_rollback="r0"),
    facts(releases=(good("v1", service_version="1.0"), serving("v2", service_version="2.0"))),
)
ALERTS = st.builds(
    alert,
    st.sampled_from(["ReleaseErrorRate", "ReleaseDown"]),
    service_version=st.sampled_from(["1.0", "2.0"]),
    component=st.sampled_from(["http", "database"]),
    pod=st.sampled_from(["a", "b", "c"]),
)
TARGETS = (target(), target(name="other", policy=make_policy(cooldown=1.0)))


@given(st.lists(st.tuples(ALERTS, st.sampled_from(TARGETS), st.sampled_from(FACTS)), max_size=12))
def test_what_many_alerts_are_told_together_is_what_each_is_told_alone(cases):
    together, made = Together(), []
    for number, (one, of, known) in enumerate(cases):
        made.append(together.decide(f"d{number}", one, of, known))
        assert made[-1] == decide(f"d{number}", one, of, known)
    assert evidence.all_kept(made) == [evidence.kept(each) for each in made]


SAID = st.builds(
    AlertFacts,
    st.sampled_from([AlertState.FIRING, AlertState.UNKNOWN]),
    st.sampled_from(["", "no answer"]),
    st.sampled_from([None, Silencing(0.5), Silencing(0.5, silence="silence 1 of ann")]),
    st.booleans(),
    st.sampled_from([(), of_silencing(Silencing(0.5), 7.0), of_silencing(Silencing(None), 7.0)]),
)
MEASURED = st.sampled_from([Measured(), Measured(measurement(0.2)), Measured(since=1.0)])


@given(st.lists(st.tuples(SAID, MEASURED), max_size=12))
def test_facts_that_alerts_share_are_those_of_each(cases):
    alike = Alike(FACTS[0])
    for said, measured in cases:
        known = alike.of(said, measured)
        assert (known.alert, known.measured, known.target) == (said, measured, FACTS[0].target)


@pytest.mark.parametrize("known", FACTS[:2])
def test_a_thousand_alerts_that_differ_in_their_pod_cost_little_more_than_one(known):
    """Each was asked all 25 questions: the judgements of a storm of 10,000 took as long as all else of it."""
    alerts = [alert(service_version="2.0", pod=f"shop-{number}") for number in range(1000)]

    def seconds(judge):
        began = time.process_time()
        for one in alerts:
            judge("d", one, TARGETS[0], known)
        return time.process_time() - began

    in_turn = min(seconds(decide) for _ in range(3))
    assert min(seconds(Together().decide) for _ in range(3)) < in_turn / 4
