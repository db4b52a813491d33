"""All questions of the judgement in the order in which they are asked, each with its remedy. Pure.

Here: the list, and asking it. A question gives an answer (true, false, or None for unknown) and a sentence with its
numbers; its remedy is one sentence on what would have to change for the answer to be another one. Unknown is not
true: it stands in the way unless the question says otherwise.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

from rearguard_controller.judgement import (
    brakes,
    cause,
    dependencies,
    permissions,
    surroundings,
    together,
    way_back,
    worse,
)
from rearguard_controller.judgement.case import Case, seen_of
from rearguard_controller.model import Alert, Facts, Reason, ReasonCode, Release, Target


class Question(NamedTuple):
    """One question, and its remedy: what would have to change so that its answer no longer stands in the way."""

    ask: Callable[[Case], Reason]
    remedy: Callable[[Case], str]


QUESTIONS: dict[ReasonCode, Question] = {
    ReasonCode.TARGET_KNOWN: Question(permissions.target_known, permissions.know_the_target),
    ReasonCode.MODE_ALLOWS: Question(permissions.mode_allows, permissions.change_the_mode),
    ReasonCode.ARMED: Question(permissions.armed, permissions.arm),
    ReasonCode.ENVIRONMENT_ALLOWS: Question(permissions.environment_allows, permissions.change_the_environment),
    ReasonCode.NOT_SILENCED: Question(permissions.not_silenced, permissions.end_the_silence),
    ReasonCode.ALERT_CONFIRMED: Question(cause.alert_confirmed, cause.confirm_the_alert),
    ReasonCode.RECENT_RELEASE: Question(cause.recent_release, cause.release_anew),
    ReasonCode.NO_DEPLOY_IN_PROGRESS: Question(cause.no_deploy_in_progress, cause.finish_the_deployment),
    ReasonCode.BEGAN_AFTER_RELEASE: Question(cause.began_after_release, cause.begin_after_the_release),
    ReasonCode.VERSION_MATCHES: Question(cause.version_matches, cause.match_the_version),
    ReasonCode.PREVIOUS_VERSION_HEALTHY: Question(cause.previous_version_healthy, cause.be_healthy_before),
    ReasonCode.NOT_SHOWN_BY_OLDER: Question(cause.not_shown_by_older, cause.look_elsewhere),
    ReasonCode.EVIDENCE_SUFFICES: Question(worse.evidence_suffices, worse.bring_evidence),
    ReasonCode.NOT_A_BLIP: Question(worse.not_a_blip, worse.let_it_last),
    ReasonCode.DEPENDENCIES_HEALTHY: Question(dependencies.dependencies_healthy, dependencies.heal_them),
    ReasonCode.KNOWN_GOOD_EXISTS: Question(way_back.known_good_exists, way_back.trust_a_version),
    ReasonCode.NOT_ALREADY_HANDLED: Question(brakes.not_already_handled, brakes.handle_by_hand),
    ReasonCode.NO_OPEN_ROLLBACK: Question(brakes.no_open_rollback, brakes.end_the_rollback),
    ReasonCode.COOLDOWN_OVER: Question(brakes.cooldown_over, brakes.let_it_cool_down),
    ReasonCode.BUDGET_LEFT: Question(brakes.budget_left, brakes.raise_the_budget),
    ReasonCode.NO_STORM: Question(brakes.no_storm, brakes.let_the_storm_pass),
    ReasonCode.NO_BARRIER: Question(way_back.no_barrier, way_back.lift_the_barrier),
    ReasonCode.OWNER_ALLOWS: Question(surroundings.owner_allows, surroundings.ask_the_owner),
    ReasonCode.CAPACITY_SUFFICES: Question(surroundings.capacity_suffices, surroundings.make_room),
    ReasonCode.TOGETHER_ALLOWS: Question(together.together_allows, together.let_the_others_go),
}


class Asking:
    """Asks all questions of alerts about one target, one after another; alerts that are alike are asked about once.

    Alerts of a storm differ in labels that no question sees, such as the pod.
    """

    def __init__(self) -> None:
        """Nothing was asked."""
        self._answered: dict[tuple[object, ...], tuple[Case, tuple[Reason, ...]]] = {}

    def answers(self, alert: Alert, target: Target, facts: Facts, destination: Release | None) -> tuple[Reason, ...]:
        """The answers to all questions; each answer that stands in the way comes with its remedy.

        Args:
            alert: the one that is judged.
            target: whose alert it is.
            facts: everything known.
            destination: where a rollback would go, if anywhere.
        """
        seen, said = seen_of(alert), facts.alert
        key = (
            seen.name, *seen.labels.values(), said.state, said.detail, said.silencing, said.is_foreign, facts.now,
            id(target), id(facts.target), id(facts.measured), id(destination),
        )  # fmt: skip
        known = self._answered.get(key)
        if known is None:  # the case is kept, so that no other object gets one of these ids
            case = Case(seen, target, facts, destination)
            known = self._answered[key] = case, _answers(case)
        return known[1]


def _answers(case: Case) -> tuple[Reason, ...]:
    found = [question.ask(case) for question in QUESTIONS.values()]
    return tuple(replace(each, remedy=remedy(each.code, case)) if each.blocks else each for each in found)


def remedy(code: ReasonCode, case: Case) -> str:
    """What would have to change for this question not to stand in the way of the case."""
    return QUESTIONS[code].remedy(case)
