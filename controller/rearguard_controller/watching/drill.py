"""A drill: walks the whole way of a rollback without touching what serves, and keeps what it found with its date.

Here: the order of a drill, the checks that only a drill may make, and its record. Those checks are a hook's own
`check`, the health address, and an alert that must come back by way of Alertmanager.
Never here: anything that could begin a rollback. A drill decides nothing, and nobody judges the alert that it sends.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from dataclasses import replace

import structlog

from rearguard_controller.adapters.actions import ActionContext, Actions
from rearguard_controller.errors import ConflictError, JournalError, SourceError, sentences
from rearguard_controller.facts.sources import SourcesOfAll
from rearguard_controller.intake import drill_alert
from rearguard_controller.model import (
    Alert,
    Check,
    Drill,
    HttpAction,
    Labels,
    OperatorAction,
    Release,
    Target,
    is_subset,
)
from rearguard_controller.model.checks import (
    CLOCK,
    CURRENT,
    DRILL_CHECKS,
    FIGURES,
    HEALTH,
    HOOKS,
    JOURNAL,
    MATCH,
    POLL,
    PROMETHEUS,
    REPLICAS_AGREE,
    ROUTING,
    SCRAPE_INTERVAL,
    SERVICE_VERSION,
    THRESHOLDS,
    TRIGGER_RULES,
)
from rearguard_controller.releases.tracking import Releases
from rearguard_controller.runtime import Runtime
from rearguard_controller.watching import readiness_rules
from rearguard_controller.watching.readiness import Readiness

log = structlog.get_logger(__name__)

BACK_WITHIN = 60.0  # seconds for an alert to come back: a route may group for half a minute
GRACE = 30.0  # seconds that it fires longer, so that Alertmanager can still be asked about it
LOOK_EVERY = 0.5  # seconds between two looks for it
GIVEN_UP = 300.0  # seconds after which a drill that never ended counts as over: its process is gone
HEALTH_TIMEOUT = 10.0  # seconds for one answer of the health address


class Drills:
    """Drills targets, each one at a time."""

    def __init__(
        self,
        runtime: Runtime,
        sources: SourcesOfAll,
        actions: Actions,
        releases: Releases,
        readiness: Readiness,
        *,
        polled: Callable[[str], Mapping[str, Check]],
    ) -> None:
        """Wire it.

        Args:
            runtime: what lasts as long as the process.
            sources: Prometheus, asked whether it answers, and Alertmanager, the way of the drill's alert.
            actions: runs the checks of hooks.
            releases: reads the serving version.
            readiness: makes the checks that touch nothing.
            polled: what the last poll said of a target's rules, thresholds, figures and scrapes.
        """
        self._journal, self._clock, self._new_id = runtime.journal, runtime.clock, runtime.new_id
        self._sources, self._alertmanager = sources, sources.first.alertmanager
        self._actions = actions
        self._releases = releases
        self._readiness = readiness
        self._polled = polled
        self._back_within = BACK_WITHIN

    async def run(self, target: Target, operator: str, reason: str) -> Drill:
        """Walk the whole way; returns what was found, which is in the journal by then.

        Raises:
            ConflictError: the target is drilled already, or a rollback of it is under way.
            JournalError: the drill could not be stored; then nothing was tried.
        """
        await self._refuse_while_rolled_back(target)
        now = self._clock()
        drill = Drill(self._new_id("x"), target.name, now, operator, reason)
        action = OperatorAction(now, operator, "drill", target.name, reason)
        await self._journal.begin_drill(drill, given_up=now - GIVEN_UP, action=action)
        log.info("drill_began", target=target.name, drill=drill.id, operator=operator)
        found: Mapping[str, Check] = {}
        try:
            found = await self._walk(target, drill)
        finally:  # also when it breaks or is cancelled: the next drill must not wait for it
            order = [found[name] for name in DRILL_CHECKS if name in found]
            drill = replace(drill, ended_at=self._clock(), checks=tuple(order))
            await asyncio.shield(self._journal.end_drill(drill))
        failing = [check.name for check in drill.checks if check.holds is not True]
        log.info("drill_ended", target=target.name, drill=drill.id, ok=drill.ok, not_good=failing)
        return drill

    async def _refuse_while_rolled_back(self, target: Target) -> None:
        for rollback in await self._journal.open_rollbacks():
            if rollback.target == target.name:
                raise ConflictError(
                    f"Rollback {rollback.id} of {target.name} is under way.",
                    hint="Drill the target when it is closed.",
                )

    async def _walk(self, target: Target, drill: Drill) -> Mapping[str, Check]:
        routing = asyncio.create_task(self._routing(target, drill))
        try:
            current, serving = await self._current(target)
            still, hooks, health, prometheus = await asyncio.gather(
                self._readiness.ask(target, serving, connect=True),
                self._hooks(target, drill, serving),
                self._health(target),
                self._prometheus_answers(target),
            )
            found = [current, *still, health, prometheus, *self._rules(target, prometheus), *hooks]
            found += [await routing, Check(JOURNAL, True, "The journal took the beginning of this drill.")]
        finally:
            routing.cancel()
            await asyncio.gather(routing, return_exceptions=True)
        return {check.name: check for check in found}  # of two by one name the later one counts

    async def _current(self, target: Target) -> tuple[Check, str | None]:
        try:
            serving = await self._releases.current(target)
        except SourceError as error:
            return Check(CURRENT, False, sentences(error)), None
        state = await self._journal.target_state(target.name)
        turns = readiness_rules.in_turn(state.serving_version, state, self._clock())
        if turns is not None:
            return turns, state.serving_version
        return Check(CURRENT, True, f"{serving} serves, by the target's own word."), serving

    async def _prometheus_answers(self, target: Target) -> Check:
        try:
            await self._sources.of(target).prometheus.query("vector(1)")
        except SourceError as error:
            return Check(PROMETHEUS, False, sentences(error))
        return Check(PROMETHEUS, True, "Prometheus answers.")

    def _rules(self, target: Target, prometheus: Check) -> list[Check]:
        seen = self._polled(target.name) if prometheus.holds else {}
        names = (
            REPLICAS_AGREE, CLOCK, POLL, MATCH, SERVICE_VERSION, TRIGGER_RULES, THRESHOLDS, FIGURES, SCRAPE_INTERVAL
        )  # fmt: skip
        return [seen.get(name) or readiness_rules.polled(name, holds=None) for name in names]

    async def _hooks(self, target: Target, drill: Drill, serving: str | None) -> tuple[Check, ...]:
        """Run the `check` of each hook, and look at hooks that have none; no answer if no hook has one."""
        hooks = (*target.before, *target.after)
        if not any(hook.check for hook in hooks):
            return ()
        _, facts = await self._readiness.destination(target, serving)
        chosen: Release | None = readiness_rules.way_back(facts.target)
        context = ActionContext(
            target.name, serving or "", "" if chosen is None else chosen.version, rollback_id=drill.id
        )
        problems: list[str] = []
        for hook in hooks:  # one after another, as in a rollback
            if hook.check is None:
                problems += await self._readiness.obstacles(hook, context)
                continue
            asked = await self._actions.look(hook.check, replace(context, step=hook.name))
            problems += [] if asked.ok else [f"Hook {hook.name}: its check failed ({asked.detail})."]
        return (readiness_rules.gathered(HOOKS, problems, "Checks, programs and hosts of all hooks are good."),)

    async def _health(self, target: Target) -> Check:
        if target.health is None:
            return Check(HEALTH, True, "No health address is configured: recovery alone will be proof.")
        probe = HttpAction("GET", target.health.url, HEALTH_TIMEOUT)
        asked = await self._actions.look(probe, ActionContext(target.name))
        hint = "" if asked.ok else " A rollback could not be proven healthy: mend it, or verify.health.url."
        return Check(HEALTH, asked.ok, f"{asked.detail}.{hint}")

    # --- the alert that must come back --------------------------------------------------------------------------

    async def _routing(self, target: Target, drill: Drill) -> Check:
        if self._alertmanager is None:
            detail = "No Alertmanager is configured: set alertmanager.url, and the way of an alert can be tried."
            return Check(ROUTING, None, detail)
        labels = drill_alert.drill_labels(target, drill.id)
        if labels is None:
            detail = "No alert can be a trigger: `alerts` of the policy contradicts every map of `match`."
            return Check(ROUTING, False, detail)
        began = self._clock()
        alert = drill_alert.drill_alert(target, labels, began)
        try:
            await self._alertmanager.post_alerts([alert], ends_at=began + self._back_within + GRACE)
        except SourceError as error:
            return Check(ROUTING, None, f"Not tried: {sentences(error)}")
        try:
            came_at = await self._back(drill.id)
            lost = "" if came_at is not None else await self._lost(alert)
        finally:
            with contextlib.suppress(SourceError):  # it ends by itself as well
                await self._alertmanager.post_alerts([alert], ends_at=self._clock())
        if came_at is not None:
            detail = f"An alert came back by way of Alertmanager after {max(0.0, came_at - began):.1f} s."
            return Check(ROUTING, True, detail)
        return Check(ROUTING, False, lost)

    async def _back(self, drill_id: str) -> float | None:
        """When the alert came back, to whichever replica; None when it did not in time."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._back_within):
                while True:
                    with contextlib.suppress(JournalError):
                        came_at = await self._journal.drill_back_at(drill_id)
                        if came_at is not None:
                            return came_at
                    await asyncio.sleep(LOOK_EVERY)
        return None

    async def _lost(self, alert: Alert) -> str:
        """Why an alert did not come back, as far as Alertmanager says."""
        shown = _matchers(alert.labels)
        try:
            held = await self._alertmanager_holds(alert)
        except SourceError:
            held = ""
        if held:
            return f"Alertmanager took an alert with {shown} and holds it back: {held}."
        return (
            f"Alertmanager took an alert with {shown}, and it did not come back within {self._back_within:g} s: route"
            " alerts with these labels to this controller's /webhook/alertmanager, with a sender's token (`rearguard"
            " status` tells of refused ones), and with group_wait and group_interval below that (see"
            " deploy/alertmanager/alertmanager.yml)."
        )

    async def _alertmanager_holds(self, alert: Alert) -> str:
        if self._alertmanager is None:
            return ""
        for each in await self._alertmanager.alerts(only_held=True):
            if is_subset(alert.labels, each.labels):
                return ", ".join(
                    [
                        *(f"silence {one}" for one in each.silenced_by),
                        *(f"inhibited by {one}" for one in each.inhibited_by),
                    ]
                )
        return ""


def _matchers(labels: Labels) -> str:
    return ", ".join(f'{name}="{value}"' for name, value in sorted(labels.items()))
