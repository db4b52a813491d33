"""`rearguard watch` in a process of its own, against a served controller with real commands and a real journal."""

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from dataclasses import replace

from real.controller.served import BASE, NOWHERE, serving
from rearguard_controller.errors import LeaseLostError


async def begun(service, *words, url=None):
    token = service.folder / "viewer"
    environment = {**os.environ, "REARGUARD_URL": url or service.url, "REARGUARD_TOKEN_FILE": str(token)}
    command = [sys.executable, "-m", "rearguard_controller", "watch", *words]
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(*command, env=environment, stdout=pipe, stderr=pipe)


async def ended(process):
    async with asyncio.timeout(20):
        output, progress = await process.communicate()
    assert b"Traceback" not in progress
    assert b"\x1b" not in progress  # no terminal, no live line
    return process.returncode, output.decode(), progress.decode()


async def told(process, text):
    """Read its progress until it says this."""
    async with asyncio.timeout(10):
        while text not in (await process.stderr.readline()).decode():
            pass


async def deployed(service, version, **fields):
    """A version serves, and the journal remembers this of it."""
    (service.folder / "current").write_text(f"{version}\n")
    parts = service.controller.parts
    async with asyncio.timeout(10):
        while True:
            with contextlib.suppress(LeaseLostError):  # until it leads
                await parts.watcher._releases.look(parts.configuration.targets[0])
                break
            await asyncio.sleep(0.02)
    return await service.controller.journal.change_target("checkout", lambda state: replace(state, **fields))


async def test_a_version_that_was_seen_to_serve_well_is_good_and_one_that_nobody_sees_is_unknown(tmp_path):
    async with serving(tmp_path) as service:
        now = time.time()
        await deployed(service, "v2", clean_since=None)
        blind = await begun(service, "checkout", "--version", "v2", "--for", "500ms", "--json")
        never = await begun(service, "checkout", "--version", "v9", "--start-within", "500ms")
        away = await begun(service, "checkout", "--version", "v2", "--start-within", "500ms", url=NOWHERE)
        nobody = await begun(service, "nobody", "--version", "v2")
        code, output, _ = await ended(blind)
        assert (code, json.loads(output)["result"]) == (4, "timed_out")
        code, output, _ = await ended(never)
        assert code == 4
        assert "v9 was not seen to serve" in output
        assert (await ended(away))[0] == 4
        code, _, progress = await ended(nobody)
        assert code == 1
        assert "No target is called 'nobody'" in progress
        await deployed(service, "v2", clean_since=now - 700, clean_checked_at=time.time())
        code, output, _ = await ended(await begun(service, "checkout", "--version", "v2", "--for", "10m", "--json"))
        answer = json.loads(output)
        assert (code, answer["result"], answer["exit_code"], answer["version"]) == (0, "good", 0, "v2")
        status, remembered = await service.get(f"{BASE}/targets/checkout/releases", params={"version": "v2"})
        assert status == 200
        assert [(each["version"], each["serving"]) for each in remembered["releases"]] == [("v2", True)]


async def test_a_rollback_by_hand_ends_the_watch_with_its_outcome_and_a_newer_version_ends_it_as_unknown(tmp_path):
    async with serving(tmp_path) as service:
        await deployed(service, "v1")
        await service.post(f"{BASE}/targets/checkout/releases", {"version": "v1", "good": True})
        await deployed(service, "v2")
        first = await begun(service, "checkout", "--version", "v2", "--for", "5s", "--json")
        await told(first, "v2 serves")
        _, opened = await service.post(f"{BASE}/rollback/trigger", {"target": "checkout", "reason": "slow"})
        code, output, _ = await ended(first)
        answer = json.loads(output)
        assert (code, answer["result"], answer["rollback_id"]) == (3, "rolled_back", opened["rollback_id"])
        assert "completed" in answer["detail"]
        await deployed(service, "v3")
        second = await begun(service, "checkout", "--version", "v3", "--for", "5s")
        await told(second, "v3 serves")
        await deployed(service, "v4")
        code, output, _ = await ended(second)
        assert code == 4
        assert "v4 serves now" in output


async def test_a_watch_says_what_it_waits_for(tmp_path):
    async with serving(tmp_path) as service:
        await deployed(service, "v2")
        process = await begun(service, "checkout", "--version", "v9", "--start-within", "10m")
        await told(process, "waiting for v9")
        process.send_signal(signal.SIGINT)
        assert (await ended(process))[0] == 130


async def test_an_interrupted_watch_ends_without_a_traceback(tmp_path):
    async with serving(tmp_path) as service:
        await deployed(service, "v2")
        process = await begun(service, "checkout", "--version", "v2")
        await told(process, "v2 serves")
        process.send_signal(signal.SIGINT)
        assert (await ended(process))[0] == 130
