"""Workers without servers: stores of one process that share a folder, each with a file of its own.

A worker that lets its file go is dead for all others, as if its process had ended. Never here: expectations.
"""

import os
import sys
from pathlib import Path

import rearguard_exporter.workers
from rearguard_exporter.families import HTTP_DURATION, SOCKET_ACTIVE, SOCKET_CONNECTIONS
from rearguard_exporter.values.slots import Slots
from rearguard_exporter.workers.merging import Plan
from rearguard_exporter.workers.store import Who, WorkersStore

ROOM = str(Path(rearguard_exporter.workers.__file__).parent)
LIMIT = 1000


class Worker:
    """One worker, which counts connections by route."""

    def __init__(self, folder, version="1.0", limit=LIMIT):
        self.store = WorkersStore(Path(folder), Who("shop", version, "test", {}), limit)
        kept = [
            Slots(family, 1000, {}, self.store.keep) for family in (SOCKET_CONNECTIONS, SOCKET_ACTIVE, HTTP_DURATION)
        ]
        self.store.families = {slots.family.name: slots.family for slots in kept}
        self.connections, self.active, self.durations = kept
        self.plan = Plan()  # kept from look to look, as where a worker answers

    def count(self, route, times=1):
        for _ in range(times):
            self.connections.child(route).inc()

    def die(self):
        self.store.own.close()

    def sees(self, family=SOCKET_CONNECTIONS, generation=None):
        """The sums by route, as this worker reads them, without folding first."""
        counts = self.sums(generation).counts.get(family, {})
        return {key[0]: values[0] for key, values in counts.items()}

    def sums(self, generation=None):
        look = self.store.folder.look()
        files = [each for each in (*look.archives, *look.workers) if generation in (None, each.head.generation)]
        return self.plan.sums(files)


_CALLS = {"open", "os.rename", "os.remove", "os.listdir", "os.mkdir", "fcntl.flock", "mmap.__new__"}


class Countdown:
    """Ends this process at the next step after so many."""

    def __init__(self, left):
        self.left = left

    def step(self):
        self.left -= 1
        if self.left < 0:
            os._exit(7)

    def at_lines(self):
        """Each line of the room is a step."""

        def trace(frame, event, _):
            if not frame.f_code.co_filename.startswith(ROOM):
                return None
            if event == "line":
                self.step()
            return trace

        sys.settrace(trace)

    def at_calls(self):
        """Each call that asks the system for something is a step."""
        sys.addaudithook(lambda event, _: self.step() if event in _CALLS else None)


def in_child_that_ends_at(step, work, steps=Countdown.at_lines):
    """Run `work` in a forked process that ends before this step; whether it came so far."""
    child = os.fork()
    if child == 0:
        steps(Countdown(step))
        try:
            work()
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status) == 7
