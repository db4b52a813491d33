"""May the controller act on this alert at all? The first questions, each with its remedy. Pure.

Here: whose alert it is, the policy's mode, arming, the environment, and Alertmanager's silences.
"""

from __future__ import annotations

from rearguard_controller.judgement.case import Case, to_come
from rearguard_controller.model import Alert, AlertState, Mode, Reason, ReasonCode
from rearguard_controller.model.observations import is_armed
from rearguard_controller.wording import because, span

PRODUCTION = "production"
LONGEST_UNREAD = 600.0  # seconds after which Alertmanager's list says nothing any more
MOST_LABELS = 5  # labels that a sentence repeats


def target_known(case: Case) -> Reason:
    """Whether the alert belongs to a configured target, by the labels that it has in Prometheus."""
    if case.facts.alert.is_foreign:
        detail = f"Only delivered labels make the alert one of target {case.target.name}; in Prometheus it is not."
        return Reason(ReasonCode.TARGET_KNOWN, False, detail)
    is_delivered_only = case.facts.alert.state is AlertState.INACTIVE
    by = "By the labels that were delivered, the" if is_delivered_only else "The"
    return Reason(ReasonCode.TARGET_KNOWN, True, f"{by} alert belongs to target {case.target.name}.")


def know_the_target(case: Case) -> str:
    """Remedy of `target_known`."""
    if not case.facts.alert.is_foreign:
        return of_no_target(case.alert)
    name = case.target.name
    return (
        f"Prometheus would have to have the alert with all labels of a `match` of {name}; it has no external labels."
    )


def of_no_target(alert: Alert) -> str:
    """What would have to change for an alert that belongs to no target."""
    shown = [f"{name}: {value}" for name, value in alert.labels.items() if name != "alertname"][:MOST_LABELS]
    labels = f" ({', '.join(shown)})" if shown else ""
    return f"A target would have to be configured whose `match` is among the labels of the alert{labels}."


def mode_allows(case: Case) -> Reason:
    """Whether the policy's mode lets the controller act, by itself or after a person approved."""
    policy = case.target.policy
    holds = policy.mode is not Mode.OBSERVE
    return Reason(ReasonCode.MODE_ALLOWS, holds, f"The mode of policy {policy.name} is {policy.mode}.")


def change_the_mode(case: Case) -> str:
    """Remedy of `mode_allows`."""
    return f"Set mode: act (or ask) in policy {case.target.policy.name}."


def armed(case: Case) -> Reason:
    """Whether automatic rollbacks are switched on for the target."""
    state, now = case.facts.target.state, case.facts.now
    if state is None:
        return Reason(ReasonCode.ARMED, None, "The target's state could not be read.")
    if is_armed(state, now):
        return Reason(ReasonCode.ARMED, True, "The target is armed.")
    why = f": {state.armed_reason}" if state.armed_reason else ""
    until = "" if state.disarmed_until is None else f" for another {span(state.disarmed_until - now)}"
    return Reason(ReasonCode.ARMED, False, f"The target is disarmed{until}{why}.")


def arm(case: Case) -> str:
    """Remedy of `armed`."""
    state = case.facts.target.state
    if state is None:
        return "The journal's record of the target would have to be readable: the log says what is wrong with it."
    until = state.disarmed_until
    wait = "" if until is None else f", or wait until {to_come(until, case.facts.now)}, when it is armed again"
    return f'Arm it: rearguard arm {case.target.name} --reason "..."{wait}.'


def environment_allows(case: Case) -> Reason:
    """Whether the controller acts in the target's environment: in production it does, elsewhere it observes."""
    environment = case.target.environment
    if environment == PRODUCTION:
        return Reason(ReasonCode.ENVIRONMENT_ALLOWS, True, "The environment is production.")
    if case.target.policy.act_outside_production:
        detail = f"The environment is {environment}, and act_outside_production is set."
        return Reason(ReasonCode.ENVIRONMENT_ALLOWS, True, detail)
    named = environment or "not known"
    detail = f"The environment is {named}; only production acts unless act_outside_production is set."
    return Reason(ReasonCode.ENVIRONMENT_ALLOWS, False, detail)


def change_the_environment(case: Case) -> str:
    """Remedy of `environment_allows`."""
    policy = case.target.policy.name
    return (
        f"Set `act_outside_production: true` in policy {policy}, or `environment: production` if that is what it is."
    )


def not_silenced(case: Case) -> Reason:
    """Whether Alertmanager neither silences nor inhibits the alert.

    An unknown answer does not stand in the way: while Alertmanager is away, nobody else may look.
    """
    said, code = case.facts.alert.silencing, ReasonCode.NOT_SILENCED
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


def end_the_silence(case: Case) -> str:
    """Remedy of `not_silenced`."""
    said = case.facts.alert.silencing
    if said is not None and said.inhibited_by and not said.silence:
        return f"The alert with fingerprint {said.inhibited_by} that inhibits it would have to end."
    if said is None or said.until is None:
        return "The silence would have to end, or be expired in Alertmanager."
    return f"The silence ends at {to_come(said.until, case.facts.now)}, or when it is expired in Alertmanager."
