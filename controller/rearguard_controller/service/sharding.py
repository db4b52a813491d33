"""Sharing the shards: which of them this replica is to lead, as replicas come and go.

Here: saying that this replica lives, seeing which others do, and what follows from that. A shard whose holder is
dead is free when its lease is over. One that another replica is to lead is given up, but not in the middle of a
rollback.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import socket
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from dataclasses import replace
from functools import partial

import structlog

from rearguard_controller.errors import JournalError
from rearguard_controller.journal.shards import Shard, part_of
from rearguard_controller.runtime import Runtime
from rearguard_controller.service.leadership import Leadership

log = structlog.get_logger(__name__)

SAY_EVERY = 0.5  # seconds between two words that this replica lives
LIVES_FOR = 6.0  # seconds after its last word in which a replica counts as alive: less than a lease
SETTLED = 10.0  # seconds of life after which shards are given up to a replica: one that crashes again gets none


def share(runtime: Runtime, lead: Callable[[Shard], Awaitable[None]]) -> Iterator[Coroutine[None, None, None]]:
    """What is to run side by side, for ever, so that `lead` runs for each shard while this replica leads it."""
    holder = f"{socket.gethostname()}:{os.getpid()}"
    shards = runtime.shards
    if shards[0].is_single:
        yield Leadership(runtime, shards[0].fence, holder=holder).run(partial(lead, shards[0]))
        return
    holder = f"{holder}:{secrets.token_hex(2)}"  # processes in containers may have the same number
    ours = Share(runtime, holder, len(shards))
    yield ours.run()
    for shard in shards:
        leadership = Leadership(
            replace(runtime, journal=shard.journal),
            shard.fence,
            holder=holder,
            wants=partial(ours.wants, shard),
            gives_up=partial(ours.gives_up, shard),
        )
        yield leadership.run(partial(lead, shard))


class Share:
    """The part of the shards that is this replica's."""

    def __init__(self, runtime: Runtime, name: str, count: int) -> None:
        """Nothing is known yet, so none is."""
        self._journal, self._telemetry = runtime.journal, runtime.telemetry
        self._name, self._count = name, count
        self._mine: frozenset[int] = frozenset()
        self._others: frozenset[int] = frozenset()  # shards that one of those that have settled is to lead

    def wants(self, shard: Shard) -> bool:
        """Whether this replica is to lead it, once it is free."""
        return shard.number in self._mine

    async def gives_up(self, shard: Shard) -> bool:
        """Whether this replica leads it no more from now on: another is to, and no rollback is in the middle."""
        if shard.number in self._mine or shard.number not in self._others:
            return False
        try:
            return await shard.rests()
        except JournalError:
            return False

    async def run(self) -> None:
        """Say that this replica lives, for ever, and that it lives no more at the end."""
        try:
            while True:
                await self._say()
                await asyncio.sleep(SAY_EVERY)
        finally:
            with contextlib.suppress(JournalError):
                await self._journal.forget_replica(self._name)

    async def _say(self) -> None:
        try:
            lived = await self._journal.note_replica(self._name, LIVES_FOR)
        except JournalError as error:  # the shards stay where they are
            self._telemetry.journal_failed()
            log.warning("replicas_not_known", error=error.message, hint=error.hint)
            return
        settled = {name for name, seconds in lived.items() if seconds >= SETTLED or name == self._name}
        mine = part_of(self._name, self._count, lived.keys())
        if mine != self._mine:
            log.info("shards_shared", replicas=len(lived), shards=sorted(mine))
        self._mine = mine
        self._others = frozenset(range(self._count)) - part_of(self._name, self._count, settled)
