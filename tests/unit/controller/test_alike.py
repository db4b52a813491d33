"""Alerts that are judged together: what is asked once for those that are alike is what each would be told alone."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rearguard_controller.judgement.policy import decide
from rearguard_controller.judgement.questions import Asking
from rearguard_controller.model import AlertState, Silencing
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
    asking = Asking()
    for one, of, known in cases:
        assert decide("d", one, of, known, asking) == decide("d", one, of, known)


@pytest.mark.parametrize("known", FACTS[:2])
def test_a_thousand_alerts_that_differ_in_their_pod_cost_little_more_than_one(known):
    """Each was asked all 22 questions: the judgements of a storm of 10,000 took as long as all else of it."""
    alerts = [alert(service_version="2.0", pod=f"shop-{number}") for number in range(1000)]

    def seconds(**shared):
        began = time.process_time()
        for one in alerts:
            decide("d", one, TARGETS[0], known, **shared)
        return time.process_time() - began

    assert min(seconds(asking=Asking()) for _ in range(3)) < min(seconds() for _ in range(3)) / 2
