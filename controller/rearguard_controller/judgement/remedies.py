"""Remedies beside those of `questions`: for a person's request, and for an alert that fits several targets. Pure."""

from __future__ import annotations

from rearguard_controller.judgement.brakes import end_the_rollback_of
from rearguard_controller.judgement.case import READ_CURRENT
from rearguard_controller.judgement.surroundings import ask_the_owner_of
from rearguard_controller.judgement.way_back import must_be_listed, must_be_proven, trust_a_version_of
from rearguard_controller.model import Facts, Reason, ReasonCode, Target

ONE_OWNER = (
    "The `match` of these targets would have to fit the alert only once, or exactly one of them be released anew."
)


def by_hand(reason: Reason, wished: str | None, target: Target, facts: Facts) -> str:
    """What would have to change for a person's request; `wished` is the version that was asked for, if one was."""
    known = facts.target
    if reason.code is ReasonCode.NO_OPEN_ROLLBACK:
        return end_the_rollback_of(known)
    if reason.code is ReasonCode.OWNER_ALLOWS:
        return ask_the_owner_of(target, known)
    if known.serving_version is None:
        return READ_CURRENT
    if wished is None:
        return f"{trust_a_version_of(target, facts)} Or name a version: --to VERSION."
    if wished == known.serving_version:
        return "Another version would have to be named."
    if known.activatable is not None and wished not in known.activatable:
        return must_be_listed(target, wished)
    if known.checked.get(wished):
        return must_be_proven(target, wished)
    return "A person can insist on it: --force."
