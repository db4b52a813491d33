"""What can keep the pods of a version from coming up although the patch is accepted. Pure.

Here: the workload's own wish, quotas of its namespace, autoscalers and disruption budgets; each as a sentence.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal

from rearguard_controller.adapters.kubernetes.objects import Document, Workload
from rearguard_controller.adapters.kubernetes.quantities import Amounts, of_pod, quantity, shown
from rearguard_controller.model import KubernetesRelease, WorkloadKind

_SAME = {"cpu": "requests.cpu", "memory": "requests.memory", "count/pods": "pods"}  # names of one thing in a quota
_COUNTED = ("pods", "requests.", "limits.")


@dataclass(frozen=True, slots=True)
class Move:
    """A workload that is to be changed to another template.

    Attributes:
        document: the workload as it was read.
        template: the pod template to be put back.
        version: its name.
        there: pods that the version has already.
    """

    release: KubernetesRelease
    workload: Workload
    document: Document
    template: Document
    version: str
    there: int = 0

    @property
    def spec(self) -> Document:
        """The workload's specification."""
        return _part(self.document, "spec")


def of_workload(move: Move) -> Iterator[str]:
    """What the workload itself says that keeps a version from coming up."""
    name = move.release.workload
    if move.workload.wanted == 0:
        yield f"{name} wants no pods now: the version would be put back, and nothing would run."
    strategy = _part(move.spec, "updateStrategy")
    if strategy.get("type") == "OnDelete":
        yield f"{name} has updateStrategy OnDelete: its pods stay as they are until somebody deletes them."
    partition = _part(strategy, "rollingUpdate").get("partition")
    if isinstance(partition, int) and partition > 0:
        yield f"{name} has partition {partition}: its pods below number {partition} stay as they are."


def of_quota(quota: Document, move: Move) -> tuple[str, str]:
    """Why a ResourceQuota has no room for the version, and what of it cannot be reckoned; each may be empty."""
    name, spec, status = _name(quota), _part(quota, "spec"), _part(quota, "status")
    if spec.get("scopes") or spec.get("scopeSelector"):
        return "", f"ResourceQuota {name} counts only some pods; whether these are among them was not reckoned."
    hard, used = _amounts(_part(status, "hard")), _amounts(_part(status, "used"))
    if not _part(status, "hard") and _part(spec, "hard"):
        return "", f"ResourceQuota {name} does not say yet what is used."
    pod, now = of_pod(move.template), of_pod(_part(move.spec, "template"))
    for resource, limit in hard.items():
        asked = pod.get(resource, Decimal(0))
        if asked and not _fits(resource, limit - used.get(resource, Decimal(0)), pod, now, move):
            taken = used.get(resource, Decimal(0))
            why = (
                f"ResourceQuota {name} has {shown(resource, limit - taken)} of {resource} left"
                f" ({shown(resource, taken)} of {shown(resource, limit)} used); one pod of {move.version} asks for"
                f" {shown(resource, asked)}, and {_still(move)} are to come."
            )
            return why, ""
    return "", ""


def of_autoscaler(autoscaler: Document, move: Move) -> str:
    """What a HorizontalPodAutoscaler says against the present number of pods; empty if nothing.

    It sets the number whichever version serves, so it keeps none from coming up. One of another workload says
    nothing.
    """
    spec = _part(autoscaler, "spec")
    aim = _part(spec, "scaleTargetRef")
    if str(aim.get("kind", "")).lower() != move.release.kind or aim.get("name") != move.release.name:
        return ""
    least, most, wanted = spec.get("minReplicas", 1), spec.get("maxReplicas"), move.workload.wanted
    said = f"{wanted} pods are wanted now, and HorizontalPodAutoscaler {_name(autoscaler)}"
    if wanted and isinstance(least, int) and wanted < least:
        return f"{said} asks for at least {least}."
    if isinstance(most, int) and wanted > most:
        return f"{said} allows at most {most}."
    return ""


def of_budget(budget: Document, move: Move) -> str:
    """That a PodDisruptionBudget covers the pods; empty if it does not. It limits evictions, and no rollout.

    Source: kubernetes.io/docs/concepts/workloads/pods/disruptions.
    """
    wanted = _part(_part(budget, "spec"), "selector").get("matchLabels")
    labels = _part(_part(move.template, "metadata"), "labels")
    if not isinstance(wanted, dict) or not wanted or any(labels.get(key) != value for key, value in wanted.items()):
        return ""
    allowed = _part(budget, "status").get("disruptionsAllowed")
    now = f" (it allows {allowed} now)" if isinstance(allowed, int) else ""
    return f"PodDisruptionBudget {_name(budget)} limits evictions{now}, not this change."


def _fits(resource: str, left: Decimal, pod: Amounts, now: Amounts, move: Move) -> bool:
    """Whether a rollout gets through: its next pod finds room, and so do all of them once the older pods are gone.

    A Deployment ends pods that are not available, and as many others as maxUnavailable says, without waiting for a
    new one. Source: kubernetes, pkg/controller/deployment/rolling.go.
    """
    asked, freed = pod.get(resource, Decimal(0)), now.get(resource, Decimal(0))
    older = max(0, move.workload.total - move.there)
    if _still(move) == 0:
        return True
    if left + older * freed < _still(move) * asked:
        return False
    missing = max(0, move.workload.total - move.workload.available)
    gone = min(older, max(missing, _unavailable(move)))
    return left + gone * freed >= asked


def _still(move: Move) -> int:
    """How many pods of the version have yet to come up."""
    return max(0, move.workload.wanted - move.there)


def _unavailable(move: Move) -> int:
    """How many pods may be ended before a new one is available."""
    if move.release.kind is not WorkloadKind.DEPLOYMENT:
        return 1  # one pod goes, then its successor comes
    strategy = _part(move.spec, "strategy")
    if strategy.get("type") == "Recreate":
        return move.workload.total
    rolling = _part(strategy, "rollingUpdate")
    wanted = move.workload.wanted
    unavailable = _share(rolling.get("maxUnavailable", "25%"), wanted, up=False)
    surge = _share(rolling.get("maxSurge", "25%"), wanted, up=True)
    return unavailable or (0 if surge else 1)


def _share(written: object, of: int, *, up: bool) -> int:
    if isinstance(written, int):
        return written
    if isinstance(written, str) and written.endswith("%") and written[:-1].isdigit():
        part = of * int(written[:-1]) / 100
        return math.ceil(part) if up else math.floor(part)
    return 0


def _amounts(written: Document) -> Amounts:
    found: Amounts = {}
    for name, value in written.items():
        amount, same = quantity(value), _SAME.get(name, name)
        if amount is not None and same.startswith(_COUNTED):
            found[same] = amount
    return found


def sentences(found: Sequence[str]) -> tuple[str, ...]:
    """Those that say something."""
    return tuple(each for each in found if each)


def _name(document: Document) -> str:
    return str(_part(document, "metadata").get("name", ""))


def _part(document: Document, name: str) -> Document:
    found = document.get(name)
    return found if isinstance(found, dict) else {}
