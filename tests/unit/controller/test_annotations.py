"""An alert's annotations have a bound, one by one and together; what is cut says so, and short texts stay whole."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rearguard_controller.adapters.prometheus import answers
from rearguard_controller.api import webhook_body
from rearguard_controller.facts.alerts_now import as_alert
from rearguard_controller.model.annotations import cut
from unit.controller import hostile

ONE, ALL, DELIVERY = 65_536, 196_608, 8 * 1024 * 1024  # bytes, as docs/security.md has them
MARK = "(cut: it had "


def size(texts):
    return sum(len(text.encode()) for pair in texts.items() for text in pair)


TEXTS = st.dictionaries(
    st.text(min_size=1, max_size=20), st.text(max_size=4).map(lambda text: text * 5000), max_size=8
)


@given(TEXTS, st.sampled_from([100, 1000, 20_000, ALL]))
@settings(max_examples=60, deadline=None)
def test_cut_annotations_fit_and_each_is_whole_or_a_beginning_with_a_mark(texts, most):
    left = cut(texts, most)
    assert size(left) <= max(most, 0)
    assert list(left) == list(texts)[: len(left)]
    for name, text in left.items():
        beginning, _, mark = text.rpartition(" … ")
        assert (
            text == texts[name]
            or (mark.startswith(MARK[:-1]) and texts[name].startswith(beginning))
            or len(text) < 64
        )
    if size(texts) <= most and all(len(text.encode()) <= ONE for text in texts.values()):
        assert left == texts


def delivered(count, annotations):
    alerts = [
        {"status": "firing", "labels": {"alertname": f"A{number}"}, "annotations": annotations}
        for number in range(count)
    ]
    return webhook_body.parse(json.dumps({"version": "4", "alerts": alerts}).encode())


def test_all_annotations_of_a_delivered_alert_together_have_a_bound():
    texts = {f"a{number}": "x" * 65_000 for number in range(250)}
    [alert] = delivered(1, {**texts, "figure": "errors", "threshold": "> 0.1"})
    assert size(alert.annotations) <= ALL
    assert (alert.annotations["figure"], alert.annotations["threshold"]) == ("errors", "> 0.1")
    assert all(MARK in alert.annotations[name] for name in texts)


def test_all_annotations_of_a_delivery_together_have_a_bound_and_ordinary_ones_stay_whole():
    big, small = {"a": "x" * 60_000, "b": "y" * 60_000}, {"summary": "s" * 400}
    found = delivered(200, big)
    assert sum(size(alert.annotations) for alert in found) <= DELIVERY
    assert all(MARK in text for alert in found for text in alert.annotations.values())
    assert {alert.annotations["summary"] for alert in delivered(10_000, small)} == {"s" * 400}


@pytest.mark.parametrize("letter", ["x", "€"])
def test_an_alert_that_prometheus_has_is_kept_with_bounded_annotations(letter):
    odd = {**hostile.ALERT, "annotations": {"figure": "errors", "text": letter * 300_000}}
    [found] = answers.alerts({"alerts": [odd]})
    kept = as_alert(found, "prometheus").annotations
    assert kept["figure"] == "errors"
    assert len(kept["text"].encode()) <= ONE
    assert MARK in kept["text"]
