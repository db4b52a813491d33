"""What the target, the journal and the lists of alerts said, as evidence. Pure.

Here: facts that were gathered without PromQL, in a few words each, with what was asked for them.
Never here: asking, and what follows from an answer (`reasons`). Answers to PromQL are taken down where they are asked
(`evidence`).
"""

from __future__ import annotations

from collections.abc import Iterator

from rearguard_controller.adapters.prometheus import PrometheusAlert
from rearguard_controller.model import (
    CommandAction,
    Evidence,
    EvidenceSource,
    Facts,
    ReasonCode,
    Release,
    Sample,
    Silencing,
    Target,
    TargetState,
)
from rearguard_controller.model.observations import is_armed
from rearguard_controller.wording import clock_time, number, plain

ALERTS = "GET /api/v1/alerts"
SILENCES = "GET /api/v2/silences, GET /api/v2/alerts"
MOST_NAMED = 5  # versions or targets that an answer names


def of_target(target: Target, facts: Facts, listing: str) -> tuple[Evidence, ...]:
    """What a target's commands and the journal say of it; `listing` is why its versions could not be listed."""
    return (*_commands(target, facts, listing), *_records(target, facts))


def of_check(target: Target, facts: Facts) -> tuple[Evidence, ...]:
    """What the target's own check said of the versions it was asked about."""
    if target.release.check is None or not facts.checked:
        return ()
    said = _few(f"{version}: {why or 'can be activated'}" for version, why in facts.checked.items())
    return (_of_command(target.release.check, said, facts.now, ReasonCode.KNOWN_GOOD_EXISTS),)


def of_alert(found: PrometheusAlert | None, fault: str, at: float) -> Evidence:
    """What Prometheus' list of alerts says of the one that is judged; `fault` is why it could not be read."""
    serves = (ReasonCode.ALERT_CONFIRMED,)
    if found is None:
        said = f"no answer: {fault}" if fault else "not among the alerts that are pending or firing"
        return Evidence(EvidenceSource.PROMETHEUS, ALERTS, said, at, serves)
    since = "" if found.active_at is None else f", active since {clock_time(found.active_at)}"
    value = found.value if found.value is not None and abs(found.value) != float("inf") else None
    values = () if value is None else (Sample({}, value),)
    said = f"{found.name} is {found.state}{since}" + ("" if value is None else f", its expression at {number(value)}")
    return Evidence(EvidenceSource.PROMETHEUS, ALERTS, said, at, serves, values)


def of_others(target: Target, facts: Facts, at: float) -> Evidence:
    """What Prometheus' list of alerts says of this target's dependencies and of all targets."""
    troubled = (
        f"trigger alerts were seen of {_few(facts.troubled)}" if facts.troubled else "no trigger alert was seen"
    )
    serves: tuple[ReasonCode, ...] = (ReasonCode.NO_STORM,)
    if target.depends_on:
        sick = _few(f"{name}: {why}" for name, why in facts.sick_dependencies.items())
        troubled += f"; of what it depends on in trouble: {sick or 'none'}"
        serves = (ReasonCode.DEPENDENCIES_HEALTHY, ReasonCode.NO_STORM)
    return Evidence(EvidenceSource.PROMETHEUS, ALERTS, troubled, at, serves)


def of_silencing(silencing: Silencing | None, now: float) -> tuple[Evidence, ...]:
    """What Alertmanager's list says of the alert that is judged; nothing when none is configured."""
    if silencing is None:
        return ()
    if silencing.age is None:
        said = f"no answer: {silencing.fault}" if silencing.fault else "not read yet"
    elif silencing.silence:
        until = "" if silencing.until is None else f", until {clock_time(silencing.until)}"
        said = f"silenced by {silencing.silence}{until}"
    elif silencing.inhibited_by:
        said = f"inhibited by the alert with fingerprint {silencing.inhibited_by}"
    else:
        said = "neither silenced nor inhibited"
    at = now if silencing.age is None else now - silencing.age
    return (Evidence(EvidenceSource.ALERTMANAGER, SILENCES, said, at, (ReasonCode.NOT_SILENCED,)),)


def _commands(target: Target, facts: Facts, listing: str) -> Iterator[Evidence]:
    release = target.release
    said = facts.serving_version or f"no answer: {facts.serving_detail}"
    serves = (ReasonCode.RECENT_RELEASE, ReasonCode.KNOWN_GOOD_EXISTS, ReasonCode.NOT_ALREADY_HANDLED)
    yield _of_command(release.current, said, facts.now, *serves)
    if release.versions is not None:
        listed = "no answer: " + listing if listing else _few(sorted(facts.activatable or ())) or "no version"
        yield _of_command(release.versions, listed, facts.now, ReasonCode.KNOWN_GOOD_EXISTS)


def _records(target: Target, facts: Facts) -> Iterator[Evidence]:
    state = facts.state
    if state is not None:
        serves = (
            ReasonCode.ARMED,
            ReasonCode.RECENT_RELEASE,
            ReasonCode.NO_DEPLOY_IN_PROGRESS,
            ReasonCode.BEGAN_AFTER_RELEASE,
        )
        yield _of_journal(f"state of {target.name}", _state(state, facts.now), facts.now, *serves)
    others = sorted(facts.releases, key=lambda each: each.last_seen, reverse=True)
    yield _of_journal(
        f"releases of {target.name}",
        _few(_release(each) for each in others) or "none",
        facts.now,
        ReasonCode.VERSION_MATCHES,
        ReasonCode.KNOWN_GOOD_EXISTS,
        ReasonCode.NO_BARRIER,
    )
    yield _of_journal(
        f"rollbacks of {target.name}",
        _rollbacks(target, facts),
        facts.now,
        ReasonCode.NOT_ALREADY_HANDLED,
        ReasonCode.NO_OPEN_ROLLBACK,
        ReasonCode.COOLDOWN_OVER,
        ReasonCode.BUDGET_LEFT,
    )


def _of_command(command: CommandAction, said: str, at: float, *serves: ReasonCode) -> Evidence:
    return Evidence(EvidenceSource.TARGET, plain(" ".join(command.argv)), said, at, serves)


def _of_journal(what: str, said: str, at: float, *serves: ReasonCode) -> Evidence:
    return Evidence(EvidenceSource.JOURNAL, what, said, at, serves)


def _state(state: TargetState, now: float) -> str:
    parts = ["armed" if is_armed(state, now) else "disarmed"]
    if state.serving_version is not None and state.serving_since is not None:
        kind = "a release" if state.is_release else "no release"
        parts.append(f"{state.serving_version} since {clock_time(state.serving_since)}, {kind}")
    if state.previous_version is not None:
        until = "" if state.changed_after is None else f", last seen {clock_time(state.changed_after)}"
        parts.append(f"before it {state.previous_version}{until}")
    if state.alerts_before is not None:
        seen = _few([f"{each.name} {each.state.value}" for each in state.alerts_before.alerts])
        parts.append(f"alerts right before the change: {seen or 'none'}")
    if state.deploy_started_at is not None:
        parts.append(f"a deployment announced {clock_time(state.deploy_started_at)}")
    return "; ".join(parts)


def _release(release: Release) -> str:
    marks = [
        "bad" if release.bad_at is not None else "suspect" if release.suspect_at is not None else "",
        "not trusted" if release.known_good_at is None else f"known good since {clock_time(release.known_good_at)}",
        "barrier" if release.barrier else "",
    ]
    shown = f" (shows {release.service_version})" if release.service_version else ""
    return f"{release.version}{shown} {', '.join(mark for mark in marks if mark)}"


def _rollbacks(target: Target, facts: Facts) -> str:
    last = "none" if facts.last_action_at is None else clock_time(facts.last_action_at)
    parts = [
        f"open: {facts.open_rollback or 'none'}",
        f"last started: {last}",
        f"automatic in the period: {facts.actions_in_budget} of {target.policy.budget.rollbacks}",
    ]
    if facts.handled_by is not None:
        parts.append(f"away from {facts.serving_version}: {facts.handled_by}")
    parts += [f"{each.id} {each.outcome}" for each in facts.ended_waits if each.from_version == facts.serving_version]
    return "; ".join(parts)


def _few(names: Iterator[str] | list[str] | tuple[str, ...]) -> str:
    shown = list(names)
    return ", ".join(shown[:MOST_NAMED]) + (f" and {len(shown) - MOST_NAMED} more" if len(shown) > MOST_NAMED else "")
