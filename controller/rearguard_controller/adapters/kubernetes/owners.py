"""Which other tools put a workload's pod template back. Pure.

Here: what each tool leaves on what it manages, with the source of each fact. A mark that people and charts set on
anything, such as the label `app.kubernetes.io/instance` alone, makes no owner; neither does `kubectl apply`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from rearguard_controller.adapters.kubernetes.objects import PLURALS, Workload
from rearguard_controller.model import Owner, OwnerTool, WorkloadKind

# argo-cd.readthedocs.io, user-guide/resource_tracking: `APPLICATION:GROUP/KIND:NAMESPACE/NAME`. One that names
# another object was copied with its annotations ("non self-referencing annotations"): Argo CD leaves that one alone.
TRACKING_ID = "argocd.argoproj.io/tracking-id"
_TRACKED = re.compile(r"(?P<app>[^:]+):apps/(?P<kind>[A-Za-z]+):(?P<namespace>[^/]+)/(?P<name>.+)")
# The same page: with the tracking method `label` it is one of these labels. Charts set the first of them on anything,
# so it counts only where Argo CD has written the object: argo-cd common/common.go (ArgoCDSSAManager), and the name of
# its program for changes without server-side apply.
_INSTANCES = ("argocd.argoproj.io/instance", "app.kubernetes.io/instance")
_ARGO_CD = frozenset({"argocd-controller", "argocd-application-controller"})

# fluxcd.io/flux/faq and fluxcd/kustomize-controller: labels on all that a Kustomization applies, always by
# server-side apply as this manager. So the labels without the manager were copied from something else.
_KUSTOMIZATION = "kustomize.toolkit.fluxcd.io"
_KUSTOMIZE_CONTROLLER = "kustomize-controller"
# fluxcd/kustomize-controller#484 and its CHANGELOG for 0.17.0: an object with this annotation is left alone.
_RECONCILE = f"{_KUSTOMIZATION}/reconcile"
# fluxcd/helm-controller CHANGELOG, 0.9.0: labels that its post-renderer sets whatever the chart says.
_HELM_RELEASE = "helm.toolkit.fluxcd.io"

# helm.sh/docs/chart_best_practices/labels and helm/helm#7649: Helm itself sets the annotations. The label is set by
# charts, too, also where another tool renders them.
_HELM_NAME, _HELM_NAMESPACE = "meta.helm.sh/release-name", "meta.helm.sh/release-namespace"

# argoproj.github.io/argo-rollouts/migrating: a Rollout whose workloadRef names a Deployment leaves no mark on it,
# except that with scaleDown its controller (program rollouts-controller) writes spec.replicas.
_ROLLOUTS = "rollouts-controller"


def owners(it: Workload, kind: WorkloadKind, argocd: str) -> tuple[Owner, ...]:
    """Who owns a workload, as far as it can be seen on it.

    Args:
        it: the workload.
        kind: what it is.
        argocd: the namespace of Argo CD, where Applications are that name none.
    """
    return (*_controllers(it), *_argo_cd(it, kind, argocd), *_flux(it), *_helm(it), *_rollouts(it))


def _controllers(it: Workload) -> Iterator[Owner]:
    for kind, name in it.owners:
        tool = OwnerTool.ARGO_ROLLOUTS if kind == "Rollout" else OwnerTool.OPERATOR
        yield Owner(tool, kind, name, it.namespace)


def _argo_cd(it: Workload, kind: WorkloadKind, argocd: str) -> Iterator[Owner]:
    mark = it.annotations.get(TRACKING_ID)
    if mark is not None:
        found = _TRACKED.fullmatch(mark)
        here = (PLURALS[kind].kind, it.namespace, it.name)
        if found is None or (found["kind"], found["namespace"], found["name"]) == here:
            yield application("" if found is None else found["app"], argocd)
    elif not _ARGO_CD.isdisjoint(it.managers):
        named = next((it.labels[label] for label in _INSTANCES if it.labels.get(label)), "")
        yield application(named, argocd)


def application(name: str, argocd: str) -> Owner:
    """The Application of a name as Argo CD writes it: with `NAMESPACE_` before it where that is not its own.

    Source: argo-cd.readthedocs.io, operator-manual/app-any-namespace.
    """
    namespace, separator, rest = name.partition("_")
    return Owner(OwnerTool.ARGO_CD, "Application", rest if separator else name, namespace if separator else argocd)


def _flux(it: Workload) -> Iterator[Owner]:
    name = it.labels.get(f"{_KUSTOMIZATION}/name")
    written = not it.managers or _KUSTOMIZE_CONTROLLER in it.managers
    if name and written and it.annotations.get(_RECONCILE) != "disabled":
        yield Owner(OwnerTool.FLUX, "Kustomization", name, it.labels.get(f"{_KUSTOMIZATION}/namespace", ""))
    release = it.labels.get(f"{_HELM_RELEASE}/name")
    if release:
        yield Owner(OwnerTool.FLUX, "HelmRelease", release, it.labels.get(f"{_HELM_RELEASE}/namespace", ""))


def _helm(it: Workload) -> Iterator[Owner]:
    name = it.annotations.get(_HELM_NAME)
    if name and not it.labels.get(f"{_HELM_RELEASE}/name"):  # else Helm acts for Flux
        yield Owner(OwnerTool.HELM, "release", name, it.annotations.get(_HELM_NAMESPACE, it.namespace))


def _rollouts(it: Workload) -> Iterator[Owner]:
    if _ROLLOUTS in it.managers and not any(kind == "Rollout" for kind, _ in it.owners):
        yield Owner(OwnerTool.ARGO_ROLLOUTS, "Rollout")
