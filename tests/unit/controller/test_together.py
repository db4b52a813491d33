"""Targets that go back together: who goes, and what a file may not say."""

from dataclasses import replace

import pytest

from rearguard_controller import config
from rearguard_controller.errors import ConfigError
from rearguard_controller.facts.storm import Trouble
from rearguard_controller.judgement.policy import decide
from rearguard_controller.judgement.together import going
from rearguard_controller.model import (
    Companion,
    StormLimit,
    Verdict,
)

from .factories import HOUR, NOW, alert, facts, good, serving, state, target
from .tied_targets import NAMES, member


def companion(name, **fields):
    known = facts(releases=(good("v1"), serving("v2", service_version="2.0")), **fields).target
    return Companion(member(name), known)


def told(*companions, of=None):
    found = facts()
    found = replace(found, target=replace(found.target, companions=companions))
    decision = decide("d1", alert(service_version="2.0"), of or member("checkout"), found)
    return decision, found, next(each for each in decision.reasons if each.code == "together_allows")


# --- who goes


def test_those_that_were_released_go_too_and_those_that_were_not_stay():
    stays = companion("search", state=state(serving_since=NOW - 30 * HOUR))
    decision, found, reason = told(companion("payments"), stays)
    assert decision.verdict is Verdict.ROLL_BACK
    assert [(each.target.name, each.from_version, each.to_version) for each in going(member("checkout"), found)] == [
        ("payments", "v2", "v1")
    ]
    assert reason.detail == "With it goes payments from v2 to v1. No recent release, so it stays: search."


@pytest.mark.parametrize(
    "in_the_way",
    [
        {"state": state(armed=False)},
        {"open_rollback": "r9"},
        {"handled_by": "r8"},
        {"last_action_at": NOW - 10},
        {"actions_in_budget": 3},
        {"state": state(deploy_started_at=NOW - 5)},
        {"serving_version": None},
    ],
    ids=str,
)
def test_if_one_cannot_go_back_none_does_and_the_decision_says_why_and_what_to_do(in_the_way):
    decision, _, reason = told(companion("payments", **in_the_way), companion("search"))
    assert (decision.verdict, reason.blocks) == (Verdict.LEAVE, True)
    assert "payments goes back together with it, but cannot: " in reason.detail
    assert reason.remedy.startswith("For payments: ")


def test_one_without_a_version_to_go_back_to_holds_all():
    alone = Companion(member("payments"), facts(releases=(serving("v2"),)).target)
    assert told(alone)[0].verdict is Verdict.LEAVE


def test_a_storm_counts_targets_that_go_back_together_as_one():
    trouble = Trouble(lambda: 0.0)
    others = [target(name=name, match=({"service_name": name},)) for name in ("cart", "mail")]
    trouble.use([*map(member, NAMES), *others], StormLimit())
    trouble.saw("payments", "checkout", "cart", "search", "mail")
    assert trouble.recent() == ("payments", "cart", "mail")


# --- what a file may not say

FILE = """
environment: production
journal: sqlite:///j.db
prometheus: {{url: "http://127.0.0.1:9090"}}
policies:
  shop: {{together: {together}{more}}}
  other: {other}
targets:
  - {{name: checkout, match: {{a: b}}, policy: shop, release: {{command: {{current: [x], rollback: [y]}}}}}}
  - {{name: payments, match: {{a: c}}, policy: shop, release: {{command: {{current: [x], rollback: [y]}}}}}}
  - {{name: mail, match: {{a: d}}, policy: other, release: {{command: {{current: [x], rollback: [y]}}}}}}
  - name: cart
    match: {{a: e}}
    environment: staging
    policy: shop
    release: {{command: {{current: [x], rollback: [y]}}}}
"""


def parsed(together, tmp_path, *, more="", other="{}"):
    text = FILE.format(together=together, more=more, other=other)
    return config.parse(text, file="rearguard.yaml", folder=tmp_path)


@pytest.mark.parametrize(
    ("together", "fields", "said"),
    [
        ("[checkout, paiments]", {}, "there is no target 'paiments'"),
        ("[checkout, payments, checkout]", {}, "'checkout' stands twice"),
        ("[checkout, mail]", {}, "target 'mail' has the policy 'other'"),
        ("[checkout, cart]", {}, "'cart' is in 'staging', 'checkout' in 'production'"),
        ("[checkout, payments]", {"other": "{together: [mail, checkout]}"}, "ties 'checkout', too"),
        ("[checkout]", {}, "this ties nothing"),
        ("[checkout, payments]", {"more": ", together_order: whenever"}, "whenever"),
        ("[checkout, payments]", {"other": "{together_order: stated}"}, "there is nothing to be ordered"),
    ],
)
def test_a_tie_that_cannot_be_is_told_with_its_place(together, fields, said, tmp_path):
    with pytest.raises(ConfigError) as found:
        parsed(together, tmp_path, **fields)
    everything = [found.value, *found.value.others]
    assert any(said in each.message and "rearguard.yaml:" in each.message for each in everything), everything


def test_a_tie_is_read(tmp_path):
    made = parsed("[payments, checkout]", tmp_path, more=", together_order: stated").policies["shop"]
    assert (made.together, made.as_one) == (("payments", "checkout"), False)
    assert parsed("[payments, checkout]", tmp_path).policies["shop"].as_one
