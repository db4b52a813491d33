"""Was enough done already? The questions that keep rollbacks from following one another, each with its remedy. Pure.

Here: rollbacks of this target that are open, were begun, or waited; its budget; and many targets in trouble at once.
"""

from __future__ import annotations

from rearguard_controller.judgement.case import Case, a_person_can, to_come
from rearguard_controller.model import Outcome, Reason, ReasonCode, Rollback, TargetFacts
from rearguard_controller.model.observations import is_given_up
from rearguard_controller.wording import span

MOST_NAMED = 5  # targets that a sentence names


def not_already_handled(case: Case) -> Reason:
    """Whether no automatic rollback away from the serving version has started before, and none was vetoed.

    A rollback counts as started with its `roll_back` step, and then for good. A veto holds until a person arms the
    target or another version serves. Attempts that stops of the controller cut off before count apart: after
    `FRESH_ATTEMPTS` more of them, a person has to arm the target.
    """
    known, code = case.facts.target, ReasonCode.NOT_ALREADY_HANDLED
    version = known.serving_version
    if known.handled_by is not None:
        detail = f"Rollback {known.handled_by} already went away from {version}; the same version only once."
        return Reason(code, False, detail)
    vetoed = vetoed_wait(known)
    if vetoed is not None:
        age = span(0.0 if vetoed.closed_at is None else case.facts.now - vetoed.closed_at)
        detail = (
            f"Rollback {vetoed.id} away from {version} was vetoed {age} ago; it is left alone until a person arms the"
            " target or another version serves."
        )
        return Reason(code, False, detail)
    serving = known.serving
    tried = 0 if serving is None else serving.interrupted
    if is_given_up(known.state, serving):
        detail = (
            f"{tried} automatic rollbacks away from {version} were interrupted before anything was put back; no other"
            " is tried until a person arms the target."
        )
        return Reason(code, False, detail)
    before = f"; {tried} were interrupted" if tried > 1 else "; one was interrupted" if tried else ""
    return Reason(
        code, True, f"No automatic rollback away from {version or 'this version'} has started before{before}."
    )


def handle_by_hand(case: Case) -> str:
    """Remedy of `not_already_handled`."""
    known, name = case.facts.target, case.target.name
    if known.handled_by is None and vetoed_wait(known) is not None:
        return f'Arm it: rearguard arm {name} --reason "...", or release another version.'
    if known.handled_by is None and is_given_up(known.state, known.serving):
        return (
            "Find out why the controller keeps stopping (its log, the kernel's), then arm the target:"
            f' rearguard arm {name} --reason "...". Or go back by hand: rearguard rollback {name} --reason "...".'
        )
    return f"{a_person_can(case.target)}, or release another version."


def vetoed_wait(known: TargetFacts) -> Rollback | None:
    """The rollback away from the serving version that a person vetoed, while that holds."""
    state = known.state
    for each in known.ended_waits:
        if each.outcome is not Outcome.VETOED or each.from_version != known.serving_version:
            continue
        at = each.closed_at or each.opened_at
        armed_since = state is not None and state.armed and (state.armed_changed_at or 0.0) > at
        came_since = state is not None and (state.serving_since or 0.0) > at
        if not armed_since and not came_since:
            return each
    return None


def no_open_rollback(case: Case) -> Reason:
    """Whether no rollback of the target is under way."""
    return no_open_rollback_of(case.facts.target)


def no_open_rollback_of(known: TargetFacts) -> Reason:
    """The same, of a target."""
    code = ReasonCode.NO_OPEN_ROLLBACK
    if known.open_rollback is None:
        return Reason(code, True, "No rollback of the target is under way.")
    return Reason(code, False, f"Rollback {known.open_rollback} of this target is under way.")


def end_the_rollback(case: Case) -> str:
    """Remedy of `no_open_rollback`."""
    return end_the_rollback_of(case.facts.target)


def end_the_rollback_of(known: TargetFacts) -> str:
    """The same, of a target."""
    number = known.open_rollback
    return f"Rollback {number} would have to end: rearguard show {number} says how far it is."


def cooldown_over(case: Case) -> Reason:
    """Whether the last rollback of the target began at least a cooldown ago, whatever came of it.

    A wait away from the serving version that led to nothing counts from its end; a vetoed one does not count.
    """
    known, cooldown, code = case.facts.target, case.target.policy.cooldown, ReasonCode.COOLDOWN_OVER
    wait = last_wait(known)
    if wait is not None and wait.closed_at is not None:
        age = case.facts.now - wait.closed_at
        what = f"The wait of rollback {wait.id} ended as {wait.outcome} {span(age)} ago"
    elif known.last_action_at is not None:
        age = case.facts.now - known.last_action_at
        what = f"The last rollback was {span(age)} ago"
    else:
        return Reason(code, True, "The target was never rolled back before.")
    return Reason(code, age >= cooldown, f"{what}; the cooldown is {span(cooldown)}.")


def let_it_cool_down(case: Case) -> str:
    """Remedy of `cooldown_over`."""
    known = case.facts.target
    wait = last_wait(known)
    began = known.last_action_at if wait is None else wait.closed_at
    if began is None:
        return "The cooldown would have to be over."
    return f"The cooldown ends at {to_come(began + case.target.policy.cooldown, case.facts.now)}."


def last_wait(known: TargetFacts) -> Rollback | None:
    """The newest wait away from the serving version that led to nothing, if no rollback was begun after it."""
    ended = [
        each
        for each in known.ended_waits
        if each.outcome is not Outcome.VETOED
        and each.from_version == known.serving_version
        and (each.closed_at or 0.0) > (known.last_action_at or 0.0)
    ]
    return max(ended, key=lambda each: each.closed_at or 0.0, default=None)


def budget_left(case: Case) -> Reason:
    """Whether the target has automatic rollbacks left in the present period."""
    budget, used = case.target.policy.budget, case.facts.target.actions_in_budget
    detail = f"{used} of {budget.rollbacks} automatic rollbacks used in the last {span(budget.per)}."
    return Reason(ReasonCode.BUDGET_LEFT, used < budget.rollbacks, detail)


def raise_the_budget(case: Case) -> str:
    """Remedy of `budget_left`."""
    frees_at, policy = case.facts.target.budget_frees_at, case.target.policy
    more = f"budget in policy {policy.name} would have to allow more than {policy.budget.rollbacks}"
    if frees_at is None:
        return f"The {more}."
    return f"One is left again at {to_come(frees_at, case.facts.now)}; else the {more}."


def no_storm(case: Case) -> Reason:
    """Whether few targets are in trouble: many at once have a fault that they share, not a bad release each."""
    troubled, limit = case.facts.target.troubled, case.facts.target.storm
    names = ", ".join(troubled[:MOST_NAMED]) + (", ..." if len(troubled) > MOST_NAMED else "")
    count = f"{len(troubled)} target{'' if len(troubled) == 1 else 's'}"
    what = f"{count} had trigger alerts within {span(limit.within)}" + (f" ({names})" if names else "")
    if len(troubled) <= limit.targets:
        return Reason(ReasonCode.NO_STORM, True, f"{what}; a storm is more than {limit.targets}.")
    detail = f"{what}; more than {limit.targets} at once are taken for a fault that they share."
    return Reason(ReasonCode.NO_STORM, False, detail)


def let_the_storm_pass(case: Case) -> str:
    """Remedy of `no_storm`."""
    limit = case.facts.target.storm
    return (
        f"At most {limit.targets} targets may have had trigger alerts within {span(limit.within)}"
        f" ({len(case.facts.target.troubled)} had); storm in the configuration says how many."
    )
