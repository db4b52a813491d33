"""Alerts that wait to be judged, in one queue for each target: a slow target holds up no other.

Here: the queues, each with one task while it holds something. An alert that is repeated waits once. What is in hand
is known, so that it is not read from the inbox again. All of it is bounded: what does not fit stays in the inbox.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace

import structlog

from rearguard_controller.errors import JournalError, LeaseLostError
from rearguard_controller.model import Alert
from rearguard_controller.model.annotations import size_of
from rearguard_controller.model.identity import key_of

log = structlog.get_logger(__name__)

MOST_WAITING = 1000  # alerts of one target
MOST_BYTES = 4 * 1024 * 1024  # of labels and annotations of these; an ordinary alert has about one thousand
MOST_PASSED_OVER = 3  # batches of deliveries in a row, while what a poll found waits
RETRY_AFTER = 1.0  # seconds until what a fault of the journal has stopped is tried again


@dataclass(frozen=True, slots=True)
class Waiting:
    """An alert that waits, with the inbox's numbers of all deliveries that said the same."""

    alert: Alert
    received_at: float | None = None  # when it came last; None: found in Prometheus, not delivered
    ids: tuple[int, ...] = ()
    fired_at: float | None = None  # since when it fires, by the delivery; Prometheus' list says since when pending


@dataclass(slots=True)
class _Queue:
    waiting: dict[str, Waiting] = field(default_factory=dict)  # by the alert's key
    size: int = 0  # bytes of what was put in since the last batch was taken
    beyond: set[int] = field(default_factory=set)  # numbers of what did not fit: to be read again later
    passed_over: int = 0  # batches in a row that left out what a poll found
    task: asyncio.Task[None] | None = None

    def take(self) -> tuple[Waiting, ...]:
        """What is judged next: what was delivered, before what a poll found, which is judged again at each poll."""
        delivered = tuple(each for each in self.waiting.values() if each.ids)
        found = {key: each for key, each in self.waiting.items() if not each.ids}
        if not delivered or not found or self.passed_over >= MOST_PASSED_OVER:
            delivered, found, self.passed_over = tuple(self.waiting.values()), {}, 0
        else:
            self.passed_over += 1
        self.waiting, self.size = found, sum(map(_size, found.values()))
        return delivered


def everything(_target: str) -> bool:
    """Names every target."""
    return True


class Queues:
    """Hands all alerts that wait for a target to `judge` at once; of one target, one batch after another."""

    def __init__(
        self,
        judge: Callable[[str, Sequence[Waiting]], Awaitable[None]],
        *,
        failed: Callable[[], None],
        drained: Callable[[], None],
    ) -> None:
        """Nothing waits yet.

        Args:
            judge: judges alerts of a target and takes their numbers off the inbox.
            failed: called when it could not, because of the journal.
            drained: called when there is room again for what did not fit.
        """
        self._judge = judge
        self._failed = failed
        self._drained = drained
        self._queues: dict[str, _Queue] = {}
        self._in_hand: set[int] = set()
        self._closed: set[Callable[[str], bool]] = set()  # which targets

    @property
    def in_hand(self) -> frozenset[int]:
        """The inbox's numbers that are not to be read again for now."""
        return frozenset(self._in_hand)

    def put(self, target: str, one: Waiting) -> None:
        """Let an alert wait; a newer one takes the place of an older one with the same labels.

        While they are closed nothing waits: the inbox, and Prometheus' own list, are read again.
        """
        if any(closed(target) for closed in self._closed):
            return
        queue = self._queues.setdefault(target, _Queue())
        self._in_hand.update(one.ids)
        key = key_of(one.alert)
        before = queue.waiting.get(key)
        size = _size(one) - (0 if before is None else _size(before))
        is_full = queue.size + size > MOST_BYTES and bool(queue.waiting)
        if before is None and (is_full or len(queue.waiting) >= MOST_WAITING):
            queue.beyond.update(one.ids)
            return
        if before is not None and is_full:  # annotations decide nothing, so the shorter ones of before do
            one, size = replace(one, alert=replace(one.alert, annotations=before.alert.annotations)), 0
        queue.size += size
        if before is not None:
            last = before if one.received_at is None else one
            one = replace(one, ids=before.ids + one.ids, received_at=last.received_at, fired_at=last.fired_at)
        queue.waiting[key] = one
        if queue.task is None:
            queue.task = asyncio.create_task(self._work(target, queue), name=f"judging {target}")

    def open(self, has: Callable[[str], bool] = everything) -> None:
        """Judge the targets that `has` names, until `close`."""
        self._closed.discard(has)

    async def close(self, has: Callable[[str], bool] = everything) -> None:
        """Stop judging the targets that `has` names; what was not judged stays in the inbox."""
        self._closed.add(has)
        closed = {target: queue for target, queue in self._queues.items() if has(target)}
        tasks = [queue.task for queue in closed.values() if queue.task is not None]
        for target in closed:
            del self._queues[target]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for queue in closed.values():
            self._forget(queue)

    async def _work(self, target: str, queue: _Queue) -> None:
        try:
            while queue.waiting:
                batch = queue.take()
                try:
                    await self._judge(target, batch)
                except LeaseLostError:
                    self._forget(queue)  # whoever leads now reads the inbox anew
                    return
                except JournalError as error:
                    self._failed()
                    log.error("not_judged", target=target, error=error.message, hint=error.hint)
                    await asyncio.sleep(RETRY_AFTER)
                finally:
                    self._in_hand.difference_update(*(each.ids for each in batch), queue.beyond)
                    queue.beyond.clear()
                self._drained()
        finally:
            queue.task = None

    def _forget(self, queue: _Queue) -> None:
        """What waits in it is in hand no more."""
        self._in_hand.difference_update(*(each.ids for each in queue.waiting.values()), queue.beyond)
        queue.waiting, queue.size = {}, 0
        queue.beyond.clear()


def _size(one: Waiting) -> int:
    """Bytes of an alert's labels and annotations."""
    return size_of(one.alert.labels) + size_of(one.alert.annotations)
