"""What is known of a target whichever alert is judged: from its own commands, the journal, and other targets' alerts.

Here: each reading, which returns its value together with the evidence for it. What gives no answer becomes an unknown
with a sentence; only a journal that fails raises.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from rearguard_controller.errors import ShortageError, SourceError
from rearguard_controller.model import (
    Budget,
    CommandAction,
    CommandRelease,
    Companion,
    Evidence,
    EvidenceSource,
    Facts,
    KubernetesRelease,
    Outcome,
    Ownership,
    PendingAlert,
    PrometheusRelease,
    ReasonCode,
    Release,
    ReleaseKind,
    Rollback,
    Room,
    StormLimit,
    Target,
    TargetFacts,
    TargetState,
)
from rearguard_controller.model.observations import is_armed
from rearguard_controller.releases.looks import Serving
from rearguard_controller.releases.tracking import Releases
from rearguard_controller.runtime import Runtime
from rearguard_controller.wording import clock_time, plain, span

NEVER_BEGUN = (Outcome.VETOED, Outcome.EXPIRED, Outcome.NOT_NEEDED)  # outcomes of waits that led to nothing
_DESTINATION = (ReasonCode.KNOWN_GOOD_EXISTS,)
ALERTS = "GET /api/v1/alerts"
MOST_NAMED = 5  # versions or targets that an answer names


@dataclass(frozen=True, slots=True)
class TargetReader:
    """Asks a target's commands and the journal."""

    runtime: Runtime
    releases: Releases

    async def read(self, target: Target, *, record: bool, spared: str = "") -> Facts:
        """What is known of a target without any alert; only the leader writes a change of version down (`record`).

        Open rollbacks are read before the target's state. So if one closes meanwhile, then what its close leaves
        behind is seen for certain: a mark, or a target that is disarmed.

        With `spared` nothing but the journal is asked, or the watch that follows a workload; see `TargetFacts`.

        Raises:
            JournalError: the journal cannot be read.
        """
        if spared and not isinstance(target.release, KubernetesRelease):
            serving, activatable, listing, ownership = await self._last(target), None, "", None
        else:
            look = self.releases.look if record else self.releases.peek
            serving, (activatable, listing), ownership = await asyncio.gather(
                look(target), self._activatable(target), self.releases.kinds.ownership(target.release)
            )
        now = self.runtime.clock()
        still_open = await self.runtime.journal.targets_under_way()
        state, releases, (known, of_rollbacks) = await asyncio.gather(
            self.runtime.journal.target_state(target.name),
            self.runtime.journal.releases(target.name),
            self._rollbacks(target, serving.version, still_open, now),
        )
        known = replace(
            known,
            serving_version=serving.version,
            serving_detail=serving.detail or listing or spared,
            state=state,
            releases=releases,
            activatable=activatable,
            ownership=ownership,
            spared=spared,
            evidence=(
                *of_commands(target, serving, activatable, listing, now, spared),
                *of_ownership(target.release, ownership, now),
                of_state(target, state, now),
                of_releases(target, releases, now),
                of_rollbacks,
            ),
        )
        return Facts(now, known)

    async def check(self, target: Target, facts: Facts, version: str) -> Facts:
        """The facts, with whether the target's own `check` lets a version be activated.

        The same object when there is no such command, or when it was asked about this version before. If it could not
        be asked for want of a resource, then no other version may be chosen instead: what serves counts as unread.
        """
        known = facts.target
        if not target.release.proves or version in known.checked:
            return facts
        near = self.releases.kinds.surroundings(target.release, known.ownership, version)
        try:
            said, (ownership, room) = await asyncio.gather(self.releases.check(target, version), near)
            checked = {**known.checked, version: said}
        except ShortageError as error:
            return replace(facts, target=replace(known, serving_version=None, serving_detail=error.message))
        evidence = (
            *known.evidence,
            of_check(target.release, checked, facts.now),
            *of_room(target.release, room, facts.now),
        )
        known = replace(known, checked=checked, ownership=ownership, room=room, evidence=evidence)
        return replace(facts, target=known)

    async def _last(self, target: Target) -> Serving:
        """Which version served when it was seen last; nobody is asked."""
        state = self.releases.remembered.moved_on(await self.runtime.journal.target_state(target.name))
        return Serving(state.serving_version, "", state, read=False)

    async def _activatable(self, target: Target) -> tuple[frozenset[str] | None, str]:
        """The versions that the target lists (None: it cannot), and why they could not be listed."""
        try:
            return await self.releases.activatable(target), ""
        except SourceError as error:
            return frozenset(), error.message

    async def _rollbacks(
        self, target: Target, version: str | None, still_open: Mapping[str, str], now: float
    ) -> tuple[TargetFacts, Evidence]:
        """What the journal says of rollbacks; `still_open` are those under way, by target."""
        budget = target.policy.budget
        handled, last_action_at, actions, waits = await asyncio.gather(
            self._handled(target, version),
            self.runtime.journal.last_action_at(target.name),
            self.runtime.journal.actions_since(target.name, now - budget.per),
            self._ended_waits(target),
        )
        sick = {
            each: f"its rollback {still_open[each]} is under way"
            for each in target.dependencies
            if each in still_open
        }
        known = TargetFacts(
            serving_version=version,
            open_rollback=still_open.get(target.name),
            handled_by=handled,
            ended_waits=waits,
            last_action_at=last_action_at,
            actions_in_budget=len(actions),
            budget_frees_at=frees_at(actions, budget),
            sick_dependencies=sick,
        )
        return known, of_rollbacks(target, known, now)

    async def _handled(self, target: Target, version: str | None) -> str | None:
        return None if version is None else await self.runtime.journal.handled(target.name, version)

    async def _ended_waits(self, target: Target) -> tuple[Rollback, ...]:
        pages = await asyncio.gather(
            *(self.runtime.journal.rollbacks(target=target.name, outcome=outcome, limit=1) for outcome in NEVER_BEGUN)
        )
        return tuple(rollback for page in pages for rollback in page.items)


def frees_at(actions: Sequence[float], budget: Budget) -> float | None:
    """When the budget allows one more automatic rollback; None while some are left. `actions` are newest first."""
    used_up = 0 < budget.rollbacks <= len(actions)
    return actions[budget.rollbacks - 1] + budget.per if used_up else None


def with_others(
    known: TargetFacts,
    target: Target,
    troubled: Collection[str],
    *,
    lately: tuple[str, ...],
    storm: StormLimit,
    lasting: Collection[str] = (),
    pending: Mapping[str, tuple[PendingAlert, ...]] | None = None,
    fault: str = "",
) -> TargetFacts:
    """The facts of a target, with what Prometheus says of other targets.

    Args:
        known: its facts so far.
        target: whose.
        troubled: the targets of which a trigger alert fires now.
        lately: those that had one within `storm.within` seconds.
        storm: how many of them are too many.
        lasting: those whose trouble of a moment ago is not known to be over.
        pending: the dependencies of which trigger alerts pend, with these.
        fault: why it is not known which alerts fire.
    """
    firing = {name: "a trigger alert of it fires" for name in target.dependencies if name in troubled}
    over = f"a trigger alert of it fired within {span(storm.within)}, and is not known to be over"
    before = {name: over for name in target.dependencies if name in lasting}
    return replace(
        known,
        sick_dependencies={**before, **firing, **known.sick_dependencies},
        pending_dependencies=pending or {},
        dependencies_detail=fault,
        troubled=lately,
        storm=storm,
    )


# --- the evidence of each reading


def of_commands(
    target: Target,
    serving: Serving,
    activatable: frozenset[str] | None,
    listing: str,
    at: float,
    spared: str = "",
) -> tuple[Evidence, ...]:
    """What the commands `current` and `versions` said, or the workload.

    `listing` is why there is no list, `spared` why they were not asked if they were not.
    """
    release = target.release
    said = serving.version or f"no answer: {serving.detail or listing}"
    serves = (ReasonCode.RECENT_RELEASE, ReasonCode.KNOWN_GOOD_EXISTS, ReasonCode.NOT_ALREADY_HANDLED)
    listed = "no answer: " + listing if listing else few(sorted(activatable or ())) or "no version"
    if not serving.read:
        listed = f"not asked, {spared}"
        said = f"{listed}; {_last_seen(serving.state)}"
    if isinstance(release, KubernetesRelease):
        return (
            Evidence(EvidenceSource.TARGET, release.workload, said, at, serves),
            Evidence(EvidenceSource.TARGET, f"revisions of {release.workload}", listed, at, _DESTINATION),
        )
    if isinstance(release, PrometheusRelease):
        return (Evidence(EvidenceSource.PROMETHEUS, f"{release.label} of {release.metric}", said, at, serves),)
    current = _of_command(release.current, said, at, *serves)
    if release.versions is None:
        return (current,)
    return current, _of_command(release.versions, listed, at, *_DESTINATION)


def _last_seen(state: TargetState) -> str:
    """What the journal says of who serves, and of when that was seen last."""
    if state.serving_version is None or state.looked_at is None:
        return "it was not read before, either"
    return f"{state.serving_version} served when it was last seen, {clock_time(state.looked_at)}"


def of_check(release: ReleaseKind, checked: dict[str, str], at: float) -> Evidence:
    """What the target's own check said of the versions that it was asked about."""
    said = few(f"{version}: {why or 'can be activated'}" for version, why in checked.items())
    if isinstance(release, CommandRelease) and release.check is not None:
        return _of_command(release.check, said, at, *_DESTINATION)
    where = f"dry run on {release.workload}" if isinstance(release, KubernetesRelease) else "check"
    return Evidence(EvidenceSource.TARGET, where, said, at, _DESTINATION)


def of_ownership(release: ReleaseKind, ownership: Ownership | None, at: float) -> tuple[Evidence, ...]:
    """What the marks on a workload say of who owns it."""
    if not isinstance(release, KubernetesRelease) or ownership is None:
        return ()
    said = f"no answer: {ownership.fault}" if ownership.fault else str(ownership) or "nobody"
    return (Evidence(EvidenceSource.TARGET, f"owners of {release.workload}", said, at, (ReasonCode.OWNER_ALLOWS,)),)


def of_room(release: ReleaseKind, room: Room | None, at: float) -> tuple[Evidence, ...]:
    """What the namespace says of the room for a version."""
    if not isinstance(release, KubernetesRelease) or room is None:
        return ()
    said = " ".join((*room.full, *room.unknown, *room.notes)) or "nothing is in the way"
    question = f"room in namespace {release.namespace}"
    return (Evidence(EvidenceSource.TARGET, question, said, at, (ReasonCode.CAPACITY_SUFFICES,)),)


def of_state(target: Target, state: TargetState, now: float) -> Evidence:
    """What the journal says of the target's state."""
    parts = ["armed" if is_armed(state, now) else "disarmed"]
    if state.serving_version is not None and state.serving_since is not None:
        kind = "a release" if state.is_release else "no release"
        parts.append(f"{state.serving_version} since {clock_time(state.serving_since)}, {kind}")
    if state.previous_version is not None:
        until = "" if state.changed_after is None else f", last seen {clock_time(state.changed_after)}"
        parts.append(f"before it {state.previous_version}{until}")
    if state.alerts_before is not None:
        seen = few(f"{each.name} {each.state.value}" for each in state.alerts_before.alerts)
        parts.append(f"alerts right before the change: {seen or 'none'}")
    if state.deploy_started_at is not None:
        parts.append(f"a deployment announced {clock_time(state.deploy_started_at)}")
    return _of_journal(
        f"state of {target.name}",
        "; ".join(parts),
        now,
        ReasonCode.ARMED,
        ReasonCode.RECENT_RELEASE,
        ReasonCode.NO_DEPLOY_IN_PROGRESS,
        ReasonCode.BEGAN_AFTER_RELEASE,
    )


def of_releases(target: Target, releases: Sequence[Release], now: float) -> Evidence:
    """What the journal says of the target's versions, those that served last first."""
    newest_first = sorted(releases, key=lambda each: each.last_seen, reverse=True)
    return _of_journal(
        f"releases of {target.name}",
        few(map(_marks, newest_first)) or "none",
        now,
        ReasonCode.VERSION_MATCHES,
        ReasonCode.KNOWN_GOOD_EXISTS,
        ReasonCode.NO_BARRIER,
    )


def of_rollbacks(target: Target, known: TargetFacts, now: float) -> Evidence:
    """What the journal says of the target's rollbacks."""
    last = "none" if known.last_action_at is None else clock_time(known.last_action_at)
    parts = [
        f"open: {known.open_rollback or 'none'}",
        f"last started: {last}",
        f"automatic in the period: {known.actions_in_budget} of {target.policy.budget.rollbacks}",
    ]
    if known.handled_by is not None:
        parts.append(f"away from {known.serving_version}: {known.handled_by}")
    parts += [f"{each.id} {each.outcome}" for each in known.ended_waits if each.from_version == known.serving_version]
    return _of_journal(
        f"rollbacks of {target.name}",
        "; ".join(parts),
        now,
        ReasonCode.NOT_ALREADY_HANDLED,
        ReasonCode.NO_OPEN_ROLLBACK,
        ReasonCode.COOLDOWN_OVER,
        ReasonCode.BUDGET_LEFT,
    )


def of_others(target: Target, known: TargetFacts, at: float) -> Evidence:
    """What Prometheus' list of alerts says of the targets that this one depends on, and of all targets."""
    said = f"trigger alerts were seen of {few(known.troubled)}" if known.troubled else "no trigger alert was seen"
    serves: tuple[ReasonCode, ...] = (ReasonCode.NO_STORM,)
    if target.dependencies:
        sick = few(f"{name}: {why}" for name, why in known.sick_dependencies.items())
        said += f"; of what it depends on in trouble: {sick or 'none'}"
        if known.pending_dependencies:
            said += f", with alerts that pend: {few(known.pending_dependencies)}"
        serves = (ReasonCode.DEPENDENCIES_HEALTHY, ReasonCode.NO_STORM)
    return Evidence(EvidenceSource.PROMETHEUS, ALERTS, said, at, serves)


def of_companions(companions: Iterable[Companion]) -> tuple[Evidence, ...]:
    """What was read of the targets that go back together with the one that is judged."""
    read = (each for companion in companions for each in companion.known.evidence)
    return tuple(replace(each, serves=(ReasonCode.TOGETHER_ALLOWS,)) for each in read)


def few(names: Iterable[str]) -> str:
    """At most `MOST_NAMED` of these names, and how many more there are."""
    shown = list(names)
    return ", ".join(shown[:MOST_NAMED]) + (f" and {len(shown) - MOST_NAMED} more" if len(shown) > MOST_NAMED else "")


def _marks(release: Release) -> str:
    marks = [
        "bad" if release.bad_at is not None else "suspect" if release.suspect_at is not None else "",
        "not trusted" if release.known_good_at is None else f"known good since {clock_time(release.known_good_at)}",
        "barrier" if release.barrier else "",
    ]
    shown = f" (shows {release.service_version})" if release.service_version else ""
    return f"{release.version}{shown} {', '.join(mark for mark in marks if mark)}"


def _of_command(command: CommandAction, said: str, at: float, *serves: ReasonCode) -> Evidence:
    return Evidence(EvidenceSource.TARGET, plain(" ".join(command.argv)), said, at, serves)


def _of_journal(what: str, said: str, at: float, *serves: ReasonCode) -> Evidence:
    return Evidence(EvidenceSource.JOURNAL, what, said, at, serves)
