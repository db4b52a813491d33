"""What a controller does when it begins to lead, and what it shows when it leads no more."""

import asyncio
import time

from real.controller.served import BASE, serving
from rearguard_controller.model import OperatorAction


async def until(condition, *, what, within=10.0):
    deadline = time.monotonic() + within
    while not await condition():
        assert time.monotonic() < deadline, f"not within {within:g} s: {what}"
        await asyncio.sleep(0.02)


async def test_what_is_past_the_retention_goes_soon_after_a_term_begins_and_what_is_young_stays(tmp_path):
    async with serving(tmp_path) as service:
        journal = service.controller.journal
        for at, reason in ((time.time() - 401 * 86_400, "old"), (time.time() - 399 * 86_400, "young")):
            done = OperatorAction(at, "ann", "arm", "checkout", reason)
            await journal.change_target("checkout", lambda state: state, action=done)

        async def only_the_young_is_left():
            return [each.reason for each in await journal.operator_actions()] == ["young"]

        await until(only_the_young_is_left, what="the old record is gone")


async def test_who_leads_no_more_shows_no_rollback_in_progress(tmp_path):
    async with serving(tmp_path) as service:
        shown = service.controller._telemetry.registry

        async def in_progress(value):
            return shown.get_sample_value("rearguard_rollback_in_progress", {"target": "checkout"}) == value

        (tmp_path / "hold").touch()
        asked = {"target": "checkout", "reason": "slow", "to_version": "v1", "force": True}
        assert (await service.post(f"{BASE}/rollback/trigger", asked))[0] == 202
        await until(lambda: in_progress(1), what="the leader carries it out")
    (tmp_path / "hold").unlink()
    assert await in_progress(0)


async def test_a_target_that_a_reload_takes_out_is_measured_no_more(tmp_path):
    async with serving(tmp_path) as service:
        file = tmp_path / "rearguard.yaml"
        before, _, _ = file.read_text().partition("  - name: search")
        file.write_text(before)
        assert (await service.post("/-/reload", None))[0] == 200
        shown = {
            sample.labels["target"]
            for family in service.controller._telemetry.registry.collect()
            for sample in family.samples
            if "target" in sample.labels
        }
        assert shown == {"checkout"}
