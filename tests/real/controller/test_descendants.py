"""A command that is ended takes with it all that it started, also what left its process group."""

import asyncio
import os

import pytest

from real.controller.journal_kit import said
from real.controller.spawning import PYTHON, alive, context, pids_in, script, until
from rearguard_controller.adapters.actions import descendants

CHILD = (
    "import os, signal, sys, time; signal.signal(signal.SIGTERM, {0}); "
    "open(sys.argv[1], 'a').write(f'{{os.getpid()}} '); time.sleep(60)"
)
LEAVING = """
import os, signal, subprocess, sys, time
file, manner, until = sys.argv[1:4]
stubborn = "signal.SIG_IGN" if "stubborn" in manner else "signal.SIG_DFL"
child = [sys.executable, "-c", CHILD.format(stubborn), file]
more = {"start_new_session": True, "stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL}
if "bare" in manner:
    more["env"] = {}
for _ in range(2):
    if "twice" in manner:
        if os.fork() == 0:
            os.setsid()
            subprocess.Popen(child, **more)
            os._exit(0)
        os.wait()
    else:
        subprocess.Popen(child, **more)
while len(open(file).read().split()) < 2:
    time.sleep(0.02)
time.sleep(60 if until == "limit" else 0)
"""
LEAVING = LEAVING.replace("CHILD", repr(CHILD))
MANNERS = ["polite", "stubborn", "polite, forked twice", "stubborn, forked twice", "bare"]


@pytest.mark.parametrize("manner", MANNERS)
async def test_what_left_the_group_dies_at_the_time_limit_and_the_detail_says_so(actions, tmp_path, family, manner):
    result = await actions.run(script(tmp_path, LEAVING, str(family), manner, "limit", timeout=2.0), context())
    assert result.timed_out
    assert not any(alive(pid) for pid in pids_in(family))
    assert len(pids_in(family)) == 2
    assert result.detail == "timed out after 2s; its process group was ended, and 2 processes that had left it"


@pytest.mark.parametrize("manner", MANNERS[:4])
@pytest.mark.parametrize("times", [1, 2])
async def test_what_left_the_group_dies_when_the_command_is_cancelled(actions, tmp_path, family, manner, times):
    task = asyncio.ensure_future(actions.run(script(tmp_path, LEAVING, str(family), manner, "limit"), context()))
    await until(lambda: len(pids_in(family)) == 2)
    for _ in range(times):
        task.cancel()
        await asyncio.sleep(0)
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: not any(alive(pid) for pid in pids_in(family)))


@pytest.mark.parametrize("manner", MANNERS)
async def test_what_a_command_left_behind_lives_on_after_its_success(actions, tmp_path, family, manner):
    result = await actions.run(script(tmp_path, LEAVING, str(family), manner, "end"), context())
    assert result.ok
    other = await actions.run(script(tmp_path, "import time; time.sleep(9)", timeout=0.3), context())
    assert other.detail == "timed out after 300ms; its process group was ended"  # and nothing of the other one
    assert all(alive(pid) for pid in pids_in(family))


async def test_a_process_that_cannot_be_ended_is_named(actions, tmp_path, family, monkeypatch):
    kill = os.kill
    monkeypatch.setattr(os, "kill", lambda pid, number: None if pid in pids_in(family) else kill(pid, number))
    result = await actions.run(script(tmp_path, LEAVING, str(family), "polite", "limit", timeout=1.0), context())
    first, second = sorted(pids_in(family))
    assert result.detail.endswith(f"; still running, although killed: {first}, {second}")


async def test_a_survivor_whose_variable_only_proc_knows_is_ended_with_what_left_its_group(tmp_path, family):
    argv = [PYTHON, "-c", LEAVING, str(family), "polite, forked twice", "limit"]
    leader = await asyncio.create_subprocess_exec(*argv, start_new_session=True, env={descendants.RUN: "ab12"})
    await until(lambda: len(pids_in(family)) == 2)
    assert (await descendants.end(leader.pid)).outside == 2
    await leader.wait()
    assert not any(alive(pid) for pid in pids_in(family))


# --- in a process that adopts, as the controller does --------------------------------------------------------

ADOPTING = """
import asyncio, os, sys, time
from real.controller.spawning import alive, context, pids_in, script
from real.controller.test_descendants import LEAVING
from rearguard_controller.adapters.actions import Actions
from rearguard_controller.adapters.actions.descendants import REAP_EVERY, _children
from pathlib import Path

folder, file = Path(sys.argv[1]), Path(sys.argv[1]) / "pids"
file.touch()
actions = Actions()
actions.children.adopt()

"""
ENDS_BARE_DAEMONS = (
    ADOPTING
    + """
async def main():
    hook = script(folder, LEAVING, str(file), "bare, forked twice", "limit", timeout=2.0)
    result = await actions.run(hook, context())
    print(result.detail, any(alive(pid) for pid in pids_in(file)))
asyncio.run(main())
"""
)
REAPS = (
    ADOPTING
    + """
async def main():
    leave = "import subprocess; subprocess.Popen(['sleep', '0.2'], start_new_session=True)"
    hooks = [script(folder, leave + f"; exit({n % 5})") for n in range(12)]
    codes = await asyncio.gather(*(actions.run(hook, context()) for hook in hooks))
    print([each.detail for each in codes] == [f"exit code {n % 5}" for n in range(12)])
    deadline = time.monotonic() + 30
    while any(each.state == "Z" for each in _children()):
        assert time.monotonic() < deadline
        await actions.run(script(folder, "pass"), context())
    print("reaped")
asyncio.run(main())
"""
)


def test_an_adopted_daemon_that_took_off_every_sign_is_ended_too(tmp_path):
    expected = "timed out after 2s; its process group was ended, and 2 processes that had left it False\n"
    assert said(ENDS_BARE_DAEMONS, tmp_path) == expected


def test_adopted_processes_are_reaped_and_no_exit_code_is_lost(tmp_path):
    assert said(REAPS, tmp_path) == "True\nreaped\n"
