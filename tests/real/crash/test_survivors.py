"""Commands that outlive a killed controller: the next one never acts beside them."""

import asyncio
import fcntl
import os
import signal
import subprocess
import time
from contextlib import suppress

import orjson
import psutil
import pytest

from real.controller.journal_kit import child
from real.crash.checks import check
from real.crash.world import world
from rearguard_controller.adapters.actions import ActionContext, Actions, Survivors, state_folder
from rearguard_controller.adapters.actions.survivors import _world
from rearguard_controller.errors import ConfigError
from rearguard_controller.model import CommandAction

CONTEXT = ActionContext("checkout", "v2", "v1", "r1", "drain")
# Runs one command as the controller does; to be killed.
CONTROLLER = """
import asyncio, sys
from pathlib import Path
from rearguard_controller.adapters.actions import ActionContext, Actions, Survivors
from rearguard_controller.model import CommandAction
context = ActionContext("checkout", "v2", "v1", "r1", "drain")
action = CommandAction(tuple(sys.argv[3:]), float(sys.argv[2]), sys.argv[1])
asyncio.run(Actions(Survivors(Path(sys.argv[1]))).run(action, context))
"""


async def killed_during(it, name):
    first = await it.serve()
    await it.until(lambda: it.began(name), every=0.005, what=f"{name} begins")
    await it.end(first, signal.SIGKILL)


async def finished(it, **expected):
    controller = await it.serve()
    await it.close_of_rollback()
    assert await it.end(controller, signal.SIGTERM) == 0
    return await check(it, **expected)


async def a_hook(folder):
    async with world(folder, slow={"drain": 1.5}) as it:
        await killed_during(it, "drain")
        await finished(it, interrupted=(1,))
        assert order(it)[:3] == [("began", "drain"), ("ended", "drain"), ("began", "restore")]


async def a_rollback_command(folder):
    """It must not run twice: acting beside it, or after a look that came too early, would make it."""
    async with world(folder, slow={"activate": 1.5}) as it:
        await killed_during(it, "activate")
        await finished(it)
        assert it.began("activate") == 1


async def a_hook_that_stops_the_attempt(folder):
    async with world(folder, slow={"announce": 1.5}) as it:
        await killed_during(it, "announce")
        await finished(it, interrupted=(1,))
        assert order(it).index(("ended", "announce")) < order(it).index(("began", "restore"))


async def one_whose_time_is_up(folder):
    """It is ended, and the rollback goes on."""
    async with world(folder, slow={"activate": 60}, limit="6s") as it:
        await killed_during(it, "activate")
        (it.folder / "knobs" / "slow.activate").unlink()
        await finished(it)
        assert it.began("activate") == 2
        assert "survivor_ended" in it.logs()


def order(it):
    return [(each["what"], each.get("name")) for each in it.effects()]


async def test_nothing_is_done_beside_a_command_that_outlived_its_controller(tmp_path):
    """Each in a world of its own, side by side."""
    cases = (a_hook, a_rollback_command, a_hook_that_stops_the_attempt, one_whose_time_is_up)
    await asyncio.gather(*(case(tmp_path / case.__name__) for case in cases))


# --- the lock itself ----------------------------------------------------------------------------------------


@pytest.fixture
async def actions(tmp_path):
    edge = Actions(Survivors(tmp_path))
    yield edge
    await edge.close()


def shell(tmp_path, text, limit=20.0):
    return CommandAction(("sh", "-c", text), limit, str(tmp_path))


async def until(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


def end(pid):
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def sleeping(**more):
    return subprocess.Popen(["sleep", "60"], start_new_session=True, **more)


def runs(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_what_a_command_leaves_behind_holds_nobody_up(actions, tmp_path):
    left = await actions.run(shell(tmp_path, "sleep 60 >/dev/null 2>&1 & echo $!"), CONTEXT)
    pid = int(left.output)
    try:
        began = time.monotonic()
        assert (await actions.run(shell(tmp_path, "true"), CONTEXT)).ok
        assert time.monotonic() - began < 5
        assert runs(pid)
    finally:
        end(pid)


async def test_what_a_command_of_a_killed_controller_left_behind_is_not_ended(actions, tmp_path):
    """The service that a deploy command started goes on; the command itself is waited for."""
    pids = tmp_path / "pids"
    text = f"sleep 60 >/dev/null 2>&1 & echo $! > {pids}; sleep 1; touch {tmp_path}/ended"
    with child(CONTROLLER, tmp_path, 20, "sh", "-c", text) as first:
        await until(lambda: pids.exists() and pids.read_text().strip())
        first.kill()
        first.wait()
    pid = int(pids.read_text())
    try:
        assert (await actions.run(shell(tmp_path, f"test -e {tmp_path}/ended"), CONTEXT)).ok
        assert runs(pid)
    finally:
        end(pid)


async def test_a_survivor_whose_time_is_up_is_ended_with_what_left_its_group(actions, tmp_path):
    pids = tmp_path / "pids"
    text = f"setsid sh -c 'echo $$ > {pids}; exec sleep 60' >/dev/null 2>&1 & sleep 60"
    with child(CONTROLLER, tmp_path, 3, "sh", "-c", text) as first:
        await until(lambda: pids.exists() and pids.read_text().strip())
        first.kill()
        first.wait()
    pid = int(pids.read_text())
    try:
        assert (await actions.run(shell(tmp_path, "true"), CONTEXT)).ok
        with suppress(psutil.NoSuchProcess):  # else somebody has yet to reap it
            assert psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    finally:
        end(pid)


async def test_a_request_waits_for_a_surviving_command_too(actions, tmp_path):
    with child(
        CONTROLLER, tmp_path, 20, "sh", "-c", f"touch {tmp_path}/began; sleep 1; touch {tmp_path}/ended"
    ) as first:
        await until((tmp_path / "began").exists)
        first.kill()
        first.wait()
    await actions.settle("checkout", 20)
    assert (tmp_path / "ended").exists()


async def test_a_holder_that_nobody_could_name_is_ended_after_the_limit(actions, tmp_path):
    """Its controller was killed between starting it and writing down which process it is."""
    descriptor = os.open(tmp_path / "checkout.lock", os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    starting = {"world": _world(), "controller": 0, "pid": None, "began": 0, "until": time.monotonic() + 60}
    os.pwrite(descriptor, orjson.dumps(starting).ljust(512), 0)
    holder = sleeping(pass_fds=(descriptor,))
    os.close(descriptor)
    try:
        began = time.monotonic()
        assert (await actions.run(shell(tmp_path, "true", limit=1.0), CONTEXT)).ok
        assert 1 <= time.monotonic() - began < 10
        assert holder.wait(10) == -signal.SIGTERM
    finally:
        holder.kill()
        holder.wait()


async def test_a_process_that_got_the_number_of_an_ended_command_is_left_alone(actions, tmp_path):
    other = sleeping()
    try:
        record = {"world": _world(), "controller": 0, "pid": other.pid, "began": 1, "until": 0.0}
        (tmp_path / "checkout.lock").write_bytes(orjson.dumps(record).ljust(512))
        assert (await actions.run(shell(tmp_path, "true"), CONTEXT)).ok
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


async def test_without_a_place_for_locks_commands_run_all_the_same(tmp_path):
    edge = Actions(Survivors(tmp_path / "gone"))
    assert (await edge.run(shell(tmp_path, "true"), CONTEXT)).ok


def test_a_folder_where_others_may_write_is_refused(tmp_path):
    journal = tmp_path / "journal.db"
    (tmp_path / "journal.db.commands").mkdir()
    (tmp_path / "journal.db.commands").chmod(0o777)
    with pytest.raises(ConfigError, match="others may write"):
        state_folder(str(journal))


def test_replicas_on_one_host_share_their_locks_whatever_user_they_name(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    folder = state_folder("postgresql://ann@127.0.0.1:5432/rearguard")
    assert folder == state_folder("postgresql://bob@127.0.0.1:5432/rearguard?passfile=x")
    assert folder != state_folder("postgresql://ann@127.0.0.1:5432/other")
    assert folder.is_relative_to(tmp_path)
    assert folder.stat().st_mode & 0o777 == 0o700
