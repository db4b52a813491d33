"""Many interruptions at once: each in a world of its own, a few side by side, every failure told with its point.

Here: interrupting one rollback at one point, going on with the controller as users start it, and checking.
Never here: which points there are.
"""

import asyncio
import signal
import traceback
from dataclasses import dataclass

from deadline import in_time
from real.crash.checks import check
from real.crash.world import DEADLINE, REQUESTS, TARGET, world
from rearguard_controller.journal.opening import open_journal
from rearguard_controller.model import Outcome

SIDE_BY_SIDE = {"sqlite": 4, "postgres": 5}  # a world may have two controllers of nine connections each
SLOW = 0.3  # seconds before and after the change that an interrupted command makes


@dataclass(frozen=True)
class Point:
    """Where a controller is interrupted: before or after an event is stored, or during an effect (`kind` names it).

    `ready` is after the last that is read between an intent and its effect.
    """

    when: str
    kind: str
    seq: int | None = None

    def __str__(self):
        return f"{self.when} {self.kind}" + ("" if self.seq is None else f" of step {self.seq}")


@dataclass(frozen=True)
class Expected:
    """What an interrupted rollback must come to."""

    outcome: Outcome = Outcome.RECOVERED
    effective: int = 1
    interrupted: tuple[int, ...] = (0,)  # how many attempts before it may have ended as such


async def events_of(folder, server=None, **settings):
    """The events of a rollback that nothing interrupts, checked as well: (kind, step) in their order."""
    async with world(folder, server, **settings) as it:
        controller = await it.serve()
        await it.close_of_rollback()
        assert await it.end(controller, signal.SIGTERM) == 0, it.logs()
        journal = await open_journal(it.store.address)
        (rollback,) = (await journal.rollbacks(target=TARGET)).items
        events = await journal.events(rollback.id)
        await journal.close()
        wanted = (0,) if settings.get("fails") else (1,)
        await check(it, outcomes={rollback.outcome}, effective=wanted)
        return rollback, [(event.kind.value, event.seq) for event in events]


async def interrupted(folder, point, expected, server=None, *, number=signal.SIGKILL, **settings):
    """One rollback, interrupted at one point, carried to its end by the next controller, and checked."""
    slow = {point.kind: SLOW} if point.when == "during" else {}
    async with world(folder, server, slow=slow, **settings) as it:
        if point.when == "during":
            first = await interrupt_during(it, point.kind, number)
        else:
            first = await it.serve_deadly(point.when, point.kind, point.seq)
        code = await in_time(first.wait(), DEADLINE)
        assert code == (-number if number == signal.SIGKILL else 0), f"it ended with {code}\n{it.logs()}"
        controller = await it.serve()
        await it.close_of_rollback()
        assert await it.end(controller, signal.SIGTERM) == 0, it.logs()
        await check(it, **wanted_of(expected))


async def woken_too_late(folder, point, expected, server):
    """One rollback whose leader is stopped at one point, and wakes when another replica has ended the rollback."""
    slow = {point.kind: SLOW} if point.when == "during" else {}
    async with world(folder, server, slow=slow) as it:
        if point.when == "during":
            first = await interrupt_during(it, point.kind, signal.SIGSTOP)
        else:
            first = await it.serve_deadly(point.when, point.kind, point.seq, signal.SIGSTOP)
        await it.until(lambda: it.is_stopped(first), what="the leader is stopped")
        second = await it.serve()
        await it.close_of_rollback()
        effects, requests = len(it.effects()), len(it.requests)
        first.send_signal(signal.SIGCONT)
        await it.until(lambda: "leading_no_more" in it.logs(), what="the first one notices")
        await it.close_of_rollback()
        assert (len(it.effects()), len(it.requests)) == (effects, requests), "it acted on"
        await it.end(first, signal.SIGTERM)
        assert await it.end(second, signal.SIGTERM) == 0, it.logs()
        await check(it, **wanted_of(expected))


def wanted_of(expected):
    """What `check` is to find."""
    return {
        "outcomes": {expected.outcome},
        "effective": (expected.effective,),
        "interrupted": expected.interrupted,
    }


async def interrupt_during(it, name, number):
    """Start a controller and send it a signal while an effect is under way; returns it."""
    first = await it.serve()
    if name in REQUESTS:
        hit = asyncio.Event()

        async def interrupt():
            it.at_request.clear()
            first.send_signal(number)
            hit.set()

        it.at_request[name] = interrupt
        await it.until(hit.is_set, what=f"{name} is asked for")
    else:
        await it.until(lambda: it.began(name), every=0.005, what=f"{name} begins")
        first.send_signal(number)
    return first


async def campaign(folder, points, expected, server=None, *, how=interrupted, **settings):
    """Interrupt at every point; fails with all points that went wrong.

    Args:
        folder: for the worlds.
        points: all points.
        expected: from a point to what must come of it.
        server: PostgreSQL, or None for SQLite.
        how: what is done at each point.
        settings: for `how`, and of every world.
    """
    gate, wrong = asyncio.Semaphore(SIDE_BY_SIDE["postgres" if server else "sqlite"]), []

    async def one(number, point):
        async with gate:
            try:
                await how(folder / str(number), point, expected(point), server, **settings)
            except Exception:  # noqa: BLE001  # every point is tried; all that went wrong are told at the end
                wrong.append(f"--- {point}\n{traceback.format_exc()[-3000:]}")

    await asyncio.gather(*(one(number, point) for number, point in enumerate(points)))
    assert not wrong, f"{len(wrong)} of {len(points)} points\n" + "\n".join(wrong[:5])
