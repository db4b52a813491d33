"""The controller has no descriptors or processes left: nothing has happened yet, so it is tried again, and told."""

import asyncio
import contextlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

import pytest
from aiohttp import web

from deadline import in_time
from rearguard_controller.adapters.actions import ActionContext, Actions, Shortages, Survivors
from rearguard_controller.adapters.actions import process_groups as groups
from rearguard_controller.errors import ShortageError
from rearguard_controller.model import CommandAction, HttpAction

CONTEXT = ActionContext("checkout", "v2", "v1", "r1", "drain")
SOMEBODY = 54_321 + os.getpid()  # whose processes are all of one test


@contextlib.contextmanager
def no_descriptor_left():
    """As under a flood of connections: every descriptor that the process may have is open. Yields what ends it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(int(each.name) for each in Path("/proc/self/fd").iterdir())
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 8, hard))
    held = []

    def free():
        while held:
            os.close(held.pop())

    try:
        with contextlib.suppress(OSError):
            while True:
                held.append(os.dup(0))
        yield free
    finally:
        free()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture
async def noted():
    return []


@pytest.fixture
async def actions(noted, tmp_path):
    edge = Actions(Survivors(tmp_path), Shortages(noted.append))
    yield edge
    await edge.close()


async def freed_while(doing, free):
    """The result of something that is under way while descriptors come back."""
    task = asyncio.ensure_future(doing)
    await asyncio.sleep(0.3)
    assert not task.done()
    free()
    return await task


async def test_a_command_that_finds_no_descriptor_is_started_once_there_is_one(actions, tmp_path):
    action = CommandAction(("sh", "-c", "echo ran >> ran"), 10.0, str(tmp_path))
    with no_descriptor_left() as free:
        result = await freed_while(actions.run(action, CONTEXT), free)
    assert (result.ok, result.never_began) == (True, False)
    assert (tmp_path / "ran").read_text() == "ran\n"


async def test_a_command_that_finds_none_within_its_limit_never_began_and_says_so(noted, tmp_path):
    actions = Actions(shortages=Shortages(noted.append))
    action = CommandAction(("sh", "-c", "touch ran"), 1.0, str(tmp_path))
    with no_descriptor_left():
        result = await actions.run(action, CONTEXT)
    assert (result.ok, result.never_began, result.timed_out) == (False, True, False)
    assert result.detail == "sh could not begin: the controller has no file descriptors left; nothing was done"
    assert not (tmp_path / "ran").exists()
    assert set(noted) == {"file descriptors"}
    assert len(noted) >= 3


@pytest.mark.parametrize("program", ["no-such-program", "/etc/passwd"])
async def test_a_program_that_is_not_there_or_not_executable_fails_at_once(actions, noted, program):
    result = await in_time(actions.run(CommandAction((program,), 30.0, "/"), CONTEXT), 15)
    assert (result.ok, result.never_began, noted) == (False, False, [])


async def test_a_reading_that_finds_no_descriptor_is_unknown_and_not_a_failed_command(actions, tmp_path):
    current = CommandAction(("echo", "v1"), 2.0, str(tmp_path))
    with no_descriptor_left():
        with pytest.raises(ShortageError):
            await actions.read_version(current, CONTEXT)
        with pytest.raises(ShortageError):
            await actions.read_versions(current, CONTEXT)
    assert await actions.read_version(current, CONTEXT) == "v1"


@contextlib.asynccontextmanager
async def server():
    """A server in another process, so that its descriptors are its own; yields its address and the requests' file."""
    seen = []

    async def answer(request):
        seen.append(request.path)
        return web.Response(text="ok")

    application = web.Application()
    application.router.add_route("*", "/{name:.*}", answer)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}", seen
    finally:
        await runner.cleanup()


async def test_a_request_that_finds_no_descriptor_is_sent_once_there_is_one(actions, noted):
    async with server() as (url, seen):
        with no_descriptor_left() as free:
            result = await freed_while(actions.look(HttpAction("POST", f"{url}/drain", 10.0), CONTEXT), free)
        assert (result.ok, seen) == (True, ["/drain"])
    assert set(noted) == {"file descriptors"}


async def test_a_request_whose_headers_cannot_be_read_for_want_of_one_is_sent_later(actions, tmp_path):
    file = tmp_path / "headers"
    file.write_text("X-Key: secret\n")
    async with server() as (url, seen):
        with no_descriptor_left() as free:
            action = HttpAction("POST", f"{url}/drain", 10.0, headers_file=str(file))
            result = await freed_while(actions.look(action, CONTEXT), free)
        assert (result.ok, seen) == (True, ["/drain"])


async def test_a_request_that_finds_none_within_its_limit_was_never_sent(actions, noted):
    async with server() as (url, seen):
        with no_descriptor_left():
            result = await actions.look(HttpAction("POST", f"{url}/drain", 1.0), CONTEXT)
        assert (result.ok, result.never_began, seen) == (False, True, [])
    assert "nothing was done" in result.detail


async def test_a_refused_connection_fails_at_once(actions, noted):
    async with server() as (url, _):
        pass
    result = await in_time(actions.look(HttpAction("POST", url, 30.0), CONTEXT), 15)
    assert (result.ok, result.never_began, noted) == (False, False, [])


def test_a_process_that_cannot_be_looked_at_for_want_of_a_descriptor_counts_as_alive():
    """Else a command that still runs would not be ended, and another would act beside it."""
    child = subprocess.Popen(["sleep", "60"], start_new_session=True)  # along the PATH
    try:
        with no_descriptor_left():
            assert groups.began(child.pid) == 0
            assert groups._runs(child.pid)  # what `end` waits for
    finally:
        child.kill()
        child.wait()


FEW_PROCESSES = textwrap.dedent(
    """
    import asyncio, json, os, resource, sys
    from rearguard_controller.adapters.actions import ActionContext, Actions, Shortages
    from rearguard_controller.model import CommandAction

    async def main():
        noted = []
        os.setgid(int(sys.argv[1]))
        os.setuid(int(sys.argv[1]))  # somebody whom the limit binds
        actions = Actions(shortages=Shortages(noted.append))
        await actions.run(CommandAction(("true",), 20.0, "/"), ActionContext("checkout"))
        action = CommandAction(("sh", "-c", f"echo begun >> {sys.argv[2]}"), 20.0, "/")
        hard = resource.getrlimit(resource.RLIMIT_NPROC)[1]
        threads = len(os.listdir("/proc/self/task"))
        resource.setrlimit(resource.RLIMIT_NPROC, (threads + int(sys.argv[3]), hard))
        running = asyncio.ensure_future(actions.run(action, ActionContext("checkout")))
        await asyncio.sleep(0.5)
        waits = not running.done()
        resource.setrlimit(resource.RLIMIT_NPROC, (hard, hard))
        result = await running
        print(json.dumps([waits, result.ok, sorted(set(noted))]))

    asyncio.run(main())
    """
)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become somebody who has few processes")
@pytest.mark.parametrize("room", [0, 1, 2])
def test_a_command_that_finds_no_process_left_is_started_once_as_soon_as_there_is_one(room):
    """RLIMIT_NPROC, which does not bind root; it also counts threads."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o777)
        begun = Path(folder) / "begun"
        words = [sys.executable, "-c", FEW_PROCESSES, str(SOMEBODY), str(begun), str(room)]
        done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        waits, ok, noted = json.loads(done.stdout.splitlines()[-1])
        assert waits is (room == 0)
        assert (ok, noted) == (True, ["processes"] if waits else [])
        assert begun.read_text() == "begun\n"


CONFIGURATION = """
environment: production
journal: sqlite://{folder}/journal.db
listen: 127.0.0.1:0
prometheus: {{url: "http://127.0.0.1:9"}}
targets:
  - {{name: a, match: {{job: a}}, release: {{command: {{current: [cat, v], rollback: ["true", "{{to_version}}"]}}}}}}
"""


def test_a_controller_that_could_never_answer_for_want_of_descriptors_does_not_start(tmp_path):
    (tmp_path / "rearguard.yaml").write_text(CONFIGURATION.format(folder=tmp_path))
    words = ["-m", "rearguard_controller", "serve", "--insecure", "--config", str(tmp_path / "rearguard.yaml")]
    done = subprocess.run(
        ["prlimit", "--nofile=20:20", sys.executable, *words], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 1
    assert "may open only 20 files" in done.stderr
    assert "ulimit -n" in done.stderr
    assert "Traceback" not in done.stderr
