"""A controller that is stopped leaves nothing behind: no work that goes on, and no process that never ends."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time

import pytest

from local_stack.process import free_ports
from real.controller.hosted import hosted
from real.controller.served import CONFIGURATION, NOWHERE, RELEASE

DEADLINE = 60.0


def of_many_targets():
    """The configuration with sixty targets: at any moment of a poll some are looked at."""
    head, _, targets = CONFIGURATION.replace("poll_interval: 1h", "poll_interval: 1s").partition("targets:\n")
    one = targets.partition("  - name: search")[0]
    return f"{head}targets:\n" + "".join(one.replace("checkout", f"shop-{number}") for number in range(60))


def others():
    """What goes on in this event loop beside the test."""
    return {task for task in asyncio.all_tasks() if task is not asyncio.current_task()}


@pytest.mark.parametrize("looked_at", [1, 5, 9, 13, 17, 25, 33, 41, 49, 57])
async def test_nothing_goes_on_after_a_stop_amid_a_poll(tmp_path, looked_at):
    """A look at a target begins a look at whether it is ready: one that began after the stop was ended by nobody."""
    before = others()
    async with hosted(tmp_path, text=of_many_targets()):
        seen = set()

        def so_many():
            seen.update(task.get_name() for task in others() if task.get_name().startswith("ready "))
            return len(seen) >= looked_at

        deadline = time.monotonic() + DEADLINE
        while not so_many():
            assert time.monotonic() < deadline, seen
            await asyncio.sleep(0)
    left = {task.get_name() for task in others() - before}
    assert not left


GIVEN_UP = """
import asyncio, sys
from real.controller.spawning import command, context
from rearguard_controller.adapters.actions import Actions

async def main():
    actions = Actions()
    reading = asyncio.create_task(actions.look(command(sys.argv[1], "sleep", "30", timeout=60.0), context()))
    for _ in range(int(sys.argv[2])):
        await asyncio.sleep(0)
    reading.cancel()
    await actions.close()

asyncio.run(main())
"""


@pytest.mark.parametrize("turns", range(8))
def test_an_event_loop_can_end_although_a_start_was_given_up(tmp_path, turns):
    """Asyncio, cancelled amid the start of a process, may wait for its end for ever."""
    paths = os.pathsep.join(path for path in sys.path if path)
    subprocess.run(
        [sys.executable, "-c", GIVEN_UP, str(tmp_path), str(turns)],
        env={**os.environ, "PYTHONPATH": paths}, check=True, timeout=20,
    )  # fmt: skip


@pytest.mark.parametrize("moment", [0.0, 0.1, 0.2, 0.4, 0.8])
def test_a_process_that_is_told_to_stop_amid_its_first_poll_ends(tmp_path, moment):
    for name, text in (("release", RELEASE), ("current", "v2\n"), ("sender", "send-1\n"), ("viewer", "dora:read-1\n"),
                       ("operator", "ann:act-1\n")):  # fmt: skip
        (tmp_path / name).write_text(text)
    (tmp_path / "release").chmod(0o755)
    port = free_ports(1)[0]
    text = of_many_targets().format(folder=tmp_path, prometheus=NOWHERE).replace(":9465", f":{port}")
    (tmp_path / "rearguard.yaml").write_text(text)
    log = tmp_path / "log"
    with log.open("w") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "rearguard_controller", "serve", "--config", "rearguard.yaml"],
            cwd=tmp_path, stdout=out, stderr=out,
        )  # fmt: skip
        try:
            deadline = time.monotonic() + DEADLINE
            while "version_changed" not in log.read_text():
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < deadline
                time.sleep(0.01)
            time.sleep(moment)
            process.send_signal(signal.SIGTERM)
            assert process.wait(DEADLINE) == 0, log.read_text()[-2000:]
        finally:
            process.kill()
            process.wait()
    assert "stopped" in log.read_text()
