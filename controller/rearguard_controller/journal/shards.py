"""What the leader of several shards may write: each write goes behind the fence of its target's own shard.

Here: one `Lead` that is made of one for each shard. Where there is one shard, its own `Lead` is used instead.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from rearguard_controller.journal.store import Fence, Journal, Lead
from rearguard_controller.model import Decision, Phase, Release, Rollback, TargetState
from rearguard_controller.model.shards import NOBODYS, ONE, shard_of, spread
from rearguard_controller.model.watched import Watched
from rearguard_controller.rollback import Event


@dataclass(frozen=True, slots=True)
class Shard:
    """A part of the targets, and what its leader reads and writes.

    Attributes:
        number: from 0.
        count: how many there are.
        fence: the epoch under which this process leads it.
        journal: reads its lease, its alerts that wait and its open rollbacks, and else what every journal does.
        lead: writes behind its fence.
    """

    number: int
    count: int
    fence: Fence
    journal: Journal
    lead: Lead

    @property
    def is_single(self) -> bool:
        """Whether it is all there is."""
        return self.count == ONE

    @property
    def has_the_rest(self) -> bool:
        """Whether what belongs to no target is its leader's."""
        return self.has(NOBODYS)

    def has(self, target: str) -> bool:
        """Whether a target of this name is in it."""
        return shard_of(target, self.count) == self.number

    async def rests(self) -> bool:
        """Whether none of its rollbacks is in the middle."""
        return all(each.phase is Phase.WAITING for each in await self.journal.open_rollbacks())


def part_of(name: str, count: int, replicas: Collection[str]) -> frozenset[int]:
    """The shards that this one of the replicas is to lead."""
    return frozenset(number for number, each in enumerate(spread(count, replicas)) if each == name)


def shards_of(journal: Journal, count: int) -> tuple[Shard, ...]:
    """The shards; a single one reads and writes the journal as it is."""
    if count == ONE:
        fence = Fence()
        return (Shard(0, ONE, fence, journal, journal.fenced(fence)),)
    found = []
    for number in range(count):
        fence, view = Fence(shard=number), journal.of_shard(number, count)
        found.append(Shard(number, count, fence, view, view.fenced(fence)))
    return tuple(found)


def lead_of(shards: Sequence[Shard]) -> Lead:
    """What leaders of these may write."""
    return shards[0].lead if len(shards) == ONE else _Leads(shards)


class _Leads:
    """A `Lead` of several shards."""

    def __init__(self, shards: Sequence[Shard]) -> None:
        self._shards = shards
        self._held: tuple[int | None, ...] = ()
        self._changes = 0

    @property
    def epoch(self) -> int | None:
        """See `Lead.epoch`."""
        held = tuple(each.fence.epoch for each in self._shards)
        if held != self._held:
            self._held, self._changes = held, self._changes + 1
        return self._changes if any(each is not None for each in held) else None

    def of(self, target: str) -> Lead:
        """See `Lead.of`."""
        return self._shards[shard_of(target, len(self._shards))].lead

    async def prove_lead(self) -> None:
        """See `Lead.prove_lead`."""
        await self.of(NOBODYS).prove_lead()

    async def mark_judged(self, ids: Sequence[int], at: float) -> None:
        """See `Lead.mark_judged`."""
        await self.of(NOBODYS).mark_judged(ids, at)

    async def hand_over(self, ids: Sequence[int], shard: int) -> None:
        """See `Lead.hand_over`."""
        await self.of(NOBODYS).hand_over(ids, shard)

    async def record(
        self, decision: Decision, rollback: Rollback | None = None, *, others: Sequence[Rollback] = ()
    ) -> None:
        """See `Lead.record`. Rollbacks of other targets may be of another shard, whose runner then drives them."""
        await self.of(decision.target).record(decision, rollback, others=others)

    async def record_several(self, decisions: Sequence[Decision]) -> None:
        """See `Lead.record_several`; they are all about targets of one shard."""
        if decisions:
            await self.of(decisions[0].target).record_several(decisions)

    async def append(self, rollback_id: str, event: Event) -> Rollback:
        """See `Lead.append`."""
        rollback = await self._shards[0].journal.rollback(rollback_id)
        return await self.of(rollback.target).append(rollback_id, event)

    async def change_release(self, target: str, version: str, change: Callable[[Release | None], Release]) -> Release:
        """See `Lead.change_release`."""
        return await self.of(target).change_release(target, version, change)

    async def change_target(self, target: str, change: Callable[[TargetState], TargetState]) -> TargetState:
        """See `Lead.change_target`."""
        return await self.of(target).change_target(target, change)

    async def note_watched(self, watched: Watched) -> None:
        """See `Lead.note_watched`."""
        await self.of(NOBODYS).note_watched(watched)

    async def change_both(
        self,
        target: str,
        version: str,
        release: Callable[[Release | None], Release],
        state: Callable[[TargetState, Release], TargetState],
    ) -> tuple[Release, TargetState]:
        """See `Lead.change_both`."""
        return await self.of(target).change_both(target, version, release, state)

    async def prune(self, before: float, most: int) -> int:
        """See `Lead.prune`."""
        return await self.of(NOBODYS).prune(before, most)
