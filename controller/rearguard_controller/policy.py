"""The judgement: is this release to blame, and may we act? Pure, and the same for alerts, dry runs and by hand.

Here: `decide` and `decide_by_hand`, and one small function for each reason, in the order of judgement. A reason is a
question with an answer (true, false, or null for unknown) and a sentence that carries the numbers; a decision holds
all of them, so that anyone can see why, or why not. Unknown is not true: it stands in the way unless its function
says otherwise.
Never here: clocks, queries, the journal. Everything that may be known is in `Facts`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from enum import StrEnum, unique

from rearguard_controller.model import (
    Alert,
    AlertState,
    Decision,
    Facts,
    Measurement,
    Mode,
    Outcome,
    Reason,
    ReasonCode,
    Release,
    Rollback,
    Target,
    TargetState,
    Trigger,
    Verdict,
)

PRODUCTION = "production"
LONGEST_UNSEEN = 300.0  # seconds between two readings of the version within which a fault still came with the change
LONGEST_UNREAD = 600.0  # seconds after which Alertmanager's list says nothing any more
MOST_NAMED = 5  # targets that a sentence names
DATABASE = "database"  # the value of the label `component` on alerts about databases
PERMISSIONS = frozenset({ReasonCode.MODE_ALLOWS, ReasonCode.ARMED, ReasonCode.ENVIRONMENT_ALLOWS})


@dataclass(frozen=True, slots=True)
class Case:
    """What a reason may look at."""

    alert: Alert
    target: Target
    facts: Facts
    destination: Release | None


@unique
class Standing(StrEnum):
    """What a fresh judgement says of a rollback that waits."""

    HOLDS = "holds"  # it is still right
    OVER = "over"  # the alert is not confirmed any more
    BARRED = "barred"  # something else stands in the way now
    CHANGED = "changed"  # another version serves
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Wish:
    """A rollback that a person asks for."""

    to_version: str | None = None  # default: the newest known-good version
    force: bool = False  # allows a bad, barred or unproven destination
    note: str = ""


def decide(decision_id: str, alert: Alert, target: Target | None, facts: Facts) -> Decision:
    """Judge an alert.

    Args:
        decision_id: the new decision's id.
        alert: as Prometheus has it now, or as it was delivered when Prometheus does not know it.
        target: whose alert it is; None when it matches none.
        facts: everything known, gathered before.

    Returns:
        `roll_back` when no reason stands in the way, else `leave`; `ask` in place of `roll_back` where the mode is
        `ask`, and for a database alert that cannot be compared with the version before. `would` is the verdict had
        mode, environment and arming allowed it: `ask` in mode `ask`, which allows no more than that.
    """
    if target is None:
        known = Reason(ReasonCode.TARGET_KNOWN, False, "No configured target matches the labels of this alert.")
        return Decision(
            decision_id, "", Verdict.LEAVE, Verdict.LEAVE, facts.now, Trigger.ALERT, (known,), alert=alert
        )
    destination = choose_destination(facts)
    case = Case(alert, target, facts, destination)
    reasons = tuple(question(case) for question in QUESTIONS)
    blocking = {reason.code for reason in reasons if reason.blocks}
    asks = target.policy.mode is Mode.ASK or _may_be_the_database(alert, reasons)
    best = Verdict.ASK if asks else Verdict.ROLL_BACK
    return Decision(
        id=decision_id,
        target=target.name,
        verdict=Verdict.LEAVE if blocking else best,
        would=Verdict.LEAVE if blocking - PERMISSIONS else best,
        decided_at=facts.now,
        trigger=Trigger.ALERT,
        reasons=reasons,
        alert=alert,
        from_version=facts.serving_version,
        to_version=destination.version if destination else None,
    )


def decide_by_hand(decision_id: str, wish: Wish, target: Target, facts: Facts) -> Decision:
    """Judge a person's request: only what would make it impossible or senseless is enforced.

    Returns:
        `roll_back` when the destination exists, differs, can be activated and no rollback is open; else `leave`.
    """
    destination, known_good = _wished_destination(wish, facts)
    enforced = {
        ReasonCode.TARGET_KNOWN: Reason(ReasonCode.TARGET_KNOWN, True, f"The target is {target.name}."),
        ReasonCode.NO_OPEN_ROLLBACK: no_open_rollback_of(facts),
        ReasonCode.KNOWN_GOOD_EXISTS: known_good,
    }
    reasons = tuple(
        enforced.get(code) or Reason(code, None, "Does not apply to a rollback by hand.", unknown_blocks=False)
        for code in ReasonCode
    )
    verdict = Verdict.LEAVE if any(reason.blocks for reason in reasons) else Verdict.ROLL_BACK
    return Decision(
        id=decision_id,
        target=target.name,
        verdict=verdict,
        would=verdict,
        decided_at=facts.now,
        trigger=Trigger.MANUAL,
        reasons=reasons,
        from_version=facts.serving_version,
        to_version=destination,
        note=wish.note,
    )


def look_again(rollback: Rollback, decision: Decision, facts: Facts) -> tuple[Standing, str]:
    """Whether a rollback that waits is still right, and the sentence that says why.

    Args:
        rollback: it waits for approval, or for the time to veto it to pass.
        decision: its alert, judged anew as if the rollback were not open.
        facts: what that was judged on.

    Returns:
        `unknown` only where nothing is known to stand in the way.
    """
    version = facts.serving_version
    if version is not None and version != rollback.from_version:
        return Standing.CHANGED, f"{version} serves, not {rollback.from_version}: somebody else changed it."
    blocking = [reason for reason in decision.reasons if reason.blocks]
    over = next((each for each in blocking if each.code is ReasonCode.ALERT_CONFIRMED and each.holds is False), None)
    if over is not None:
        return Standing.OVER, over.detail
    destination = facts.release(rollback.to_version)
    why = None if version is None or destination is None else obstacle(destination, facts)
    barring = [reason.detail for reason in blocking if reason.holds is False]
    if why is not None:
        barring.append(f"{rollback.to_version} is no destination any more: {why}.")
    if not blocking and decision.verdict is Verdict.ASK and not rollback.approved:
        barring.append("By now it is for a person to approve.")
    if barring:
        return Standing.BARRED, " ".join(barring)
    if blocking:
        return Standing.UNKNOWN, " ".join(reason.detail for reason in blocking)
    confirmed = next((each.detail for each in decision.reasons if each.code is ReasonCode.ALERT_CONFIRMED), "")
    return Standing.HOLDS, f"Judged again: {confirmed}"


def is_armed(state: TargetState, now: float) -> bool:
    """Whether automatic rollbacks are switched on at `now`: a disarming may have an end."""
    return state.armed or (state.disarmed_until is not None and now >= state.disarmed_until)


def _may_be_the_database(alert: Alert, reasons: tuple[Reason, ...]) -> bool:
    """Whether the database itself may be at fault: nothing shows that the version before got on with it."""
    healthy = next(each for each in reasons if each.code is ReasonCode.PREVIOUS_VERSION_HEALTHY)
    return alert.labels.get("component") == DATABASE and healthy.holds is None


# --- the destination -----------------------------------------------------------------------------------------


def choose_destination(facts: Facts) -> Release | None:
    """The newest known-good release that can be gone back to; None if there is none.

    Newest means: served most recently; one that is only said to be good comes after all that served. Not the version
    serving now, not suspect or bad, not behind a barrier, and activatable where the target can tell.
    """
    return _newest(release for release in facts.releases if obstacle(release, facts) is None)


def obstacle(release: Release, facts: Facts) -> str | None:
    """Why a version is no destination, in words; None when it is one."""
    if release.version == facts.serving_version:
        return "it serves now"
    if release.bad_at is not None:
        return "it is marked bad"
    if release.suspect_at is not None:
        return "it is suspect: a rollback away from it has started"
    if release.known_good_at is None:
        return "it has not earned trust"
    barrier = barrier_before(release, facts)
    if barrier is not None:
        return f"it lies behind the barrier release {barrier.version}"
    if facts.activatable is not None and release.version not in facts.activatable:
        return "the target no longer lists it as one that can be activated"
    return facts.checked.get(release.version) or None


def barrier_before(release: Release, facts: Facts) -> Release | None:
    """The newest barrier that served only after `release` did, if any; one that never served was never passed."""
    since = release.first_seen if release.served_at is None else release.served_at
    later = [(other.served_at, other) for other in facts.releases if other.barrier and other.served_at is not None]
    passed = [(served_at, other) for served_at, other in later if served_at > since]
    return max(passed, key=lambda each: each[0])[1] if passed else None


def _newest(releases: Iterable[Release]) -> Release | None:
    return max(releases, key=lambda each: (each.served_at is not None, each.last_seen, each.first_seen), default=None)


def _wished_destination(wish: Wish, facts: Facts) -> tuple[str | None, Reason]:
    code = ReasonCode.KNOWN_GOOD_EXISTS
    if wish.to_version is None:
        best = choose_destination(facts)
        return (best.version if best else None), known_good_of(facts, best)
    version = wish.to_version
    if facts.serving_version is None:
        return version, Reason(
            code, None, f"It is not known which version serves now{_because(facts.serving_detail)}"
        )
    if version == facts.serving_version:
        return version, Reason(code, False, f"{version} is the version that serves now.")
    if facts.activatable is not None and version not in facts.activatable:
        return version, Reason(code, False, f"{version} is not among the versions that the target can activate.")
    if facts.checked.get(version):
        return version, Reason(code, False, f"{version} cannot be activated: {facts.checked[version]}.")
    release = facts.release(version)
    why = "it was never seen serving" if release is None else obstacle(release, facts)
    if why is None:
        return version, Reason(code, True, f"{version} is known good.")
    if wish.force:
        return version, Reason(code, True, f"{version} was forced although {why}.")
    return version, Reason(code, False, f"{version} is no destination: {why}. With force it is.")


# --- the reasons, in the order of judgement ----------------------------------------------------------------


def target_known(case: Case) -> Reason:
    """Whether the alert belongs to a configured target."""
    return Reason(ReasonCode.TARGET_KNOWN, True, f"The alert belongs to target {case.target.name}.")


def mode_allows(case: Case) -> Reason:
    """Whether the policy acts at all, by itself or when a person approves."""
    policy = case.target.policy
    holds = policy.mode is not Mode.OBSERVE
    return Reason(ReasonCode.MODE_ALLOWS, holds, f"The mode of policy {policy.name} is {policy.mode}.")


def armed(case: Case) -> Reason:
    """Whether automatic rollbacks are switched on for the target."""
    state = case.facts.state
    if state is None:
        return Reason(ReasonCode.ARMED, None, "The target's state could not be read.")
    if is_armed(state, case.facts.now):
        return Reason(ReasonCode.ARMED, True, "The target is armed.")
    why = f": {state.armed_reason}" if state.armed_reason else ""
    until = "" if state.disarmed_until is None else f" for another {span(state.disarmed_until - case.facts.now)}"
    return Reason(ReasonCode.ARMED, False, f"The target is disarmed{until}{why}.")


def environment_allows(case: Case) -> Reason:
    """Whether the target's environment is one to act in: production acts, others observe."""
    environment = case.target.environment
    if environment == PRODUCTION:
        return Reason(ReasonCode.ENVIRONMENT_ALLOWS, True, "The environment is production.")
    if case.target.policy.act_outside_production:
        detail = f"The environment is {environment}, and act_outside_production is set."
        return Reason(ReasonCode.ENVIRONMENT_ALLOWS, True, detail)
    named = environment or "not known"
    detail = f"The environment is {named}; only production acts unless act_outside_production is set."
    return Reason(ReasonCode.ENVIRONMENT_ALLOWS, False, detail)


def not_silenced(case: Case) -> Reason:
    """Whether Alertmanager holds back no notice of the alert; inhibited counts as silenced.

    Not to know it does not stand in the way: when Alertmanager is away, looking ourselves is all that is left.
    """
    said, code = case.facts.silencing, ReasonCode.NOT_SILENCED
    if said is None:
        return Reason(code, True, "No Alertmanager is configured that could silence the alert.")
    if said.age is None or said.age > LONGEST_UNREAD:
        read = "was never read" if said.age is None else f"was last read {span(said.age)} ago"
        detail = f"It is not known whether the alert is silenced, Alertmanager's list {read}{_because(said.fault)}"
        return Reason(code, None, detail, unknown_blocks=False)
    read = f", by its list of {span(said.age)} ago" if said.fault else ""
    if said.silence:
        left = "" if said.until is None else f" for another {span(said.until - case.facts.now)}"
        return Reason(code, False, f"Alertmanager silences the alert{left}{read}: {said.silence}.")
    if said.inhibited_by:
        detail = f"Alertmanager inhibits the alert{read}: the alert with fingerprint {said.inhibited_by} fires."
        return Reason(code, False, detail)
    return Reason(code, True, f"Alertmanager neither silences nor inhibits the alert{read}.")


def alert_confirmed(case: Case) -> Reason:
    """Whether the alert fires now in Prometheus and its figure is past the threshold now."""
    facts, code = case.facts, ReasonCode.ALERT_CONFIRMED
    name = case.alert.name
    match facts.alert_state:
        case AlertState.UNKNOWN:
            return Reason(code, None, f"Prometheus could not be asked about {name}{_because(facts.alert_detail)}")
        case AlertState.PENDING:
            return Reason(code, False, f"{name} is pending in Prometheus, not firing.")
        case AlertState.INACTIVE:
            return Reason(code, False, f"{name} does not fire in Prometheus now.")
        case AlertState.FIRING:
            measured = facts.measurement
    if measured is None or measured.past is None:
        return Reason(code, None, f"{name} fires, but its figure has no data now{_because(facts.alert_detail)}")
    figure = describe(measured)
    if measured.past:
        return Reason(code, True, f"{name} fires in Prometheus, and its figure is {figure}.")
    return Reason(code, False, f"{name} fires in Prometheus, but its figure is {figure} now.")


def recent_release(case: Case) -> Reason:
    """Whether an unproven version began to serve inside the watch window."""
    state, facts, code = case.facts.state, case.facts, ReasonCode.RECENT_RELEASE
    if facts.serving_version is None or state is None:
        return Reason(code, None, f"It is not known which version serves now{_because(facts.serving_detail)}")
    if state.serving_since is None or not state.is_release:
        returned = state.previous_version is not None
        how = "came back, it is no new release" if returned else "has served since it was first seen here"
        return Reason(code, False, f"There is no release to blame: {facts.serving_version} {how}.")
    age, window = facts.now - state.serving_since, case.target.policy.watch_window
    what = f"{facts.serving_version} began to serve {span(age)} ago; the watch window is {span(window)}."
    return Reason(code, 0 <= age <= window, what)


def no_deploy_in_progress(case: Case) -> Reason:
    """Whether no deployment is announced as running."""
    state, code = case.facts.state, ReasonCode.NO_DEPLOY_IN_PROGRESS
    if state is None or state.deploy_started_at is None:
        return Reason(code, True, "No deployment is announced as running.")
    age = span(case.facts.now - state.deploy_started_at)
    return Reason(code, False, f"A deployment was announced {age} ago and has not been announced as finished.")


def began_after_release(case: Case) -> Reason:
    """Whether the condition began, by Prometheus, only after the new version served."""
    facts, state, code = case.facts, case.facts.state, ReasonCode.BEGAN_AFTER_RELEASE
    if facts.condition_since is None:
        return Reason(code, None, f"It is not known when the condition began{_because(facts.condition_detail)}")
    if state is None or state.serving_since is None:
        return Reason(code, None, "It is not known when the serving version began to serve.")
    earliest = state.serving_since if state.changed_after is None else state.changed_after
    lead = facts.condition_since - state.serving_since
    if facts.condition_since < earliest:
        detail = f"The condition began {span(-lead)} before {facts.serving_version} began to serve."
        return Reason(code, False, detail)
    if lead < 0 and state.serving_since - earliest > LONGEST_UNSEEN:
        unseen = span(state.serving_since - earliest)
        detail = f"Which version served was not read for {unseen}, and the condition began in that time."
        return Reason(code, None, detail)
    if lead < 0:
        detail = (
            f"The condition began {span(-lead)} before {facts.serving_version} was first seen serving, and after the"
            " version before was last seen: it came with the change."
        )
        return Reason(code, True, detail)
    detail = f"The condition began {span(lead)} after {facts.serving_version} began to serve."
    return Reason(code, True, detail)


def version_matches(case: Case) -> Reason:
    """Whether the alert is about the version that serves; an unknown mapping does not stand in the way."""
    code, claimed = ReasonCode.VERSION_MATCHES, case.alert.labels.get("service_version")
    release = case.facts.release(case.facts.serving_version)
    shown = None if release is None else release.service_version
    if claimed is None:
        return Reason(code, None, "The alert names no version.", unknown_blocks=False)
    if shown is None:
        detail = f"The alert is about {claimed}; which service_version the serving version shows is not yet known."
        return Reason(code, None, detail, unknown_blocks=False)
    if claimed == shown:
        return Reason(code, True, f"The alert is about {claimed}, the version that serves.")
    return Reason(code, False, f"The alert is about {claimed}, but {shown} serves.")


def previous_version_healthy(case: Case) -> Reason:
    """Whether the version before was healthy by the same figure.

    Without data it does not stand in the way, but a database alert is then for a person (see `decide`).
    """
    code, facts = ReasonCode.PREVIOUS_VERSION_HEALTHY, case.facts
    measured = facts.previous_measurement
    if measured is None or measured.past is None:
        detail = f"The figure of the version before is not known{_because(facts.previous_detail)}"
        return Reason(code, None, detail, unknown_blocks=False)
    figure = f"{facts.previous_detail}{describe(measured)}."
    return Reason(code, not measured.past, figure[:1].upper() + figure[1:])


def dependencies_healthy(case: Case) -> Reason:
    """Whether no target that this one depends on is itself in trouble: that would not be this release's fault."""
    facts, code, names = case.facts, ReasonCode.DEPENDENCIES_HEALTHY, ", ".join(case.target.depends_on)
    if not names:
        return Reason(code, True, "No target that this one depends on is configured.")
    if facts.sick_dependencies:
        sick = "; ".join(f"{name}: {why}" for name, why in facts.sick_dependencies.items())
        return Reason(code, False, f"The target depends on what is itself in trouble ({sick}).")
    if facts.dependencies_detail:
        detail = f"It is not known whether {names} is healthy{_because(facts.dependencies_detail)}"
        return Reason(code, None, detail)
    return Reason(code, True, f"No trigger alert fires and no rollback is under way of what it depends on: {names}.")


def known_good_exists(case: Case) -> Reason:
    """Whether there is a version to go back to."""
    return known_good_of(case.facts, case.destination)


def not_already_handled(case: Case) -> Reason:
    """Whether no automatic rollback away from the serving version has started before, nor was vetoed.

    A veto holds until a person arms the target or another version serves; a rollback that has started, for good.
    """
    facts, code = case.facts, ReasonCode.NOT_ALREADY_HANDLED
    version = facts.serving_version
    if facts.handled_by is not None:
        detail = f"Rollback {facts.handled_by} already went away from {version}; the same version only once."
        return Reason(code, False, detail)
    vetoed = _vetoed(facts)
    if vetoed is not None:
        age = span(facts.now - (vetoed.closed_at or facts.now))
        detail = (
            f"Rollback {vetoed.id} away from {version} was vetoed {age} ago; it is left alone until a person arms the"
            " target or another version serves."
        )
        return Reason(code, False, detail)
    return Reason(code, True, f"No automatic rollback away from {version or 'this version'} has started before.")


def no_open_rollback(case: Case) -> Reason:
    """Whether no rollback of the target is under way."""
    return no_open_rollback_of(case.facts)


def cooldown_over(case: Case) -> Reason:
    """Whether the last rollback of the target is long enough ago; counted from the action, whatever came of it.

    One away from the serving version that only waited, and that nobody vetoed, counts from the end of its wait.
    """
    facts, cooldown, code = case.facts, case.target.policy.cooldown, ReasonCode.COOLDOWN_OVER
    wait = _last_wait(facts)
    if wait is not None and wait.closed_at is not None:
        age = facts.now - wait.closed_at
        what = f"The wait of rollback {wait.id} ended as {wait.outcome} {span(age)} ago"
    elif facts.last_action_at is not None:
        age = facts.now - facts.last_action_at
        what = f"The last rollback was {span(age)} ago"
    else:
        return Reason(code, True, "The target was never rolled back before.")
    return Reason(code, age >= cooldown, f"{what}; the cooldown is {span(cooldown)}.")


def budget_left(case: Case) -> Reason:
    """Whether the target has automatic rollbacks left in the present period."""
    budget, used = case.target.policy.budget, case.facts.actions_in_budget
    detail = f"{used} of {budget.rollbacks} automatic rollbacks used in the last {span(budget.per)}."
    return Reason(ReasonCode.BUDGET_LEFT, used < budget.rollbacks, detail)


def no_storm(case: Case) -> Reason:
    """Whether few targets are in trouble: many at once are a fault of what they share, not of one's release."""
    troubled, limit = case.facts.troubled, case.facts.storm
    names = ", ".join(troubled[:MOST_NAMED]) + (", ..." if len(troubled) > MOST_NAMED else "")
    count = f"{len(troubled)} target{'' if len(troubled) == 1 else 's'}"
    what = f"{count} had trigger alerts within {span(limit.within)}" + (f" ({names})" if names else "")
    if len(troubled) <= limit.targets:
        return Reason(ReasonCode.NO_STORM, True, f"{what}; a storm is more than {limit.targets}.")
    detail = f"{what}; more than {limit.targets} at once are taken for a fault that they share."
    return Reason(ReasonCode.NO_STORM, False, detail)


def no_barrier(case: Case) -> Reason:
    """Whether the way back is free: no barrier alone keeps the newest version that earned trust away."""
    facts, code = case.facts, ReasonCode.NO_BARRIER
    if case.destination is not None:
        return Reason(code, True, f"{case.destination.version} lies behind no barrier.")
    free = replace(facts, releases=tuple(replace(release, barrier=False) for release in facts.releases))
    barred = choose_destination(free)
    barrier = None if barred is None else barrier_before(barred, facts)
    if barred is None or barrier is None:
        return Reason(code, True, "No version that could be gone back to lies behind a barrier.")
    detail = f"{barred.version} would be gone back to, but it lies behind the barrier release {barrier.version}."
    return Reason(code, False, detail)


def owner_allows(_case: Case) -> Reason:
    """Whether whoever else owns the target's version lets it be changed; a command target has one owner."""
    detail = "Versions are changed by this target's own command; no other owner is known that would take it back."
    return Reason(ReasonCode.OWNER_ALLOWS, True, detail)


def capacity_suffices(_case: Case) -> Reason:
    """Whether there is room for the version that is gone back to; a command target has no room to ask for."""
    return Reason(
        ReasonCode.CAPACITY_SUFFICES, True, "Capacity is not asked of a target that is changed by a command."
    )


QUESTIONS: tuple[Callable[[Case], Reason], ...] = (
    target_known,
    mode_allows,
    armed,
    environment_allows,
    not_silenced,
    alert_confirmed,
    recent_release,
    no_deploy_in_progress,
    began_after_release,
    version_matches,
    previous_version_healthy,
    dependencies_healthy,
    known_good_exists,
    not_already_handled,
    no_open_rollback,
    cooldown_over,
    budget_left,
    no_storm,
    no_barrier,
    owner_allows,
    capacity_suffices,
)


# --- shared by both judgements -----------------------------------------------------------------------------


def _vetoed(facts: Facts) -> Rollback | None:
    """The rollback away from the serving version that a person vetoed, while that holds."""
    state = facts.state
    for each in facts.ended_waits:
        if each.outcome is not Outcome.VETOED or each.from_version != facts.serving_version:
            continue
        at = each.closed_at or each.opened_at
        armed_since = state is not None and state.armed and (state.armed_changed_at or 0.0) > at
        came_since = state is not None and (state.serving_since or 0.0) > at
        if not armed_since and not came_since:
            return each
    return None


def _last_wait(facts: Facts) -> Rollback | None:
    """The newest wait away from the serving version that led to nothing, if no rollback was begun after it."""
    ended = [
        each
        for each in facts.ended_waits
        if each.outcome is not Outcome.VETOED
        and each.from_version == facts.serving_version
        and (each.closed_at or 0.0) > (facts.last_action_at or 0.0)
    ]
    return max(ended, key=lambda each: each.closed_at or 0.0, default=None)


def known_good_of(facts: Facts, destination: Release | None) -> Reason:
    """The reason `known_good_exists` for a destination that was chosen, or not."""
    code = ReasonCode.KNOWN_GOOD_EXISTS
    if facts.serving_version is None:
        return Reason(code, None, f"It is not known which version serves now{_because(facts.serving_detail)}")
    if destination is not None:
        since = span(facts.now - (destination.known_good_at or facts.now))
        return Reason(code, True, f"{destination.version} has been known good for {since}.")
    others = [release for release in facts.releases if release.version != facts.serving_version]
    if not others:
        return Reason(code, False, "No other version was ever seen serving.")
    why = "; ".join(f"{release.version}: {obstacle(release, facts)}" for release in others[:5])
    return Reason(code, False, f"No version can be gone back to ({why}).")


def no_open_rollback_of(facts: Facts) -> Reason:
    """The reason `no_open_rollback`."""
    code = ReasonCode.NO_OPEN_ROLLBACK
    if facts.open_rollback is None:
        return Reason(code, True, "No rollback of the target is under way.")
    return Reason(code, False, f"Rollback {facts.open_rollback} of this target is under way.")


# --- words --------------------------------------------------------------------------------------------------


def describe(measured: Measurement) -> str:
    """A measurement in words: value, relation, threshold."""
    if measured.operator == "exists":
        return "present" if measured.past else "absent"
    value, threshold = number(measured.value), number(measured.threshold)
    relation = "past" if measured.past else "not past"
    return f"{value}, {relation} the threshold {measured.operator} {threshold}"


def number(value: float | None) -> str:
    """A number for people: at most four significant digits."""
    return "unknown" if value is None else f"{value:.4g}"


def span(seconds: float) -> str:
    """A duration for people, in its two largest units."""
    rest = round(seconds)
    if abs(rest) < 1:
        return f"{seconds:.1f}s"
    parts = []
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        count, rest = divmod(rest, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts[:2])


def _because(detail: str) -> str:
    if not detail:
        return "."
    return f": {detail}" if detail.endswith(".") else f": {detail}."
