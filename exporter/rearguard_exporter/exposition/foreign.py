"""Asking the application's own collectors, which may do anything: ask a queue far away, hang, fail.

A scrape waits for them for a limited time and goes without those that are late. They are asked in one thread, one
after the other; where one takes half of the time that is left, the rest is asked in another thread beside it. While a
collector hangs it is not asked again: there is never more than one thread for it, and only the first scrape waits.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

from prometheus_client.core import Metric
from prometheus_client.registry import Collector, CollectorRegistry

from rearguard_exporter.families import OVERFLOW
from rearguard_exporter.fault_barrier import log, report
from rearguard_exporter.fork_safety import tell_after_fork

_LEAST = 0.4  # seconds that a scrape has for collectors, whoever waits for it
_MOST_FAMILIES = 10_000  # of one collector: one that never ends would leave no time to write what it collects
_MOST_NAMED = 20  # collectors that are named in logs and metrics; applications may register new ones without end


class Thread(Protocol):
    """A thread that does what is submitted, in order."""

    def submit(self, work: Callable[[], None]) -> object:
        """Do this, in a new thread after `close`.

        Raises:
            RuntimeError: no thread is to be had.
        """

    def close(self) -> object:
        """Let the thread end after what it does, without waiting."""


class Patience:
    """The moment until which a scrape waits for collectors. Whoever shares the scrape may bring it forward."""

    __slots__ = ("until",)

    def __init__(self, seconds: float) -> None:
        self.until = time.monotonic() + seconds

    def shorten(self, until: float) -> None:
        """Wait no longer than this."""
        self.until = min(self.until, until)


class _Asked:
    """One collector while it answers, and what it has answered so far."""

    __slots__ = ("collector", "is_done", "metrics", "since")

    def __init__(self, collector: Collector) -> None:
        self.collector = collector
        self.metrics: list[Metric] = []
        self.is_done = False
        self.since = time.monotonic()


class _Collection:
    """What one scrape asks for."""

    def __init__(self, due: Sequence[Collector]) -> None:
        self.left = deque(due)
        self.asked: list[_Asked] = []
        self.thread = 0  # the number of the thread that goes on; others only finish what they began
        self._is_over = False

    def end(self) -> None:
        """Nobody waits any more."""
        self._is_over = True

    def has_ended(self) -> bool:
        """Whether nobody waits any more."""
        return self._is_over

    def is_complete(self) -> bool:
        """Whether everybody was asked and has answered."""
        return not self.left and all(each.is_done for each in self.asked)


class ForeignCollectors:
    """The collectors of `registries` that are not among `own`, also those that are registered later.

    Those of which `is_shared` is true are shown with what all workers share, and not asked here.
    `timeouts` is filled with the number of scrapes that went without a collector because it was late, by its name.
    """

    def __init__(
        self,
        registries: Sequence[Collector],
        own: Sequence[Collector],
        worker: Thread,
        timeouts: dict[str, int],
        is_shared: Callable[[Collector], bool] | None = None,
    ) -> None:
        self._registries = registries
        self._is_shared = is_shared or _never
        self._own = own
        self._worker = worker
        self._timeouts = timeouts
        self.forget_parent()
        tell_after_fork(self)

    def forget_parent(self) -> None:
        """In a forked process nobody is being asked."""
        self._changed = threading.Condition()
        self._running: Patience | None = None
        self._least = 0.0  # the moment until which the one that runs is not hurried
        self._late: dict[Collector, _Asked] = {}

    def hurry(self, patience: Patience) -> None:
        """Say that a scrape waits for its turn: the one that collects now gets no more than half of its time."""
        with self._changed:
            if self._running is not None:
                now = time.monotonic()
                self._running.shorten(max(self._least, now + (patience.until - now) / 2))
                self._changed.notify_all()

    def collect(self, patience: Patience) -> list[Metric]:
        """What the collectors answer in time. One scrape collects at a time. Raises nothing."""
        self.hurry(patience)
        with self._changed:
            time_left = patience.until - time.monotonic()
            if not self._changed.wait_for(lambda: self._running is None, max(0.0, time_left)):
                return []
            self._running, self._least = patience, time.monotonic() + _LEAST
        try:
            return self._collect(patience)
        except Exception:  # noqa: BLE001 - no thread was to be had, or a registry cannot be read
            report("collecting")
            return []
        finally:
            with self._changed:
                self._running = None
                self._changed.notify_all()

    def _collect(self, patience: Patience) -> list[Metric]:
        due = self._due()
        if not due or time.monotonic() >= patience.until:
            return []
        collection = _Collection(due)
        try:
            self._go_on(collection)
            with self._changed:
                while not collection.is_complete() and (time_left := patience.until - time.monotonic()) > 0:
                    self._changed.wait(min(time_left, self._relieve(collection, patience)))
        finally:
            with self._changed:
                collection.end()
                late = [each for each in collection.asked if not each.is_done]
                answers = [metric for each in collection.asked for metric in tuple(each.metrics)]
        if late:
            self._worker.close()  # its thread ends when its collector answers; the next scrape gets a new one
        for each in late:
            self._late[each.collector] = each
            self._count(each.collector, time.monotonic() - each.since)
        return answers

    def _due(self) -> list[Collector]:
        """The collectors to ask: all that do not hang since an earlier scrape."""
        own = set(map(id, self._own))
        found = [
            each
            for registry in self._registries
            for each in collectors(registry)
            if id(each) not in own and not self._is_shared(each)
        ]
        with self._changed:
            self._late = {known: asked for known, asked in self._late.items() if not asked.is_done}
        for each in self._late:
            self._count(each, 0.0)
        return [each for each in found if each not in self._late]

    def _go_on(self, collection: _Collection) -> None:
        collection.thread += 1
        self._worker.submit(partial(self._ask_all, collection, collection.thread))

    def _relieve(self, collection: _Collection, patience: Patience) -> float:
        """Go on in another thread, if the collector that is asked takes half of the time. Seconds until it will."""
        if not collection.left or not collection.asked:
            return patience.until - time.monotonic()
        current = collection.asked[-1]
        time_left = (current.since + patience.until) / 2 - time.monotonic()
        if time_left <= 0 and not current.is_done:
            self._worker.close()
            try:
                self._go_on(collection)
            except RuntimeError:  # no further thread is to be had: what was answered counts all the same
                report("collecting")
                collection.left.clear()
        return max(0.01, time_left)

    def _ask_all(self, collection: _Collection, thread: int) -> None:
        """Runs in the worker's thread."""
        while True:
            with self._changed:
                if collection.has_ended() or collection.thread != thread or not collection.left:
                    return
                asked = _Asked(collection.left.popleft())
                collection.asked.append(asked)
            try:
                _fill(asked, collection)
            except BaseException:  # noqa: BLE001 - also SystemExit: it is the collector's, not the process's
                report(f"collecting {name_of(asked.collector)}")
            with self._changed:
                asked.is_done = True
                self._changed.notify_all()

    def _count(self, collector: Collector, seconds: float) -> None:
        name = name_of(collector)
        if name not in self._timeouts:
            if len(self._timeouts) < _MOST_NAMED:
                log.warning(
                    "rearguard_exporter: the collector %s did not answer within %.1f s; /metrics goes without what "
                    "it collects until it is in time, and rearguard_exporter_collector_timeouts_total counts it",
                    name, seconds,
                )  # fmt: skip
            else:
                name = OVERFLOW
        self._timeouts[name] = self._timeouts.get(name, 0) + 1


def _never(_: Collector) -> bool:
    return False


def _fill(asked: _Asked, collection: _Collection) -> None:
    """Ask this collector, until it is done or nobody waits any more.

    Raises:
        OverflowError: it gives families without end.
    """
    for metric in asked.collector.collect():
        asked.metrics.append(metric)
        if collection.has_ended():
            return
        if len(asked.metrics) >= _MOST_FAMILIES:
            raise OverflowError(f"it collects {_MOST_FAMILIES} families and more")


def collectors(registry: Collector) -> list[Collector]:
    """The collectors of a registry, one by one, so that one that fails does not cost the others.

    The library has no public name for them. A registry without that private name, or with a `target_info` of its own,
    is asked as a whole.
    """
    known: dict[Collector, object] | None = getattr(registry, "_collector_to_names", None)
    if known is None or (isinstance(registry, CollectorRegistry) and registry.get_target_info()):
        return [registry]
    return list(known)


def name_of(collector: Collector) -> str:
    """The name of prometheus-client's own metrics; of other collectors the class."""
    name = getattr(collector, "_name", None)
    kind = type(collector)
    return name if isinstance(name, str) and name else f"{kind.__module__}.{kind.__qualname__}"
