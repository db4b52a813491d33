"""The running score as intake, polls and people keep it in the journal: nothing is lost or counted twice."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from real.controller.decision_world import POLL, World
from real.controller.journal_kit import beside, closed, noted
from real.controller.test_judging import until
from rearguard_controller.adapters.release_kinds import ReleaseKinds
from rearguard_controller.adapters.telemetry import Telemetry
from rearguard_controller.facts.alerts_now import AlertsNow
from rearguard_controller.facts.gather import FactGatherer, Gathered
from rearguard_controller.facts.sources import Sources, SourcesOfAll
from rearguard_controller.facts.storm import Trouble
from rearguard_controller.intake.by_hand import ByHand, ManualRequest
from rearguard_controller.intake.decision_record import Decisions
from rearguard_controller.intake.heartbeat import Heartbeat
from rearguard_controller.intake.inbox import Intake
from rearguard_controller.intake.judging import Judging
from rearguard_controller.journal.sqlite.store import SqliteJournal
from rearguard_controller.judgement import score
from rearguard_controller.model import AlertsSeen, AlertState, CommandRelease, Measurement, Mode, Release, Verdict
from rearguard_controller.releases.looks import Watch
from rearguard_controller.releases.tracking import Releases
from unit.controller.factories import HOLDING, MINUTE, TARGET, alert, command, condition, policy, target, with_facts
from unit.controller.runtime_kit import runtime

LEAD = 4 * MINUTE  # from the decision to what people do


class Seen(FactGatherer):
    """The facts of a target from the journal and the world; of the alert, that it is confirmed."""

    async def gather(self, target, alerts, *, record=True, **_how):
        base = await self.of_target(target, record=record)
        found = with_facts(
            base,
            alert_state=AlertState.FIRING,
            measurement=Measurement(0.3, 0.1, ">", past=True),
            condition_since=base.now,
        )
        return tuple(Gathered(found, each, condition()) for each in alerts)


class Scene:
    """A target whose v2 came after v1, and a controller that judges an alert about it."""

    def __init__(self, folder, mode, **fields):
        self.file, self.world = folder / "j.db", World()
        self.journal, clock = SqliteJournal.open(self.file), lambda: self.world.now
        commands, prometheus = self.world.commands, self.world.prometheus
        release = CommandRelease(command("current"), command("activate", "{to_version}"))
        self.target = target(policy=policy(mode=mode, **fields), release=release, before=(), after=(), health=None)
        self.telemetry = Telemetry([self.target])
        kept = runtime(self.journal, clock=clock, telemetry=self.telemetry)
        self.releases = Releases(kept, ReleaseKinds(commands), lambda _: prometheus)
        alerts_now = AlertsNow(prometheus, Trouble(clock), clock)
        gatherer = Seen(kept, SourcesOfAll([Sources(prometheus, None, None, alerts_now)]), self.releases)
        decisions = Decisions(kept, gatherer, opened=lambda: None)
        judging = Judging(kept, [self.target], gatherer, decisions)
        self.intake = Intake(kept, [self.target], judging, Heartbeat(kept))
        self.by_hand = ByHand(kept, decisions, alone=judging.alone, firing=lambda _target: ())

    async def deploy(self):
        """v1 serves, and is trusted; then v2 comes."""
        good = Release(TARGET, "v1", self.world.now, self.world.now, known_good_at=self.world.now)
        await self.journal.change_release(TARGET, "v1", lambda _known: good)
        await self.polled()
        self.turn_to("v2")
        await self.polled()

    def turn_to(self, version):
        self.world.tick(POLL)
        self.world.turn_to(version)

    async def polled(self):
        watch = Watch(HOLDING, seen=AlertsSeen(self.world.now))
        await self.releases.track(self.target, watch, poll_interval=POLL)

    async def judged(self):
        """The decision about the alert."""
        await self.intake.consider([alert()])

        async def made():
            return (await self.journal.decisions()).items

        return (await until(made, "a decision"))[0]

    async def has_failed(self):
        return bool(self.telemetry.registry.get_sample_value("rearguard_journal_errors_total"))

    async def back_by_hand(self):
        self.world.tick(LEAD - POLL)
        self.turn_to("v1")
        await self.polled()
        await self.lasting()

    async def lasting(self):
        """Polls until the version that serves counts as the one that stays."""
        for _ in range(int(score.LASTS / POLL)):
            self.world.tick(POLL)
            await self.polled()

    async def score(self):
        return (await self.journal.target_state(TARGET)).score

    async def counts(self):
        found = await self.score()
        return found.agreed, found.only_we, found.only_people


@contextlib.asynccontextmanager
async def scene(folder, mode, **fields):
    made = Scene(folder, mode, **fields)
    judging = asyncio.create_task(made.intake.run())
    try:
        await made.deploy()
        yield made
    finally:
        judging.cancel()
        await asyncio.gather(judging, return_exceptions=True)
        await made.journal.close()


SAYS = "update on target_state when json_extract(new.body, '$.score.said_at') is not null"
DECIDES = "insert on decisions"


@contextlib.contextmanager
def refusing(file, change):
    """A journal in which one change fails, as on a disk that is away."""
    with beside(file) as connection:
        connection.execute(f"create trigger refuse before {change} begin select json('{{'); end")
        yield
        connection.execute("drop trigger refuse")


@pytest.mark.parametrize(("mode", "waits"), [(Mode.ASK, {}), (Mode.ACT, {"veto": 600.0})])
@pytest.mark.parametrize("outcome", ["expired", "vetoed"])
async def test_a_rollback_that_was_not_let_run_and_is_then_made_by_hand_counts_as_agreed(
    tmp_path, mode, waits, outcome
):
    async with scene(tmp_path, mode, **waits) as made:
        decision = await made.judged()
        assert decision.verdict is (Verdict.ASK if mode is Mode.ASK else Verdict.ROLL_BACK)
        await closed(made.journal, decision.rollback_id, outcome, at=made.world.now)
        await made.back_by_hand()
        assert await made.counts() == (1, 0, 0)
        assert (await made.score()).lead == LEAD


async def test_an_approved_rollback_is_compared_with_nobody_whether_it_worked_or_people_had_to_repeat_it(tmp_path):
    async with scene(tmp_path, Mode.ASK) as made:
        decision = await made.judged()
        await made.journal.append(decision.rollback_id, noted("approved", at=made.world.now))
        await made.journal.append(decision.rollback_id, noted("wait_ended", at=made.world.now))
        await made.journal.append(decision.rollback_id, noted("step_started", 0, at=made.world.now))
        assert (await made.score()).version == "v2"
        await made.polled()
        assert (await made.score()).version is None
        await closed(made.journal, decision.rollback_id, "failed", at=made.world.now)
        await made.by_hand.open(made.target, ManualRequest(TARGET, "it did not work", "ann"))
        await made.back_by_hand()
        assert await made.counts() == (0, 0, 0)


async def test_an_attempt_that_failed_and_is_repeated_by_hand_is_not_of_people_alone(tmp_path):
    async with scene(tmp_path, Mode.ACT) as made:
        decision = await made.judged()
        assert (await made.score()).version is None  # it is begun at once, not only said
        await made.journal.append(decision.rollback_id, noted("step_started", 0, at=made.world.now))
        await closed(made.journal, decision.rollback_id, "failed", at=made.world.now)
        answer = await made.by_hand.open(made.target, ManualRequest(TARGET, "it did not work", "ann"))
        assert answer.rollback is not None
        assert await made.counts() == (0, 0, 0)


@pytest.mark.parametrize(("mode", "change"), [(Mode.OBSERVE, SAYS), (Mode.ASK, DECIDES)], ids=["says", "decides"])
async def test_a_journal_that_fails_while_it_is_said_neither_loses_nor_doubles_anything(tmp_path, mode, change):
    async with scene(tmp_path, mode) as made:
        with refusing(made.file, change):
            await made.intake.receive([alert()])
            await until(made.has_failed, "the journal failed")
            assert (await made.journal.decisions()).items == ()

        async def is_judged():
            return not await made.journal.unjudged(1)

        await until(is_judged, "it is judged all the same")
        assert len((await made.journal.decisions()).items) == 1
        assert (await made.score()).version == "v2"


async def test_a_score_that_cannot_be_kept_does_not_take_back_a_rollback_by_hand_and_is_counted_at_the_change(
    tmp_path,
):
    async with scene(tmp_path, Mode.OBSERVE) as made:
        await made.judged()
        with refusing(made.file, "update on target_state"):
            answer = await made.by_hand.open(made.target, ManualRequest(TARGET, "errors", "ann"))
        assert await made.has_failed()
        assert [each.id for each in await made.journal.open_rollbacks()] == [answer.rollback.id]
        await made.back_by_hand()
        assert await made.counts() == (1, 0, 0)
