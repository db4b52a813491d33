"""Judging under bad luck: a target that answers slowly, damaged records, deliveries that repeat themselves."""

from __future__ import annotations

import asyncio
import time

from deadline import in_time
from real.controller.journal_kit import beside
from real.controller.served import BASE, SENDER, alerts, serving
from rearguard_controller.errors import JournalError
from rearguard_controller.intake import queues
from rearguard_controller.intake.queues import Queues, Waiting
from unit.controller.factories import alert

PRODUCTION = {"deployment_environment_name": "production", "action": "rollback"}
SLOW = """#!/bin/sh
cd "$(dirname "$0")"
if [ "$REARGUARD_TARGET" = checkout ]; then while [ -e slow ]; do sleep 0.05; done; fi
case "$1" in current) cat current ;; list) printf 'v2\\nv1\\n' ;; activate) echo "$2" > current ;; esac
"""


async def until(condition, what, within=15.0):
    deadline = time.monotonic() + within
    while not (found := await condition()):
        assert time.monotonic() < deadline, what
        await asyncio.sleep(0.02)
    return found


async def deliver(service, name, of):
    body = alerts(name, service_name=of, **PRODUCTION)
    assert (await service.post("/webhook/alertmanager", body, SENDER))[0] == 202


async def decided(service):
    _, body = await service.get(f"{BASE}/decisions?limit=500")
    return {each["alert"]["name"] for each in body["decisions"] if each["alert"]}


async def test_a_target_that_answers_slowly_holds_up_no_other(tmp_path):
    async with serving(tmp_path) as service:
        (tmp_path / "slow").touch()
        (tmp_path / "release").write_text(SLOW)
        await deliver(service, "OfTheSlow", "checkout")
        await asyncio.sleep(0.3)  # its judgement is under way
        await deliver(service, "OfAnother", "search")

        async def other():
            return "OfAnother" in await decided(service)

        await until(other, "the other target's alert is judged", within=30)
        assert "OfTheSlow" not in await decided(service)
        (tmp_path / "slow").unlink()

        async def both():
            return {"OfTheSlow", "OfAnother"} <= await decided(service)

        await until(both, "and the slow one's as soon as it answers")

        async def empty():
            return not await service.controller.journal.unjudged(1)

        await until(empty, "nothing waits any more")


async def test_a_damaged_record_of_one_target_does_not_stop_the_judging_of_the_others(tmp_path):
    async with serving(tmp_path) as service:
        await deliver(service, "First", "checkout")

        async def first():
            return "First" in await decided(service)

        await until(first, "a decision")
        with beside(tmp_path / "journal.db") as connection:
            connection.execute("update target_state set body = '{' where target = 'checkout'")
        await deliver(service, "Unjudgeable", "checkout")
        await deliver(service, "Judged", "search")

        async def judged():
            return "Judged" in await decided(service) and not await service.controller.journal.unjudged(1)

        await until(judged, "the other alert is judged, and nothing waits for ever")
        assert "Unjudgeable" not in await decided(service)


async def test_a_decision_that_cannot_be_stored_keeps_no_other_of_its_delivery_back(tmp_path):
    async with serving(tmp_path) as service:
        with beside(tmp_path / "journal.db") as connection:
            connection.execute(
                "create trigger refuse before insert on decisions when new.alert = 'Refused'"
                " begin select raise(abort, 'refused'); end"
            )
        body = alerts("First", "Refused", "Last", service_name="checkout", **PRODUCTION)
        assert (await service.post("/webhook/alertmanager", body, SENDER))[0] == 202

        async def judged():
            return {"First", "Last"} <= await decided(service) and not await service.controller.journal.unjudged(1)

        await until(judged, "the others are decided, and nothing waits for ever", within=60)
        assert "Refused" not in await decided(service)


async def test_a_rollback_whose_decision_is_damaged_is_carried_out_all_the_same(tmp_path):
    (tmp_path / "hold").touch()
    async with serving(tmp_path) as service:
        wish = {"target": "checkout", "reason": "r", "to_version": "v1", "force": True}
        _, answer = await service.post(f"{BASE}/rollback/trigger", wish)
        rollback_id = answer["rollback_id"]

        async def runs():
            _, found = await service.get(f"{BASE}/rollback/{rollback_id}")
            return found["steps"][0]["state"] == "started"

        await until(runs, "the command runs")
    with beside(tmp_path / "journal.db") as connection:
        connection.execute("update decisions set body = '{'")
        connection.execute("update target_state set body = '{'")
        connection.execute("update releases set body = '{'")
    (tmp_path / "hold").unlink()
    async with serving(tmp_path) as service:

        async def closed():
            rollback = await service.controller.journal.rollback(rollback_id)
            return rollback if rollback.outcome else None

        rollback = await until(closed, "it closes")
    assert rollback.outcome.value == "completed"
    assert (tmp_path / "current").read_text() == "v1\n"


class Judge:
    """Notes what is judged, once it may."""

    def __init__(self):
        self.may, self.seen, self.fails = asyncio.Event(), [], 0
        self.failed = self.drained = 0

    async def __call__(self, target, waiting):
        await self.may.wait()
        if self.fails:
            self.fails -= 1
            raise JournalError("away")
        self.seen += [(target, each.alert.labels["pod"], each.ids) for each in waiting]

    def count_failed(self):
        self.failed += 1

    def count_drained(self):
        self.drained += 1

    def queues(self):
        return Queues(self, failed=self.count_failed, drained=self.count_drained)


async def test_what_repeats_itself_waits_once_and_all_its_numbers_are_in_hand_until_it_is_judged():
    judge = Judge()
    waiting = judge.queues()
    waiting.put("shop", Waiting(alert(pod="first"), 1.0, (1,)))
    await asyncio.sleep(0)  # its judgement has begun
    for number in range(2, 6):
        waiting.put("shop", Waiting(alert(pod="same"), float(number), (number,)))
    assert waiting.in_hand == {1, 2, 3, 4, 5}
    judge.may.set()
    await in_time(_empty(waiting), 30)
    assert judge.seen == [("shop", "first", (1,)), ("shop", "same", (2, 3, 4, 5))]
    await waiting.close()


async def test_what_does_not_fit_is_kept_by_number_only_and_read_again_when_there_is_room():
    judge = Judge()
    waiting = judge.queues()
    for number in range(queues.MOST_WAITING + 50):
        waiting.put("shop", Waiting(alert(pod=str(number)), 1.0, (number,)))
    assert len(waiting.in_hand) == queues.MOST_WAITING + 50
    assert judge.drained == 0
    judge.may.set()
    await in_time(_empty(waiting), 30)
    assert len(judge.seen) == queues.MOST_WAITING
    assert judge.drained == 1
    await waiting.close()


async def test_what_could_not_be_judged_because_of_the_journal_is_read_again_from_the_inbox():
    judge = Judge()
    judge.fails = 1
    judge.may.set()
    waiting = judge.queues()
    waiting.put("shop", Waiting(alert(pod="a"), 1.0, (7,)))
    await in_time(_empty(waiting), 30)
    assert (judge.seen, judge.failed, judge.drained) == ([], 1, 1)
    waiting.put("shop", Waiting(alert(pod="a"), 1.0, (7,)))
    await in_time(_empty(waiting), 30)
    assert judge.seen == [("shop", "a", (7,))]
    await waiting.close()


async def _empty(waiting):
    async def is_empty():
        return not waiting.in_hand

    await until(is_empty, "nothing is in hand")


async def test_memory_does_not_grow_with_alerts_that_were_judged(tmp_path):
    """What is remembered of a judgement is a few bytes, however long the labels are."""
    async with serving(tmp_path) as service:
        for number in range(3):
            body = alerts(*(f"A{number}-{each}" for each in range(50)), service_name="search", **PRODUCTION)
            for each in body["alerts"]:
                each["labels"]["long"] = "x" * 60_000
            assert (await service.post("/webhook/alertmanager", body, SENDER))[0] == 202

        async def empty():
            return not await service.controller.journal.unjudged(1)

        await until(empty, "all is judged", within=20)
        remembered = service.controller.parts.intake._judging._recorded
        assert len(remembered) == 150
        assert sum(len(key) + len(value) for key, value in remembered.items()) < 10_000
