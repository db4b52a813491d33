"""A sieve leaves exactly the elements that are wanted, however the answer arrives and whatever stands in it."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rearguard_controller.adapters.foreign_json import ShapeError
from rearguard_controller.adapters.http_source.sieve import MOST_ELEMENT, Sieve
from rearguard_controller.adapters.prometheus import answers

TEXTS = st.text(max_size=12) | st.sampled_from(['"alerts":[', "\\", '\\"', "]", "}{", '"', "alerts", "\x00"])
LABELS = st.dictionaries(TEXTS, TEXTS, max_size=3)
ALERTS = st.lists(
    st.fixed_dictionaries({"labels": LABELS, "annotations": LABELS, "n": st.integers(0, 9)}), max_size=6
)
RULES = st.lists(
    st.fixed_dictionaries({"name": TEXTS, "labels": LABELS, "alerts": ALERTS, "health": TEXTS}), max_size=4
)


def wanted(raw):
    return raw if json.loads(raw)["n"] % 2 == 0 else b""


def sieved(text, key, cuts, keep=wanted):
    sieve, data, at = Sieve(key, keep), text.encode("utf-8", "surrogatepass"), 0
    for cut in [*sorted(cut % (len(data) + 1) for cut in cuts), len(data)]:
        sieve.feed(data[at:cut])
        at = cut
    return json.loads(sieve.end())


@given(RULES, st.lists(st.integers(0, 10_000), max_size=8), st.booleans(), st.sampled_from([None, 1]))
def test_of_every_list_under_the_key_the_wanted_elements_are_left(rules, cuts, ascii_only, indent):
    text = json.dumps({"data": {"groups": [{"rules": rules}]}}, ensure_ascii=ascii_only, indent=indent)
    left = [{**rule, "alerts": [each for each in rule["alerts"] if each["n"] % 2 == 0]} for rule in rules]
    assert sieved(text, "alerts", cuts) == {"data": {"groups": [{"rules": left}]}}


@given(RULES, st.data(), st.lists(st.integers(0, 10_000), max_size=8), st.sampled_from([(",", ":"), (", ", ": ")]))
def test_what_is_left_does_not_depend_on_the_elements_that_came_before(rules, data, cuts, separators):
    raw = [json.dumps(each, separators=separators).encode() for rule in rules for each in rule["alerts"]]
    known = dict.fromkeys(data.draw(st.lists(st.sampled_from(raw))) if raw else ())
    text, seen = json.dumps({"data": {"groups": [{"rules": rules}]}}, separators=separators).encode(), []
    sieve, at = Sieve("alerts", lambda each: seen.append(each) or wanted(each), known), 0
    for cut in [*sorted(cut % (len(text) + 1) for cut in cuts), len(text)]:
        sieve.feed(text[at:cut])
        at = cut
    left = [{**rule, "alerts": [each for each in rule["alerts"] if each["n"] % 2 == 0]} for rule in rules]
    assert json.loads(sieve.end()) == {"data": {"groups": [{"rules": left}]}}
    assert seen == raw


@given(ALERTS, st.lists(st.integers(0, 10_000), max_size=8), st.sampled_from([None, 1]))
def test_an_answer_that_is_a_list_itself_is_sieved(alerts, cuts, indent):
    found = sieved(json.dumps(alerts, indent=indent), "", cuts)
    assert found == [each for each in alerts if each["n"] % 2 == 0]


def test_a_target_of_a_long_list_is_shortened_to_what_is_read_of_it():
    labels = {"job": "shop", "instance": "shop:9464", "namespace": "shop"}
    target = {"labels": labels, "discoveredLabels": {"__meta_x": "y" * 999}, "scrapeInterval": "15s"}
    data = {"data": {"activeTargets": [target, {**target, "scrapeInterval": None}]}}
    found = sieved(json.dumps(data), "activeTargets", [7], answers.short_target)
    assert len(json.dumps(found)) < 300
    assert answers.scrape_intervals(found["data"]) == answers.scrape_intervals(data["data"])


@pytest.mark.parametrize("text", ['{"error": "x"}', "null", '{"data": {"alerts": null}}', '{"alerts": []}', '"["'])
@pytest.mark.parametrize("key", ["", "alerts"])
def test_what_has_no_such_list_is_left_as_it_is(text, key):
    assert sieved(text, key, [3]) == json.loads(text)


def test_an_answer_that_breaks_off_is_no_document():
    with pytest.raises(json.JSONDecodeError):
        sieved('{"alerts": [{"n": 2}, {"n', "alerts", [])


@pytest.mark.parametrize("odd", ["1" * 10, "[[", '"' + "a" * 10, '{"a": {"b": {"c": {"d": 1}}}}'])
def test_what_is_no_flat_object_ends_in_an_error_and_not_in_all_memory(odd):
    sieve = Sieve("alerts", wanted)
    sieve.feed(b'{"alerts": [' + odd.encode())
    with pytest.raises(ShapeError, match="entry"):
        sieve.feed(b"1" * MOST_ELEMENT)
