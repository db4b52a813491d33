"""One object that runs any action, checks health, and reads versions.

Here: choosing between command and request, polling until healthy, and the meaning of what `current` and `versions`
print.
"""

from __future__ import annotations

import asyncio
from typing import assert_never

import aiohttp
import structlog

from rearguard_controller.adapters.actions import command, reach, request
from rearguard_controller.adapters.actions.context import ActionContext, ActionResult, shown
from rearguard_controller.adapters.actions.descendants import Children
from rearguard_controller.adapters.actions.shortage import Shortages
from rearguard_controller.adapters.actions.survivors import Lock, Survivors
from rearguard_controller.config.named_files import lines_of
from rearguard_controller.errors import ShortageError, SourceError
from rearguard_controller.model import Action, CommandAction, HealthCheck, HttpAction
from rearguard_controller.model.versions import VERSION_HINT, is_version
from rearguard_controller.times import durations
from rearguard_controller.wording import plain, printable

log = structlog.get_logger(__name__)

_PROBE_TIMEOUT = 5.0  # seconds for one health request, or its interval when that is longer
READ_PATIENCE = 5.0  # seconds for which a reading that cannot begin for want of a resource is tried again
SHORTAGE_HINT = "Give the controller more of it: see the runbook RearguardShortOfResources."
_MAX_VERSIONS = 10_000  # lines of a list of versions that are read


class Actions:
    """Runs actions. One per controller; close it when done."""

    def __init__(self, survivors: Survivors | None = None, shortages: Shortages | None = None) -> None:
        """Wire it; without `survivors`, commands that outlive a killed controller are not waited for."""
        self.children = Children()
        self._survivors = survivors
        self._shortages = Shortages() if shortages is None else shortages
        self._session: aiohttp.ClientSession | None = None

    async def run(self, action: Action, context: ActionContext) -> ActionResult:
        """Run an action to its end or limit. A failing action is a result; only cancellation raises.

        It begins when no command of the target runs any more, not even one that a killed controller started.
        """
        match action:
            case CommandAction():
                if self._survivors is None:
                    return await command.run(action, context, start=self._start())
                async with self._survivors.alone(context.target, action.timeout) as lock:
                    return await command.run(action, context, start=self._start(lock))
            case HttpAction():
                await self.settle(context.target, action.timeout)
                return await request.run(self._http(), action, context, self._shortages)
            case _:
                assert_never(action)

    async def look(self, action: Action, context: ActionContext) -> ActionResult:
        """Run an action that changes nothing, as its owner promises: it waits for no other, and no other for it."""
        if isinstance(action, CommandAction):
            return await command.run(action, context, start=self._start(patience=READ_PATIENCE))
        return await request.run(self._http(), action, context, self._shortages)

    async def obstacle(self, action: Action, context: ActionContext) -> str:
        """Why an action could not be started, found out without running it; empty if nothing is in its way."""
        return await reach.obstacle(action, context)

    async def connects(self, url: str) -> str:
        """Why an address cannot be connected to, without its path; empty when it can."""
        return await reach.connects(url)

    async def health(self, check: HealthCheck, context: ActionContext) -> ActionResult:
        """Ask until `successes` consecutive answers are 2xx, or the check's time is up."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        deadline = started + check.timeout
        good, last = 0, ActionResult(ok=False, output="", detail="it was never asked", seconds=0.0)
        while (left := deadline - loop.time()) > 0:
            probe = HttpAction("GET", check.url, min(left, max(check.interval, _PROBE_TIMEOUT)))
            last = await request.run(self._http(), probe, context, self._shortages)
            good = good + 1 if last.ok else 0
            seconds = loop.time() - started
            if good >= check.successes:
                return ActionResult(
                    ok=True,
                    output=last.output,
                    detail=f"healthy: {good} good answers in a row within {seconds:.1f} s",
                    seconds=seconds,
                )
            await asyncio.sleep(min(check.interval, max(0.0, deadline - loop.time())))
        return ActionResult(
            ok=False,
            output=last.output,
            detail=f"not healthy within {durations.render(check.timeout)}: {good} of {check.successes} good answers "
            f"in a row; {last.detail}",
            seconds=loop.time() - started,
            timed_out=True,
        )

    async def settle(self, target: str, limit: float) -> None:
        """Return when no command that acts on the target runs any more; an overdue one is ended."""
        if self._survivors is not None:
            await self._survivors.settle(target, limit)

    async def read_version(self, action: CommandAction, context: ActionContext) -> str:
        """The version that `current` prints.

        Raises:
            SourceError: it failed, or printed anything but one version.
            ShortageError: the controller could not start it for want of a resource.
        """
        lines = await self._lines(action, context)
        if len(lines) != 1:
            problem = "printed nothing" if not lines else f"printed {len(lines)} lines"
            raise SourceError(
                f"{action.argv[0]} {problem} instead of one version", hint=f"Run {_line(action)} by hand."
            )
        if not is_version(lines[0]):
            raise _no_version(action, lines[0])
        return lines[0]

    async def read_versions(self, action: CommandAction, context: ActionContext) -> tuple[str, ...]:
        """The versions that `versions` prints, in its order (newest first). A line that is no version is left out.

        Raises:
            SourceError: it failed, or printed lines of which none is a version.
            ShortageError: the controller could not start it for want of a resource.
        """
        lines = await self._lines(action, context)
        odd = [line for line in lines if not is_version(line)]
        if odd and len(odd) == len(lines):
            raise _no_version(action, odd[0])
        if odd:
            why = _no_version(action, odd[0])
            log.warning(
                "odd_versions_left_out", target=context.target, lines=len(odd), error=why.message, hint=why.hint
            )
        return tuple(line for line in lines if is_version(line))

    async def close(self) -> None:
        """Close open connections, when no command is being started any more."""
        await self.children.none_starts()
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _lines(self, action: CommandAction, context: ActionContext) -> tuple[str, ...]:
        """The lines that a command prints, without empty ones and without blanks around them."""
        start = self._start(patience=min(READ_PATIENCE, action.timeout))
        result = await command.run(action, context, errors_apart=True, start=start)
        if result.never_began:
            raise ShortageError(f"{result.detail}.", hint=SHORTAGE_HINT)
        if not result.ok:
            last = lines_of(result.output.strip())[-1:]
            began = not result.detail.startswith(action.argv[0])  # else the detail is a sentence about the program
            sentence = f"{_line(action)} failed, {result.detail}" if began else result.detail
            sentence += f" ({shown(last[0])})" if last and last[0] else ""
            raise SourceError(sentence, hint="Run it by hand in the folder of the configuration file.")
        lines = tuple(line.strip() for line in lines_of(result.output) if line.strip())
        if len(lines) > _MAX_VERSIONS:
            raise SourceError(f"{_line(action)} printed {len(lines)} lines", hint="Print the newest versions only.")
        return lines

    def _start(self, lock: Lock | None = None, *, patience: float | None = None) -> command.Start:
        return command.Start(lock, patience, self._shortages, self.children)

    def _http(self) -> aiohttp.ClientSession:
        """The session, made at first use: it belongs to the running loop."""
        if self._session is None:
            self._session = aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar())
        return self._session


def _no_version(action: CommandAction, line: str) -> SourceError:
    """The error for a printed line that cannot be a version; secrets in it are hidden."""
    said = command.secrets_of(action).hide(line)
    return SourceError(f"{_line(action)} printed {shown(said)}, which is no version", hint=VERSION_HINT)


def _line(action: CommandAction) -> str:
    """A command as a sentence may name it: on one line, without what is secret of its addresses and variables."""
    return printable(command.secrets_of(action).hide(plain(" ".join(action.argv))))
