"""Rollbacks that wait: approved, vetoed, expired, over by themselves, through restarts and reloads.

The controller is the one that users start, its target runs commands, and the stand-in answers for Prometheus.
"""

import asyncio
import contextlib
import os
import signal
import sys

import aiohttp
import pytest

from deadline import in_time
from real.crash.faketime import Clock
from real.crash.world import world

LONG, SHORT = "10m", "1s"
BASE = "/api/monitoring"


class Talk:
    """The HTTP interface of the controller that was started last."""

    def __init__(self, made, session):
        self._made, self._session = made, session

    @property
    def url(self):
        lines = self._made.newest_configuration().read_text().splitlines()
        return "http://" + next(each.split()[1] for each in lines if each.startswith("listen"))

    def _url(self, path):
        return f"{self.url}{BASE}{path}"

    async def run(self, *words):
        """What a command of the command line prints."""
        environment = {**os.environ, "REARGUARD_URL": self.url}
        words = (sys.executable, "-m", "rearguard_controller", *words)
        process = await asyncio.create_subprocess_exec(*words, stdout=asyncio.subprocess.PIPE, env=environment)
        out, _ = await process.communicate()
        assert process.returncode == 0
        return out.decode()

    async def get(self, path):
        async with self._session.get(self._url(path)) as response:
            return await response.json()

    async def post(self, path, **body):
        async with self._session.post(self._url(path), json={"reason": "why", **body}) as response:
            return response.status, await response.json()

    async def waiting(self):
        """The rollback that waits, as soon as there is one."""

        async def found():
            with contextlib.suppress(aiohttp.ClientConnectionError):
                return [each for each in (await self.get("/rollback/status"))["open"] if each["phase"] == "waiting"]
            return []

        return (await self._made.until(found, every=0.05, what="a rollback waits"))[0]


@contextlib.asynccontextmanager
async def stage(tmp_path, mode, *, server=None, **changes):
    """A world whose controller waits as `mode` says, and a way to talk to it."""
    async with world(tmp_path / "world", server) as made, aiohttp.ClientSession(trust_env=False) as session:
        await made.serve(mode=mode, **changes)
        yield made, Talk(made, session)


def ask(within=LONG):
    return f"ask, approval: {{within: {within}}}"


def act(veto):
    return f"act, veto: {veto}"


def nothing_was_begun(made):
    return made.effects() == [] and made.requests == []


async def closed(made, outcome):
    await made.close_of_rollback()
    assert await made.outcome() == outcome
    assert len(await made.store.rows("select id from rollbacks")) == 1  # and the alert that fires on opened no other


async def test_an_approval_lets_a_waiting_rollback_run_to_its_recovery_and_is_audited(tmp_path, server):
    async with stage(tmp_path, ask(), server=server) as (made, talk):
        found = await talk.waiting()
        assert (found["needs_approval"], found["steps"][0]["state"]) == (True, "planned")
        status = await talk.get("/rollback/status")
        assert (status["state"], status["targets"][0]["mode"]) == ("waiting", "ask")
        decision = await talk.get(f"/decisions/{found['decision_id']}")
        assert (decision["verdict"], decision["would"]) == ("ask", "ask")
        assert nothing_was_begun(made)
        if server is not None:  # any replica takes the approval; the one that leads finds it in the journal
            await made.serve(mode=ask())
            assert (await talk.waiting())["id"] == found["id"]
        code, body = await talk.post(f"/rollback/{found['id']}/approve")
        assert (code, body["phase"], body["approved"], body["wait_until"]) == (200, "waiting", True, None)
        await closed(made, "recovered")
        assert made.version == "v1"
        shown = await talk.get(f"/rollback/{found['id']}")
        assert [each["action"] for each in shown["actions"]] == ["approve"]
        for verb in ("approve", "veto"):
            assert (await talk.post(f"/rollback/{found['id']}/{verb}"))[0] == 409
        kinds = [row[0] for row in await made.store.rows("select kind from rollback_events order by n limit 4")]
        assert kinds == ["opened", "approved", "wait_ended", "step_started"]


async def test_a_veto_stops_a_countdown_until_a_person_arms_the_target_again(tmp_path):
    async with stage(tmp_path, act(LONG)) as (made, talk):
        found = await talk.waiting()
        assert found["needs_approval"] is False
        assert "a veto until" in await talk.run("show", found["id"])
        assert "waiting" in await talk.run("status")
        assert "vetoed" in await talk.run("veto", found["id"], "--reason", "it is the platform")
        await closed(made, "vetoed")
        assert nothing_was_begun(made)
        decision = (await talk.get("/decisions?verdict=leave&limit=1"))["decisions"][0]
        why = {each["code"]: each["detail"] for each in decision["reasons"] if each["blocks"]}
        assert list(why) == ["not_already_handled"]
        assert found["id"] in why["not_already_handled"]
        target = (await talk.get("/rollback/status"))["targets"][0]
        assert (target["state"], target["armed"]) == ("steady", True)
        assert (await talk.post("/targets/checkout/arm"))[0] == 200
        assert (await talk.waiting())["id"] != found["id"]


async def test_a_countdown_that_nobody_stops_ends_in_a_rollback(tmp_path):
    async with stage(tmp_path, act(SHORT)) as (made, _talk):
        await closed(made, "recovered")
        assert made.version == "v1"
        rows = await made.store.rows("select kind, at from rollback_events order by n limit 2")
        assert [kind for kind, _ in rows] == ["opened", "wait_ended"]
        assert rows[1][1] - rows[0][1] >= 1.0


async def test_a_wait_that_nobody_approves_expires_and_uses_nothing_up(tmp_path):
    async with stage(tmp_path, ask(SHORT), cooldown="1h") as (made, talk):
        await closed(made, "expired")
        assert nothing_was_begun(made)
        assert await made.store.rows("select * from handled") == []
        assert (await talk.get("/rollback/status"))["targets"][0]["armed"] is True


async def test_an_alert_that_is_over_by_itself_ends_a_countdown(tmp_path):
    async with world(tmp_path / "world") as made:
        await made.serve_hasty(2.0, mode=act(LONG))
        waits = "select 1 from rollbacks where phase = 'waiting'"
        await made.until(lambda: made.store.rows(waits), every=0.05, what="a rollback waits")
        made.fires = False
        await closed(made, "not_needed")
        assert nothing_was_begun(made)


async def test_an_approval_between_two_crashes_is_kept_and_begins_at_the_next_one(tmp_path):
    async with stage(tmp_path, ask()) as (made, talk):
        found = await talk.waiting()
        made.fires = False
        assert (await talk.post(f"/rollback/{found['id']}/approve"))[0] == 200
        polls = made.polls
        # at most three readings a second: of the poll, the intake, and the wait, which is looked at every second
        await made.until(lambda: made.polls >= polls + 9, what="it is judged meanwhile")
        assert (await talk.waiting())["id"] == found["id"]
        made.fires = True
        await closed(made, "recovered")


async def test_an_approval_does_not_begin_what_is_not_true_any_more(tmp_path):
    async with stage(tmp_path, ask()) as (made, talk):
        found = await talk.waiting()
        assert (await talk.post("/targets/checkout/disarm"))[0] == 200
        assert (await talk.post(f"/rollback/{found['id']}/approve"))[0] == 200
        await closed(made, "not_needed")
        assert nothing_was_begun(made)
        assert "disarmed" in (await talk.get(f"/rollback/{found['id']}"))["detail"]


async def test_a_version_that_somebody_else_changed_ends_a_wait(tmp_path):
    async with stage(tmp_path, ask()) as (made, talk):
        await talk.waiting()
        (made.folder / "current").write_text("v3\n")
        await closed(made, "superseded")
        assert nothing_was_begun(made)


@pytest.mark.parametrize("number", [signal.SIGKILL, pytest.param(signal.SIGTERM, marks=pytest.mark.soak)])
async def test_a_wait_survives_a_restart_and_what_was_said_meanwhile_is_obeyed(tmp_path, number):
    async with stage(tmp_path, ask()) as (made, talk):
        found = await talk.waiting()
        await made.end(made.controllers[-1], number)
        await made.serve(mode=ask("20m"))
        again = await talk.waiting()
        assert (again["id"], again["wait_until"], again["steps"]) == (
            found["id"],
            found["wait_until"],
            found["steps"],
        )
        assert (await talk.post(f"/rollback/{found['id']}/approve"))[0] == 200
        await closed(made, "recovered")


async def test_a_reload_keeps_a_wait_and_its_plan_and_judges_by_the_new_policy(tmp_path):
    async with stage(tmp_path, ask()) as (made, talk):
        found = await talk.waiting()
        file = made.newest_configuration()
        file.write_text(file.read_text().replace("mode: ask", "mode: observe").replace("name: tell", "name: say"))
        made.controllers[-1].send_signal(signal.SIGHUP)

        async def observes():
            return (await talk.get("/rollback/status"))["targets"][0]["mode"] == "observe"

        await made.until(observes, what="the reload")
        again = await talk.waiting()
        assert (again["id"], again["steps"]) == (found["id"], found["steps"])
        assert (await talk.post(f"/rollback/{found['id']}/approve"))[0] == 200
        await closed(made, "not_needed")
        assert nothing_was_begun(made)


@pytest.mark.parametrize("when", [pytest.param("before", marks=pytest.mark.soak), "after"])
async def test_a_crash_at_the_end_of_a_wait_neither_loses_nor_doubles_the_rollback(tmp_path, when):
    async with world(tmp_path / "world") as made:
        first = await made.serve_deadly(when, "wait_ended", None, mode=act(SHORT))
        await in_time(first.wait(), 30)
        assert nothing_was_begun(made)
        await made.serve(mode=act(SHORT))
        await closed(made, "recovered")
        assert [each["version"] for each in made.effects() if each["what"] == "changed" and "version" in each] == [
            "v1"
        ]


async def test_a_wall_clock_that_jumps_does_not_shorten_a_countdown(tmp_path):
    clock = Clock(tmp_path / "clock")
    async with stage(tmp_path, act(LONG), env=clock.environment) as (made, talk):
        found = await talk.waiting()
        clock.jump("+1h")

        async def jumped():
            return (await talk.get("/rollback/status"))["at"] > found["wait_until"]

        await made.until(jumped, what="the jump is seen")
        polls = made.polls
        # at most three readings a second: of the poll, the intake, and the wait, which is looked at every second
        await made.until(lambda: made.polls >= polls + 9, what="it is judged meanwhile")
        assert (await talk.waiting())["id"] == found["id"]
        assert (await talk.post(f"/rollback/{found['id']}/veto"))[0] == 200
        await closed(made, "vetoed")
        assert nothing_was_begun(made)
