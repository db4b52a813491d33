"""Takes alerts in from the webhook and the watcher, and hands each to the judging of its target.

Here: storing what is delivered, reading it from the journal again, and one queue for each target.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence

import structlog

from rearguard_controller.errors import JournalError
from rearguard_controller.facts.owners import Owners
from rearguard_controller.facts.pieces import in_pieces
from rearguard_controller.intake.drill_alert import drills_in, is_of_a_drill
from rearguard_controller.intake.heartbeat import WATCHDOG, Heartbeat
from rearguard_controller.intake.judging import Judging, set_aside
from rearguard_controller.intake.queues import RETRY_AFTER, Queues, Waiting, everything
from rearguard_controller.model import Alert, InboxEntry, Target
from rearguard_controller.model.identity import key_of
from rearguard_controller.model.shards import NOBODYS, ONE, shard_of
from rearguard_controller.runtime import Runtime, Shard

log = structlog.get_logger(__name__)

INBOX_BATCH = 250  # alerts that are read at once: each may have tens of kilobytes
LOOK_EVERY = 1.0  # seconds between looks for alerts that other replicas accepted
GATHER = 0.1  # seconds between two looks while alerts keep coming: what comes meanwhile is judged together
MOST_DRILLS = 10  # whose alerts one delivery may bring back


class Intake:
    """Takes alerts in, durably, and hands each to the judging of its target."""

    def __init__(self, runtime: Runtime, targets: Sequence[Target], judging: Judging, heartbeat: Heartbeat) -> None:
        """Hand alerts to `judging`, one queue for each target; `heartbeat` takes its own alert from deliveries."""
        self._journal, self._lead, self._clock = runtime.journal, runtime.lead, runtime.clock
        self._telemetry, self._notices = runtime.telemetry, runtime.notices
        self._owners = Owners(targets)
        self._judging = judging
        self._heartbeat = heartbeat
        self._shards, self._wakes = max(ONE, len(runtime.shards)), set[asyncio.Event]()
        self._read_at = 0.0  # by the loop's clock
        self._queues = Queues(judging.judge, failed=self._telemetry.journal_failed, drained=self._wake)

    async def receive(self, alerts: Sequence[Alert]) -> None:
        """Accept alerts from the webhook: on return they are on disk; they are judged afterwards.

        Raises:
            JournalError: they could not be stored.
        """
        await self._journal.accept(alerts, self._clock(), **self._routed(alerts))
        self._telemetry.alert_received("webhook", len(alerts))
        self._heartbeat.take(alerts)
        self._wake()
        for drill in drills_in(alerts)[:MOST_DRILLS]:  # any replica may be asked what came to this one
            await self._journal.note_drill_back(drill, self._clock())

    async def run(self, shard: Shard | None = None) -> None:
        """Judge accepted alerts as they come, for ever; those of one shard, where there are several."""
        loop, wake, has = asyncio.get_running_loop(), asyncio.Event(), everything if shard is None else shard.has
        self._wakes.add(wake)
        self._queues.open(has)
        try:
            while True:
                try:
                    while await self._hand_out(shard):
                        pass
                    with contextlib.suppress(TimeoutError):  # other replicas cannot wake us
                        async with asyncio.timeout(LOOK_EVERY):
                            await wake.wait()
                    await asyncio.sleep(max(0.0, self._read_at + GATHER - loop.time()))
                    wake.clear()
                except JournalError as error:
                    self._telemetry.journal_failed()
                    log.error("inbox_unreadable", error=error.message, hint=error.hint)
                    await asyncio.sleep(RETRY_AFTER)
        finally:
            self._wakes.discard(wake)
            await self._queues.close(has)

    async def consider(self, alerts: Sequence[Alert]) -> None:
        """Let alerts that the watcher found in Prometheus' own list be judged; returns before they are."""
        async for alert in in_pieces(alerts):
            await self._hand_to_target(Waiting(alert))

    def _wake(self) -> None:
        for each in self._wakes:
            each.set()

    def _routed(self, alerts: Sequence[Alert]) -> dict[str, list[int]]:
        """Whose leader reads each alert, by the labels of the delivery; it finds out whether it is its own."""
        if self._shards == ONE:
            return {}
        return {"shards": [shard_of(self._owner(alert) or NOBODYS, self._shards) for alert in alerts]}

    async def _hand_out(self, shard: Shard | None) -> bool:
        """Read some of the inbox and give each alert to its target's queue; True when there may be more."""
        journal, lead = (self._journal, self._lead) if shard is None else (shard.journal, shard.lead)
        entries = await journal.unjudged(INBOX_BATCH, but_not=self._queues.in_hand)
        drills = [entry.id for entry in entries if is_of_a_drill(entry.alert)]
        settled = [tuple(drills)] if drills else []
        newest = self._newest([entry for entry in entries if not is_of_a_drill(entry.alert)])
        waiting = await self._judging.as_prometheus_has(newest)
        if shard is not None:
            waiting = await self._mine(waiting, shard)
        settled += [each.ids for each in waiting if not await self._hand_to_target(each)]
        if settled:
            await lead.mark_judged([number for ids in settled for number in ids], self._clock())
        if entries:
            self._read_at = asyncio.get_running_loop().time()
        return len(entries) == INBOX_BATCH

    async def _mine(self, waiting: Sequence[Waiting], shard: Shard) -> list[Waiting]:
        """Those that this shard's leader judges; the others are left to their own one."""
        mine, others = [], dict[int, list[int]]()
        for each in waiting:
            name: str | None = None
            if each.alert.firing:
                with set_aside(each.alert.name):
                    name = await self._judging.whose(each.alert)
            if name is None or shard.has(name):
                mine.append(each)
            elif each.ids:
                others.setdefault(shard_of(name, shard.count), []).extend(each.ids)
        for number, ids in others.items():
            await shard.lead.hand_over(ids, number)
        return mine

    def _newest(self, entries: Sequence[InboxEntry]) -> list[Waiting]:
        """Each alert once, as it was delivered last; people are told of what is new.

        Repeated deliveries are one object, see `Journal.unjudged`, so they cost next to nothing.
        """
        newest: dict[str, tuple[InboxEntry, list[int]]] = {}
        keys: dict[int, str] = {}  # by the identity of alerts, which live as long as their entries
        came: list[tuple[Alert, float]] = []
        for entry in entries:
            key = keys.get(id(entry.alert))
            if key is None:
                key = keys[id(entry.alert)] = key_of(entry.alert)
            before, ids = newest.get(key, (None, []))
            if entry.alert.name != WATCHDOG and (before is None or before.alert is not entry.alert):
                came.append((entry.alert, entry.received_at))
            ids.append(entry.id)
            newest[key] = entry, ids
        if came:
            self._notices.alerts(came, self._owner)
        return [
            Waiting(entry.alert, entry.received_at, tuple(ids), entry.alert.starts_at)
            for entry, ids in newest.values()
        ]

    def _owner(self, alert: Alert) -> str | None:
        """The one target that an alert belongs to, triggers or not."""
        owners = self._owners.of(alert.labels)
        return owners[0].name if len(owners) == 1 else None

    async def _hand_to_target(self, one: Waiting) -> bool:
        """Put an alert into its target's queue; False if it has none, so that there is nothing to judge."""
        target = None
        if one.alert.firing:
            with set_aside(one.alert.name):
                if self._shards != ONE:
                    name = await self._judging.whose(one.alert)
                    if name is not None and self._lead.of(name).epoch is None:
                        return True  # another replica judges it
                target = await self._judging.target_of(one.alert)
        if target is not None:
            self._queues.put(target.name, one)
        return target is not None
