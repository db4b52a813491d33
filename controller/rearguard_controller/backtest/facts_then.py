"""What a controller would have known of a target at a moment of the past, as the same three records of facts. Pure.

Here: the target's life as the walk through history (`replay`) keeps it, and its facts with the same sentences as
`facts` has for the present. Figures come from curves.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace

from rearguard_controller.backtest.curves import Curves
from rearguard_controller.backtest.nouns import Change, Presence, World
from rearguard_controller.errors import SourceError
from rearguard_controller.facts.measurements import BEFORE, BESIDE, NO_RELEASE, NO_VERSION_BEFORE, NOT_HELD
from rearguard_controller.facts.target_facts import with_others
from rearguard_controller.judgement.already_firing import changed_after, own_labels
from rearguard_controller.judgement.beside import pair_of
from rearguard_controller.model import (
    AlertFacts,
    AlertState,
    Facts,
    Measured,
    Measurement,
    Release,
    SharedFault,
    Silencing,
    Target,
    TargetFacts,
    TargetState,
)

NO_SILENCES = "Prometheus' history holds no silences"
NOT_YET = "Prometheus has no target_info of it until then"
LAST_SERVED = "in the ten minutes before it was last seen serving, {} showed a median of "


@dataclass(slots=True, eq=False)
class Life:
    """What is known of a target at the moment that the walk has reached."""

    target: Target
    state: TargetState
    changes: tuple[Change, ...] = ()  # all of them, also those to come
    releases: dict[str, Release] = field(default_factory=dict)
    present: Counter[str] = field(default_factory=Counter)
    stains: set[int] = field(default_factory=set)  # its trigger alerts that are pending or firing
    actions: list[float] = field(default_factory=list)
    handled: dict[str, str] = field(default_factory=dict)  # version left: number of the decision
    returned_to: str | None = None  # where the rollback away from the serving version would have led
    last_served: dict[str, tuple[float, float]] = field(default_factory=dict)  # the ten minutes before it was left

    @property
    def serving(self) -> str | None:
        """The version that serves; None before the first one."""
        return self.state.serving_version

    @property
    def left(self) -> frozenset[str]:
        """The versions that it would have helped to leave: their faults would have ended with them."""
        bad = {each.version for each in self.releases.values() if each.bad_at is not None}
        return frozenset(bad - {self.serving})

    @property
    def is_handled(self) -> bool:
        """Whether a rollback away from the serving version would have been begun already."""
        return self.serving in self.handled


def facts_of(life: Life, now: float, world: World, troubled: Collection[str], lately: tuple[str, ...]) -> Facts:
    """What is known of a target while an alert of it fires, but for figures.

    Args:
        life: the target's.
        now: the moment.
        world: the past.
        troubled: the targets of which a trigger alert fires now.
        lately: those that had one within `storm.within`.
    """
    state, budget = life.state, life.target.policy.budget
    known = TargetFacts(
        serving_version=state.serving_version,
        serving_detail="" if state.serving_version else NOT_YET,
        state=state,
        releases=tuple(life.releases.values()),
        handled_by=life.handled.get(state.serving_version or ""),
        last_action_at=life.actions[-1] if life.actions else None,
        actions_in_budget=sum(at > now - budget.per for at in life.actions),
    )
    known = with_others(known, life.target, troubled, lately=lately, storm=world.storm)
    silencing = Silencing(age=None, fault=NO_SILENCES) if world.silences else None
    return Facts(now, known, AlertFacts(AlertState.FIRING, silencing=silencing))


def not_measured(facts: Facts, why: str, before: str = "") -> Facts:
    """The facts of an alert of which nothing was measured, and why; `before` is why the version before was not."""
    measured = Measured(now_detail=why, since_detail=why, before_detail=before)
    return replace(facts, measured=measured)


def with_figures(
    facts: Facts, life: Life, curves: Curves, presence: Sequence[Presence], alike: Sequence[Curves] = ()
) -> Facts:
    """The facts, with what the figure of a condition says.

    Args:
        facts: without figures.
        life: the target's.
        curves: of the condition's figure.
        presence: when the target's versions were scraped.
        alike: of other figures that are about the same fault.
    """
    present = any(count > 0 for count in life.present.values())
    try:
        now = curves.now(facts.now, life.serving, present=present)
        since = curves.since(facts.now, life.left)
        shared = _shared(facts, (curves, *alike), presence)
    except SourceError as error:
        return not_measured(facts, error.message)
    before, detail = _before(curves, facts, life)
    measured = Measured(
        now=now,
        since=since,
        since_detail="" if since is not None else NOT_HELD,
        since_own=_own(curves, facts, life, since),
        before=before,
        before_detail=detail,
        shared=shared,
    )
    return replace(facts, measured=measured)


def _shared(facts: Facts, curves: Sequence[Curves], presence: Sequence[Presence]) -> SharedFault | None:
    """What clears the release of the fault that the first of these measures: see `Release.cleared_of`."""
    pair = pair_of(facts.target, {each.version for each in presence})
    if pair is None:
        return None
    exact, *others = (each.shared(facts.now, pair, presence) for each in curves)
    if exact is not None and exact.ended_at is None:
        return exact
    since = -math.inf if exact is None else exact.ended_at or -math.inf
    return next((each for each in others if each is not None and each.ended_at is None and each.at > since), None)


def _own(curves: Curves, facts: Facts, life: Life, since: float | None) -> tuple[str, ...]:
    """The versions that alone showed a condition which began before the release, if it was so."""
    changed, own = changed_after(life.state), own_labels(facts.target)
    if since is None or changed is None or since >= changed or not own:
        return ()
    return () if curves.since(changed, {*life.left, *own}) is not None else own


def _before(curves: Curves, facts: Facts, life: Life) -> tuple[Measurement | None, str]:
    """The figure of the version before, as facts hold it for the present."""
    state, previous = life.state, life.state.previous_version
    if not state.is_release:
        return None, NO_RELEASE
    if previous is None or previous not in life.last_served:
        return None, NO_VERSION_BEFORE
    start, end = life.last_served[previous]
    try:
        beside = curves.now(facts.now, previous, present=True)
        before = curves.before(start, end, facts.now, previous)
    except SourceError as error:
        return None, error.message
    if life.present[previous] > 0 and beside is not None and beside.past is not None:
        return beside, BESIDE.format(previous)
    served_last = end == (state.changed_after or state.serving_since)
    return before, (BEFORE if served_last else LAST_SERVED).format(previous)
