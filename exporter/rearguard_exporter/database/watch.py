"""Checks of databases on a timer. They drive `db_up`, and `/readyz` if asked to. A scrape only reads the last result.

A coroutine check runs on the application's event loop, to which its connections belong, in a task of its own. A plain
check runs in a daemon thread of its own. So a check that hangs holds up neither the loop nor the end of the process.
"""

import asyncio
import inspect
import threading
import weakref
from collections.abc import Awaitable, Callable
from functools import partial
from typing import NamedTuple, Protocol

from rearguard_exporter.fault_barrier import log
from rearguard_exporter.fork_safety import tell_after_fork

Check = Callable[[], object] | Callable[[], Awaitable[object]]

_GRACE = 2.0  # seconds that a running check has to end once its application ends
_CAUSES = 10  # how many exceptions of a chain of causes are looked at
_MISPLACED = (
    "the check uses what belongs to another event loop; let it connect by itself, or make it a plain function"
)


class Result(NamedTuple):
    """The last result of a check."""

    ok: bool
    detail: str  # why not, in a sentence; empty when it succeeded


class Value(Protocol):
    """One value of a family."""

    def set(self, value: float) -> None:
        """Make this the value."""

    def inc(self) -> None:
        """Add one."""


class Values(Protocol):
    """A family."""

    def child(self, *values: str) -> Value:
        """The value with these values of its labels."""


class Instruments(Protocol):
    """What a watch writes to."""

    @property
    def db_up(self) -> Values:
        """Whether the last check succeeded."""

    @property
    def pool_failures(self) -> Values:
        """Connections that failed."""

    @property
    def pool_timeouts(self) -> Values:
        """Callers that got no connection in time."""


class Measured(Protocol):
    """The pools that count their own failures."""

    def has(self, name: str) -> bool:
        """Whether one of this name is measured."""


class Watch:
    """One database being watched. `last` is None until the first check ended."""

    def __init__(
        self,
        instruments: Instruments,
        pools: Measured,
        name: str,
        check: Check,
        *,
        readiness: bool,
        interval: float,
        timeout: float,
    ) -> None:
        self.name = name
        self.readiness = readiness
        self.interval = interval
        self._check = check
        self._timeout = timeout
        self._pools = pools
        self._up = instruments.db_up
        self._failures = instruments.pool_failures.child(name)
        instruments.pool_timeouts.child(name)
        self.forget_parent()
        tell_after_fork(self)

    def forget_parent(self) -> None:
        """In a forked process nothing was checked yet."""
        self.last: Result | None = None
        self._busy: threading.Thread | None = None
        self._task: asyncio.Task[Result] | None = None
        self._is_misplaced = False  # set by a failure that says so, and kept: later failures hide it

    @property
    def is_async(self) -> bool:
        """Whether the check is to run on an event loop."""
        check = self._check
        return inspect.iscoroutinefunction(check) or inspect.iscoroutinefunction(
            getattr(check, "__call__", None)  # noqa: B004 - not whether it is callable: what its call returns
        )

    def job(self) -> Callable[[], Awaitable[None]]:
        """Checks on the running loop, every `interval` seconds, until cancelled, or until nobody has this watch."""
        return partial(_repeat, weakref.ref(self))

    async def check_async(self) -> None:
        """Check once on the running loop, for at most `timeout` seconds. While a check hangs no other is started."""
        if self._hangs():
            self._record(self._late())
            return
        task = self._task = asyncio.create_task(self._ask(), name=f"rearguard-check-{self.name}")
        try:
            # Not asyncio.timeout: it would wait for a check that does not let itself be cancelled.
            await asyncio.wait({task}, timeout=self._timeout)
        except asyncio.CancelledError:
            task.cancel()
            await asyncio.wait({task}, timeout=_GRACE)
            raise
        if task.done():
            self._record(self._failed(asyncio.CancelledError()) if task.cancelled() else task.result())
        else:
            task.cancel()
            self._record(self._late())

    def _hangs(self) -> bool:
        task = self._task
        return task is not None and not task.done() and not task.get_loop().is_closed()

    async def _ask(self) -> Result:
        try:
            answer = self._check()
            if inspect.isawaitable(answer):
                answer = await answer
        except (Exception, asyncio.CancelledError) as failure:  # noqa: BLE001 - every failure of a check is its result
            return self._failed(failure)
        return _judge(answer)

    def check_in_thread(self) -> None:
        """Check once in a thread, for at most `timeout` seconds. While a check hangs no other is started."""
        if self._busy is not None and self._busy.is_alive():
            self._record(self._late())
            return
        results: list[Result] = []
        self._busy = threading.Thread(
            target=self._call, args=(results,), name=f"rearguard-check-{self.name}", daemon=True
        )
        self._busy.start()
        self._busy.join(self._timeout)
        self._record(results[0] if results else self._late())

    def _call(self, results: list[Result]) -> None:
        try:
            answer = self._check()
            if inspect.isawaitable(answer):  # a plain function that hands out a coroutine, a lambda mostly
                answer = asyncio.run(_wait(answer))
            results.append(_judge(answer))
        except BaseException as failure:  # noqa: BLE001 - also SystemExit: it is the check's, not the process's
            results.append(self._failed(failure))

    def _late(self) -> Result:
        return Result(ok=False, detail=f"no answer within {self._timeout:g} s")

    def _failed(self, failure: BaseException) -> Result:
        if _is_of_another_loop(failure):
            self._is_misplaced = True
        # The class alone: messages of drivers hold addresses, users and statements.
        return Result(ok=False, detail=type(failure).__name__)

    def _record(self, result: Result) -> None:
        if result.ok:
            self._is_misplaced = False
        elif self._is_misplaced:
            result = Result(ok=False, detail=f"{result.detail}: {_MISPLACED}")
        if not result.ok and not self._pools.has(self.name):  # a measured pool counts its own
            self._failures.inc()
        if self.last is None or self.last.ok != result.ok:
            state = "up" if result.ok else f"down: {result.detail}"
            log.info("rearguard_exporter: database %s is %s", self.name, state)
        self._up.child(self.name).set(1 if result.ok else 0)
        self.last = result


async def _repeat(weak: "weakref.ref[Watch]") -> None:
    while (watch := weak()) is not None:
        await watch.check_async()
        interval = watch.interval
        del watch
        await asyncio.sleep(interval)


async def _wait(answer: Awaitable[object]) -> object:
    return await answer


def _judge(answer: object) -> Result:
    return Result(ok=False, detail="the check said no") if answer is False else Result(ok=True, detail="")


def _is_of_another_loop(failure: BaseException) -> bool:
    """Whether asyncio says so in this exception or in one behind it: drivers may wrap it in one of their own."""
    behind: BaseException | None = failure
    for _ in range(_CAUSES):
        if behind is None:
            return False
        if isinstance(behind, RuntimeError) and "loop" in str(behind):
            return True
        behind = behind.__cause__ or behind.__context__
    return False
