"""Carrying out one step of a rollback: the effect between its committed intent and its committed result.

Here: the action, check or proof that a step stands for, and the result that follows from what happened.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from rearguard_controller.adapters.actions import ActionContext, ActionResult, Actions
from rearguard_controller.adapters.prometheus.of_all import PrometheusOf
from rearguard_controller.adapters.release_kinds import ReleaseKinds
from rearguard_controller.errors import ShortageError, SourceError
from rearguard_controller.execution import recovery
from rearguard_controller.facts.cluster_troubles import ClusterTroubles
from rearguard_controller.model import (
    CommandAction,
    CommandRelease,
    Drain,
    HealthCheck,
    HttpAction,
    KubernetesRelease,
    OnFailure,
    Outcome,
    PauseOwner,
    PrometheusRelease,
    Release,
    ReleaseKind,
    Rollback,
    Step,
    StepKind,
)
from rearguard_controller.rollback.next_move import not_changed

LOOK_TRIES = 3  # readings of `current` before it counts as unreadable
LOOK_PAUSE = 1.0  # seconds between them


@dataclass(frozen=True, slots=True)
class Effect:
    """The result of a step. `outcome` ends the attempt with that outcome; None leaves it to the step's own rule."""

    ok: bool
    detail: str
    output: str = ""
    outcome: Outcome | None = None


@dataclass(frozen=True, slots=True)
class Work:
    """A step to carry out, with what it needs to know."""

    rollback: Rollback
    step: Step
    stdin: bytes  # the decision as JSON
    releases: tuple[Release, ...] = ()
    look_first: bool = False
    may_act: bool = True

    @property
    def context(self) -> ActionContext:
        """What the action may fill in."""
        return ActionContext(
            target=self.rollback.target,
            from_version=self.rollback.from_version,
            to_version=self.rollback.to_version,
            rollback_id=self.rollback.id,
            step=self.step.name,
            attempt=self.step.attempt,
            stdin=self.stdin,
        )


class Effects:
    """Does what steps say."""

    def __init__(
        self,
        actions: Actions,
        kinds: ReleaseKinds,
        prometheus: PrometheusOf,
        *,
        poll_interval: float,
        clock: Callable[[], float],
    ) -> None:
        """Use these edges."""
        self._actions = actions
        self._kinds = kinds
        self._troubles = ClusterTroubles(kinds, clock)
        self._prometheus = prometheus
        self._poll_interval = poll_interval
        self._clock = clock
        self._still_fires: recovery.StillFires | None = None

    def look_every(self, poll_interval: float) -> None:
        """Seconds between two looks from now on, after a reload."""
        self._poll_interval = poll_interval

    def check_with(self, still_fires: recovery.StillFires) -> None:
        """Ask this at the end of each proof of recovery, from now on."""
        self._still_fires = still_fires

    async def carry_out(self, work: Work) -> Effect:
        """Do what the step is for; a failure is a value."""
        match work.step.action:
            case CommandAction() | HttpAction() as action:
                return _hook(await self._actions.run(action, work.context), work)
            case CommandRelease() | KubernetesRelease() | PrometheusRelease() as release:
                if work.step.kind is StepKind.UNDO_ROLL_BACK:
                    return await self._take_back(release, work)
                return await self._roll_back(release, work)
            case PauseOwner() as pausing:
                return _hook(await self._kinds.pause(pausing, work.context), work)
            case Drain() as draining:
                return _hook(await self._kinds.drain(draining, work.context), work)
            case HealthCheck() as check:
                return _effect(await self._actions.health(check, work.context))
            case None:
                return await self._prove_recovery(work)

    async def serving(self, release: ReleaseKind, context: ActionContext) -> str:
        """The version that serves, read with a few tries.

        A reading that cannot begin for want of a resource is no try: it is repeated as long as the limit of the
        rollback command.

        Raises:
            SourceError: it could not be read.
            ShortageError: not even begun.
        """
        until, tries = time.monotonic() + release.timeout, 0
        while True:
            try:
                return await self._kinds.current(release, context, fresh=True)
            except SourceError as error:
                tries += not isinstance(error, ShortageError)
                if tries >= LOOK_TRIES or time.monotonic() >= until:
                    raise
                await asyncio.sleep(LOOK_PAUSE)

    async def refusal(self, release: ReleaseKind, work: Work) -> tuple[str, Outcome]:
        """Why the target's own check does not let the destination be activated, and how the attempt then ends.

        The sentence is empty when it does.
        """
        checked = await self._kinds.prove(release, work.context)
        if checked is None:
            return "", Outcome.FAILED
        if checked.never_began:
            return f"{checked.detail}. {not_changed(work.rollback)}", Outcome.INTERRUPTED
        why = "" if checked.ok else f"{work.rollback.to_version} cannot be activated: {checked.detail}"
        return why, Outcome.FAILED

    async def _roll_back(self, release: ReleaseKind, work: Work) -> Effect:
        if work.look_first:
            found = await self._look_after_crash(release, work)
            if found is not None:
                return found
        done = await self._kinds.activate(release, work.context)
        if done.never_began:
            detail = f"{done.detail}. {work.rollback.from_version} was not changed; a person has to look."
            return Effect(ok=False, detail=detail, outcome=Outcome.INTERRUPTED)
        if done.superseded:
            return Effect(ok=False, detail=f"{done.detail}.", output=done.output, outcome=Outcome.SUPERSEDED)
        if not done.ok and isinstance(release, KubernetesRelease):  # it has followed its pods; no reading says more
            return Effect(ok=False, detail=f"{done.detail}.", output=done.output)
        try:
            version = await self.serving(release, work.context)
        except SourceError as error:
            return Effect(
                ok=False, detail=f"{done.detail} What serves now is not known: {error.message}", output=done.output
            )
        wanted = work.rollback.to_version
        if version == wanted:
            return Effect(ok=True, detail=f"{wanted} serves. {done.detail}", output=done.output)
        return Effect(ok=False, detail=f"{version} serves, not {wanted}. {done.detail}", output=done.output)

    async def _take_back(self, release: ReleaseKind, work: Work) -> Effect:
        """Put back the version that was left, unless it serves still, or somebody else's does."""
        await self._kinds.settle(release, work.context)  # a command of ours may have outlived its controller
        try:
            version = await self.serving(release, work.context)
        except SourceError as error:
            return Effect(ok=False, detail=f"What serves is not known, so nothing was changed: {error.message}")
        left, put_back = work.rollback.from_version, work.rollback.to_version
        if version == left:
            return Effect(ok=True, detail=f"{left} serves: nothing is to be taken back.")
        if version != put_back:
            return Effect(ok=False, detail=f"{version} serves, not {put_back}: somebody else changed it.")
        back = replace(work.rollback, from_version=put_back, to_version=left)
        return await self._roll_back(release, replace(work, rollback=back, look_first=False))

    async def _look_after_crash(self, release: ReleaseKind, work: Work) -> Effect | None:
        """The result, if what serves shows it; None if the rollback command is to be run (again).

        The command may have outlived the controller that started it: what serves is read after its end.
        """
        await self._kinds.settle(release, work.context)
        try:
            version = await self.serving(release, work.context)
        except SourceError as error:
            return Effect(
                ok=False, detail=f"After a stop of the controller, what serves is not known: {error.message}"
            )
        if version == work.rollback.to_version:
            if isinstance(release, KubernetesRelease):
                return None  # the patch had worked: its rollout is followed to the end, and nothing is patched again
            return Effect(ok=True, detail=f"{version} serves: the command before the stop had worked.")
        if version != work.rollback.from_version:
            detail = f"After a stop of the controller {version} serves: somebody else changed it."
            return Effect(ok=False, detail=detail, outcome=Outcome.SUPERSEDED)
        if not work.may_act:
            return Effect(ok=False, detail=f"{version} still serves, and the attempt has ended.")
        return None

    async def _prove_recovery(self, work: Work) -> Effect:
        step = work.rollback.step_of(StepKind.ROLL_BACK)
        shown = {release.version: release.service_version for release in work.releases}
        subject = recovery.Subject(
            conditions=work.rollback.conditions,
            rolled_back_at=self._clock() if step is None or step.ended_at is None else step.ended_at,
            within=work.step.timeout,
            shows=shown.get(work.rollback.to_version),
            left=shown.get(work.rollback.from_version),
            acted_at=began_at(work.rollback),
            target=work.rollback.target,
        )
        proving = asyncio.create_task(
            recovery.prove(
                self._prometheus(work.rollback.target),
                subject,
                every=self._poll_interval,
                clock=self._clock,
                still_fires=self._still_fires,
                cluster=self._by_cluster(work),
            )
        )
        proof = await self._unless_changed(proving, work)
        return Effect(ok=proof.outcome in (None, Outcome.COMPLETED), detail=proof.detail, outcome=proof.outcome)

    def _by_cluster(self, work: Work) -> recovery.ByCluster | None:
        """What tells of the conditions that Kubernetes measures, by the workload of the frozen plan."""
        release = next(
            (each.action for each in work.rollback.steps if isinstance(each.action, KubernetesRelease)), None
        )
        return None if release is None else partial(self._troubles.over, release)

    async def _unless_changed(self, proving: asyncio.Task[recovery.Proof], work: Work) -> recovery.Proof:
        """The proof; SUPERSEDED if meanwhile another version serves than the destination."""
        release = next((each.action for each in work.rollback.steps if isinstance(each.action, ReleaseKind)), None)
        changing = asyncio.create_task(self._until_changed(release, work))
        try:
            await asyncio.wait([proving, changing], return_when=asyncio.FIRST_COMPLETED)
            other = changing.result() if changing.done() else await self._another(release, work)
            if other is None:
                return proving.result()
        finally:
            for task in (proving, changing):
                task.cancel()
            await asyncio.gather(proving, changing, return_exceptions=True)
        detail = f"{other} serves, not {work.rollback.to_version}: somebody else changed it. Nothing is claimed."
        return recovery.Proof(Outcome.SUPERSEDED, detail)

    async def _until_changed(self, release: ReleaseKind | None, work: Work) -> str:
        """Wait until another version than the destination serves; that version."""
        while True:
            await asyncio.sleep(self._poll_interval)
            other = await self._another(release, work)
            if other is not None:
                return other

    async def _another(self, release: ReleaseKind | None, work: Work) -> str | None:
        """The version that serves, when two readings in a row say the same and it is not the destination.

        One reading may be of an instance that was just going: it would cost the rollback its proof.
        """
        if release is None:
            return None
        try:
            version = await self._kinds.current(release, work.context, fresh=True)
            if version == work.rollback.to_version:
                return None
            await asyncio.sleep(LOOK_PAUSE)
            again = await self._kinds.current(release, work.context, fresh=True)
        except SourceError:
            return None
        return version if again == version else None


def began_at(rollback: Rollback) -> float:
    """When the first step of a rollback began. If a crash made it begin anew: the end of the wait, or the opening."""
    first = next((step for step in rollback.steps if step.attempt), None)
    if first is not None and first.attempt == 1 and first.started_at is not None:
        return first.started_at
    return rollback.opened_at if rollback.waited_until is None else rollback.waited_until


def _hook(result: ActionResult, work: Work) -> Effect:
    """The result of a hook. If one that must not fail never began before the change, that is no verdict."""
    must_not_fail = work.step.kind is StepKind.BEFORE_HOOK and work.step.on_failure is OnFailure.STOP
    if result.never_began and must_not_fail:
        detail = f"{result.detail}. {not_changed(work.rollback)}"
        return Effect(ok=False, detail=detail, outcome=Outcome.INTERRUPTED)
    return _effect(result)


def _effect(result: ActionResult) -> Effect:
    return Effect(result.ok, result.detail, result.output)
