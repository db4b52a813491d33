"""Is there a version to go back to, and a free way to it? The last questions, each with its remedy. Pure.

Here: the answers in words. `destination` chooses the version.
"""

from __future__ import annotations

from dataclasses import replace

from rearguard_controller.judgement.case import AFTER_STORM, READ_CURRENT, Case
from rearguard_controller.judgement.destination import barrier_before, choose_destination, obstacle
from rearguard_controller.model import (
    Facts,
    KubernetesRelease,
    Reason,
    ReasonCode,
    Release,
    Target,
    TargetFacts,
    Trust,
)
from rearguard_controller.wording import because, span

BY_UP = "The policy says `trust: by_up`: a version is trusted without any figure of it."
MOST_VERSIONS = 2  # versions whose way to trust a sentence describes


def known_good_exists(case: Case) -> Reason:
    """Whether there is a version to go back to."""
    return said_by_up(case.target, known_good_of(case.facts, case.destination))


def said_by_up(target: Target, found: Reason) -> Reason:
    """The answer; if the policy trusts versions of which nothing was measured, it says so."""
    return replace(found, detail=f"{found.detail} {BY_UP}") if target.policy.trust is Trust.BY_UP else found


def known_good_of(facts: Facts, destination: Release | None) -> Reason:
    """Whether there is a version to go back to: for a destination that was chosen, or not."""
    code, known = ReasonCode.KNOWN_GOOD_EXISTS, facts.target
    if known.serving_version is None:
        return Reason(code, None, f"It is not known which version serves now{because(known.serving_detail)}")
    if destination is not None:
        since = span(facts.now - (destination.known_good_at or facts.now))
        if known.spared and known.activatable is None:
            listed = f"whether it can be activated was not asked, {known.spared}"
            return Reason(code, None, f"{destination.version} has been known good for {since}; {listed}.")
        detail = f"{destination.version} has been known good for {since}. {destination.code_doubt}"
        return Reason(code, True, detail.rstrip())
    others = [release for release in known.releases if release.version != known.serving_version]
    if not others:
        return Reason(code, False, "No other version was ever seen serving.")
    why = "; ".join(f"{release.version}: {obstacle(release, known)}" for release in others[:5])
    return Reason(code, False, f"No version can be gone back to ({why}).")


def trust_a_version(case: Case) -> str:
    """Remedy of `known_good_exists`."""
    return trust_a_version_of(case.target, case.facts)


def trust_a_version_of(target: Target, facts: Facts) -> str:
    """How one of the other versions would become one that can be gone back to, those that served last first."""
    known = facts.target
    if known.spared:
        return AFTER_STORM
    if known.serving_version is None:
        return READ_CURRENT
    others = [release for release in known.releases if release.version != known.serving_version]
    if not others:
        return _first_trust(target, facts)
    others.sort(key=lambda each: (each.served_at is not None, each.last_seen), reverse=True)
    return " ".join(_trust(release, target, known) for release in others[:MOST_VERSIONS])


def _first_trust(target: Target, facts: Facts) -> str:
    """What the only version ever seen still needs, so that the next one can go back to it."""
    needed, state = target.policy.known_good_after, facts.target.state
    served = 0.0 if state is None or state.clean_since is None else max(0.0, facts.now - state.clean_since)
    left = f"another {span(needed - served)}" if 0 < served < needed else span(needed)
    version = facts.target.serving_version
    return f"Another version would have to earn trust; {version} itself earns it by {left} of clean service."


def _trust(release: Release, target: Target, known: TargetFacts) -> str:
    """How one version would become a destination; follows the order of `destination.obstacle`."""
    version, announce = release.version, f"rearguard release {target.name} {release.version}"
    if release.distrusted:
        return f"If {version} is good after all: {announce} --good."
    if release.known_good_at is None:
        needed = span(target.policy.known_good_after)
        return f"{version} did not serve {needed} cleanly; if it is good: {announce} --good."
    barrier = barrier_before(release, known)
    if barrier is not None:
        return f"To go back past {barrier.version}: rearguard release {target.name} {barrier.version} --no-barrier."
    if known.activatable is not None and version not in known.activatable:
        return must_be_listed(target, version)
    return must_be_proven(target, version)


def must_be_listed(target: Target, version: str) -> str:
    """What would make a version one that can be activated, where the target does not list it."""
    if isinstance(target.release, KubernetesRelease):
        return f"The cluster would have to have the template of {version} still: see revisionHistoryLimit."
    return f"The target's command `versions` would have to list {version}."


def must_be_proven(target: Target, version: str) -> str:
    """What would make a version one that can be activated, where the target's own check refuses it."""
    if isinstance(target.release, KubernetesRelease):
        return f"What keeps the cluster from taking the template of {version} would have to be mended."
    return f"The target's command `check` would have to succeed for {version}."


def no_barrier(case: Case) -> Reason:
    """Whether no barrier stands between the serving version and the newest one that earned trust."""
    code = ReasonCode.NO_BARRIER
    if case.destination is not None:
        return Reason(code, True, f"{case.destination.version} lies behind no barrier.")
    barred, barrier = _barred(case.facts.target)
    if barred is None or barrier is None:
        return Reason(code, True, "No version that could be gone back to lies behind a barrier.")
    detail = f"{barred.version} would be gone back to, but it lies behind the barrier release {barrier.version}."
    return Reason(code, False, detail)


def lift_the_barrier(case: Case) -> str:
    """Remedy of `no_barrier`."""
    barrier = _barred(case.facts.target)[1]
    version = "VERSION" if barrier is None else barrier.version
    return f"If it may be gone back past: rearguard release {case.target.name} {version} --no-barrier."


def _barred(known: TargetFacts) -> tuple[Release | None, Release | None]:
    """The version that would be gone back to if there were no barriers, and the barrier in front of it."""
    free = replace(known, releases=tuple(replace(release, barrier=False) for release in known.releases))
    barred = choose_destination(free)
    return barred, None if barred is None else barrier_before(barred, known)
