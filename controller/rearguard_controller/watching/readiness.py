"""Looks that touch nothing: could each target be rolled back if it had to be? Repeated every few minutes.

Here: the checks of `READY_CHECKS` that the poll of Prometheus does not answer, when each is due again, and their last
answers. A drill asks them, too.
Never here: running the checks of hooks, asking for health, sending an alert. Only a drill may do that.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import structlog

from rearguard_controller.adapters.actions import ActionContext, Actions
from rearguard_controller.adapters.alertmanager import Alertmanager
from rearguard_controller.adapters.notices import delivery
from rearguard_controller.config import NotifyEntry
from rearguard_controller.config.secret_files import host_of
from rearguard_controller.errors import (
    ConfigError,
    JournalError,
    LeaseLostError,
    ShortageError,
    SourceError,
    sentences,
)
from rearguard_controller.model import (
    Action,
    Check,
    Drain,
    Facts,
    Hook,
    KubernetesRelease,
    Release,
    Target,
    TargetFacts,
)
from rearguard_controller.model.checks import ALERTMANAGER, DESTINATION, HOOKS, NOTIFY, ROLLBACK_COMMAND
from rearguard_controller.releases.tracking import Releases
from rearguard_controller.runtime import Runtime
from rearguard_controller.watching import readiness_rules
from rearguard_controller.wording import span

log = structlog.get_logger(__name__)

EVERY = 300.0  # seconds between two looks at a target, more or less: targets spread themselves
SPREAD = 0.2  # of that, in both directions
AGAIN_AFTER = 60.0  # seconds to the next look when not every check holds
MOST_AT_ONCE = 4  # targets that are looked at side by side


@dataclass(slots=True)
class _Look:
    """The last look at a target: what it was about, when the next is due, what it found."""

    about: object = None
    due: float = 0.0
    found: tuple[Check, ...] = ()
    task: asyncio.Task[None] | None = None


class Readiness:
    """Asks, and remembers the last answers."""

    def __init__(
        self,
        runtime: Runtime,
        releases: Releases,
        actions: Actions,
        alertmanager: Alertmanager | None,
        entries: Sequence[NotifyEntry],
    ) -> None:
        """Nothing is known yet.

        Args:
            runtime: what lasts as long as the process.
            releases: reads the target's own lists.
            actions: looks for programs and connects to hosts.
            alertmanager: the configured one, if any.
            entries: of `notify`.
        """
        self._journal, self._telemetry = runtime.journal, runtime.telemetry
        self._clock, self._steady = runtime.clock, runtime.steady
        self._releases = releases
        self._actions = actions
        self._alertmanager = alertmanager
        self._entries = entries
        self._looks: dict[str, _Look] = {}
        self._side_by_side = asyncio.Semaphore(MOST_AT_ONCE)

    def holds(self, target_name: str) -> Mapping[str, bool | None]:
        """The answers to the last look at a target, by check; empty before the first one ended."""
        return {check.name: check.holds for check in self.found(target_name)}

    def found(self, target_name: str) -> tuple[Check, ...]:
        """The same, with their sentences."""
        look = self._looks.get(target_name)
        return () if look is None else look.found

    def see(self, target: Target, serving: str | None, known: Sequence[Release], *, patient: bool = False) -> None:
        """A poll found this version: look at the target if a look is due, or if what it would say changed.

        That are the possible destinations, and what keeps the serving version from trust. With `patient` only if a
        look is due: in a storm that changes for very many targets at once.
        """
        look = self._looks.setdefault(target.name, _Look())
        denied = self._releases.denied(target.name)
        about = (
            serving,
            tuple(each.name for each in denied.checks if each.holds is False),
            tuple(denied.alerts),
            frozenset((each.version, each.known_good_at, each.distrusted, each.barrier) for each in known),
        )
        running = look.task is not None and not look.task.done()
        is_changed = look.about != about and not patient
        if not running and (is_changed or self._steady() >= look.due):
            look.about = about
            look.task = asyncio.create_task(self._look(target, serving, look), name=f"ready {target.name}")

    async def close(self) -> None:
        """End what is being looked at."""
        tasks = [look.task for look in self._looks.values() if look.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _look(self, target: Target, serving: str | None, look: _Look) -> None:
        try:
            async with self._side_by_side:
                found = await self.ask(target, serving)
        except LeaseLostError:
            return
        except JournalError as error:
            look.due = self._steady() + AGAIN_AFTER
            log.error("readiness_unknown", target=target.name, error=error.message, hint=error.hint)
            return
        except Exception as error:  # a fault of ours: what was found before is not known any more
            log.error("readiness_broke", target=target.name, exc_info=error)
            detail = f"The controller could not look ({type(error).__name__}); its log says why."
            found = tuple(replace(check, holds=None, detail=detail) for check in look.found)
        before, look.found = look.found, found
        for check in found:
            if check.holds is not True and check not in before:
                log.warning("target_not_ready", target=target.name, check=check.name, why=check.detail)
        all_hold = bool(found) and all(check.holds for check in found)
        look.due = self._steady() + (pause(target.name) if all_hold else AGAIN_AFTER)
        self._telemetry.ready(target.name, self.holds(target.name))

    async def ask(self, target: Target, serving: str | None, *, connect: bool = False) -> tuple[Check, ...]:
        """The answers now; with `connect` the hosts of notices are connected to, too.

        Raises:
            JournalError: it cannot be read.
        """
        back, facts = await self.destination(target, serving)
        chosen = readiness_rules.way_back(facts.target)
        context = ActionContext(
            target.name,
            from_version=serving or "",
            to_version=(serving or "") if chosen is None else chosen.version,  # for addresses: nothing is sent there
            rollback_id="drill",
        )
        return (
            back,
            readiness_rules.deploy(target, facts),
            *await asyncio.gather(
                self.rollback_command(target),
                self.hooks(target, context),
                self.alertmanager(),
                self.notify(connect=connect),
            ),
        )

    async def destination(self, target: Target, serving: str | None) -> tuple[Check, Facts]:
        """Whether there is a version to go back to, and the facts that say so.

        The target's own `check` is asked about that version.
        """
        state, releases = await self._journal.target_state(target.name), await self._journal.releases(target.name)
        now, known = self._clock(), TargetFacts(serving or state.serving_version, state=state, releases=releases)
        try:
            known = replace(known, activatable=await self._releases.activatable(target))
        except SourceError as error:
            why = f"The versions that can be activated are not known: {sentences(error)}"
            return Check(DESTINATION, False, why), Facts(now, replace(known, activatable=frozenset()))
        while target.release.proves:
            chosen = readiness_rules.way_back(known)
            if chosen is None or chosen.version == known.serving_version or chosen.version in known.checked:
                break
            try:
                why = await self._releases.check(target, chosen.version, alone=False)
            except ShortageError as error:
                return Check(DESTINATION, None, f"Not known: {error.message}"), Facts(now, known)
            known = replace(known, checked={**known.checked, chosen.version: why})
        found = Facts(now, known)
        return readiness_rules.destination(target, found, self._releases.denied(target.name)), found

    async def alertmanager(self) -> Check:
        """Whether Alertmanager answers; holds if none is configured."""
        if self._alertmanager is None:
            detail = "No Alertmanager is configured: silences are not read."
            return Check(ALERTMANAGER, True, detail)
        try:
            await self._alertmanager.reachable()
        except SourceError as error:
            return Check(ALERTMANAGER, False, sentences(error))
        ahead = self._alertmanager.ahead
        if not ahead:
            return Check(ALERTMANAGER, True, "Alertmanager answers.")
        clock = f"its clock is {span(abs(ahead))} {'ahead of' if ahead > 0 else 'behind'} the controller's"
        return Check(ALERTMANAGER, True, f"Alertmanager answers; {clock}, and silences hold by it.")

    async def obstacles(self, hook: Hook, context: ActionContext) -> list[str]:
        """What would keep a hook or its undo from being begun, as sentences; nothing is run or requested."""
        action, undo = hook.action, hook.undo
        if isinstance(action, Drain):
            problem = await self._releases.kinds.undrainable(action)
            return [f"Hook {hook.name}: {problem}."] if problem else []
        parts: list[tuple[str, Action]] = [(hook.name, action)]
        parts += [] if undo is None or isinstance(undo, Drain) else [(f"undo {hook.name}", undo)]
        found = [(name, await self._actions.obstacle(action, context)) for name, action in parts]
        return [f"Hook {name}: {problem}." for name, problem in found if problem]

    async def rollback_command(self, target: Target) -> Check:
        """Whether a version could be activated: the program is there, or the account may change the workload."""
        if not target.release.changes:
            good = "Nothing can be put back, and nothing has to be: the target is only observed."
            return readiness_rules.gathered(ROLLBACK_COMMAND, [], good)
        problem = await self._releases.obstacle(target)
        if isinstance(target.release, KubernetesRelease):
            told = [f"No version could be activated: {problem}."] if problem else []
            good = f"The controller's account may change {target.release.workload}."
        else:
            told = [f"The rollback command could not be started: {problem}."] if problem else []
            good = "The program of the rollback command is there."
        return readiness_rules.gathered(ROLLBACK_COMMAND, told, good)

    async def hooks(self, target: Target, context: ActionContext) -> Check:
        """Whether programs and hosts of all hooks are there."""
        hooks = (*target.before, *target.after)
        problems = await asyncio.gather(*(self.obstacles(hook, context) for hook in hooks))
        good = "Programs and hosts of all hooks are there." if hooks else "There are no hooks."
        return readiness_rules.gathered(HOOKS, [each for of_hook in problems for each in of_hook], good)

    async def notify(self, *, connect: bool) -> Check:
        """Whether the address of every receiver of notices is readable; with `connect`, takes a connection, too."""
        problems = await asyncio.gather(*(self._unreachable(entry, connect=connect) for entry in self._entries))
        good = "Every receiver's address is readable." if self._entries else "Nobody is to be told: notify is empty."
        if connect and self._entries:
            good = "Every receiver's address is readable, and takes a connection."
        return readiness_rules.gathered(NOTIFY, [each for each in problems if each], good)

    async def _unreachable(self, entry: NotifyEntry, *, connect: bool) -> str:
        try:
            address = (await delivery.post_to(entry)).url
        except ConfigError as error:
            return f"Notices cannot be sent: {sentences(error)}"
        host = host_of(address)  # None: the address is for a library, which alone knows where it leads
        problem = await self._actions.connects(address) if connect and host is not None else ""
        service = entry.name or host
        return f"Notices to {service} would not arrive: {problem}." if problem else ""


def pause(target_name: str) -> float:
    """Seconds to the next look at a target of which every check holds: each target has its own pace."""
    share = zlib.crc32(target_name.encode()) / 2**32  # from 0 to 1, the same at every start
    return EVERY * (1 - SPREAD + 2 * SPREAD * share)
