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
ENDED = {StepState.DONE, StepState.FAILED, StepState.SKIPPED, StepState.INTERRUPTED}


async def check(world, *, outcomes=frozenset({Outcome.RECOVERED}), effective=(1,), interrupted=(0,)):
    """Every promise; returns the last rollback. `interrupted` says how many attempts before it may have ended so."""
    no_two_commands_at_once(world)
    *before, rollback = await tables_hold(world)
    at_most_once(world, rollbacks=len(before) + 1)
    changes = [each for each in world.effects() if each["what"] == "changed"]
    assert len(changes) in effective, changes
    assert world.version == ("v1" if changes else "v2")
    assert not (world.folder / "drained").exists(), "traffic is still drained"
    assert world.requests.count("pause") == 0 or "go-on" in world.requests, "what was paused does not go on"
    assert {each.outcome for each in before} <= {Outcome.INTERRUPTED}
    assert len(before) in interrupted, [each.detail for each in before]
    assert rollback.outcome in outcomes, (rollback.outcome, rollback.detail, world.logs()[-3000:])
    return rollback


def no_two_commands_at_once(world):
    beside = [each for each in world.effects() if each.get("beside")]
    assert not beside, beside


def at_most_once(world, *, rollbacks):
    """No hook ran twice for one rollback unless it may be repeated, and no command twice for one attempt."""
    began = [each for each in world.effects() if each["what"] == "began"]
    runs = Counter((each["name"], each["rollback"]) for each in began) + Counter(
        {(name, ""): count - (rollbacks - 1) for name, count in Counter(world.requests).items()}
    )
    repeated = {name for (name, _), count in runs.items() if count > 1 and name not in REDO}
    assert repeated <= {"activate"}, repeated  # the target is looked at first; see `effective`
    attempts = Counter((each["rollback"], each["step"], each["attempt"]) for each in began)
    assert max(attempts.values(), default=1) == 1, attempts


async def tables_hold(world):
    """Closed rollbacks, oldest first, that are the folds of their events; marks are those of the last outcome."""
    journal = await open_journal(world.store.address)
    try:
        rollbacks = (await journal.rollbacks()).items[::-1]
        for each in rollbacks:
            is_whole(each, await journal.events(each.id))
        rollback = rollbacks[-1]
        releases = {each.version: each for each in await journal.releases(rollback.target)}
        state = await journal.target_state(rollback.target)
    finally:
        await journal.close()
    helped = rollback.outcome is Outcome.RECOVERED
    assert (releases["v2"].bad_at is not None) == helped
    assert state.armed == (rollback.outcome in {Outcome.RECOVERED, Outcome.INTERRUPTED})
    assert releases["v2"].interrupted == sum(each.outcome is Outcome.INTERRUPTED for each in rollbacks)
    intents = await world.store.rows("select id, roll_back_started_at from rollbacks")
    started = {each.id for each in rollbacks if each.step_of(StepKind.ROLL_BACK).attempt}
    assert {number for number, at in intents if at is not None} == started
    if world.store.kind == "sqlite":
        connection = sqlite3.connect(world.store.address)
        assert connection.execute("pragma integrity_check").fetchone() == ("ok",)
        connection.close()
    return rollbacks


def is_whole(rollback, events):
    folded = None
    for event in events:
        folded = apply(folded, event)
    assert folded == rollback
    assert [event.kind for event in events].count(EventKind.CLOSED) == 1
    assert rollback.phase is Phase.CLOSED
    assert rollback.outcome is not None
    assert {step.state for step in rollback.steps} <= ENDED
    if rollback.outcome is Outcome.INTERRUPTED:
        assert rollback.step_of(StepKind.ROLL_BACK).attempt == 0
