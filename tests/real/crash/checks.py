"""What must hold of a world after any interruption, whatever it was.

Here: the promises, read from the target's own log, the HTTP server's list and the journal's tables; never from what
the controller says of itself.
Never here: starting or stopping anything.
"""

import sqlite3
from collections import Counter

from rearguard_controller.journal.opening import open_journal
from rearguard_controller.model import Outcome, Phase, StepKind, StepState
from rearguard_controller.rollback import EventKind, apply

REDO = {"save", "warm", "restore", "go-on"}  # after_crash: redo, and what undoes
ENDED = {StepState.DONE, StepState.FAILED, StepState.SKIPPED}


async def check(world, *, outcomes=frozenset({Outcome.RECOVERED}), effective=(1,)):
    """Every promise; returns the rollback."""
    no_two_commands_at_once(world)
    at_most_once(world)
    changes = [each for each in world.effects() if each["what"] == "changed"]
    assert len(changes) in effective, changes
    assert world.version == ("v1" if changes else "v2")
    assert not (world.folder / "drained").exists(), "traffic is still drained"
    assert world.requests.count("pause") == 0 or "go-on" in world.requests, "what was paused does not go on"
    rollback = await tables_hold(world)
    assert rollback.outcome in outcomes, (rollback.outcome, rollback.detail, world.logs()[-3000:])
    return rollback


def no_two_commands_at_once(world):
    beside = [each for each in world.effects() if each.get("beside")]
    assert not beside, beside


def at_most_once(world):
    """No hook ran twice unless it may be repeated, and no command was started twice for one attempt."""
    runs = Counter(each["name"] for each in world.effects() if each["what"] == "began") + Counter(world.requests)
    repeated = {name: count for name, count in runs.items() if count > 1 and name not in REDO}
    assert repeated.keys() <= {"activate"}, repeated  # the target is looked at first; see `effective`
    attempts = Counter((each["step"], each["attempt"]) for each in world.effects() if each["what"] == "began")
    assert max(attempts.values(), default=1) == 1, attempts


async def tables_hold(world):
    """One closed rollback that is the fold of its events, with the marks that its outcome leaves."""
    journal = await open_journal(world.store.address)
    try:
        (rollback,) = (await journal.rollbacks()).items
        events = await journal.events(rollback.id)
        releases = {each.version: each for each in await journal.releases(rollback.target)}
        state = await journal.target_state(rollback.target)
    finally:
        await journal.close()
    folded = None
    for event in events:
        folded = apply(folded, event)
    assert folded == rollback
    assert [event.kind for event in events].count(EventKind.CLOSED) == 1
    assert rollback.phase is Phase.CLOSED
    assert rollback.outcome is not None
    assert {step.state for step in rollback.steps} <= ENDED
    step = rollback.step_of(StepKind.ROLL_BACK)
    helped = rollback.outcome is Outcome.RECOVERED
    assert (releases["v2"].bad_at is not None) == helped
    assert state.armed == helped
    intents = await world.store.rows("select roll_back_started_at from rollbacks")
    assert (intents[0][0] is not None) == (step.attempt > 0)
    if world.store.kind == "sqlite":
        connection = sqlite3.connect(world.store.address)
        assert connection.execute("pragma integrity_check").fetchone() == ("ok",)
        connection.close()
    return rollback
