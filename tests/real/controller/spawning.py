"""Commands that tests of the actions run, and what is left of the processes that they started."""

import asyncio
import sys
import time
from pathlib import Path

from rearguard_controller.adapters.actions import ActionContext
from rearguard_controller.model import CommandAction

PYTHON = sys.executable
DEADLINE = 10.0


def pids_in(file: Path) -> list[int]:
    return [int(word) for word in file.read_text().split()]


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


async def until(condition) -> None:
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        await asyncio.sleep(0.02)


def command(tmp_path, *argv, timeout=DEADLINE, **more) -> CommandAction:
    return CommandAction(argv=argv, timeout=timeout, cwd=str(tmp_path), **more)


def script(tmp_path, text, *arguments, **more) -> CommandAction:
    return command(tmp_path, PYTHON, "-c", text, *arguments, **more)


def context(**more) -> ActionContext:
    given = {"target": "checkout", "from_version": "v2", "to_version": "v1", "rollback_id": "r-1", "step": "drain"}
    return ActionContext(**{**given, **more})
