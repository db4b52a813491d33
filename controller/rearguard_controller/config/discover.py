"""Targets that are found rather than listed: where a file says to look, and what each that is found is like."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rearguard_controller.config import hooks, releases
from rearguard_controller.config.keys.discover import DISCOVER, DISCOVER_KUBERNETES, DISCOVER_PROMETHEUS
from rearguard_controller.config.mistakes import Mistakes
from rearguard_controller.config.object_names import namespace
from rearguard_controller.config.policies import policy_of
from rearguard_controller.config.reading import Block, Place
from rearguard_controller.config.targets import matches, verify
from rearguard_controller.model import (
    CommandRelease,
    HealthCheck,
    Hook,
    Labels,
    OwnerRule,
    Policy,
    WorkloadKind,
    selectors,
)
from rearguard_controller.model.selectors import Selector

MATCH = ({"service_name": "{name}", "deployment_environment_name": "{environment}"},)
_WORD = re.compile(r"\{([^{}]*)\}")
PLACEHOLDERS = ("namespace", "name", "environment")  # of `match`, as {namespace}
OF_SERVICES = ("service", "environment")  # of the commands of services that Prometheus shows
_NO_ENVIRONMENT = "the environment of these targets is not known"


@dataclass(frozen=True, slots=True)
class Discover:
    """Where workloads are looked for, and what the targets are like that they become.

    Attributes:
        kinds: which kinds of workloads are looked at.
        selector: which of them, by their labels.
        match: of the targets; values may hold PLACEHOLDERS.
        prometheus: of the targets, see `Target.prometheus`.
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
    prometheus: str = ""


@dataclass(frozen=True, slots=True)
class DiscoverServices:
    """In which environments services are looked for, and what the targets are like that they become.

    Attributes:
        release: arguments may hold {service} and {environment}.
    """

    environments: tuple[str, ...]
    policy: Policy
    release: CommandRelease
    before: tuple[Hook, ...] = ()
    after: tuple[Hook, ...] = ()
    health: HealthCheck | None = None
    recovery_within: float | None = None


def discover(
    place: Place | None, folder: Path, environment: str, policies: Mapping[str, Policy]
) -> tuple[Discover | DiscoverServices, ...]:
    """The entries of `discover`, in the order of the file."""
    if place is None:
        return ()
    mistakes = Mistakes()
    found = [mistakes.of(partial(_read, item, folder, environment, policies), None) for item in place.items("a list")]
    mistakes.tell()
    return tuple(each for each in found if each is not None)


def _read(item: Place, folder: Path, environment: str, policies: Mapping[str, Policy]) -> Discover | DiscoverServices:
    block = item.block(DISCOVER)
    kinds = {"kubernetes", "prometheus"} & block.entries.keys()
    if len(kinds) != 1:
        raise item.error("this names no place to look in, or two", "give exactly one of kubernetes and prometheus")
    own = block.line("environment") or environment
    if "prometheus" in kinds:
        return _services(block, folder, own, policies)
    return _entry(block, folder, own, policies)


def _services(block: Block, folder: Path, environment: str, policies: Mapping[str, Policy]) -> DiscoverServices:
    where = block.need("prometheus").block(DISCOVER_PROMETHEUS)
    if (misplaced := block.get("match")) is not None:
        raise misplaced.error("this is for workloads", "a service is matched by its name and environment")
    named, command = where.get("environments"), where.need("command")
    environments = (environment,) if named is None else named.texts("a list of environments")
    if not all(environments) or not environments:
        raise block.place.error(_NO_ENVIRONMENT, "add environments, or environment: here or at the top level")
    policy, how = policy_of(block, policies), hooks.command_release(command, folder, more=OF_SERVICES)
    releases.require_way_back(command, how, policy)
    before, after = hooks.hooks(block.get("hooks"), folder, in_cluster=False)
    health, recovery_within = verify(block.get("verify"))
    return DiscoverServices(tuple(dict.fromkeys(environments)), policy, how, before, after, health, recovery_within)


def _entry(block: Block, folder: Path, environment: str, policies: Mapping[str, Policy]) -> Discover:
    where = block.need("kubernetes").block(DISCOVER_KUBERNETES)
    before, after = hooks.hooks(block.get("hooks"), folder, in_cluster=True)
    health, recovery_within = verify(block.get("verify"))
    match = block.get("match")
    if not environment:
        raise block.place.error(_NO_ENVIRONMENT, "add environment: here or at the top level")
    timeout, owner = releases.changing(where)
    return Discover(
        namespaces=_namespaces(where.need("namespaces")),
        kinds=_kinds(where.get("kinds")),
        selector=_selector(where.need("selector")),
        policy=policy_of(block, policies),
        environment=environment,
        match=MATCH if match is None else _templates(match),
        timeout=timeout,
        owner=owner,
        before=before,
        after=after,
        health=health,
        recovery_within=recovery_within,
        prometheus=where.line("prometheus") or "",
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
