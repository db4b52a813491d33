"""What people say of open rollbacks: approve, veto, abort, close.

Here: each word becomes an event in the journal, with its record in the audit, in one transaction. Any replica may be
told, so no lease is needed; whoever drives the rollback reads the word from the journal. What an event leads to is in
`rollback`.
"""

from __future__ import annotations

from rearguard_controller.execution.runner import Runner, Runners
from rearguard_controller.model import Rollback, Said
from rearguard_controller.rollback import Event, EventKind
from rearguard_controller.runtime import Runtime


class RollbackWords:
    """Records what people say of open rollbacks.

    Raises (by each method):
        NotFoundError: there is no such rollback.
        ConflictError: it is closed, or it is too late for this word.
    """

    def __init__(self, runtime: Runtime, runner: Runner | Runners) -> None:
        """Wire it. `runner` is told of each word, so that it heeds one about its own rollbacks at once."""
        self._journal, self._clock = runtime.journal, runtime.clock
        self._runner = runner

    async def approve(self, rollback_id: str, said: Said) -> Rollback:
        """Let a rollback that waits be begun, if a fresh judgement finds it right."""
        return await self._say(EventKind.APPROVED, "approve", rollback_id, said, "approved")

    async def veto(self, rollback_id: str, said: Said) -> Rollback:
        """Close a rollback that waits as `vetoed`; nothing was begun."""
        return await self._say(EventKind.VETOED, "veto", rollback_id, said, "vetoed")

    async def abort(self, rollback_id: str, said: Said) -> Rollback:
        """End the attempt: what was begun is undone, and the rollback closes as `aborted`.

        A command that is running is let finish; a verification is stopped.
        """
        return await self._say(EventKind.ABORT_ASKED, "abort", rollback_id, said, "aborted")

    async def close(self, rollback_id: str, said: Said) -> Rollback:
        """Close a rollback that cannot finish, as it stands: nothing more is done, a running command is ended."""
        return await self._say(EventKind.CLOSE_ASKED, "close", rollback_id, said, "closed")

    async def _say(self, kind: EventKind, verb: str, rollback_id: str, said: Said, past: str) -> Rollback:
        now = self._clock()
        event = Event(kind, now, detail=f"{said.operator} {past} it: {said.reason}")
        rollback = await self._journal.append(rollback_id, event, action=said.action(verb, rollback_id, now))
        self._runner.nudge(rollback_id)
        return rollback
