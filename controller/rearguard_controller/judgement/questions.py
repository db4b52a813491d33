"""The questions of the judgement: one small pure function for each, in the order in which they are asked.

Here: from a case to a reason: an answer (true, false, or null for unknown) and a sentence that carries the numbers.
Unknown is not true: it stands in the way unless its function says otherwise.
Never here: what the answers lead to together (`policy`), clocks, queries, the journal.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from rearguard_controller.judgement.already_firing import LONGEST_UNSEEN, already, changed_after
from rearguard_controller.judgement.destination import barrier_before, choose_destination, obstacle
from rearguard_controller.model import (
    Alert,
    AlertState,
    Facts,
    Mode,
    Outcome,
    Reason,
    ReasonCode,
    Release,
    Rollback,
    Target,
)
from rearguard_controller.model.observations import is_armed
from rearguard_controller.wording import because, describe, span

PRODUCTION = "production"
LONGEST_UNREAD = 600.0  # seconds after which Alertmanager's list says nothing any more
MOST_NAMED = 5  # targets that a sentence names


@dataclass(frozen=True, slots=True)
class Case:
    """What a reason may look at."""

    alert: Alert
    target: Target
    facts: Facts
    destination: Release | None


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
        detail = f"It is not known whether the alert is silenced, Alertmanager's list {read}{because(said.fault)}"
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
            return Reason(code, None, f"Prometheus could not be asked about {name}{because(facts.alert_detail)}")
        case AlertState.PENDING:
            return Reason(code, False, f"{name} is pending in Prometheus, not firing.")
        case AlertState.INACTIVE:
            return Reason(code, False, f"{name} does not fire in Prometheus now.")
        case AlertState.FIRING:
            measured = facts.measurement
    if measured is None or measured.past is None:
        return Reason(code, None, f"{name} fires, but its figure has no data now{because(facts.alert_detail)}")
    figure = describe(measured)
    if measured.past:
        return Reason(code, True, f"{name} fires in Prometheus, and its figure is {figure}.")
    return Reason(code, False, f"{name} fires in Prometheus, but its figure is {figure} now.")


def recent_release(case: Case) -> Reason:
    """Whether an unproven version began to serve inside the watch window."""
    state, facts, code = case.facts.state, case.facts, ReasonCode.RECENT_RELEASE
    if facts.serving_version is None or state is None:
        return Reason(code, None, f"It is not known which version serves now{because(facts.serving_detail)}")
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
    """Whether alert and condition began, by Prometheus, only after the new version served."""
    facts, state, code = case.facts, case.facts.state, ReasonCode.BEGAN_AFTER_RELEASE
    before = already(case.alert.name, facts)
    if before is not None:
        return Reason(code, *before)
    if facts.condition_since is None:
        return Reason(code, None, f"It is not known when the condition began{because(facts.condition_detail)}")
    if state is None or state.serving_since is None:
        return Reason(code, None, "It is not known when the serving version began to serve.")
    earliest = changed_after(state) or state.serving_since
    lead = facts.condition_since - state.serving_since
    if facts.condition_since < earliest and facts.condition_own:
        detail = (
            f"The condition began {span(-lead)} before {facts.serving_version} was first seen serving, but only in"
            f" figures of service_version {', '.join(facts.condition_own)}: it came with the release."
        )
        return Reason(code, True, detail)
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
        detail = f"The figure of the version before is not known{because(facts.previous_detail)}"
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
        detail = f"It is not known whether {names} is healthy{because(facts.dependencies_detail)}"
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
    vetoed = vetoed_wait(facts)
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
    wait = last_wait(facts)
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


def vetoed_wait(facts: Facts) -> Rollback | None:
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


def last_wait(facts: Facts) -> Rollback | None:
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
        return Reason(code, None, f"It is not known which version serves now{because(facts.serving_detail)}")
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
