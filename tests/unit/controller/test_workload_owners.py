"""Who owns a workload, by the marks that tools leave on what they manage, and what it takes to pause them."""

import json

import pytest

from rearguard_controller.adapters.kubernetes import pauses
from rearguard_controller.adapters.kubernetes.objects import workload
from rearguard_controller.adapters.kubernetes.owners import owners
from rearguard_controller.model import Owner, OwnerTool, WorkloadKind

ARGO_CD = "argocd-controller"
CHART = {
    "app.kubernetes.io/name": "checkout",
    "app.kubernetes.io/instance": "checkout",
    "app.kubernetes.io/managed-by": "Helm",
    "helm.sh/chart": "checkout-1.4.2",
}
FLUX = {"kustomize.toolkit.fluxcd.io/name": "apps", "kustomize.toolkit.fluxcd.io/namespace": "flux-system"}
HELM_RELEASE = {"helm.toolkit.fluxcd.io/name": "checkout", "helm.toolkit.fluxcd.io/namespace": "releases"}
HELM = {"meta.helm.sh/release-name": "checkout", "meta.helm.sh/release-namespace": "shop"}
TRACKED = {"argocd.argoproj.io/tracking-id": "shop-prod:apps/Deployment:shop/checkout"}
KUBECTL = ("kubectl-client-side-apply", "kubectl", "kube-controller-manager", "kubectl-rollout", "rearguard")

REAL = {
    "kubectl apply": ({"app": "checkout"}, {"deployment.kubernetes.io/revision": "3"}, KUBECTL, []),
    "a chart that kubectl applied": (CHART, {}, KUBECTL, []),
    "Argo CD by annotation": ({}, TRACKED, (ARGO_CD,), ["Argo CD (Application argocd/shop-prod)"]),
    "Argo CD with a chart": (CHART, TRACKED, (ARGO_CD,), ["Argo CD (Application argocd/shop-prod)"]),
    "Argo CD, an Application of another namespace": (
        {}, {"argocd.argoproj.io/tracking-id": "team-a_checkout:apps/Deployment:shop/checkout"}, (ARGO_CD,),
        ["Argo CD (Application team-a/checkout)"],
    ),
    "a copy of what Argo CD tracks": (
        {}, {"argocd.argoproj.io/tracking-id": "shop-prod:apps/Deployment:template/checkout"}, KUBECTL, [],
    ),
    "Argo CD by label": (
        {"app.kubernetes.io/instance": "shop-prod"}, {}, ("argocd-application-controller",),
        ["Argo CD (Application argocd/shop-prod)"],
    ),
    "Argo CD by a label of its own": (
        {"argocd.argoproj.io/instance": "shop-prod", "app.kubernetes.io/instance": "checkout"}, {}, (ARGO_CD,),
        ["Argo CD (Application argocd/shop-prod)"],
    ),
    "Argo CD without a name": ({}, {}, (ARGO_CD,), ["Argo CD (Application)"]),
    "Flux": (FLUX, {}, ("kustomize-controller", "kubectl"), ["Flux (Kustomization flux-system/apps)"]),
    "labels of Flux that an operator copied": (FLUX, {}, ("some-operator",), []),
    "an object that Flux is told to leave": (
        FLUX, {"kustomize.toolkit.fluxcd.io/reconcile": "disabled"}, ("kustomize-controller",), [],
    ),
    "Flux by a HelmRelease": (
        CHART | HELM_RELEASE, HELM, ("helm-controller",), ["Flux (HelmRelease releases/checkout)"],
    ),
    "Helm": (CHART, HELM, ("helm",), ["Helm (release shop/checkout)"]),
    "a Rollout that scaled its Deployment down": ({}, {}, ("rollouts-controller",), ["Argo Rollouts (Rollout)"]),
}  # fmt: skip


def document(labels=(), annotations=(), managers=(), references=(), kind="Deployment"):
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {
            "namespace": "shop",
            "name": "checkout",
            "uid": "u1",
            "resourceVersion": "7",
            "generation": 1,
            "labels": dict(labels),
            "annotations": dict(annotations),
            "managedFields": [{"manager": each, "operation": "Update"} for each in managers],
            "ownerReferences": list(references),
        },
        "spec": {"template": {"spec": {"containers": [{"name": "web", "image": "shop:v1"}]}}},
        "status": {},
    }


def found(*given, kind=WorkloadKind.DEPLOYMENT, **more):
    return owners(workload(document(*given, **more)), kind, "argocd")


@pytest.mark.parametrize("case", REAL)
def test_an_owner_is_known_by_its_own_marks_and_by_no_others(case):
    labels, annotations, managers, expected = REAL[case]
    assert [str(each) for each in found(labels, annotations, managers)] == expected


def test_a_controlling_reference_names_an_operator_and_any_other_reference_nobody():
    operator = {"apiVersion": "monitoring.coreos.com/v1", "kind": "Prometheus", "name": "k8s", "controller": True}
    assert [str(each) for each in found(references=[operator])] == ["an operator (Prometheus shop/k8s)"]
    assert found(references=[{**operator, "controller": False}]) == ()
    rollout = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "name": "checkout", "controller": True}
    (owner,) = found(references=[rollout], managers=["rollouts-controller"])
    assert (owner.tool, owner.name, owner.can_pause) == (OwnerTool.ARGO_ROLLOUTS, "checkout", False)


def test_a_tracking_id_counts_for_the_kind_that_it_names():
    mark = {"argocd.argoproj.io/tracking-id": "shop:apps/StatefulSet:shop/checkout"}
    assert found(annotations=mark) == ()
    (owner,) = found(annotations=mark, kind=WorkloadKind.STATEFUL_SET)
    assert owner == Owner(OwnerTool.ARGO_CD, "Application", "shop", "argocd")


# --- pausing

APPLICATION = Owner(OwnerTool.ARGO_CD, "Application", "shop-prod", "argocd")
KUSTOMIZATION = Owner(OwnerTool.FLUX, "Kustomization", "apps", "flux-system")


def application(automated=None, **about):
    policy = {} if automated is None else {"syncPolicy": {"automated": automated, "syncOptions": ["A=b"]}}
    return {"metadata": {"resourceVersion": "7", **about}, "spec": {"project": "default", **policy}}


def applied(manager, fields, operation="Apply"):
    return {"managedFields": [{"manager": manager, "operation": operation, "fieldsV1": fields}]}


@pytest.mark.parametrize(
    ("automated", "paused"),
    [(None, True), ({}, False), ({"prune": True, "selfHeal": True}, False), ({"enabled": True}, False),
     ({"enabled": None}, False), ({"enabled": False, "selfHeal": True}, True)],
)  # fmt: skip
def test_argo_cd_is_paused_when_its_automated_sync_is_off(automated, paused):
    assert pauses.is_paused(APPLICATION, application(automated)) is paused


def test_flux_is_paused_when_it_is_suspended():
    assert pauses.is_paused(KUSTOMIZATION, {"spec": {"suspend": True}})
    assert not pauses.is_paused(KUSTOMIZATION, {"spec": {"suspend": False}})
    assert not pauses.is_paused(KUSTOMIZATION, {"spec": {}})


def test_the_way_back_out_of_a_pause_restores_what_was():
    before = application({"prune": True, "selfHeal": True})
    operations = pauses.pause(APPLICATION, before, "r-1")
    assert operations[0] == {"op": "test", "path": "/metadata/resourceVersion", "value": "7"}
    values = {each["path"]: each.get("value") for each in operations if each["op"] == "add"}
    after = application(annotations={"rearguard.dev/automated-before": values.pop(
        "/metadata/annotations/rearguard.dev~1automated-before")})  # fmt: skip
    command = pauses.going_on(APPLICATION, after)
    assert command.startswith("kubectl -n argocd patch applications.argoproj.io shop-prod --type merge -p '")
    assert json.loads(command.split("'")[1]) == {
        "spec": {"syncPolicy": {"automated": {"prune": True, "selfHeal": True}}}
    }
    assert values["/metadata/annotations/rearguard.dev~1rollback"] == "r-1"


@pytest.mark.parametrize(
    ("owner", "found_there", "said"),
    [
        (APPLICATION, application({}), ""),
        (APPLICATION, application({}, ownerReferences=[{"kind": "ApplicationSet", "name": "shops"}]),
         "ApplicationSet shops"),
        (APPLICATION, application({}, annotations={
            "argocd.argoproj.io/tracking-id": "root:argoproj.io/Application:argocd/shop-prod"}), "Application root"),
        (APPLICATION, application({}, **applied("kustomize-controller", {
            "f:spec": {"f:syncPolicy": {"f:automated": {"f:prune": {}}}}})), "kustomize-controller applies"),
        (APPLICATION, application({}, **applied("argocd-server", {
            "f:spec": {"f:syncPolicy": {"f:automated": {}}}}, "Update")), ""),
        (KUSTOMIZATION, {"metadata": applied("kustomize-controller", {"f:spec": {"f:path": {}}}), "spec": {}}, ""),
        (KUSTOMIZATION, {"metadata": applied("kustomize-controller", {"f:spec": {"f:suspend": {}}}), "spec": {}},
         "kustomize-controller applies spec.suspend"),
        (KUSTOMIZATION, {"metadata": applied("kubectl", {"f:spec": {"f:suspend": {}}}), "spec": {}}, ""),
    ],
)  # fmt: skip
def test_a_pause_that_somebody_would_undo_is_none(owner, found_there, said):
    why = pauses.contested(owner, found_there)
    assert (bool(why), said in why) == (bool(said), True)
