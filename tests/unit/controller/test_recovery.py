"""The proof of recovery: who takes credit, and what stands in its way. Prometheus is faked at the wire."""

import asyncio
import time
from dataclasses import replace

import pytest

from rearguard_controller.adapters.actions import Actions
from rearguard_controller.adapters.prometheus.figures import EXISTS
from rearguard_controller.adapters.release_kinds import ReleaseKinds
from rearguard_controller.execution import recovery
from rearguard_controller.execution.effects import Effects, Work, began_at
from rearguard_controller.model import CommandAction, CommandRelease, Outcome, Sample, StepKind, StepState
from unit.controller.factories import condition, release, rollback, target
from unit.controller.wire import version

FIGURE = "version:errors:ratio"
SHOWN = (release("v1", service_version="v1"), release("v2", service_version="v2"))


@pytest.fixture
async def world(tmp_path, prometheus, wire):
    """Proves the recovery of a rollback to v1 whose first step began now; what serves stands in a file."""
    once = "if [ -e odd ]; then rm odd; echo v3; else cat current; fi"
    read = CommandAction(("sh", "-c", once), 5.0, str(tmp_path))
    (tmp_path / "current").write_text("v1")
    began, actions = time.time(), Actions()
    wire.vectors[FIGURE] = [Sample(version("v1"), 0.01)]
    it = target(release=CommandRelease(read, read), recovery_within=5.0)
    of = rollback(of=it, conditions=(condition(figure=FIGURE, threshold="> 0.1"),), opened_at=began)
    done = replace(of.steps[0], attempt=1, state=StepState.DONE, started_at=began, ended_at=began)
    of = replace(of, steps=(done, *of.steps[1:]))
    effects = Effects(actions, ReleaseKinds(actions), lambda _: prometheus, poll_interval=0.1, clock=time.time)

    async def proved(before, settle=0.0):
        """What comes of it, where v2 showed `before(seconds before the first step)`.

        The version was put back so long ago that the figure is settled.
        """
        back = replace(of.step_of(StepKind.ROLL_BACK), state=StepState.DONE, ended_at=began - settle - 10)
        steps = tuple(back if step.kind is StepKind.ROLL_BACK else step for step in of.steps)
        conditions = tuple(replace(each, settle=settle) for each in of.conditions)
        it = replace(of, steps=steps, conditions=conditions) if settle else of
        wire.over_time[FIGURE] = {"v2": lambda at: before(began - at), "v1": lambda _at: 0.0}
        step = of.step_of(StepKind.VERIFY_RECOVERY)
        async with asyncio.timeout(10):
            return await effects.carry_out(Work(it, step, b"", SHOWN))

    yield proved, tmp_path / "current", wire
    await actions.close()


async def test_a_fault_that_lasted_until_the_rollback_counts_as_recovered(world):
    proved, _, _ = world
    effect = await proved(lambda ago: 0.3 if ago < 120 else 0.0)
    assert (effect.ok, effect.outcome) == (True, None)
    assert "0.01, not past the threshold" in effect.detail


async def test_a_fault_that_was_going_away_before_the_first_step_is_completed_without_credit(world):
    proved, _, _ = world
    effect = await proved(lambda ago: 0.9 if 60 < ago < 300 else 0.1 + ago / 100 if ago <= 60 else 0.0)
    assert (effect.ok, effect.outcome) == (True, Outcome.COMPLETED)
    assert "ReleaseErrorRate: it was receding before the first step: from 0.9" in effect.detail


@pytest.mark.parametrize(("settle", "outcome"), [(5.0, Outcome.COMPLETED), (65.0, None)])
async def test_a_fall_within_one_settle_time_of_the_figure_takes_no_credit_away(world, settle, outcome):
    proved, _, _ = world
    effect = await proved(lambda ago: 0.9 if 60 < ago < 300 else 0.1 + ago / 100 if ago <= 60 else 0.0, settle)
    assert (effect.ok, effect.outcome) == (True, outcome)


async def test_one_odd_reading_of_what_serves_costs_no_proof(world):
    proved, current, wire = world
    odd, over = current.with_name("odd"), wire.vectors[FIGURE]
    odd.touch()
    wire.vectors[FIGURE] = [Sample(version("v1"), 0.5)]  # so that the proof lasts until after the second reading
    asyncio.get_running_loop().call_later(0.5, wire.vectors.update, {FIGURE: over})
    effect = await proved(lambda ago: 0.3 if ago < 120 else 0.0)
    assert not odd.exists()
    assert (effect.ok, effect.outcome) == (True, None)


async def test_a_version_that_somebody_deploys_during_the_proof_supersedes_it_and_nothing_is_claimed(world):
    proved, current, wire = world
    wire.vectors[FIGURE] = [Sample(version("v1"), 0.5)]  # not over: it would go on for five seconds
    asyncio.get_running_loop().call_later(0.3, current.write_text, "v3")
    began = time.monotonic()
    effect = await proved(lambda _ago: 0.3)
    assert (effect.ok, effect.outcome) == (False, Outcome.SUPERSEDED)
    assert "v3 serves, not v1" in effect.detail
    assert time.monotonic() - began < 4


async def test_a_version_that_cannot_be_read_during_the_proof_does_not_hinder_it(world):
    proved, current, _ = world
    current.unlink()
    effect = await proved(lambda ago: 0.3 if ago < 120 else 0.0)
    assert (effect.ok, effect.outcome) == (True, None)


def test_the_first_step_began_at_its_intent_and_after_a_crash_in_it_at_the_latest_with_the_opening():
    of = rollback(opened_at=100.0)
    assert began_at(of) == 100.0
    once = replace(of.steps[0], attempt=1, started_at=130.0)
    again = replace(of.steps[0], attempt=2, started_at=190.0)
    assert began_at(replace(of, steps=(once, *of.steps[1:]))) == 130.0
    assert began_at(replace(of, steps=(again, *of.steps[1:]))) == 100.0
    assert began_at(replace(of, steps=(again, *of.steps[1:]), waited_until=120.0)) == 120.0


@pytest.mark.parametrize(
    ("figure", "threshold", "left", "outcome"),
    [
        ('crashes{service_version="v2"}', EXISTS, "v2", Outcome.NEEDS_A_PERSON),
        ('crashes{service_version="v2"}', EXISTS, None, Outcome.NOT_RECOVERED),  # it may be the one that serves now
        ("crashes", EXISTS, "v2", Outcome.NOT_RECOVERED),
        ('crashes{service_version="v2"}', "> 0", "v2", Outcome.NOT_RECOVERED),
    ],
)
async def test_only_an_end_that_is_seen_when_the_version_is_left_in_any_case_is_a_persons_to_judge(
    prometheus, wire, figure, threshold, left, outcome
):
    """Without a figure, and with the version in the rule's own selector, an alert ends with that version."""
    wire.vectors[figure] = [Sample(version("v1"), 1.0)]  # the fault goes on
    of = condition(figure=figure, threshold=threshold, settle=0.0)
    now = time.time()
    subject = recovery.Subject((of,), now, within=0.0, shows=None, left=left, acted_at=now)
    proof = await recovery.prove(prometheus, subject, every=1.0, clock=time.time)
    assert proof.outcome is outcome
