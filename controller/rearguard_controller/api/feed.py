"""What happens, as it is journaled, for every reader that follows it: one look into the journal serves them all.

Here: the looks, the readers with their bounded queues, and how a reader goes on where its connection was lost. There
is no look while nobody reads. A reader that is too slow is dropped; nothing waits for it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import orjson
import structlog

from rearguard_controller import wording
from rearguard_controller.api.answers import BusyError
from rearguard_controller.errors import JournalError
from rearguard_controller.journal.news import Item, Mark, mark_in
from rearguard_controller.journal.store import Journal

log = structlog.get_logger(__name__)

LOOK_EVERY = 0.4  # seconds
MOST_READERS = 256
MOST_QUEUED = 400  # events that wait for one reader
MOST_IN_A_LOOK = 100  # events told one by one; of more, readers are told that they missed some
KEPT = 1000  # events for readers that come back
KNOWN = 20_000  # keys of events that were told
MISSED = "missed"  # the event that stands for those that were left out


@dataclass(frozen=True, slots=True)
class Told:
    """One event as it is sent: its id, and the bytes."""

    id: str
    sent: bytes


@dataclass(slots=True, eq=False)
class Reader:
    """Somebody who follows. `is_over`: no more will come, and the connection is to be closed."""

    waiting: deque[Told] = field(default_factory=deque)
    came: asyncio.Event = field(default_factory=asyncio.Event)
    is_over: bool = False

    def give(self, events: Iterable[Told]) -> None:
        """Queue events; a reader whose queue is full is over."""
        self.waiting.extend(events)
        if len(self.waiting) > MOST_QUEUED:
            self.end()
        self.came.set()

    def end(self) -> None:
        """Nothing more comes."""
        self.is_over = True
        self.waiting.clear()
        self.came.set()

    def take(self) -> bytes:
        """All that waits."""
        taken = b"".join(each.sent for each in self.waiting)
        self.waiting.clear()
        self.came.clear()
        return taken


class Feed:
    """Follows the journal while somebody reads."""

    def __init__(self, journal: Journal, clock: Callable[[], float]) -> None:
        """`clock` gives seconds since the epoch. Nothing runs before the first reader comes."""
        self._journal, self._clock = journal, clock
        self._readers: set[Reader] = set()
        self._looking: asyncio.Task[None] | None = None
        self._mark: Mark | None = None
        self._kept: deque[Told] = deque(maxlen=KEPT)
        self._known: dict[str, None] = {}
        self.number = 0  # grows with every look that found something

    async def follow(self, last_id: str | None) -> Reader:
        """A new reader, who gets what came after the event with this id, and from then on everything.

        Raises:
            BusyError: there are too many readers.
            JournalError: the journal could not be read.
        """
        if len(self._readers) >= MOST_READERS:
            raise BusyError("Too many follow the events already.", hint="Close a page, or ask again later.")
        reader = Reader()
        self._readers.add(reader)
        try:
            if self._mark is None:
                await self._begin()
            reader.give([*await self._since(last_id), self._here()])
        except BaseException:
            self.leave(reader)
            raise
        if self._looking is None:
            self._looking = asyncio.create_task(self._look_on())
        return reader

    def leave(self, reader: Reader) -> None:
        """This reader has gone; after the last one, the looks end."""
        self._readers.discard(reader)
        if not self._readers and self._looking is not None:
            self._looking.cancel()
            self._looking = self._mark = None

    async def close(self) -> None:
        """End every reader."""
        for reader in self._readers:
            reader.end()
        looking, self._looking, self._mark = self._looking, None, None
        if looking is not None:
            looking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await looking

    async def _begin(self) -> None:
        now = self._clock()
        mark = await self._journal.newest(now)
        found = await self._journal.news(mark, now)
        self._known = dict.fromkeys(item.key for item in found.items)
        self._mark = found.mark

    async def _look_on(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY)
            try:
                told = await self._look()
            except JournalError as error:
                log.warning("events_not_read", error=error.message)
                continue
            if told:
                self.number += 1
                self._kept.extend(told)
                for reader in list(self._readers):
                    reader.give(told)

    async def _look(self) -> list[Told]:
        before = self._mark
        if before is None:
            return []
        found = await self._journal.news(before, self._clock())
        new = [item for item in found.items if item.key not in self._known]
        self._known.update(dict.fromkeys(item.key for item in new))
        while len(self._known) > KNOWN:
            del self._known[next(iter(self._known))]
        self._mark = found.mark
        return _told(before, new, found.mark, more=found.more and len(new) > MOST_IN_A_LOOK)

    async def _since(self, last_id: str | None) -> list[Told]:
        """What a reader missed that comes back with this id; some of it may come a second time."""
        if not last_id:
            return []
        ids = [each.id for each in self._kept]
        if last_id in ids:
            return list(self._kept)[ids.index(last_id) + 1 :]
        mark = mark_in(last_id.partition(".")[0])
        if mark is None:
            return [_missed(last_id[:60])]
        found = await self._journal.news(mark, self._clock())
        fresh = [item for item in found.items if item.at >= mark.at or item.key not in self._known]
        return _told(mark, fresh, found.mark, more=found.more)

    def _here(self) -> Told:
        """The id from which a reader goes on that lost its connection before any event came."""
        return Told("", f"retry: 2000\nid: {self._mark}\n\n".encode())


def _told(before: Mark, items: list[Item], after: Mark, *, more: bool) -> list[Told]:
    """The events of one look. The last one has the mark after it: whoever missed a part gets the look again."""
    if more or len(items) > MOST_IN_A_LOOK:
        return [_missed(f"{after}.0")]
    ids = [*(f"{before}.{number}" for number in range(1, len(items))), f"{after}.0"]
    return [Told(name, _event(name, item)) for name, item in zip(ids, items, strict=False)]


def _event(name: str, item: Item) -> bytes:
    data = {
        "key": item.key,
        "kind": item.kind,
        "at": wording.moment(item.at),
        "target": item.target,
        "subject": item.subject,
        "what": item.what,
    }
    return b"id: %b\nevent: %b\ndata: %b\n\n" % (name.encode(), item.kind.encode(), orjson.dumps(data))


def _missed(name: str) -> Told:
    """Too much happened at once, or too long ago, to be told one by one: readers look again."""
    told = name if mark_in(name.partition(".")[0]) is not None else ""
    head = f"id: {told}\n" if told else ""
    return Told(told, f"{head}event: {MISSED}\ndata: {{}}\n\n".encode())
