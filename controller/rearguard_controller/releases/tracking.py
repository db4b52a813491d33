"""Which version of each target serves, and which earned trust.

Here: reading `current`, noticing a change of version, learning which `service_version` a version shows in Prometheus,
earning known good. What follows from an observation is in `trust`; what people say of releases is in `by_people`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

import structlog

from rearguard_controller.adapters.actions import ActionContext, shown
from rearguard_controller.adapters.prometheus.of_all import PrometheusOf
from rearguard_controller.adapters.release_kinds import ReleaseKinds
from rearguard_controller.errors import NotFoundError, ShortageError, SourceError
from rearguard_controller.judgement import score
from rearguard_controller.model import (
    VERSION_LABEL,
    Check,
    CommandRelease,
    KubernetesRelease,
    Release,
    SharedFault,
    StepKind,
    Target,
    TargetFacts,
    TargetState,
    Trigger,
)
from rearguard_controller.model.checks import CURRENT
from rearguard_controller.model.observations import LONGEST_SCRAPE
from rearguard_controller.releases.bootstrap import Bootstrap
from rearguard_controller.releases.by_pods import ByPods
from rearguard_controller.releases.looks import Serving, Watch
from rearguard_controller.releases.past import alerts_before_change
from rearguard_controller.releases.presence import tells
from rearguard_controller.releases.remembered import Remembered
from rearguard_controller.releases.rollout import arrived_at, beside, is_beside, is_one_rollout
from rearguard_controller.releases.shown import Shown
from rearguard_controller.releases.trust import (
    Denial,
    against_trust,
    believable,
    concerns,
    described,
    differ_in_time_only,
    earns,
    lingering,
    most_apart,
    seen,
    serves,
    stands,
    tended,
    trusted,
    with_alerts,
    with_shared_fault,
)
from rearguard_controller.runtime import Runtime

log = structlog.get_logger(__name__)

MOST_COMMANDS = 32  # `current` of targets that run at a time
MOST_OF_POLLS = 24  # of those, so that a judgement need not wait for slow ones of polls


class Releases:
    """Keeps the journal's releases and target states in step with the world."""

    def __init__(
        self,
        runtime: Runtime,
        kinds: ReleaseKinds,
        prometheus: PrometheusOf,
        remembered: Remembered | None = None,
    ) -> None:
        """Wire it; `remembered` is what earlier parts remembered of the targets."""
        self._journal, self._lead, self._clock = runtime.journal, runtime.lead, runtime.clock
        self.kinds = kinds  # how versions are read and changed
        self._prometheus = prometheus
        self.shown = Shown(prometheus, runtime.clock)
        self.remembered = remembered or Remembered(runtime)
        self._commands, self._of_polls = asyncio.Semaphore(MOST_COMMANDS), asyncio.Semaphore(MOST_OF_POLLS)
        self._by_pods = ByPods(runtime, kinds)
        self._bootstrap = Bootstrap(runtime, prometheus, self.activatable)
        self._paired: dict[str, tuple[str, str | None]] = {}  # target -> version and service_version of the last poll
        self._denied: dict[str, Denial] = {}  # target -> what denied trust in the last poll
        self._begun = 0  # readings of what serves, numbered in the order of their beginning
        self._written: dict[str, tuple[asyncio.Lock, int]] = {}  # target -> the newest of them that was recorded

    async def look(self, target: Target, *, closely: bool = True) -> Serving:
        """Read which version serves now, and record a change of it.

        Without `closely` a version that serves on is not recorded again.

        A target that cannot be read keeps its last state; the answer's `detail` says why. Several readings may run at
        once: one that began before a reading that is recorded already is dropped.
        """
        self._begun += 1
        number = self._begun
        try:
            version = await self.current(target)
        except SourceError as error:
            return Serving(None, error.message, await self._journal.target_state(target.name))
        lock, _ = self._written.setdefault(target.name, (asyncio.Lock(), 0))
        async with lock:
            _, newest = self._written[target.name]
            state = self.remembered.moved_on(await self._journal.target_state(target.name))
            if number < newest and state.serving_version is not None:
                return Serving(state.serving_version, "", state)
            if closely or version != state.serving_version or not self.remembered.is_written(target):
                serving = await self._record(target, version, state)
            else:
                serving = Serving(version, "", replace(state, looked_at=self._clock()))
            self._written[target.name] = (lock, number)
            self.remembered.was_read(target, version)
            return serving

    async def _record(self, target: Target, version: str, state: TargetState) -> Serving:
        """Record that a version serves; `state` is what was known of the target until now."""
        now = self._clock()
        description = await self.kinds.described(target.release, version)
        if await self._is_beside(target, state, version, now):
            state = await self._lead.change_target(target.name, lambda known: beside(known, version, now))
            return Serving(state.serving_version, "", state)
        shown = self.kinds.shown(target.release, version)
        before = state.serving_version
        if before is not None and before != version:
            await self._lead.change_release(
                target.name, before, lambda known: replace(seen(known, target.name, before, now), last_seen=now)
            )
        left, by_us = await self._left(target, before, version)
        window = target.policy.watch_window

        def changed(state: TargetState, release: Release) -> TargetState:
            state = self.remembered.moved_on(state)
            is_trusted = release.known_good_at is not None
            if left is None or state.serving_version != left.version:
                return serves(state, version, now, trusted=is_trusted)
            if by_us is not None:  # it went away for certain
                counted = score.lasted(state, score.FOR_GOOD)
                counted = score.left(counted, left, release, now, window=window, by_us=by_us is Trigger.ALERT)
                after = serves(replace(counted, left=None), version, now, trusted=is_trusted)
                return replace(after, left=None, alternation=None)
            if not is_one_rollout(state, version, now):  # what was left before stays away
                state = score.lasted(state, score.FOR_GOOD)
            after = serves(state, version, now, trusted=is_trusted)
            counted = score.left(state, left, release, now, window=window, by_us=False)
            return score.once_it_lasts(after, state.score, counted.score)

        def noticed(known: Release | None) -> Release:
            return described(seen(known, target.name, version, now), description, shown)

        if before == version and self.remembered.is_written(target):  # then only the moment is new
            known = next(
                (each for each in await self._journal.releases(target.name) if each.version == version), None
            )
            if known is not None and noticed(known) == known:
                return Serving(version, "", replace(state, looked_at=now))
        _, state = await self._lead.change_both(target.name, version, noticed, changed)
        if before != version:
            log.info("version_changed", target=target.name, version=version, before=before, release=state.is_release)
        return Serving(version, "", state)

    async def _left(self, target: Target, before: str | None, version: str) -> tuple[Release | None, Trigger | None]:
        """The version that was left, if any, and the trigger of our rollback that led away from it, if one did."""
        if before is None or before == version:
            return None, None
        by_us = await self._led_away(target, before, version)
        known = await self._journal.releases(target.name)
        return next((each for each in known if each.version == before), None), by_us

    async def _led_away(self, target: Target, before: str, version: str) -> Trigger | None:
        """The trigger of our rollback from one version to another, or of an automatic one anywhere away from it."""
        if await self._journal.handled(target.name, before) is not None:
            return Trigger.ALERT
        newest = next(iter((await self._journal.rollbacks(target=target.name, limit=1)).items), None)
        if newest is None or (newest.from_version, newest.to_version) != (before, version):
            return None
        step = newest.step_of(StepKind.ROLL_BACK)
        return newest.trigger if step is not None and step.attempt > 0 else None

    async def _is_beside(self, target: Target, state: TargetState, version: str, now: float) -> bool:
        """Whether a version that was read only serves beside the release, and no rollback of ours brought it back."""
        release = state.serving_version
        if release is None or not is_beside(state, version, now):
            return False
        return await self._led_away(target, release, version) is None

    async def peek(self, target: Target) -> Serving:
        """Read which version serves now, and record nothing: for requests that any replica may answer."""
        state = await self._journal.target_state(target.name)
        try:
            version = await self.current(target)
        except SourceError as error:
            return Serving(None, error.message, state)
        shown = state.serving_version if await self._is_beside(target, state, version, self._clock()) else version
        return Serving(shown, "", state)

    async def current(self, target: Target) -> str:
        """The version that serves, as the target's own command or workload says.

        Raises:
            SourceError: it could not be read.
        """
        if not isinstance(target.release, CommandRelease):
            return await self.kinds.current(target.release, self._context(target))
        async with self._commands:
            return await self.kinds.current(target.release, self._context(target))

    async def activatable(self, target: Target) -> frozenset[str] | None:
        """The versions that the target lists as ready to be activated; None when it cannot list them.

        Raises:
            SourceError: it should list them and could not.
        """
        return await self.kinds.versions(target.release, self._context(target))

    async def check(self, target: Target, version: str, *, alone: bool = True) -> str:
        """Why the target's own check does not let a version be activated; empty when it does, or there is none.

        Args:
            target: whose version it is.
            version: to be activated.
            alone: wait until no command of the target runs, and let none begin meanwhile.

        Raises:
            ShortageError: the controller could not start it for want of a resource.
        """
        if not target.release.proves:
            return ""
        state = await self._journal.target_state(target.name)
        context = ActionContext(target.name, from_version=state.serving_version or "", to_version=version)
        result = await self.kinds.prove(target.release, context, alone=alone)
        if result is None or result.ok:
            return ""
        if result.never_began:
            raise ShortageError(f"{result.detail}.")
        said = result.output.strip().splitlines()[-1:]
        return f"its check failed, {result.detail}" + (f" ({shown(said[0])})" if said else "")

    async def obstacle(self, target: Target) -> str:
        """Why no version of a target could be activated, found out without changing anything; empty if one could."""
        return await self.kinds.obstacle(target.release, self._context(target))

    async def track(
        self, target: Target, watch: Watch, *, poll_interval: float, every: float | None = None
    ) -> Serving:
        """One poll: which version serves, what it shows in Prometheus, and whether it earns trust.

        `every` is how many seconds the two looks before this one lie apart; by default `poll_interval`.
        """
        serving = await self._serving(target, watch)
        if serving.version is None:
            self.remembered.lost(target)
            if serving.state.clean_since is not None:
                await self._lead.change_target(target.name, lambda state: replace(state, clean_since=None))
            return serving
        await self._recall(target, serving.state)
        version, now = serving.version, self._clock()
        pods, state = await self._by_pods.look(target, version)
        if state is not None:
            serving = replace(serving, state=state)
        instances = await self.shown.in_poll(target, watch.instances, arrived_at(serving.state) or now)
        if pods.unready:  # what Prometheus shows is of the version before
            instances = replace(instances, service_version=None)
        known = {release.version: release for release in await self._journal.releases(target.name)}
        shown = believable(known, serving.state, instances.service_version, now)
        again = self._again(target, version, shown)
        if shown is not None and again and known[version].service_version != shown:
            await self._lead.change_release(
                target.name, version, lambda release: replace(_known(release), service_version=shown)
            )
        alerts = [labels for labels in watch.alerts if concerns(labels, shown or known[version].service_version)]
        if alerts:
            newest = next(iter((await self._journal.rollbacks(target=target.name, limit=1)).items), None)
            over = lingering(newest, version, now)
            # one that names the version that serves is about it, not the tail of what was left
            alerts = [each for each in alerts if VERSION_LABEL in each or each.get("alertname") not in over]
        against = against_trust(watch.checks, target.policy.trust)
        if pods.unready:
            against = (*against, Check(CURRENT, False, f"{version} does not serve: {pods.unready}."))
        if serving.state.adopting:
            learned = (shown if again else None) or known[version].service_version
            release = replace(known[version], service_version=learned)
            await self._bootstrap.look(target, release, against)
        facts = TargetFacts(version, state=serving.state, releases=tuple(known.values()))
        names = {each.get("alertname", "") for each in alerts}
        window = target.policy.watch_window
        denying = {name for name in names if not stands(name, facts, watch.began.get(name), now, window)}
        self._denied[target.name] = Denial(tuple(sorted(denying)), against, instances.up)
        clean = instances.up is True and not against and not denying
        has_figure = not watch.figures.isdisjoint((None, shown or known[version].service_version))
        said = serving.state.score.version == version
        by_us = said and await self._journal.handled(target.name, version) is not None

        most_gap = most_apart(poll_interval if every is None else every, poll_interval)

        def polled(state: TargetState) -> TargetState:
            if state.serving_version != version:  # another version serves meanwhile: none of this is about it
                return state
            state = score.lasted(state, now)
            state = tended(with_alerts(state, watch.seen), now, clean=clean, most_gap=most_gap, has_figure=has_figure)
            if by_us:  # an approved attempt that failed, and left it serving
                return score.acted(state, version)
            return score.passed(state, known[version], now, window=target.policy.watch_window)

        state = await self._keep(target, serving, watch, polled)
        await self._reward(target, known[version], state, now)
        return replace(serving, state=state, named=instances.named, unready=pods.unready)

    async def _serving(self, target: Target, watch: Watch) -> Serving:
        """Which version serves: read, unless nothing tells of a change since it was read last."""
        followed = isinstance(target.release, KubernetesRelease)  # and reading it costs nothing
        version = None if watch.closely or followed or not tells(watch.instances) else self.remembered.known(target)
        if version is not None:
            state = self.remembered.moved_on(await self._journal.target_state(target.name))
            if state.serving_version == version:
                return Serving(version, "", state, read=False)
        async with self._of_polls:
            return await self.look(target, closely=watch.closely)

    async def _keep(
        self, target: Target, serving: Serving, watch: Watch, polled: Callable[[TargetState], TargetState]
    ) -> TargetState:
        """Store what a poll makes of the state; if only moments moved on, the note of all targets tells of them."""
        seen_at = serving.state.looked_at or self._clock()
        if not serving.read:  # by scrapes: each shows a moment that may be a scrape ago
            seen_at = (self._clock() if watch.instances is None else watch.instances.asked_at) - LONGEST_SCRAPE

        def seen_now(state: TargetState) -> TargetState:
            state = self.remembered.moved_on(state)
            after, looked_at = polled(state), state.looked_at
            if looked_at is None or after.serving_version != serving.version:
                return after
            return replace(after, looked_at=max(looked_at, seen_at))

        state = seen_now(serving.state)
        is_same = differ_in_time_only(serving.state, state) and state.serving_version == serving.version
        noted = is_same and self.remembered.may_note(target, watch)
        if not noted:
            state = await self._lead.change_target(target.name, seen_now)
        if watch.seen is not None:
            self.remembered.saw(target, seen_at, written=not noted, closely=watch.closely)
        else:
            self.remembered.lost(target)
        return state

    async def remember_shared(self, target: Target, version: str, fault: SharedFault) -> None:
        """Keep what an older version showed beside a release, or that it counts no more."""
        await self._lead.change_release(
            target.name, version, lambda release: with_shared_fault(_known(release), fault)
        )
        log.info("fault_shared", target=target.name, version=version, alert=fault.alert, older=fault.version,
                 counts=fault.ended_at is None)  # fmt: skip

    def denied(self, target_name: str) -> Denial:
        """What kept the serving version from earning trust in the last poll."""
        return self._denied.get(target_name, Denial())

    def _again(self, target: Target, version: str, shown: str | None) -> bool:
        """Whether the poll before saw the same pair.

        One poll is not enough: a deployment may come between its two readings.
        """
        before, self._paired[target.name] = self._paired.get(target.name), (version, shown)
        return before == (version, shown)

    async def _recall(self, target: Target, state: TargetState) -> None:
        """Ask Prometheus' history what was pending or firing before a release that came while nobody looked."""
        before = state.alerts_before
        if not state.is_release or before is None or not before.unknown or before.asked:
            return
        try:
            found = await alerts_before_change(self._prometheus(target.name), target, state)
        except SourceError:  # asked again at the next poll
            return
        await self._lead.change_target(
            target.name,
            lambda known: replace(known, alerts_before=found) if known.alerts_before == before else known,
        )
        log.info("alerts_before_release", target=target.name, version=state.serving_version,
                 alerts=sorted({each.name for each in found.alerts}), unknown=found.unknown)  # fmt: skip

    async def _reward(self, target: Target, release: Release, state: TargetState, now: float) -> None:
        if not earns(release, state, now, target.policy):
            return
        await self._lead.change_release(target.name, release.version, lambda known: trusted(_known(known), now))
        log.info("version_known_good", target=target.name, version=release.version)

    def _context(self, target: Target) -> ActionContext:
        return ActionContext(target=target.name)


def _known(release: Release | None) -> Release:
    if release is None:
        raise NotFoundError("A release that was just read is gone from the journal.")
    return release
