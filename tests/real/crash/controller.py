"""The controller as a program whose journal stops it at one point: before or after one event is stored.

Run as: controller.py CONFIGURATION WHEN KIND SEQ[/TIME] SIGNAL [SECONDS]. TIME is which of several such events is
meant, counted from 1, where several rollbacks are open. The seconds are for how long the fault of a
rollback that waits must be over. Here: the journal that does so, handed over as an argument
like any other journal.
Never here: anything that a started controller would do otherwise.
"""

import asyncio
import os
import signal
import sys
from pathlib import Path

from rearguard_controller import config
from rearguard_controller.execution.waiting import WELL_FOR
from rearguard_controller.journal.opening import open_journal
from rearguard_controller.service import controller, logs

POINT = 3  # parts of a point, before the number of its time


class DeadlyJournal:
    """A journal that sends the process a signal right before, or right after, one event is stored."""

    def __init__(self, journal, number, point, stored=None):
        self._journal, self._number, self._point = journal, number, point
        self._stored = [] if stored is None else stored  # all events, shared with the fenced view
        self._left = [1 if point is None or len(point) == POINT else int(point[POINT])]

    def __getattr__(self, name):
        return getattr(self._journal, name)

    def fenced(self, fence):
        return self._view(self._journal.fenced(fence))

    def of_shard(self, number, count):
        return self._view(self._journal.of_shard(number, count))

    def _view(self, journal):
        view = DeadlyJournal(journal, self._number, self._point, self._stored)
        view._left = self._left  # of ourselves
        return view

    async def append(self, rollback_id, event, **more):
        point = (event.kind.value, str(event.seq))
        self._reach("before", *point)
        result = await self._journal.append(rollback_id, event, **more)
        self._stored.append(point)
        self._reach("after", *point)
        return result

    async def releases(self, target):
        """The last that is read between the intent and the effect of a step."""
        result = await self._journal.releases(target)
        if self._stored:
            self._reach("ready", *self._stored[-1])
        return result

    async def record(self, decision, rollback=None, **more):
        if rollback is not None:
            self._reach("before", "opened", "None")
        await self._journal.record(decision, rollback, **more)
        if rollback is not None:
            self._reach("after", "opened", "None")

    def _reach(self, *point):
        if self._point is None or point != self._point[:POINT]:
            return
        self._left[0] -= 1
        if not self._left[0]:
            self._point = None  # once: a process that was only stopped comes here again
            os.kill(os.getpid(), self._number)


async def main(path, when, kind, seq, number, *seconds):
    logs.configure()
    configuration = config.load(path)
    opened = await open_journal(configuration.journal)
    await opened.agree_on_shards(configuration.shards)
    journal = DeadlyJournal(opened, signal.Signals[number], (when, kind, *seq.split("/")))
    well_for = float(seconds[0]) if seconds else WELL_FOR
    await controller.Controller(path, configuration, journal, insecure=True, well_for=well_for).run()


asyncio.run(main(Path(sys.argv[1]), *sys.argv[2:]))
