"""The heartbeat: how long ago Alertmanager last proved that its deliveries arrive, known to every replica.

Here: finding RearguardWatchdog among what is delivered, and exchanging its moment with the journal now and then, so
that no restart, reload or delivery to another replica hides it. No delivery waits for that. A rule alerts when the
heartbeat is old; as that alert may be lost like the heartbeat, the leader tells people by itself, too.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Sequence

import structlog

from rearguard_controller.errors import JournalError
from rearguard_controller.model import Alert
from rearguard_controller.runtime import Runtime

log = structlog.get_logger(__name__)

WATCHDOG = "RearguardWatchdog"
LOST_AFTER = 300.0  # seconds, as in the rule RearguardHeartbeatLost
LOOK_EVERY = 5.0  # seconds between two looks at its age
EXCHANGE_EVERY = 10.0  # the fewest seconds between two writes, and about as many between two reads


class Heartbeat:
    """When the last heartbeat came, to this process or to another one with the same journal."""

    def __init__(
        self,
        runtime: Runtime,
        *,
        every: float = EXCHANGE_EVERY,
        lost_after: float = LOST_AFTER,
    ) -> None:
        """Nothing is known yet.

        Args:
            runtime: what lasts as long as the process.
            every: the fewest seconds between two writes.
            lost_after: seconds after which people are told.
        """
        self._journal, self._telemetry, self._notices = runtime.journal, runtime.telemetry, runtime.notices
        self._lost_after = lost_after
        self._clock, self._steady = runtime.clock, runtime.steady
        self._every = every
        self._came_at: float | None = None  # by the clock that never jumps
        self._unwritten: float | None = None  # wall clock of a heartbeat that the journal does not know yet
        self._known: float | None = None  # what the journal said last
        self._wrote_at = -math.inf  # by the clock that never jumps
        self._news = asyncio.Event()

    def age(self) -> float | None:
        """Seconds since the last heartbeat; None when none is known."""
        return None if self._came_at is None else self._steady() - self._came_at

    def take(self, alerts: Sequence[Alert]) -> None:
        """Alerts were delivered: take the heartbeat from among them."""
        if any(alert.name == WATCHDOG and alert.firing for alert in alerts):
            self._came_at, self._unwritten = self._steady(), self._clock()
            self._news.set()

    async def watch(self) -> None:
        """Tell people, for ever, when the heartbeat is lost and when it comes again: for the leader.

        One that never came is not lost: then there is no such route, which `rearguard check --live` tells.
        """
        is_lost = False
        while True:
            age = self.age()
            if age is not None and is_lost != (age > self._lost_after):
                is_lost = not is_lost
                (log.warning if is_lost else log.info)("heartbeat_lost" if is_lost else "heartbeat_back", age=age)
                self._notices.heartbeat(self._clock() - (age if is_lost else 0.0), came_back=not is_lost)
            await asyncio.sleep(min(LOOK_EVERY, self._lost_after / 4))

    async def run(self) -> None:
        """Exchange with the journal for ever: a new heartbeat at once, but never two within `every` seconds."""
        while True:
            try:
                await self._exchange()
            except JournalError as error:
                self._telemetry.journal_failed()
                log.warning("heartbeat_not_exchanged", error=error.message, hint=error.hint)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._every):
                    await self._news.wait()
            await asyncio.sleep(max(0.0, self._wrote_at + self._every - self._steady()))

    async def _exchange(self) -> None:
        self._news.clear()
        mine = self._unwritten
        if mine is not None:
            self._wrote_at = self._steady()
            await self._journal.note_heartbeat(mine)
            self._known = mine
            if self._unwritten == mine:  # no newer one came meanwhile
                self._unwritten = None
            return
        found = await self._journal.heartbeat_at()
        if found is None or found == self._known:  # one whose age is known already grows older by our own clock
            return
        self._known = found
        came_at = self._steady() - max(0.0, self._clock() - found)  # clocks of hosts differ
        self._came_at = came_at if self._came_at is None else max(self._came_at, came_at)
