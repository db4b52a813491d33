"""Whose each alert of the past is: the targets that it matches, and the one that it troubles. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from rearguard_controller.backtest.facts_then import Life
from rearguard_controller.backtest.nouns import World
from rearguard_controller.facts.storm import Trouble
from rearguard_controller.model import Labels


def owners_of(lives: Iterable[Life], labels: Labels) -> list[Life]:
    """The targets that an alert matches."""
    return [life for life in lives if life.target.owns(labels)]


def troubled_by(world: World) -> list[frozenset[str]]:
    """For each alert the target that it troubles, by `Trouble`; none if it is not exactly one."""
    whose = Trouble(lambda: 0.0)
    whose.use(world.targets, world.storm)
    return [whose.see([each.labels]) for each in world.alerts]
