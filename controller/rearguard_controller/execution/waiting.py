"""Judges waiting rollbacks again and again, so that none begins that is no longer right.

Here: the fresh judgement of one, with the facts and the rules of a new alert and by the present configuration, and
what follows from it while the wait lasts and at its end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from rearguard_controller.errors import DamagedError, NotFoundError
from rearguard_controller.execution.recovery import CONSECUTIVE
from rearguard_controller.facts.gather import FactGatherer
from rearguard_controller.judgement import policy
from rearguard_controller.judgement.policy import Recheck
from rearguard_controller.model import Rollback, Target, TargetFacts
from rearguard_controller.rollback import Event, EventKind
from rearguard_controller.runtime import Runtime

WELL_FOR = 300.0  # seconds without a break for which a fault must be over: a crash loop is well between two crashes
UNKNOWN_FOR = 60.0  # seconds after the end of a wait for which a judgement that stays unknown is tried again


class Judge:
    """Judges rollbacks that wait anew."""

    def __init__(
        self,
        runtime: Runtime,
        targets: Sequence[Target],
        gatherer: FactGatherer,
        *,
        poll_interval: float,
        well_for: float = WELL_FOR,
    ) -> None:
        """Judge by these targets and their policies.

        Args:
            runtime: what lasts as long as the process.
            targets: as configured.
            gatherer: finds the facts.
            poll_interval: seconds between two judgements.
            well_for: seconds without a break after which a fault may count as over.
        """
        self._targets = {target.name: target for target in targets}
        self._journal = runtime.journal
        self._gatherer = gatherer
        self.poll_interval = poll_interval
        self.well_for = well_for

    async def again(self, rollback: Rollback) -> tuple[Recheck, str]:
        """Whether a rollback is still right, as if its alert were judged for the first time now, and why.

        Raises:
            JournalError, LeaseLostError: it could not be judged.
        """
        target = self._targets.get(rollback.target)
        if target is None:
            return Recheck.BARRED, f"{rollback.target} is no configured target any more."
        try:
            alert = (await self._journal.decision(rollback.decision_id)).alert
        except (DamagedError, NotFoundError) as error:
            return Recheck.UNKNOWN, error.message
        if alert is None:
            return Recheck.BARRED, "It was not begun because of an alert."
        # no record: a full disk must not stop it
        (found,) = await self._gatherer.gather(target, [alert], max_age=0.0, record=False)
        if isinstance(found, Exception):
            raise found
        facts = found.facts
        if facts.target.open_rollback == rollback.id:
            facts = replace(facts, target=without_own(facts.target, rollback))
        judged = policy.decide("", found.alert, _patient(target, facts.now - rollback.opened_at), facts)
        return policy.look_again(rollback, judged, facts)


def without_own(known: TargetFacts, rollback: Rollback) -> TargetFacts:
    """What is known of a target and its companions as if this rollback, and those tied to it, were not open."""
    own = {rollback.id} if rollback.together is None else set(rollback.together.rollbacks)
    companions = tuple(
        replace(each, known=replace(each.known, open_rollback=None)) if each.known.open_rollback in own else each
        for each in known.companions
    )
    return replace(known, open_rollback=None, companions=companions)


def _patient(target: Target, waited: float) -> Target:
    """The target with a watch window that the wait does not use up: the release was blamed in time."""
    window = target.policy.watch_window + max(0.0, waited)
    return replace(target, policy=replace(target.policy, watch_window=window))


@dataclass(slots=True)
class Patience:
    """What is remembered of one wait from judgement to judgement; times are of a clock that never jumps."""

    over_since: float | None = None
    over_count: int = 0
    ended_since: float | None = None  # the first judgement after the end of the wait
    unknown_since: float | None = None  # after the end of the wait

    def follows(
        self, recheck: Recheck, now: float, *, settle: float, ended: bool, well_for: float = WELL_FOR
    ) -> EventKind | None:
        """The event that a judgement leads to, if any.

        While the wait lasts: FAULT_OVER once the fault was over for `well_for` and its settle time, without a break.
        A service that crashes again and again is well in between.
        At its end: WAIT_ENDED if everything holds, FAULT_OVER if something is in the way. If the fault is over but
        not for long enough, or if the answer is unknown, nothing follows yet: judge again, for at most `well_for`
        (unknown: `UNKNOWN_FOR`), and then FAULT_OVER.
        """
        if recheck is Recheck.CHANGED:
            return EventKind.TARGET_CHANGED
        if recheck is Recheck.OVER:
            self.over_since = now if self.over_since is None else self.over_since
            self.over_count += 1
        else:
            self.over_since, self.over_count = None, 0
        if ended:
            return self._at_the_end(recheck, now, well_for)
        if self.over_since is None or self.over_count < CONSECUTIVE:
            return None
        return EventKind.FAULT_OVER if now - self.over_since >= max(well_for, settle) else None

    def _at_the_end(self, recheck: Recheck, now: float, well_for: float) -> EventKind | None:
        self.ended_since = now if self.ended_since is None else self.ended_since
        if recheck is Recheck.HOLDS:
            return EventKind.WAIT_ENDED
        if recheck is Recheck.UNKNOWN:
            self.unknown_since = now if self.unknown_since is None else self.unknown_since
            return EventKind.FAULT_OVER if now - self.unknown_since >= UNKNOWN_FOR else None
        self.unknown_since = None
        if self.over_since is None:  # something else is in the way
            return EventKind.FAULT_OVER
        return EventKind.FAULT_OVER if now - min(self.over_since, self.ended_since) >= well_for else None


class Wait:
    """One wait as this process sees it."""

    def __init__(self, judge: Callable[[], Judge], clock: Callable[[], float]) -> None:
        """Begin to look now; `judge` gives the one of the present configuration, `clock` may jump."""
        self._judge = judge
        self._clock = clock
        self._monotonic = asyncio.get_running_loop().time
        self._wall, self._since = clock(), self._monotonic()
        self._due = self._since
        self._patience = Patience()

    def now(self) -> float:
        """The time: by the wall clock when this was made, and since then by one that never jumps."""
        return self._wall + self._monotonic() - self._since

    async def look(self, rollback: Rollback, *, ended: bool) -> Event | None:
        """Judge again, while the wait lasts only every `poll_interval` seconds; returns the event to note, if any.

        Raises:
            JournalError, LeaseLostError: it could not be judged.
        """
        judge = self._judge()
        if not ended and self._monotonic() < self._due:
            return None
        recheck, detail = await judge.again(rollback)
        now = self._monotonic()
        self._due = now + judge.poll_interval
        settle = max((each.settle for each in rollback.conditions), default=0.0)
        kind = self._patience.follows(recheck, now, settle=settle, ended=ended, well_for=judge.well_for)
        if kind is None:
            return None
        if recheck is Recheck.UNKNOWN:
            detail = f"It cannot be known whether it is still right, and unknown is not true. {detail}"
        return Event(kind, self._clock(), detail=detail)
