"""What Prometheus' history proves on day one: time-lines of points, and which versions earned trust by them."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rearguard_controller.releases.adoption import History, adopt_earlier, adopt_serving, not_adopted, stretches
from unit.controller.factories import MINUTE, NOW, TARGET, good, release

STEP = 15.0
NEEDED = 15 * MINUTE
ENOUGH = 61  # points: 60 steps of 15 s are 15 minutes


def past(line: str, alerts: str = "", *, named: str = "") -> History:
    """A history from one letter for each point, the last one now.

    `a` and `b` are versions alone, `m` both beside one another, `s` is `a` with an instance that is not scraped, `.`
    no data. In `alerts`, `!` is a trigger alert, naming the version `named` if one is given.
    """
    shown: dict[str, dict[float, bool]] = {}
    for number, letter in enumerate(reversed(line)):
        at = NOW - number * STEP
        for version in {"a": "a", "b": "b", "m": "ab", "s": "a", ".": ""}[letter]:
            shown.setdefault(version, {})[at] = letter != "s"
    stained = [NOW - number * STEP for number, letter in enumerate(reversed(alerts)) if letter == "!"]
    return History(NOW, STEP, shown, {named: stained})


def why(history: History, needed: float = NEEDED, version: str = "a") -> str:
    serving = next((each for each in stretches(history) if each.service_version == version), None)
    return not_adopted(history, serving, needed)


# --- the version that serves


def test_as_much_clean_service_as_earns_trust_is_adopted_and_one_point_less_is_not():
    assert why(past("a" * ENOUGH)) == ""
    assert why(past("a" * (ENOUGH - 1))) == "14m45s of service are known since a gap, and 15m are needed"


@pytest.mark.parametrize("line", ["a" * 40 + "." + "a" * 40, "a" * 40 + "s" + "a" * 40, "a" * 40 + "m" + "a" * 40])
def test_a_gap_a_failed_scrape_or_another_version_beside_it_breaks_the_service(line):
    assert "9m45s of service" in why(past(line))


def test_a_version_that_serves_no_more_or_not_alone_is_not_adopted():
    for line in ("a" * ENOUGH + "..", "a" * ENOUGH + "bb", "a" * ENOUGH + "mm", "." * ENOUGH, ""):
        assert "no unbroken history" in why(past(line))


def test_a_trigger_alert_breaks_it_and_one_before_that_does_not():
    assert "since a trigger alert of it" in why(past("a" * 100, "!" + "." * 60))
    assert why(past("a" * 100, "!" + "." * 61)) == ""
    assert "0.0s of service" in why(past("a" * 100, "!"))


def test_an_alert_that_names_another_version_says_nothing_of_this_one():
    assert why(past("a" * ENOUGH, "!", named="b")) == ""
    assert why(past("a" * ENOUGH, "!", named="a")) != ""


def test_instances_that_name_no_version_count_by_their_scrapes_only():
    whole = past("a" * ENOUGH)
    scraped = {**whole.shown, "": dict.fromkeys(whole.shown["a"], True)}
    assert why(replace(whole, shown=scraped)) == ""
    assert why(replace(whole, shown={**scraped, "": {NOW: False}})) != ""
    assert stretches(replace(whole, shown={"": dict.fromkeys(whole.shown["a"], True)})) == ()


def test_what_is_adopted_is_trusted_since_its_service_earned_it():
    (serving,) = stretches(past("a" * 100, "!" + "." * 80))
    known = release("v1", first_seen=NOW, last_seen=NOW)
    adopted = adopt_serving(known, serving, NEEDED)
    assert adopted == replace(
        known, first_seen=NOW - 99 * STEP, served_at=NOW - 99 * STEP, known_good_at=NOW - 79 * STEP + NEEDED
    )


def test_what_people_said_and_what_a_rollback_found_stays():
    (serving,) = stretches(past("a" * 100))
    bad = release("v1", bad_at=NOW)
    assert adopt_serving(bad, serving, NEEDED) == bad
    assert adopt_serving(good("v1"), serving, NEEDED).known_good_at == good("v1").known_good_at


# --- versions that served before


def earlier(history: History, serving="b", listed=None, *, identity=None):
    of = release(identity or serving, service_version=serving)
    return adopt_earlier(of, stretches(history), listed, NEEDED)


def test_a_version_that_served_before_and_left_clean_is_remembered_as_it_served():
    (found,) = earlier(past("a" * ENOUGH + "b" * 10))
    assert (found.target, found.version, found.service_version) == (TARGET, "a", "a")
    assert (found.first_seen, found.served_at, found.last_seen) == (NOW - 70 * STEP, NOW - 70 * STEP, NOW - 10 * STEP)
    assert found.known_good_at == NOW - 10 * STEP


@pytest.mark.parametrize(
    "history",
    [
        past("a" * 60 + "b" * 10),  # too short
        past("a" * ENOUGH + "b" * 10, "!" + "." * 10),  # it left with an alert
        past("a" * 100 + "b" + "a" * 10 + "b" * 10),  # its last service was too short
        past("a" * 50 + "m" * 20 + "b" * 10),  # not alone
    ],
)
def test_a_version_that_did_not_earn_trust_up_to_its_end_is_not_remembered(history):
    assert earlier(history) == ()


def test_labels_of_the_past_are_identities_only_where_the_targets_identities_are_such_labels():
    history = past("a" * ENOUGH + "b" * 10)
    assert earlier(history, listed={"a", "b"})[0].version == "a"
    assert earlier(history, listed={"b"}) == ()
    assert earlier(history, identity="sha-1") == ()
    assert earlier(history, listed={"a"}, identity="sha-1")[0].version == "a"
    assert earlier(history, listed={"a"}, identity="a") == ()  # it serves now, under another label


RUNS = st.lists(st.tuples(st.sampled_from("aaabms."), st.integers(1, 14)), max_size=6)


@given(
    RUNS.map(lambda runs: "".join(letter * number for letter, number in runs)),
    st.lists(st.tuples(st.integers(0, 20), st.sampled_from(["!", ""])), max_size=4).map(
        lambda gaps: "".join("." * number + mark for number, mark in gaps)
    ),
)
def test_nothing_is_adopted_that_did_not_serve_alone_scraped_and_clean_for_long_enough(line, alerts):
    needed = 10 * STEP
    stained = alerts[::-1].ljust(len(line), ".")
    tail = 0
    for letter, alert in zip(reversed(line), stained, strict=False):
        if letter != "a" or alert == "!":
            break
        tail += 1
    assert (why(past(line, alerts), needed) == "") == (tail >= 11)
