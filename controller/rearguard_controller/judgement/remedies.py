"""What would have to change for an answer that stands in the way to be another one. Pure.

Here: for each question of the judgement one sentence, computed from the case that was judged, with its numbers: what
to wait for and until when, or the command or setting by which a person changes it.
Never here: the answers themselves (`reasons`), clocks, queries, the journal.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from rearguard_controller.judgement.already_firing import already, changed_after
from rearguard_controller.judgement.destination import barrier_before, choose_destination
from rearguard_controller.judgement.questions import Case, last_wait, vetoed_wait
from rearguard_controller.model import (
    Alert,
    AlertState,
    Decision,
    Facts,
    Reason,
    ReasonCode,
    Release,
    Target,
    Trigger,
)
from rearguard_controller.wording import clock_time, number, span

READ_PROMETHEUS = "Prometheus would have to answer: see `prometheus.url` and whether it runs."
READ_CURRENT = "The target's command `current` would have to print the version that serves."
ONE_OWNER = (
    "The `match` of these targets would have to fit the alert only once, or exactly one of them be released anew."
)
MOST_VERSIONS = 2  # versions whose way to trust a sentence describes
MOST_LABELS = 5  # labels that a sentence repeats


def explained(reasons: Sequence[Reason], case: Case) -> tuple[Reason, ...]:
    """The reasons, each that stands in the way with what would have to change."""
    return tuple(
        Reason(each.code, each.holds, each.detail, each.unknown_blocks, remedy(each.code, case))
        if each.blocks
        else each
        for each in reasons
    )


def remedy(code: ReasonCode, case: Case) -> str:
    """What would have to change for this question not to stand in the way of the case."""
    return _REMEDIES[code](case)


def summary(decision: Decision) -> str:
    """Which answers together stand in the way, in one line; of a request by hand only what is asked of one counts."""
    asked = [
        each
        for each in decision.reasons
        if decision.trigger is Trigger.ALERT or each.holds is not None or each.blocks
    ]
    blocking = [each.code.value for each in asked if each.blocks]
    if not blocking:
        return f"None of {len(asked)} answers stands in the way."
    return f"{len(blocking)} of {len(asked)} answers would have to differ: {', '.join(blocking)}."


def of_no_target(alert: Alert) -> str:
    """What would have to change for an alert that belongs to no target."""
    shown = [f"{name}: {value}" for name, value in alert.labels.items() if name != "alertname"][:MOST_LABELS]
    labels = f" ({', '.join(shown)})" if shown else ""
    return f"A target would have to be configured whose `match` is among the labels of the alert{labels}."


def by_hand(reason: Reason, wished: str | None, target: Target, facts: Facts) -> str:
    """What would have to change for a person's request; `wished` is the version that was asked for, if one was."""
    if reason.code is ReasonCode.NO_OPEN_ROLLBACK:
        return _open_rollback(facts)
    if facts.serving_version is None:
        return READ_CURRENT
    if wished is None:
        return f"{_destination(target, facts)} Or name a version: --to VERSION."
    if wished == facts.serving_version:
        return "Another version would have to be named."
    if facts.activatable is not None and wished not in facts.activatable:
        return f"The target's command `versions` would have to list {wished}."
    if facts.checked.get(wished):
        return f"The target's command `check` would have to succeed for {wished}."
    return "A person can insist on it: --force."


# --- one for each question, in the order of judgement


def _target(case: Case) -> str:
    return of_no_target(case.alert)


def _mode(case: Case) -> str:
    return f"Set mode: act (or ask) in policy {case.target.policy.name}."


def _arm(case: Case) -> str:
    state = case.facts.state
    if state is None:
        return "The journal's record of the target would have to be readable: the log says what is wrong with it."
    until = state.disarmed_until
    wait = "" if until is None else f", or wait until {_at(until, case.facts)}, when it is armed again"
    return f'Arm it: rearguard arm {case.target.name} --reason "..."{wait}.'


def _environment(case: Case) -> str:
    policy = case.target.policy.name
    return f"Set act_outside_production: true in policy {policy}, or environment: production if that is what it is."


def _silence(case: Case) -> str:
    said = case.facts.silencing
    if said is not None and said.inhibited_by and not said.silence:
        return f"The alert with fingerprint {said.inhibited_by} that inhibits it would have to end."
    if said is None or said.until is None:
        return "The silence would have to end, or be expired in Alertmanager."
    return f"The silence ends at {_at(said.until, case.facts)}, or when it is expired in Alertmanager."


def _confirmation(case: Case) -> str:
    facts, name = case.facts, case.alert.name
    if facts.alert_state is AlertState.UNKNOWN:
        return READ_PROMETHEUS
    if facts.alert_state is AlertState.PENDING:
        return f"{name} would have to stay pending until the `for` of its rule is over, and fire."
    if facts.alert_state is AlertState.INACTIVE:
        return f"{name} would have to fire in Prometheus, with labels that were all delivered."
    measured = facts.measurement
    if measured is None or measured.past is None:
        return "The figure and its threshold would have to have a value for the version that serves."
    if measured.operator == "exists":
        return "The expression of its rule would have to return something (it returned nothing)."
    threshold = f"{measured.operator} {number(measured.threshold)}"
    return f"The figure would have to be past {threshold} (it was {number(measured.value)})."


def _release(case: Case) -> str:
    facts, state, policy = case.facts, case.facts.state, case.target.policy
    if facts.serving_version is None or state is None:
        return READ_CURRENT
    if state.serving_since is None or not state.is_release:
        return f"A version that has not earned trust would have to be released; {facts.serving_version} is none."
    age = facts.now - state.serving_since
    if age < 0:
        return "The clock would have to be right: the release lies in the future."
    return (
        f"The alert would have to come within {span(policy.watch_window)} of the release, it came after {span(age)}:"
        f" watch_window in policy {policy.name} says how long."
    )


def _deploy(case: Case) -> str:
    version = case.facts.serving_version or "VERSION"
    return f"Announce its end: rearguard release {case.target.name} {version} --phase finished."


def _beginning(case: Case) -> str:
    facts, state = case.facts, case.facts.state
    before = already(case.alert.name, facts)
    if before is not None and before[0] is False:
        return f"{case.alert.name} would have to be neither pending nor firing right before the release."
    if before is not None:
        return f"Nobody saw whether {case.alert.name} was there before the release. {_a_person(case.target)}."
    if facts.condition_since is None:
        return "Prometheus would have to have the figure's history since the release, up to now."
    if state is None or state.serving_since is None:
        return READ_CURRENT
    earliest = changed_after(state) or state.serving_since
    if facts.condition_since >= earliest:
        return f"Nobody saw whether the fault or the version came first. {_a_person(case.target)}."
    began, came = clock_time(facts.condition_since), clock_time(earliest)
    return f"The condition would have to begin at or after {came} (it began at {began})."


def _version(case: Case) -> str:
    release = case.facts.release(case.facts.serving_version)
    shown = None if release is None else release.service_version
    claimed = case.alert.labels.get("service_version")
    return f"The alert would have to be about {shown}, the version that serves (it is about {claimed})."


def _before(case: Case) -> str:
    measured = case.facts.previous_measurement
    if measured is None:
        return "The figure of the version before would have to be known."
    if measured.operator == "exists":
        return "The rule's expression would have to return nothing for the version before."
    threshold = f"{measured.operator} {number(measured.threshold)}"
    was = number(measured.value)
    return f"The version before would have to be not past {threshold} by the same figure (it was at {was})."


def _dependencies(case: Case) -> str:
    sick = ", ".join(case.facts.sick_dependencies)
    return f"What the target depends on would have to be well: {sick}." if sick else READ_PROMETHEUS


def _known_good(case: Case) -> str:
    return _destination(case.target, case.facts)


def _handled(case: Case) -> str:
    name = case.target.name
    if case.facts.handled_by is None and vetoed_wait(case.facts) is not None:
        return f'Arm it: rearguard arm {name} --reason "...", or release another version.'
    return f"{_a_person(case.target)}, or release another version."


def _open(case: Case) -> str:
    return _open_rollback(case.facts)


def _cooldown(case: Case) -> str:
    facts, policy = case.facts, case.target.policy
    wait = last_wait(facts)
    began = facts.last_action_at if wait is None else wait.closed_at
    if began is None:
        return "The cooldown would have to be over."
    return f"The cooldown ends at {_at(began + policy.cooldown, facts)}."


def _budget(case: Case) -> str:
    facts, policy = case.facts, case.target.policy
    more = f"budget in policy {policy.name} would have to allow more than {policy.budget.rollbacks}"
    if facts.budget_frees_at is None:
        return f"The {more}."
    return f"One is left again at {_at(facts.budget_frees_at, facts)}; else the {more}."


def _storm(case: Case) -> str:
    limit = case.facts.storm
    return (
        f"At most {limit.targets} targets may have had trigger alerts within {span(limit.within)}"
        f" ({len(case.facts.troubled)} had); storm in the configuration says how many."
    )


def _barrier(case: Case) -> str:
    facts = case.facts
    free = replace(facts, releases=tuple(replace(release, barrier=False) for release in facts.releases))
    barred = choose_destination(free)
    barrier = None if barred is None else barrier_before(barred, facts)
    version = "VERSION" if barrier is None else barrier.version
    return f"If it may be gone back past: rearguard release {case.target.name} {version} --no-barrier."


def _owner(case: Case) -> str:
    return f"Whoever owns the version of {case.target.name} would have to let it be changed."


def _capacity(case: Case) -> str:
    version = "the version to go back to" if case.destination is None else case.destination.version
    return f"There would have to be room for {version}."


_REMEDIES: dict[ReasonCode, Callable[[Case], str]] = {
    ReasonCode.TARGET_KNOWN: _target,
    ReasonCode.MODE_ALLOWS: _mode,
    ReasonCode.ARMED: _arm,
    ReasonCode.ENVIRONMENT_ALLOWS: _environment,
    ReasonCode.NOT_SILENCED: _silence,
    ReasonCode.ALERT_CONFIRMED: _confirmation,
    ReasonCode.RECENT_RELEASE: _release,
    ReasonCode.NO_DEPLOY_IN_PROGRESS: _deploy,
    ReasonCode.BEGAN_AFTER_RELEASE: _beginning,
    ReasonCode.VERSION_MATCHES: _version,
    ReasonCode.PREVIOUS_VERSION_HEALTHY: _before,
    ReasonCode.DEPENDENCIES_HEALTHY: _dependencies,
    ReasonCode.KNOWN_GOOD_EXISTS: _known_good,
    ReasonCode.NOT_ALREADY_HANDLED: _handled,
    ReasonCode.NO_OPEN_ROLLBACK: _open,
    ReasonCode.COOLDOWN_OVER: _cooldown,
    ReasonCode.BUDGET_LEFT: _budget,
    ReasonCode.NO_STORM: _storm,
    ReasonCode.NO_BARRIER: _barrier,
    ReasonCode.OWNER_ALLOWS: _owner,
    ReasonCode.CAPACITY_SUFFICES: _capacity,
}


# --- what several of them say


def _a_person(target: Target) -> str:
    return f'A person can go back: rearguard rollback {target.name} --reason "..."'


def _at(moment: float, facts: Facts) -> str:
    """A moment to come, and how far off it is."""
    return f"{clock_time(moment)}, in {span(max(0.0, moment - facts.now))}"


def _open_rollback(facts: Facts) -> str:
    number = facts.open_rollback
    return f"Rollback {number} would have to end: rearguard show {number} says how far it is."


def _destination(target: Target, facts: Facts) -> str:
    """How one of the other versions would become one that can be gone back to, those that served last first."""
    if facts.serving_version is None:
        return READ_CURRENT
    others = [release for release in facts.releases if release.version != facts.serving_version]
    if not others:
        return _first_trust(target, facts)
    others.sort(key=lambda each: (each.served_at is not None, each.last_seen), reverse=True)
    return " ".join(_trust(release, target, facts) for release in others[:MOST_VERSIONS])


def _first_trust(target: Target, facts: Facts) -> str:
    """What the only version ever seen still needs, so that the next one can go back to it."""
    needed, state = target.policy.known_good_after, facts.state
    served = 0.0 if state is None or state.clean_since is None else max(0.0, facts.now - state.clean_since)
    left = f"another {span(needed - served)}" if 0 < served < needed else span(needed)
    version = facts.serving_version
    return f"Another version would have to earn trust; {version} itself earns it by {left} of clean service."


def _trust(release: Release, target: Target, facts: Facts) -> str:
    """How one version would become a destination; follows the order of `destination.obstacle`."""
    version, announce = release.version, f"rearguard release {target.name} {release.version}"
    if release.distrusted:
        return f"If {version} is good after all: {announce} --good."
    if release.known_good_at is None:
        needed = span(target.policy.known_good_after)
        return f"{version} did not serve {needed} cleanly; if it is good: {announce} --good."
    barrier = barrier_before(release, facts)
    if barrier is not None:
        return f"To go back past {barrier.version}: rearguard release {target.name} {barrier.version} --no-barrier."
    if facts.activatable is not None and version not in facts.activatable:
        return f"The target's command `versions` would have to list {version}."
    return f"The target's command `check` would have to succeed for {version}."
