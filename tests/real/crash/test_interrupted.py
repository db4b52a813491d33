"""A controller that is stopped again and again before the change: how often it tries anew, and what is told."""

import signal

import aiohttp

from real.crash.checks import check
from real.crash.test_crash_points import ANNOUNCE
from real.crash.test_waiting import Talk
from real.crash.world import world
from rearguard_controller.model import Outcome


async def crash_in_announce(it):
    controller = await it.serve_deadly("after", "step_started", ANNOUNCE)
    assert await it.until(lambda: controller.returncode, every=0.05, what="it is killed") == -signal.SIGKILL


async def exposition(talk, session):
    async with session.get(f"{talk.url}/metrics") as response:
        return await response.text()


async def test_the_third_crash_ends_the_attempts_and_says_so_until_a_person_arms_the_target(tmp_path, server):
    """The target is left as it was, armed; status, metric and decision say plainly what does not happen."""
    async with world(tmp_path / "world", server) as made, aiohttp.ClientSession(trust_env=False) as session:
        talk = Talk(made, session)
        for _ in range(3):
            await crash_in_announce(made)
        await made.serve()
        await made.until(made.outcome, every=0.1, what="the third attempt closes")

        async def target():
            try:
                return (await talk.get("/rollback/status"))["targets"][0]
            except aiohttp.ClientConnectionError:
                return {}

        async def is_left():
            decisions = (await talk.get("/decisions?verdict=leave&limit=1"))["decisions"]
            blocking = [each["code"] for each in decisions[0]["reasons"] if each["blocks"]] if decisions else []
            return blocking == ["not_already_handled"]

        await made.until(is_left, every=0.1, what="it is judged again, and left")
        found = await made.until(target, every=0.1, what="it answers")
        assert (found["given_up"], found["armed"], found["serving_version"]) == (True, True, "v2")
        said = await talk.run("status")
        assert "checkout is left on v2: stops of the controller interrupted every automatic rollback" in said
        assert 'rearguard_target_given_up{target="checkout"} 1.0' in await exposition(talk, session)
        assert not (made.folder / "drained").exists()
        await talk.run("arm", "checkout", "--reason", "the kernel's memory limit was too low")

        async def has_recovered():
            return (await made.store.rows("select outcome from rollbacks order by seq desc"))[0][0] == "recovered"

        await made.until(has_recovered, every=0.1, what="one more attempt")
        assert not (await target())["given_up"]
        assert await made.end(made.controllers[-1], signal.SIGTERM) == 0
        await check(made, outcomes={Outcome.RECOVERED}, interrupted=(3,))


async def test_a_rollback_by_hand_that_a_crash_cut_off_says_so_and_is_not_begun_again(tmp_path):
    async with (
        world(tmp_path / "world", slow={"announce": 2}) as made,
        aiohttp.ClientSession(trust_env=False) as session,
    ):
        talk = Talk(made, session)
        first = await made.serve(mode="observe")

        async def is_asked():
            try:
                return (await talk.post("/rollback/trigger", target="checkout"))[0] == 202
            except aiohttp.ClientConnectionError:
                return False

        await made.until(is_asked, every=0.1, what="it takes the request")
        await made.until(lambda: made.began("announce"), what="announce begins")
        await made.end(first)
        await made.serve(mode="observe")

        async def outcomes():
            return await made.store.rows("select outcome from rollbacks where phase = 'closed'")

        assert await made.until(outcomes, every=0.1, what="it closes") == [("interrupted",)]
        polls = made.polls
        await made.until(lambda: made.polls >= polls + 3, what="more polls")
        (rollback,) = (await talk.get("/rollback/history"))["rollbacks"]
        assert rollback["detail"].endswith("It is not tried again by itself: ask for it again.")
        assert "interrupted" in await talk.run("show", rollback["id"])
        assert (await talk.get("/rollback/status"))["targets"][0]["armed"]
        assert made.version == "v2"
        assert not (made.folder / "drained").exists()
