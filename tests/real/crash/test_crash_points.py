"""kill -9 at every point of every step: before and after each event is stored, and during each effect."""

import asyncio
import signal

import pytest

from real.crash.campaign import Expected, Point, campaign, events_of, woken_too_late
from rearguard_controller.model import Outcome, StepKind

# The steps of world.CONFIGURATION, in their order.
SAVE, PAUSE, DRAIN, ANNOUNCE, ROLL_BACK, HEALTH, WARM, RESTORE, GO_ON, CLEAR, TELL, RECOVERY = range(12)
EFFECTS = (
    "save", "pause", "drain", "announce", "activate", "health", "warm", "restore", "go-on", "clear", "tell", "figure",
)  # fmt: skip
KINDS = [
    *[StepKind.BEFORE_HOOK] * 4, StepKind.ROLL_BACK, StepKind.VERIFY_HEALTH, StepKind.AFTER_HOOK,
    *[StepKind.UNDO_HOOK] * 2, *[StepKind.AFTER_HOOK] * 2, StepKind.VERIFY_RECOVERY,
]  # fmt: skip


def of_events(events):
    """The points around every event of an undisturbed rollback."""
    return [Point(when, kind, seq) for kind, seq in events for when in ("before", "after")]


def expected(point):
    """A hook before the change that must not be repeated interrupts the attempt; a fresh one ends well."""
    unknown = {Point("during", name) for name in ("pause", "drain", "announce")}
    for seq in (PAUSE, DRAIN, ANNOUNCE):
        unknown |= {Point(when, "step_started", seq) for when in ("after", "ready")}
        unknown |= {Point("before", kind, seq) for kind in ("step_done", "step_failed")}
    return Expected(interrupted=(1,)) if point in unknown else Expected()


def expected_of_a_stop(point):
    """The answer to a request that is under way may still come in time."""
    return Expected(interrupted=(0, 1)) if point == Point("during", "pause") else expected(point)


def expected_of_one_that_fails(point):
    again = expected(point).interrupted
    return Expected(Outcome.FAILED, effective=0, interrupted=again)


async def test_killed_or_sleeping_at_the_most_telling_points(tmp_path, postgres_server):
    """All at once, because those with a journal in PostgreSQL mostly wait for the end of a lease."""
    killed = [
        Point("after", "step_started", DRAIN),  # between intent and effect
        Point("after", "step_started", ROLL_BACK),
        Point("during", "activate"),
        Point("before", "step_done", ROLL_BACK),  # between effect and result
        Point("during", "announce"),
    ]
    sleeping = [Point("ready", "step_started", DRAIN), Point("after", "step_started", ROLL_BACK)]
    await asyncio.gather(
        campaign(tmp_path / "sqlite", killed, expected),
        campaign(tmp_path / "postgres", [Point("during", "activate")], expected, postgres_server),
        campaign(tmp_path / "sleeping", sleeping, expected, postgres_server, how=woken_too_late),
    )


@pytest.mark.soak
@pytest.mark.timeout(1200)
async def test_killed_at_every_point(tmp_path, server):
    """The points are those of an undisturbed rollback, which stores an intent and a result for every step."""
    rollback, events = await events_of(tmp_path / "undisturbed", server)
    assert [step.kind for step in rollback.steps] == KINDS
    steps = [(kind, step.seq) for step in rollback.steps for kind in ("step_started", "step_done")]
    assert events == [("opened", None), *steps, ("closed", None)]
    points = [*of_events(events), *(Point("during", name) for name in EFFECTS)]
    await campaign(tmp_path, points, expected, server)


@pytest.mark.soak
@pytest.mark.timeout(1200)
async def test_told_to_stop_during_every_effect(tmp_path, server):
    """SIGTERM: the command is ended whole, the controller leaves in order, and the next one goes on."""
    points = [Point("during", name) for name in EFFECTS]
    await campaign(tmp_path, points, expected_of_a_stop, server, number=signal.SIGTERM)


@pytest.mark.soak
@pytest.mark.timeout(1200)
async def test_a_leader_that_is_stopped_past_its_lease_at_any_point_changes_nothing_when_it_wakes(
    tmp_path, shared_server
):
    ends = (("after", "step_started"), ("ready", "step_started"), ("before", "step_done"))
    points = [Point(when, kind, seq) for seq in range(12) for when, kind in ends]
    points += [Point("during", name) for name in ("drain", "activate", "warm", "restore")]
    await campaign(tmp_path, points, expected, shared_server, how=woken_too_late)


@pytest.mark.soak
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("fails", ["announce", "activate"])
async def test_killed_at_every_point_of_an_attempt_that_fails(tmp_path, fails):
    """The hook that stops the attempt fails, or the change itself: what was begun is undone all the same."""
    _, events = await events_of(tmp_path / "undisturbed", fails=[fails])
    assert ("step_failed", {"announce": ANNOUNCE, "activate": ROLL_BACK}[fails]) in events
    await campaign(tmp_path, of_events(events), expected_of_one_that_fails, fails=[fails])
