"""Notices of a rollback that an alert opened, across a controller that is killed in the middle of it."""

from real.controller.journal_kit import Store
from real.controller.receivers import receiving
from real.crash.world import World


async def test_each_attempt_of_a_rollback_that_outlives_its_controller_is_told_of_once(tmp_path):
    world = World(tmp_path, Store(str(tmp_path / "journal.db")))
    async with world.running(), receiving() as receiver:
        await world.prepare()
        world.more = f"notify: [{{url: '{receiver.url}'}}]\n"

        def told():
            return [body for body in receiver.posted if "rollback" in body]

        async def kill():
            world.at_request.clear()
            await world.until(lambda: len(told()) >= 2, what="the first two notices")
            first.kill()

        world.at_request["pause"] = kill
        first = await world.serve()
        await world.until(lambda: first.returncode is not None, what="the first one is killed")
        await world.serve()
        await world.until(world.outcome, every=0.1, what="the rollback closes")
        await world.until(lambda: len(told()) >= 6, what="the end is told")
        bodies = told()
    assert [body["event"] for body in bodies] == ["decided", "started", "finished"] * 2
    assert {(body["alert"]["name"], body["rollback"]["trigger"]) for body in bodies} == {
        ("ReleaseErrorRate", "alert")
    }
    assert bodies[0]["decision"]["verdict"] == "roll_back"
    assert bodies[0]["text"].startswith("checkout is rolled back from v2 to v1 because of ReleaseErrorRate: ")
    assert bodies[2]["rollback"]["outcome"] == "interrupted"
    assert bodies[2]["text"].endswith("and what was begun is undone. If the alert still holds, it is judged anew.")
    assert bodies[5]["rollback"]["outcome"] == await world.outcome() == "recovered"
