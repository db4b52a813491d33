"""Back-tests that people ask for on the page: each runs in a process of its own, so that nothing here waits for it.

Here: one back-test at a time, its process, its end, and the last report. Never here: judging, or what a report
looks like; the process is `rearguard backtest`, as people run it themselves.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import structlog

from rearguard_controller.errors import ConflictError

log = structlog.get_logger(__name__)

LONGEST = 600.0  # seconds
MOST_BYTES = 16 * 1024 * 1024  # of a report
MOST_SAID = 64 * 1024  # of its standard error
NICE = 15  # everything else in this container or on this machine comes first
FIRST_TO_GO = "1000"  # where memory is short: this process before all others


@dataclass(frozen=True, slots=True)
class PastJudged:
    """A back-test: who asked for which time, and what came of it. `problem`: why there is no report."""

    since: str
    operator: str
    began: float
    ended: float | None = None
    problem: str = ""
    report: bytes = b""


@dataclass(slots=True)
class Past:
    """Judges the past by the configuration in `path`."""

    path: Path
    clock: Callable[[], float]
    last: PastJudged | None = None
    _running: asyncio.Task[None] | None = None
    _words: tuple[str, ...] = field(default=(sys.executable, "-m", "rearguard_controller"))

    def judge(self, since: str, operator: str) -> None:
        """Begin a back-test from so long ago until now, such as 7d; `last` tells of it.

        Raises:
            ConflictError: another one runs.
        """
        if self._running is not None and not self._running.done():
            raise ConflictError("A back-test runs already.", hint="Wait for its end: ten minutes at most.")
        self.last = PastJudged(since, operator, self.clock())
        self._running = asyncio.create_task(self._judge(self.last))

    async def close(self) -> None:
        """End the one that runs."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)

    async def _judge(self, asked: PastJudged) -> None:
        try:
            async with asyncio.timeout(LONGEST):
                report, problem = await self._run(asked)
        except TimeoutError:
            report, problem = b"", "It took longer than ten minutes. Ask for a shorter time."
        except OSError as error:
            report, problem = b"", f"It could not be started: {error.strerror}."
        self.last = replace(asked, ended=self.clock(), report=report, problem=problem)
        log.info("past_judged", since=asked.since, operator=asked.operator, problem=problem)

    async def _run(self, asked: PastJudged) -> tuple[bytes, str]:
        """The report, or why there is none."""
        words = ("backtest", "--config", str(self.path.absolute()), "--since", asked.since, "--html", "-")
        process = await asyncio.create_subprocess_exec(
            *self._words,
            *words,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        try:
            _step_back(process.pid)
            assert process.stdout is not None  # noqa: S101  # both are pipes
            assert process.stderr is not None  # noqa: S101
            report, said = await asyncio.gather(
                _at_most(process.stdout, MOST_BYTES), _at_most(process.stderr, MOST_SAID)
            )
            code = await process.wait() if len(report) <= MOST_BYTES else None
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                await process.wait()
        if code == 0:
            return report, ""
        told = [line.strip() for line in said.decode("utf-8", "replace").splitlines() if line.strip()]
        shown = [line for line in told if line.startswith(("rearguard: ", "hint: ")) and "reading" not in line[:20]]
        problem = " ".join(line.removeprefix("rearguard: ").removeprefix("hint: ") for line in shown)
        return b"", problem or ("The report is too large." if code is None else f"It ended with status {code}.")


def _step_back(pid: int) -> None:
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, pid, NICE)
    with contextlib.suppress(OSError):
        Path(f"/proc/{pid}/oom_score_adj").write_text(FIRST_TO_GO, encoding="ascii")


async def _at_most(stream: asyncio.StreamReader, most: int) -> bytes:
    """What a stream holds; once it is more than `most` bytes, no more of it is read."""
    found = b""
    while len(found) <= most and (part := await stream.read(65536)):
        found += part
    return found
