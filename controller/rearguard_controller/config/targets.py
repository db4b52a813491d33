"""Targets: what a file says of each, and which policy and other targets its names mean."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

from rearguard_controller.config import drains, hooks
from rearguard_controller.config.keys.targets import HEALTH, RECOVERY, TARGET, VERIFY
from rearguard_controller.config.mistakes import Mistakes
from rearguard_controller.config.policies import labels, policy_of
from rearguard_controller.config.reading import SECOND, Block, Place, meant
from rearguard_controller.config.releases import release, require_way_back
from rearguard_controller.errors import ConfigError
from rearguard_controller.model import HealthCheck, KubernetesRelease, Labels, Policy, Target
from rearguard_controller.model.labels import ENVIRONMENT_LABEL, normalised
from rearguard_controller.model.targets import RECOVERY_WITHIN


def targets(place: Place, folder: Path, environment: str, policies: Mapping[str, Policy]) -> tuple[Target, ...]:
    """The targets, in the order of the file."""
    found: list[tuple[Place, Target]] = []
    names: list[str] = []
    items, mistakes = place.items("a list of targets"), Mistakes()
    for item in items:
        target = mistakes.of(partial(_read, item, folder, environment, policies), None)
        name = _name(item) if target is None else target.name
        if name is not None and name in names:
            mistakes.of(partial(_refuse_twice, item, name), None)
        names += [] if name is None else [name]
        found += [] if target is None else [(item, target)]
    if not items:
        raise place.error("this is empty", "describe at least one target")
    for item, target in found:
        mistakes.of(partial(_refuse_dependencies, item.block(TARGET).get("depends_on"), target, names), None)
    mistakes.tell()
    depends_on = {target.name: target.depends_on for _, target in found}
    return tuple(replace(target, reached_through=_reached_through(target.name, depends_on)) for _, target in found)


def _reached_through(name: str, depends_on: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """The targets that one depends on through others only; targets may depend on one another."""
    found = [name, *depends_on[name]]
    for each in found:  # it grows on the way
        if each != name:
            found += [further for further in depends_on[each] if further not in found]
    return tuple(found[1 + len(depends_on[name]) :])


def _read(item: Place, folder: Path, environment: str, policies: Mapping[str, Policy]) -> Target:
    return _target(item.block(TARGET), folder, environment, policies)


def _name(item: Place) -> str | None:
    """The name of a target that cannot be read; None if it has none."""
    try:
        return hooks.name(item.entries("a mapping")["name"])
    except (ConfigError, KeyError):
        return None


def _refuse_twice(item: Place, name: str) -> None:
    raise item.error(f"two targets are named {name!r}", "give each its own name")


def _refuse_dependencies(place: Place | None, target: Target, known: list[str]) -> None:
    """Refuse names in `depends_on` that are no other target. Needs all targets, so it comes after reading them."""
    for number, entry in enumerate([] if place is None else place.items("a list of targets' names")):
        name = target.depends_on[number]
        if name == target.name:
            raise entry.error("a target cannot depend on itself", "name other targets")
        if name not in known:
            raise entry.error(f"there is no target {name!r}", meant(name, known))
        if name in target.depends_on[:number]:
            raise entry.error(f"{name!r} stands twice", "keep one of them")


def _target(block: Block, folder: Path, environment: str, policies: Mapping[str, Policy]) -> Target:
    name = hooks.name(block.need("name"))
    found = matches(block.need("match"))
    policy, telemetry = policy_of(block, policies), block.get("telemetry")
    own = found[0] if telemetry is None else labels(telemetry)
    how = release(block.need("release"), folder, own)
    require_way_back(block.need("release"), how, policy)
    before, after = hooks.hooks(block.get("hooks"), folder, in_cluster=isinstance(how, KubernetesRelease))
    health, recovery_within = verify(block.get("verify"))
    depends_on = block.get("depends_on")
    return Target(
        name=name,
        match=found,
        environment=_environment(block, found, environment),
        telemetry=own,
        policy=policy,
        release=how,
        before=drains.settled(before, how),
        after=after,
        health=health,
        recovery_within=recovery_within,
        depends_on=() if depends_on is None else depends_on.texts("a list of targets' names"),
        prometheus=block.line("prometheus") or "",
    )


def matches(place: Place) -> tuple[Labels, ...]:
    """The label maps of `match`: one, or a list of such."""
    if not place.is_list():
        return (labels(place),)
    found = tuple(labels(item) for item in place.items("a mapping of labels, or a list of such"))
    if not found:
        raise place.error("this is empty", "name at least one label")
    return found


def _environment(block: Block, matches: tuple[Labels, ...], default: str) -> str:
    """The target's own key; else the label on which all its matches agree; else the top level's key."""
    own = block.line("environment")
    if own is not None:
        return own
    labelled = {normalised(each).get(ENVIRONMENT_LABEL) for each in matches}
    if len(labelled) == 1 and (agreed := labelled.pop()) is not None:
        return agreed
    if not default:
        raise block.place.error(
            "the environment of this target is not known", "add environment: here or at the top level"
        )
    return default


def verify(place: Place | None) -> tuple[HealthCheck | None, float]:
    """What `verify` says: the health check, if there is one, and the seconds within which the fault must be over."""
    if place is None:
        return None, RECOVERY_WITHIN
    block = place.block(VERIFY)
    health, recovery = block.get("health"), block.get("recovery")
    within = RECOVERY_WITHIN
    if recovery is not None:
        within = recovery.block(RECOVERY).duration("within", RECOVERY_WITHIN, least=SECOND)
    return (None if health is None else _health(health.block(HEALTH))), within


def _health(block: Block) -> HealthCheck:
    successes = block.get("successes")
    return HealthCheck(
        url=hooks.url(block.need("url"), placeholders=True),
        successes=3 if successes is None else successes.count(),
        interval=block.duration("interval", 2.0, least=0.01),
        timeout=block.duration("timeout", 120.0, least=0.1),
    )
