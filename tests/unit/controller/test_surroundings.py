"""Judging a workload of Kubernetes by who else changes it, and by the room for its older version; and the plan."""

from dataclasses import replace

import pytest

from rearguard_controller.journal.codec import dump, load
from rearguard_controller.judgement.policy import Wish, decide, decide_by_hand
from rearguard_controller.model import (
    KubernetesRelease,
    Owner,
    OwnerRule,
    Ownership,
    OwnerTool,
    PauseOwner,
    Rollback,
    Room,
    Verdict,
    WorkloadKind,
)
from rearguard_controller.rollback.plan import plan
from unit.controller.factories import alert, facts, hook, rollback, target

CD = Owner(OwnerTool.ARGO_CD, "Application", "shop", "argocd")
HELM = Owner(OwnerTool.HELM, "release", "shop", "shop")
OPERATOR = Owner(OwnerTool.OPERATOR, "Shop", "eu", "shop")
FREE = Ownership()


def workload(owner=OwnerRule.REFUSE):
    return target(release=KubernetesRelease("shop", WorkloadKind.DEPLOYMENT, "checkout", 300.0, owner))


def told(ownership, owner=OwnerRule.REFUSE, *, by_hand=False, room=None):
    """The decision, and what it says of the owner and of room."""
    known = facts()
    known = replace(known, target=replace(known.target, ownership=ownership, room=room))
    of = workload(owner)
    decision = (
        decide_by_hand("d1", Wish(), of, known) if by_hand else decide("d1", alert(service_version="2.0"), of, known)
    )
    by_code = {each.code.value: each for each in decision.reasons}
    return decision.verdict, by_code["owner_allows"], by_code["capacity_suffices"]


# Each case: who owns it, the rule, whether the rollback is allowed, and words of the sentence and of the remedy.
CASES = {
    "nobody": (FREE, "refuse", True, "No other tool was found", ""),
    "refused": (Ownership((CD,)), "refuse", False, "Argo CD (Application argocd/shop) owns deployment shop/checkout",
                "owner: pause"),
    "paused": (Ownership((CD,)), "pause", True, "paused before the change", ""),
    "ignored": (Ownership((CD,)), "ignore", True, "`owner: ignore`", ""),
    "Helm": (Ownership((HELM,)), "refuse", False, "Helm (release shop/shop)", "release kind `command`"),
    "Helm cannot be paused": (Ownership((HELM,)), "pause", False, "knows no way to pause Helm", "`command`"),
    "an operator": (Ownership((OPERATOR,)), "pause", False, "an operator (Shop shop/eu)", "owner: ignore"),
    "two of them": (Ownership((CD, HELM)), "pause", False, "Argo CD (Application argocd/shop) and Helm", "`command`"),
    "a set undoes the pause": (Ownership((CD,), unpausable="ApplicationSet shops would undo it"), "pause", False,
                               "cannot be paused: ApplicationSet shops", "docs/kubernetes.md#owners"),
    "not known": (Ownership(fault="The API server answered 403."), "refuse", None, "answered 403", "API server"),
    "not asked": (None, "refuse", None, "not asked", "API server"),
}  # fmt: skip


@pytest.mark.parametrize("by_hand", [False, True])
@pytest.mark.parametrize("case", CASES)
def test_an_owner_is_asked_for_every_rollback_and_what_is_not_known_blocks(case, by_hand):
    ownership, rule, holds, said, remedy = CASES[case]
    verdict, allows, _ = told(ownership, OwnerRule(rule), by_hand=by_hand)
    assert allows.holds is holds
    assert said in allows.detail
    assert remedy in allows.remedy
    assert (verdict is Verdict.ROLL_BACK) is bool(holds)


def test_room_blocks_when_it_is_lacking_and_not_when_it_is_unknown():
    full = Room(full=("ResourceQuota compute is full.",), notes=("PodDisruptionBudget web limits evictions.",))
    verdict, _, room = told(FREE, room=full)
    assert (verdict, room.holds) == (Verdict.LEAVE, False)
    assert room.detail == "ResourceQuota compute is full. PodDisruptionBudget web limits evictions."
    for unknown in (None, Room(unknown=("Not known: room in quotas, the API server answered 403.",))):
        verdict, _, room = told(FREE, room=unknown)
        assert (verdict, room.holds) == (Verdict.ROLL_BACK, None)
    verdict, _, room = told(FREE, room=Room(notes=("PodDisruptionBudget web limits evictions.",)))
    assert (verdict, room.holds) == (Verdict.ROLL_BACK, True)
    assert "PodDisruptionBudget web" in room.detail
    verdict, _, _ = told(FREE, room=full, by_hand=True)
    assert verdict is Verdict.ROLL_BACK  # a person sees it, and decides


def test_the_owner_is_paused_before_all_else_and_the_undo_of_hooks_stays_with_its_hook():
    paused = replace(
        workload(OwnerRule.PAUSE), before=(hook("drain", undo=True), hook("note")), health=None, after=()
    )
    steps = plan(paused, conditions=())
    assert [each.name for each in steps] == ["pause-owner", "drain", "note", "roll-back", "undo drain"]
    assert steps[0].action == PauseOwner(paused.release)
    assert steps[-1].undoes == 1
    assert [each.seq for each in steps] == list(range(5))
    for rule in (OwnerRule.REFUSE, OwnerRule.IGNORE):
        assert "pause-owner" not in [each.name for each in plan(workload(rule), conditions=())]


def test_a_plan_that_pauses_an_owner_is_stored_and_read_again():
    kept = rollback("r1", steps=plan(workload(OwnerRule.PAUSE), conditions=()))
    assert load(Rollback, dump(kept)) == kept
