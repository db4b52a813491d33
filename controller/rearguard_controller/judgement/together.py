"""Do other targets go back together with this one, and could they? Pure.

Here: which of those that the policy names were released, too, where each would go, and what stands in its way.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from rearguard_controller.judgement import brakes, cause, permissions, surroundings, way_back
from rearguard_controller.judgement.case import Case
from rearguard_controller.judgement.destination import choose_destination
from rearguard_controller.model import Alert, Facts, Reason, ReasonCode, Target

_NEEDED: tuple[tuple[Callable[[Case], Reason], Callable[[Case], str]], ...] = (
    (permissions.armed, permissions.arm),
    (cause.no_deploy_in_progress, cause.finish_the_deployment),
    (way_back.known_good_exists, way_back.trust_a_version),
    (brakes.not_already_handled, brakes.handle_by_hand),
    (brakes.no_open_rollback, brakes.end_the_rollback),
    (brakes.cooldown_over, brakes.let_it_cool_down),
    (brakes.budget_left, brakes.raise_the_budget),
    (surroundings.owner_allows, surroundings.ask_the_owner),
)


@dataclass(frozen=True, slots=True)
class Going:
    """A target that goes back, too, and between which versions."""

    target: Target
    from_version: str
    to_version: str


def going(target: Target, facts: Facts) -> tuple[Going, ...]:
    """The other targets that go back when this one does; only if `together_allows` holds they can."""
    cases = [each for each in _cases(target, facts) if cause.recent_release(each).holds]
    return tuple(
        Going(each.target, each.facts.target.serving_version, each.destination.version)
        for each in cases
        if each.destination is not None and each.facts.target.serving_version is not None
    )


def together_allows(case: Case) -> Reason:
    """Whether each target that was released with this one can go back with it. Who was not released stays."""
    code, cases = ReasonCode.TOGETHER_ALLOWS, _cases(case.target, case.facts)
    if not cases:
        return Reason(code, True, "It goes back by itself: its policy ties it to no other target.")
    obstacle = _obstacle(case)
    if obstacle is not None:
        other, reason, _ = obstacle
        detail = f"{other.target.name} goes back together with it, but cannot: {reason.detail}"
        return Reason(code, reason.holds, detail)
    gone = [
        f"{each.target.name} from {each.from_version} to {each.to_version}" for each in going(case.target, case.facts)
    ]
    names = {each.split(" ", 1)[0] for each in gone}
    stay = [each.target.name for each in cases if each.target.name not in names]
    said = [f"With it goes {', '.join(gone)}."] if gone else []
    said += [f"No recent release, so it stays: {', '.join(stay)}."] if stay else []
    return Reason(code, True, " ".join(said))


def let_the_others_go(case: Case) -> str:
    """Remedy of `together_allows`."""
    obstacle = _obstacle(case)
    if obstacle is None:
        return "The targets that go back together with it would have to be able to."
    other, _, remedy = obstacle
    return f"For {other.target.name}: {remedy(other)}"


def _obstacle(case: Case) -> tuple[Case, Reason, Callable[[Case], str]] | None:
    """What keeps one of the others from going back, if anything does, and the remedy for it."""
    for other in _cases(case.target, case.facts):
        recent = cause.recent_release(other)
        if recent.holds is False:
            continue
        if recent.holds is None:
            return other, recent, cause.release_anew
        for ask, remedy in _NEEDED:
            reason = ask(other)
            if reason.blocks:
                return other, reason, remedy
    return None


def _cases(target: Target, facts: Facts) -> list[Case]:
    """The other targets as if they were judged; the policy is this target's, which may be more patient by now."""
    return [
        Case(
            Alert("", {}),
            replace(each.target, policy=target.policy),
            Facts(facts.now, replace(each.known, storm=facts.target.storm)),
            choose_destination(each.known),
        )
        for each in facts.target.companions
    ]
