"""The judgement: is this release to blame, and may we act? Pure, and the same for alerts, dry runs and by hand.

Here: `decide`, `decide_by_hand` and the second look at a rollback that waits. A decision holds the answers to all
`questions`, so that anyone can see why, or why not. Everything that may be known is in `Facts`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum, unique

from rearguard_controller.judgement import questions, remedies
from rearguard_controller.judgement.brakes import no_open_rollback_of
from rearguard_controller.judgement.destination import choose_destination, obstacle
from rearguard_controller.judgement.permissions import of_no_target
from rearguard_controller.judgement.surroundings import owner_allows_of
from rearguard_controller.judgement.way_back import known_good_of, said_by_up
from rearguard_controller.model import (
    VERSION_LABEL,
    Alert,
    Decision,
    Evidence,
    Facts,
    KubernetesRelease,
    Mode,
    Reason,
    ReasonCode,
    Release,
    Rollback,
    Target,
    Trigger,
    Verdict,
)
from rearguard_controller.wording import because

COMPONENT_LABEL = "component"
DATABASE = "database"  # the value of that label on alerts about databases
PERMISSIONS = frozenset({ReasonCode.MODE_ALLOWS, ReasonCode.ARMED, ReasonCode.ENVIRONMENT_ALLOWS})


@unique
class Recheck(StrEnum):
    """What a fresh judgement says of a rollback that waits."""

    HOLDS = "holds"  # it is still right
    OVER = "over"  # the alert is not confirmed any more
    BARRED = "barred"  # something else stands in the way now
    CHANGED = "changed"  # another version serves
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Wish:
    """A rollback that a person asks for."""

    to_version: str | None = None  # default: the newest known-good version
    force: bool = False  # allows a bad, barred or unproven destination
    note: str = ""


class Together:
    """Judges alerts that are judged together; of those that are alike only the first, and its decision holds for all.

    Alerts of a storm differ in labels that no question sees, such as the pod. They are alike if the same facts are
    known of them (the same object, see `facts.gather`).
    """

    def __init__(self) -> None:
        """Nothing was judged."""
        self._judged: dict[tuple[object, ...], tuple[Facts, Target, Decision]] = {}
        self._asking = questions.Asking()

    def decide(self, decision_id: str, alert: Alert, target: Target, facts: Facts) -> Decision:
        """See the function `decide`. Decisions about alerts that are alike share their reasons and their evidence."""
        labels = alert.labels
        key = (id(facts), id(target), alert.name, labels.get(VERSION_LABEL), labels.get(COMPONENT_LABEL))
        known = self._judged.get(key)
        if known is None:  # facts and target are kept, so that no other object gets one of these ids
            decision = decide(decision_id, alert, target, facts, self._asking)
            self._judged[key] = facts, target, decision
            return decision
        first = known[2]
        return Decision(  # not by `replace`, which costs as much as all else here
            id=decision_id,
            target=first.target,
            verdict=first.verdict,
            would=first.would,
            decided_at=first.decided_at,
            trigger=first.trigger,
            reasons=first.reasons,
            alert=alert,
            from_version=first.from_version,
            to_version=first.to_version,
            evidence=first.evidence,
        )


def decide(
    decision_id: str, alert: Alert, target: Target | None, facts: Facts, asking: questions.Asking | None = None
) -> Decision:
    """Judge an alert.

    Args:
        decision_id: the new decision's id.
        alert: as Prometheus has it now, or as it was delivered when Prometheus does not know it.
        target: whose alert it is; None when it matches none.
        facts: everything known, gathered before.
        asking: what was asked of alerts that are judged together with this one, and is not asked again.

    Returns:
        `roll_back` if no reason stands in the way, else `leave`. `ask` replaces `roll_back` in mode `ask`, and for a
        database alert that cannot be compared with the version before. `would` is the verdict if mode, environment
        and arming allowed it. In mode `ask`, `would` is `ask`, never `roll_back`: the mode allows no more.
    """
    if target is None:
        detail = "No configured target matches the labels of this alert."
        known = Reason(ReasonCode.TARGET_KNOWN, False, detail, remedy=of_no_target(alert))
        return Decision(
            decision_id, "", Verdict.LEAVE, Verdict.LEAVE, facts.now, Trigger.ALERT, (known,), alert=alert
        )
    destination = choose_destination(facts.target)
    reasons = (asking or questions.Asking()).answers(alert, target, facts, destination)
    blocking = {reason.code for reason in reasons if reason.blocks}
    asks = target.policy.mode is Mode.ASK or _may_be_the_database(alert, reasons)
    best = Verdict.ASK if asks else Verdict.ROLL_BACK
    return Decision(
        id=decision_id,
        target=target.name,
        verdict=Verdict.LEAVE if blocking else best,
        would=Verdict.LEAVE if blocking - PERMISSIONS else best,
        decided_at=facts.now,
        trigger=Trigger.ALERT,
        reasons=reasons,
        alert=alert,
        from_version=facts.target.serving_version,
        to_version=destination.version if destination else None,
        evidence=facts.evidence,
    )


def decide_unclear(decision_id: str, alert: Alert, owners: Sequence[Target], now: float) -> Decision:
    """Leave an alert that matches several targets, when not exactly one of them has a recent release."""
    names = ", ".join(owner.name for owner in owners)
    detail = f"The alert matches several targets ({names}), and not exactly one has a recent release."
    decision = decide(decision_id, alert, None, Facts(now))
    return replace(
        decision, reasons=(Reason(ReasonCode.TARGET_KNOWN, holds=False, detail=detail, remedy=remedies.ONE_OWNER),)
    )


def decide_by_hand(decision_id: str, wish: Wish, target: Target, facts: Facts) -> Decision:
    """Judge a person's request. Only what makes a rollback impossible or senseless stands in its way.

    Returns:
        `roll_back` when the destination exists, differs, can be activated and no rollback is open; else `leave`.
    """
    destination, known_good = _wished_destination(wish, facts)
    known_good = said_by_up(target, known_good)
    enforced = {
        ReasonCode.TARGET_KNOWN: Reason(ReasonCode.TARGET_KNOWN, True, f"The target is {target.name}."),
        ReasonCode.NO_OPEN_ROLLBACK: no_open_rollback_of(facts.target),
        ReasonCode.KNOWN_GOOD_EXISTS: known_good,
    }
    if not target.release.changes:
        enforced[ReasonCode.OWNER_ALLOWS] = replace(owner_allows_of(target, facts.target), holds=False)
    elif isinstance(target.release, KubernetesRelease):
        enforced[ReasonCode.OWNER_ALLOWS] = owner_allows_of(target, facts.target)
    reasons = tuple(
        enforced.get(code) or Reason(code, None, "Does not apply to a rollback by hand.", unknown_blocks=False)
        for code in ReasonCode
    )
    reasons = tuple(
        replace(each, remedy=remedies.by_hand(each, wish.to_version, target, facts)) if each.blocks else each
        for each in reasons
    )
    verdict = Verdict.LEAVE if any(reason.blocks for reason in reasons) else Verdict.ROLL_BACK
    return Decision(
        id=decision_id,
        target=target.name,
        verdict=verdict,
        would=verdict,
        decided_at=facts.now,
        trigger=Trigger.MANUAL,
        reasons=reasons,
        from_version=facts.target.serving_version,
        to_version=destination,
        note=wish.note,
        evidence=_of(facts.evidence, enforced),
    )


def look_again(rollback: Rollback, decision: Decision, facts: Facts) -> tuple[Recheck, str]:
    """Whether a rollback that waits is still right, and the sentence that says why.

    Args:
        rollback: it waits for approval, or for the time to veto it to pass.
        decision: its alert, judged anew as if the rollback were not open.
        facts: what that was judged on.

    Returns:
        `unknown` only where nothing is known to stand in the way.
    """
    version = facts.target.serving_version
    if version is not None and version != rollback.from_version:
        return Recheck.CHANGED, f"{version} serves, not {rollback.from_version}: somebody else changed it."
    blocking = [reason for reason in decision.reasons if reason.blocks]
    over = next((each for each in blocking if each.code is ReasonCode.ALERT_CONFIRMED and each.holds is False), None)
    if over is not None:
        return Recheck.OVER, over.detail
    destination = facts.target.release(rollback.to_version)
    why = None if version is None or destination is None else obstacle(destination, facts.target)
    barring = [reason.detail for reason in blocking if reason.holds is False]
    if why is not None:
        barring.append(f"{rollback.to_version} is no destination any more: {why}.")
    if not blocking and decision.verdict is Verdict.ASK and not rollback.approved:
        barring.append("By now it is for a person to approve.")
    if barring:
        return Recheck.BARRED, " ".join(barring)
    if blocking:
        return Recheck.UNKNOWN, " ".join(reason.detail for reason in blocking)
    confirmed = next((each.detail for each in decision.reasons if each.code is ReasonCode.ALERT_CONFIRMED), "")
    return Recheck.HOLDS, f"Judged again: {confirmed}"


def _of(evidence: tuple[Evidence, ...], codes: Collection[ReasonCode]) -> tuple[Evidence, ...]:
    """The evidence that serves one of these reasons, without the other reasons that it serves."""
    serving = (replace(each, serves=tuple(code for code in each.serves if code in codes)) for each in evidence)
    return tuple(each for each in serving if each.serves)


def _may_be_the_database(alert: Alert, reasons: tuple[Reason, ...]) -> bool:
    """Whether the database itself may be at fault: nothing shows that the version before worked with it."""
    healthy = next(each for each in reasons if each.code is ReasonCode.PREVIOUS_VERSION_HEALTHY)
    return alert.labels.get(COMPONENT_LABEL) == DATABASE and healthy.holds is None


def _wished_destination(wish: Wish, facts: Facts) -> tuple[str | None, Reason]:
    code, known = ReasonCode.KNOWN_GOOD_EXISTS, facts.target
    if wish.to_version is None:
        best = choose_destination(known)
        return (best.version if best else None), known_good_of(facts, best)
    version = wish.to_version
    if known.serving_version is None:
        return version, Reason(code, None, f"It is not known which version serves now{because(known.serving_detail)}")
    if version == known.serving_version:
        return version, Reason(code, False, f"{version} is the version that serves now.")
    if known.activatable is not None and version not in known.activatable:
        return version, Reason(code, False, f"{version} is not among the versions that the target can activate.")
    if known.checked.get(version):
        return version, Reason(code, False, f"{version} cannot be activated: {known.checked[version]}.")
    release = known.release(version)
    why = "it was never seen serving" if release is None else obstacle(release, known)
    if why is None:
        return version, Reason(code, True, f"{version} is known good. {_doubt(release)}".rstrip())
    if wish.force:
        return version, Reason(code, True, f"{version} was forced although {why}. {_doubt(release)}".rstrip())
    return version, Reason(code, False, f"{version} is no destination: {why}. With force it is.")


def _doubt(release: Release | None) -> str:
    return "" if release is None else release.code_doubt
