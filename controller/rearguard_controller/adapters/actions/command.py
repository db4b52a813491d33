"""Running a command: its own process group, a clean environment, a limit, and output that is kept but capped.

A command that ends by itself may leave processes behind (that is how some deploy commands work); one that times out
or is cancelled dies whole, with all that it started: see `descendants`.
Never here: shells, retries, or the meaning of an exit code beyond zero or not.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import structlog

from rearguard_controller.adapters.actions import descendants, descriptors, process_groups, shortage
from rearguard_controller.adapters.actions.context import ActionContext, ActionResult, Refused, check, fill_argument
from rearguard_controller.adapters.actions.descendants import RUN, Children, Ended
from rearguard_controller.adapters.actions.ends import notice_by_descriptors
from rearguard_controller.adapters.actions.redaction import Secrets
from rearguard_controller.adapters.actions.survivors import Lock
from rearguard_controller.model import CommandAction
from rearguard_controller.times import durations

log = structlog.get_logger(__name__)

OUTPUT_CAP = 64 * 1024  # bytes kept of an output: the first and the last half
_DRAIN_GRACE = 0.5  # seconds that output may still come after the command ended: processes left behind hold the pipe
_KEPT = ("PATH", "HOME", "LANG")


class CappedOutput:
    """The first and the last bytes of a stream, however long it is."""

    def __init__(self, cap: int = OUTPUT_CAP) -> None:
        self._half = cap // 2
        self._head = bytearray()
        self._tail = bytearray()
        self._left_out = 0

    def add(self, data: bytes) -> None:
        """Take more bytes in."""
        room = self._half - len(self._head)
        self._head += data[:room]
        self._tail += data[room:]
        surplus = len(self._tail) - self._half
        if surplus > 0:
            del self._tail[:surplus]
            self._left_out += surplus

    def text(self, secrets: Secrets) -> str:
        """What was kept, without secrets, and how many bytes are left out; undecodable bytes and NUL are replaced."""
        if not self._left_out:
            return secrets.hide(_decode(self._head + self._tail))
        head = secrets.hide(_decode(self._head), cut_after=True)
        tail = secrets.hide(_decode(self._tail), cut_before=True)
        return f"{head}\n[... {self._left_out} bytes left out ...]\n{tail}"


def _decode(data: bytes | bytearray) -> str:
    return data.decode("utf-8", errors="replace").replace("\x00", "\ufffd")


@dataclass(frozen=True, slots=True)
class Start:
    """How a command is started.

    Attributes:
        lock: the target's, which the command holds as long as it lives.
        patience: seconds for which a start that fails for want of a resource is tried again; None: the limit of the
            command.
        shortages: where such tries are noted.
        children: what runs beside it.
        run: what tells its processes from all others.
    """

    lock: Lock | None = None
    patience: float | None = None
    shortages: shortage.Shortages = field(default_factory=shortage.Shortages)
    children: Children = field(default_factory=Children)
    run: str = field(default_factory=lambda: secrets.token_hex(8))


class _Watch(asyncio.SubprocessProtocol):
    """Collects the output and notices the end. Reading never stops, so the child never blocks on a full pipe."""

    def __init__(self, reaped: Callable[[], None] = lambda: None) -> None:
        self._reaped = reaped
        self.out = CappedOutput()
        self.err = CappedOutput()
        self.exited = asyncio.Event()
        self.drained = asyncio.Event()
        self._open = {1, 2}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Note which pipes there are: none for the errors when they go with the output."""
        if isinstance(transport, asyncio.SubprocessTransport):
            descriptors.give_back(transport.get_pid())
        if isinstance(transport, asyncio.SubprocessTransport) and transport.get_pipe_transport(2) is None:
            self._open.discard(2)

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        """Keep what was printed."""
        (self.err if fd == 2 else self.out).add(data)  # noqa: PLR2004 - the number of standard error

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Notice the end of the output."""
        self._open.discard(fd)
        if not self._open:
            self.drained.set()

    def process_exited(self) -> None:
        """Notice the end of the command itself."""
        self.exited.set()
        self._reaped()


async def run(
    action: CommandAction, context: ActionContext, *, errors_apart: bool = False, start: Start | None = None
) -> ActionResult:
    """Run a command to its end, its limit, or the caller's cancellation (then it raises, with the group ended).

    A start that fails for want of a resource is tried again: it is no failure of the command.

    Args:
        action: what to run.
        context: for placeholders, environment and standard input.
        errors_apart: return standard output alone, unchanged; after a failure standard error, too.
        start: how it is started; by default without a lock, with tries as long as the command's limit.
    """
    started = time.monotonic()
    start = Start() if start is None else start
    lock = start.lock
    begun = await _begin(action, context, start, errors_apart=errors_apart)
    if isinstance(begun, ActionResult):
        return begun
    transport, watch = begun
    group = transport.get_pid()
    timed_out = False
    ended = Ended()
    if lock is not None:
        lock.started(group)
    try:
        timed_out = await _until_end(transport, watch, action.timeout, context.stdin)
        if timed_out:
            ended = await _end(group, watch, start)
        await _at_most(_DRAIN_GRACE, watch.drained)
    except asyncio.CancelledError:
        if timed_out or not _ended(group, watch):  # what a command left behind is not ours to end
            await _end_whatever_happens(group, watch, start)
        raise
    finally:
        code = transport.get_returncode()
        transport.close()
    ok = code == 0 and not timed_out
    hidden = Secrets() if ok and errors_apart else secrets_of(action)
    return ActionResult(
        ok=ok,
        output=watch.out.text(hidden) + (watch.err.text(hidden) if errors_apart and not ok else ""),
        detail=_sentence(code, action.timeout, timed_out=timed_out, ended=ended),
        seconds=time.monotonic() - started,
        timed_out=timed_out,
    )


async def _begin(
    action: CommandAction, context: ActionContext, start: Start, *, errors_apart: bool
) -> tuple[asyncio.SubprocessTransport, _Watch] | ActionResult:
    """The running command, or the result if it cannot be started."""
    began, program = time.monotonic(), action.argv[0]
    patience = shortage.Patience(action.timeout if start.patience is None else start.patience)
    resource, detail = "", ""
    while True:
        try:
            return await _start(action, context, start, errors_apart=errors_apart)
        except Refused as refused:
            detail = str(refused)
        except OSError as error:
            resource = shortage.missing(error)
            if resource:
                start.shortages.note(program, resource)
                pause = patience.pause()
                if pause is not None:
                    await asyncio.sleep(pause)
                    continue
                detail = shortage.sentence(program, resource)
            else:
                place = f" in {action.cwd}" if error.filename == action.cwd else ""
                detail = f"{program} could not be started{place} ({error.strerror or error})"
        except (ValueError, UnicodeError) as error:
            detail = (
                f"{program} could not be started, because its arguments or variables cannot be passed on ({error})"
            )
        seconds = time.monotonic() - began
        return ActionResult(ok=False, output="", detail=detail, seconds=seconds, never_began=bool(resource))


async def _start(
    action: CommandAction, context: ActionContext, start: Start, *, errors_apart: bool
) -> tuple[asyncio.SubprocessTransport, _Watch]:
    check(context)
    argv = [fill_argument(argument, context) for argument in action.argv]
    lock = start.lock
    if lock is not None:
        lock.starting()

    async def spawn() -> tuple[asyncio.SubprocessTransport, _Watch]:
        pid: int | None = None
        watch = _Watch(lambda: None if pid is None else start.children.ended(pid))
        start.children.starting()
        notice_by_descriptors()
        try:
            transport, _ = await asyncio.get_running_loop().subprocess_exec(
                lambda: watch,
                *argv,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE if errors_apart else asyncio.subprocess.STDOUT,
                cwd=action.cwd,
                env={**environment(action, context, os.environ), RUN: start.run},
                start_new_session=True,
                pass_fds=() if lock is None else (lock.descriptor,),
            )
            pid = transport.get_pid()
        finally:
            start.children.started(pid)
        if watch.exited.is_set():
            start.children.ended(pid)
        return transport, watch

    starting = start.children.begin(spawn())
    try:
        return await asyncio.shield(starting)
    except asyncio.CancelledError:
        await _until_done(starting)
        with suppress(OSError, ValueError):  # it never started: nothing to end
            transport, watch = starting.result()
            if not _ended(transport.get_pid(), watch):
                await _end_whatever_happens(transport.get_pid(), watch, start)
            transport.close()
        raise


async def _until_done(starting: asyncio.Future[Any]) -> None:
    """Wait for a start, which takes milliseconds, however often we are cancelled: asyncio never ends half of one."""
    while not starting.done():
        with suppress(asyncio.CancelledError):
            await asyncio.wait([starting])


def secrets_of(action: CommandAction) -> Secrets:
    """What must not get from a command into the journal: the values of the variables that are passed on to it."""
    return Secrets.of_variables(action.pass_env, os.environ)


def environment(action: CommandAction, context: ActionContext, own: Mapping[str, str]) -> dict[str, str]:
    """The variables of a command. Of the controller's own it gets `_KEPT` and those that `pass_env` names."""
    return {
        **{name: own[name] for name in (*_KEPT, *action.pass_env) if name in own},
        **action.env,
        "REARGUARD_TARGET": context.target,
        "REARGUARD_FROM_VERSION": context.from_version,
        "REARGUARD_TO_VERSION": context.to_version,
        "REARGUARD_ROLLBACK_ID": context.rollback_id,
        "REARGUARD_STEP": context.step,
        "REARGUARD_ATTEMPT": str(context.attempt),
    }


async def _until_end(transport: asyncio.SubprocessTransport, watch: _Watch, limit: float, stdin: bytes) -> bool:
    """Feed the command and wait for its end; True when the limit came first."""
    feed = transport.get_pipe_transport(0)
    if isinstance(feed, asyncio.WriteTransport):
        feed.write(stdin)  # buffered: a command that does not read it is not waited for
        feed.close()
    return not await _at_most(limit, watch.exited)


async def _at_most(seconds: float, event: asyncio.Event) -> bool:
    """Wait for an event; False when the time is up first."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
    return event.is_set()


def _ended(pid: int, watch: _Watch) -> bool:
    """Whether the command itself has ended, also when the loop has not noticed yet."""
    return watch.exited.is_set() or process_groups.began(pid) is None


async def _end_whatever_happens(leader: int, watch: _Watch, start: Start) -> None:
    """End the command although we are cancelled. If we are cancelled again meanwhile, kill it at once."""
    ending = asyncio.ensure_future(_end(leader, watch, start))
    try:
        await asyncio.shield(ending)
    except asyncio.CancelledError:
        ending.cancel()
        descendants.kill(leader, start.run)
        raise


async def _end(leader: int, watch: _Watch, start: Start) -> Ended:
    """End the command with all that it started."""
    ended = await descendants.end(leader, start.run, orphans=start.children.orphans_of(leader))
    await _at_most(process_groups.REAP_GRACE, watch.exited)
    if ended.running:
        log.warning("command_still_runs", leader=leader, pids=ended.running)
    return ended


def _sentence(code: int | None, limit: float, *, timed_out: bool, ended: Ended) -> str:
    if timed_out:
        said = f"timed out after {durations.render(limit)}; its process group was ended"
        if ended.outside:
            several = "a process" if ended.outside == 1 else f"{ended.outside} processes"
            said += f", and {several} that had left it"
        if ended.running:
            pids = ", ".join(str(pid) for pid in ended.running)
            said += f"; still running, although killed: {pids}"
        return said
    if code is None:
        return "ended in an unknown way"
    if code < 0:
        try:
            return f"ended by {signal.Signals(-code).name}"
        except ValueError:
            return f"ended by signal {-code}"
    return f"exit code {code}"
