"""Targets that go back together: whether the names that policies tie mean targets that can.

Here: what can only be checked once policies and targets are read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from rearguard_controller.config.keys.policies import POLICY
from rearguard_controller.config.mistakes import Mistakes
from rearguard_controller.config.reading import Block, Place, meant
from rearguard_controller.model import Policy, Target


def refuse_wrong_ties(top: Block, policies: Mapping[str, Policy], targets: Sequence[Target]) -> None:
    """Refuse names in `together` that are no targets of that policy, stand twice, or are of another environment.

    Raises:
        ConfigError: the message names file, line and key. What else is wrong stands in its `others`.
    """
    place, mistakes, known = top.get("policies"), Mistakes(), {target.name: target for target in targets}
    for name, entry in {} if place is None else place.entries("a mapping of policies").items():
        policy = policies.get(name)
        given = entry.block(POLICY).get("together") if policy is not None and policy.together else None
        items = [] if given is None or policy is None else given.items("a list of targets' names")
        for number, item in enumerate(items):
            mistakes.of(partial(_refuse, item, number, policies[name], policies, known), None)
    mistakes.tell()


def _refuse(
    item: Place, number: int, policy: Policy, policies: Mapping[str, Policy], known: Mapping[str, Target]
) -> None:
    name = policy.together[number]
    if name in policy.together[:number]:
        raise item.error(f"{name!r} stands twice", "keep one of them")
    other = next((each.name for each in policies.values() if each is not policy and name in each.together), None)
    if other is not None:
        raise item.error(f"policy {other!r} ties {name!r}, too", "a target goes back together with one group only")
    target = known.get(name)
    if target is None:
        raise item.error(f"there is no target {name!r}", meant(name, tuple(known)))
    if target.policy.name != policy.name:
        raise item.error(
            f"target {name!r} has the policy {target.policy.name!r}",
            f"give it `policy: {policy.name}`, or tie it there",
        )
    first = known.get(policy.together[0], target)
    if target.environment != first.environment:
        raise item.error(
            f"{name!r} is in {target.environment!r}, {first.name!r} in {first.environment!r}",
            "tie targets of one environment",
        )
