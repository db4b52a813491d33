"""What a monitor needs of this room: where its counts are kept, and what is shown of all workers."""

import atexit
import os
import sys
import weakref
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from prometheus_client.registry import Collector

from rearguard_exporter.families import Joining
from rearguard_exporter.fault_barrier import quiet
from rearguard_exporter.fork_safety import tell_after_fork, tell_all
from rearguard_exporter.values.instruments import Instruments
from rearguard_exporter.workers.publishing import Samples, instrument_samples, is_instrument, own_samples
from rearguard_exporter.workers.shown import Shown
from rearguard_exporter.workers.store import Who, WorkersStore


class Sharing:
    """The workers' folder of one monitor."""

    def __init__(self, path: Path, who: Who, limit: int) -> None:
        self.store = WorkersStore(path, who, limit)
        self._figures: tuple[Collector, ...] = ()
        self._registered: Callable[[], Iterable[Collector]] = tuple
        self._inherited: Samples = {}  # what the parent had counted in the application's instruments
        self._before_fork: Samples = {}
        _follow_uwsgi()

    is_instrument = staticmethod(is_instrument)
    """Whether a collector of the application is shared."""

    def shown(
        self, instruments: Instruments, figures: Iterable[Collector], registered: Callable[[], Iterable[Collector]]
    ) -> Shown:
        """What is exposed instead of these: the same of all workers. `registered` are all collectors there are."""
        self.store.families = {slots.family.name: slots.family for slots in instruments.all}
        self._figures = tuple(figures)
        self._registered = registered
        atexit.register(partial(_call, weakref.WeakMethod(self.publish)))
        os.register_at_fork(before=partial(_call, weakref.WeakMethod(self._note)))
        tell_after_fork(self)
        return Shown(self.store, instruments.all, self.publish)

    @quiet
    def publish(self) -> None:
        """Share the figures of this process as they are now."""
        shared = own_samples(self._figures)
        for sample, value in instrument_samples(self._registered()).items():
            shared[sample] = value - self._inherited.get(sample, 0.0)
        self.store.publish(shared)

    @quiet
    def _note(self) -> None:
        """Before a fork: the child has the same counts, which are not its own."""
        counted = instrument_samples(self._registered())
        self._before_fork = {sample: value for sample, value in counted.items() if sample[0].joining is Joining.SUM}

    def forget_parent(self) -> None:
        """In a forked process: what its parent counted is the parent's."""
        self._inherited = self._before_fork

    def sample(self, first: Callable[[], None]) -> None:
        """Call `first`, then share what it sampled. Called every few seconds."""
        first()
        self.publish()
        self.store.tend()


def _call(weak: "weakref.WeakMethod[Callable[[], None]]") -> None:
    call = weak()
    if call is not None:
        call()


@quiet
def _follow_uwsgi() -> None:
    """Because uWSGI forks its workers without Python's knowledge, unless it runs with threads."""
    uwsgi = sys.modules.get("uwsgi")
    if uwsgi is None:
        return
    before = getattr(uwsgi, "post_fork_hook", None)

    def forked() -> None:
        if before is not None:
            before()
        tell_all()

    uwsgi.post_fork_hook = forked  # type: ignore[attr-defined]  # a module that only exists inside uWSGI
