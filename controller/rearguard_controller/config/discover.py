"""Targets that are found rather than listed: where a file says to look, and what each that is found is like."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rearguard_controller.config import hooks, releases
from rearguard_controller.config.keys.discover import DISCOVER, DISCOVER_KUBERNETES
from rearguard_controller.config.mistakes import Mistakes
from rearguard_controller.config.object_names import namespace
from rearguard_controller.config.policies import policy_of
from rearguard_controller.config.reading import Block, Place
from rearguard_controller.config.targets import matches, verify
from rearguard_controller.model import HealthCheck, Hook, Labels, OwnerRule, Policy, WorkloadKind, selectors
from rearguard_controller.model.selectors import Selector

MATCH = ({"service_name": "{name}", "deployment_environment_name": "{environment}"},)
_WORD = re.compile(r"\{([^{}]*)\}")
PLACEHOLDERS = ("namespace", "name", "environment")  # of `match`, as {namespace}


@dataclass(frozen=True, slots=True)
class Discover:
    """Where workloads are looked for, and what the targets are like that they become.

    Attributes:
        kinds: which kinds of workloads are looked at.
        selector: which of them, by their labels.
        match: of the targets; values may hold PLACEHOLDERS.
    """

    namespaces: tuple[str, ...]
    kinds: tuple[WorkloadKind, ...]
    selector: Selector
    policy: Policy
    environment: str
    match: tuple[Labels, ...]
    timeout: float
    owner: OwnerRule
    before: tuple[Hook, ...] = ()
    after: tuple[Hook, ...] = ()
    health: HealthCheck | None = None
    recovery_within: float | None = None


def discover(
    place: Place | None, folder: Path, environment: str, policies: Mapping[str, Policy]
) -> tuple[Discover, ...]:
    """The entries of `discover`, in the order of the file."""
    if place is None:
        return ()
    mistakes = Mistakes()
    found = [mistakes.of(partial(_read, item, folder, environment, policies), None) for item in place.items("a list")]
    mistakes.tell()
    return tuple(each for each in found if each is not None)


def _read(item: Place, folder: Path, environment: str, policies: Mapping[str, Policy]) -> Discover:
    return _entry(item.block(DISCOVER), folder, environment, policies)


def _entry(block: Block, folder: Path, environment: str, policies: Mapping[str, Policy]) -> Discover:
    where = block.need("kubernetes").block(DISCOVER_KUBERNETES)
    before, after = hooks.hooks(block.get("hooks"), folder, in_cluster=True)
    health, recovery_within = verify(block.get("verify"))
    own, match = block.line("environment") or environment, block.get("match")
    if not own:
        raise block.place.error(
            "the environment of these targets is not known", "add environment: here or at the top level"
        )
    timeout, owner = releases.changing(where)
    return Discover(
        namespaces=_namespaces(where.need("namespaces")),
        kinds=_kinds(where.get("kinds")),
        selector=_selector(where.need("selector")),
        policy=policy_of(block, policies),
        environment=own,
        match=MATCH if match is None else _templates(match),
        timeout=timeout,
        owner=owner,
        before=before,
        after=after,
        health=health,
        recovery_within=recovery_within,
    )


def _templates(place: Place) -> tuple[Labels, ...]:
    found = matches(place)
    for value in (value for each in found for value in each.values()):
        for word in _WORD.findall(value):
            if word not in PLACEHOLDERS:
                raise place.error(f"{{{word}}} is not known here", f"known: {', '.join(PLACEHOLDERS)}")
    return found


def _namespaces(place: Place) -> tuple[str, ...]:
    found = tuple(dict.fromkeys(namespace(item) for item in place.items("a list of namespaces")))
    if not found:
        raise place.error("this is empty", "name at least one namespace")
    return found


def _kinds(place: Place | None) -> tuple[WorkloadKind, ...]:
    if place is None:
        return (WorkloadKind.DEPLOYMENT,)
    found = tuple(dict.fromkeys(WorkloadKind(item.word(tuple(WorkloadKind))) for item in place.items("a list")))
    if not found:
        raise place.error("this is empty", f"name some of: {', '.join(WorkloadKind)}")
    return found


def _selector(place: Place) -> Selector:
    try:
        return selectors.parse(place.line("a label selector, such as rearguard.dev/watch=true"))
    except ValueError as error:
        raise place.error(f"this is no label selector: {error}", "write rearguard.dev/watch=true") from None
