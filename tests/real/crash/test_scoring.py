"""The running score of mode `observe`, of a controller that users start, through a restart."""

import contextlib
import signal

import aiohttp

from real.crash.test_waiting import nothing_was_begun, stage


async def test_what_was_only_observed_is_scored_against_what_people_do_by_hand_through_a_restart(tmp_path, server):
    async with stage(tmp_path, "observe", server=server) as (made, talk):

        async def score():
            with contextlib.suppress(aiohttp.ClientConnectionError):
                return (await talk.get("/rollback/status"))["targets"][0]["score"]
            return {}

        async def is_said():
            return (await score()).get("open")

        async def is_counted():
            return (await score()).get("agreed")

        await made.until(is_said, every=0.05, what="it says that it would roll back")
        await made.end(made.controllers[-1], signal.SIGTERM)  # the lease passes at once
        (made.folder / "current").write_text("v1\n")  # by hand, while it is down
        await made.serve(mode="observe")
        await made.until(is_counted, every=0.05, what="people went back")
        found = await score()
        assert (found["agreed"], found["only_we"], found["only_people"], found["open"]) == (1, 0, 0, False)
        assert found["lead_s"] > 0
        assert "would have been rolled back once: people did the same once" in await talk.run("status")
        assert nothing_was_begun(made)
