"""Is this release to blame for the alert? The questions about the cause, each with its remedy. Pure.

Here: whether the fault is real now, whether it came with the release, and whether something else explains it.
"""

from __future__ import annotations

from typing import assert_never

from rearguard_controller.judgement.already_firing import LONGEST_UNSEEN, already, came_in_turn, changed_after
from rearguard_controller.judgement.case import AFTER_STORM, READ_CURRENT, READ_PROMETHEUS, Case, a_person_can
from rearguard_controller.model import VERSION_LABEL, AlertState, Reason, ReasonCode
from rearguard_controller.model.observations import EXISTS, OF_CLUSTER
from rearguard_controller.wording import because, clock_time, describe, number, span


def alert_confirmed(case: Case) -> Reason:
    """Whether the alert fires now in Prometheus and its figure is past the threshold now."""
    said, measured, code = case.facts.alert, case.facts.measured, ReasonCode.ALERT_CONFIRMED
    name = case.alert.name
    if case.alert.source == OF_CLUSTER:
        return _confirmed_by_cluster(case)
    match said.state:
        case AlertState.UNKNOWN:
            return Reason(code, None, f"Prometheus could not be asked about {name}{because(said.detail)}")
        case AlertState.PENDING:
            return Reason(code, False, f"{name} is pending in Prometheus, not firing.")
        case AlertState.INACTIVE:
            if said.detail:
                return Reason(code, False, f"Prometheus does not confirm {name}: {said.detail}")
            detail = (
                f"{name} does not fire in Prometheus now with labels that make it a trigger of {case.target.name}."
            )
            return Reason(code, False, detail)
        case AlertState.FIRING:
            figure = measured.now
    if case.facts.target.spared:
        return Reason(code, None, f"{name} fires; its figure was not asked, {case.facts.target.spared}.")
    if figure is None or figure.past is None:
        why = because(said.detail or measured.now_detail)
        return Reason(code, None, f"{name} fires, but its figure has no data now{why}")
    if figure.past:
        return Reason(code, True, f"{name} fires in Prometheus, and its figure is {describe(figure)}.")
    return Reason(code, False, f"{name} fires in Prometheus, but its figure is {describe(figure)} now.")


def _confirmed_by_cluster(case: Case) -> Reason:
    """Whether Kubernetes still tells of the trouble."""
    said, code, name = case.facts.alert, ReasonCode.ALERT_CONFIRMED, case.alert.name
    match said.state:
        case AlertState.UNKNOWN:
            return Reason(code, None, f"The API server could not be asked about {name}{because(said.detail)}")
        case AlertState.PENDING:
            return Reason(code, False, f"{name} has not lasted for long enough yet: {said.detail}.")
        case AlertState.INACTIVE:
            return Reason(code, False, f"{name} does not hold in Kubernetes any more.")
        case AlertState.FIRING:
            return Reason(code, True, f"{name} holds in Kubernetes now: {said.detail}.")
    assert_never(said.state)


def confirm_the_alert(case: Case) -> str:
    """Remedy of `alert_confirmed`."""
    state, name = case.facts.alert.state, case.alert.name
    if case.alert.source == OF_CLUSTER:
        return f"Kubernetes would have to tell of {name} now."
    if state is AlertState.UNKNOWN:
        return READ_PROMETHEUS
    if state is AlertState.PENDING:
        return f"{name} would have to stay pending until the `for` of its rule is over, and fire."
    if state is AlertState.INACTIVE:
        if case.facts.alert.detail:
            return f"The rule of {name} would have to add these labels, or `match` and `alerts` do without them."
        return f"{name} would have to fire in Prometheus, with labels that do not contradict the delivered ones."
    figure = case.facts.measured.now
    if case.facts.target.spared:
        return AFTER_STORM
    if figure is None or figure.past is None:
        return "The figure and its threshold would have to have a value for the version that serves."
    if figure.operator == EXISTS:
        return "The expression of its rule would have to return something (it returned nothing)."
    threshold = f"{figure.operator} {number(figure.threshold)}"
    return f"The figure would have to be past {threshold} (it was {number(figure.value)})."


def recent_release(case: Case) -> Reason:
    """Whether an unproven version began to serve inside the watch window."""
    known, code = case.facts.target, ReasonCode.RECENT_RELEASE
    state = known.state
    if known.serving_version is None or state is None:
        return Reason(code, None, f"It is not known which version serves now{because(known.serving_detail)}")
    if state.serving_since is None or not state.is_release:
        returned = state.previous_version is not None
        how = "came back, it is no new release" if returned else "has served since it was first seen here"
        return Reason(code, False, f"There is no release to blame: {known.serving_version} {how}.")
    age, window = case.facts.now - state.serving_since, case.target.policy.watch_window
    if age < 0:
        detail = f"{known.serving_version} began to serve {span(-age)} ahead of the clock, which was set back since."
        return Reason(code, False, detail)
    what = f"{known.serving_version} began to serve {span(age)} ago; the watch window is {span(window)}."
    return Reason(code, age <= window, what)


def release_anew(case: Case) -> str:
    """Remedy of `recent_release`."""
    known, policy = case.facts.target, case.target.policy
    state = known.state
    if known.serving_version is None or state is None:
        return READ_CURRENT
    if state.serving_since is None or not state.is_release:
        return f"A version that has not earned trust would have to be released; {known.serving_version} is none."
    age = case.facts.now - state.serving_since
    if age < 0:
        began = clock_time(state.serving_since)
        return f"The clock would have to reach {began}, when the release began by it. {a_person_can(case.target)}."
    return (
        f"The alert would have to come within {span(policy.watch_window)} of the release, it came after {span(age)}:"
        f" watch_window in policy {policy.name} says how long."
    )


def no_deploy_in_progress(case: Case) -> Reason:
    """Whether no deployment is announced as running."""
    state, code = case.facts.target.state, ReasonCode.NO_DEPLOY_IN_PROGRESS
    if state is None or state.deploy_started_at is None:
        return Reason(code, True, "No deployment is announced as running.")
    age = span(case.facts.now - state.deploy_started_at)
    return Reason(code, False, f"A deployment was announced {age} ago and has not been announced as finished.")


def finish_the_deployment(case: Case) -> str:
    """Remedy of `no_deploy_in_progress`."""
    version = case.facts.target.serving_version or "VERSION"
    return f"Announce its end: rearguard release {case.target.name} {version} --phase finished."


def began_after_release(case: Case) -> Reason:
    """Whether alert and condition began only after the new version served.

    A trouble that Kubernetes tells of is one of the newest template's own pods: what Prometheus knew of the time
    before does not matter.
    """
    known, measured, code = case.facts.target, case.facts.measured, ReasonCode.BEGAN_AFTER_RELEASE
    state = known.state
    before = _already(case)
    if before is not None:
        return Reason(code, *before)
    if measured.since is None:
        return Reason(code, None, f"It is not known when the condition began{because(measured.since_detail)}")
    if state is None or state.serving_since is None:
        return Reason(code, None, "It is not known when the serving version began to serve.")
    earliest = changed_after(state) or state.serving_since
    lead = measured.since - state.serving_since
    if measured.since < earliest and measured.since_own:
        detail = (
            f"The condition began {span(-lead)} before {known.serving_version} was first seen serving, but only in"
            f" figures of service_version {', '.join(measured.since_own)}: it came with the release."
        )
        return Reason(code, True, detail)
    if measured.since < earliest:
        detail = f"The condition began {span(-lead)} before {known.serving_version} began to serve."
        return Reason(code, False, detail)
    if lead < 0 and state.serving_since - earliest > LONGEST_UNSEEN:
        unseen = span(state.serving_since - earliest)
        detail = f"Which version served was not read for {unseen}, and the condition began in that time."
        return Reason(code, None, detail)
    if lead < 0 and came_in_turn(state):
        detail = (
            f"The condition began {span(-lead)} before {known.serving_version} was first seen serving. `current`"
            " printed it and the version before in turn, so it may have served by then: it came with the rollout."
        )
        return Reason(code, True, detail)
    if lead < 0:
        detail = (
            f"The condition began {span(-lead)} before {known.serving_version} was first seen serving, and after the"
            " version before was last seen: it came with the change."
        )
        return Reason(code, True, detail)
    detail = f"The condition began {span(lead)} after {known.serving_version} began to serve."
    return Reason(code, True, detail)


def _already(case: Case) -> tuple[bool | None, str] | None:
    return None if case.alert.source == OF_CLUSTER else already(case.alert.name, case.facts.target)


def begin_after_the_release(case: Case) -> str:
    """Remedy of `began_after_release`."""
    state, since = case.facts.target.state, case.facts.measured.since
    before = _already(case)
    if before is not None and before[0] is False:
        return f"{case.alert.name} would have to be neither pending nor firing right before the release."
    if before is not None:
        return f"Nobody saw whether {case.alert.name} was there before the release. {a_person_can(case.target)}."
    if since is None and case.facts.target.spared:
        return AFTER_STORM
    if since is None:
        return "Prometheus would have to have the figure's history since the release, up to now."
    if state is None or state.serving_since is None:
        return READ_CURRENT
    earliest = changed_after(state) or state.serving_since
    if since >= earliest:
        return f"Nobody saw whether the fault or the version came first. {a_person_can(case.target)}."
    began, came = clock_time(since), clock_time(earliest)
    return f"The condition would have to begin at or after {came} (it began at {began})."


def version_matches(case: Case) -> Reason:
    """Whether the alert is about the version that serves; an unknown mapping does not stand in the way."""
    code, claimed, shown = ReasonCode.VERSION_MATCHES, *_claimed_and_shown(case)
    if claimed is None:
        return Reason(code, None, "The alert names no version.", unknown_blocks=False)
    if shown is None:
        detail = f"The alert is about {claimed}; which service_version the serving version shows is not yet known."
        return Reason(code, None, detail, unknown_blocks=False)
    if claimed == shown:
        return Reason(code, True, f"The alert is about {claimed}, the version that serves.")
    return Reason(code, False, f"The alert is about {claimed}, but {shown} serves.")


def match_the_version(case: Case) -> str:
    """Remedy of `version_matches`."""
    claimed, shown = _claimed_and_shown(case)
    return f"The alert would have to be about {shown}, the version that serves (it is about {claimed})."


def _claimed_and_shown(case: Case) -> tuple[str | None, str | None]:
    """The service_version that the alert names, and the one that the serving version shows."""
    release = case.facts.target.serving
    return case.alert.labels.get(VERSION_LABEL), None if release is None else release.service_version


def previous_version_healthy(case: Case) -> Reason:
    """Whether the version before was healthy by the same figure.

    No data does not stand in the way, but then a person decides about a database alert (see `policy.decide`).
    """
    code, measured = ReasonCode.PREVIOUS_VERSION_HEALTHY, case.facts.measured
    figure = measured.before
    if figure is None or figure.past is None:
        detail = f"The figure of the version before is not known{because(measured.before_detail)}"
        return Reason(code, None, detail, unknown_blocks=False)
    sentence = f"{measured.before_detail}{describe(figure)}."
    return Reason(code, not figure.past, sentence[:1].upper() + sentence[1:])


def be_healthy_before(case: Case) -> str:
    """Remedy of `previous_version_healthy`."""
    figure = case.facts.measured.before
    if figure is None:
        return "The figure of the version before would have to be known."
    if figure.operator == EXISTS:
        return "The rule's expression would have to return nothing for the version before."
    threshold = f"{figure.operator} {number(figure.threshold)}"
    was = number(figure.value)
    return f"The version before would have to be not past {threshold} by the same figure (it was at {was})."


def not_shown_by_older(case: Case) -> Reason:
    """Whether no older version showed the same fault beside this release.

    Unknown does not stand in the way: every poll looks while both serve, and the journal keeps what it saw.
    """
    code, measured = ReasonCode.NOT_SHOWN_BY_OLDER, case.facts.measured
    fault, version = measured.shared, case.facts.target.serving_version or "this version"
    if fault is None and measured.shared_detail:
        detail = f"It is not known whether an older version showed this fault{because(measured.shared_detail)}"
        return Reason(code, None, detail, unknown_blocks=False)
    if fault is None:
        return Reason(code, True, f"No older version was seen to show this fault beside {version}.")
    shown = f"at {clock_time(fault.at)} {fault.version} showed it, too"
    if fault.limit is not None:
        operator = fault.threshold.split()[0].rstrip("0123456789.")
        shown += f": {number(fault.older)} beside {number(fault.own)}, threshold {operator} {number(fault.limit)}"
    return Reason(code, False, f"{version} is not to blame for this fault; {shown}.")


def look_elsewhere(case: Case) -> str:
    """Remedy of `not_shown_by_older`."""
    return (
        "Both versions would have to be well side by side, and later only this one show the fault. Look at what both"
        f" depend on. {a_person_can(case.target)}."
    )
