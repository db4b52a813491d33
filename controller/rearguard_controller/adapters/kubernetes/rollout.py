"""How far a workload is with its newest pod template. Pure.

The rules are those of `kubectl rollout status`
(kubernetes/kubectl, pkg/polymorphichelpers/rollout_status.go), read for all three kinds from the same fields.
"""

from __future__ import annotations

from dataclasses import dataclass

from rearguard_controller.adapters.kubernetes.objects import Workload

DEADLINE = "ProgressDeadlineExceeded"


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a rollout is.

    Attributes:
        done: every pod is of the newest template and available.
        failed: its controller has given up.
        detail: one sentence without its full stop.
    """

    done: bool
    failed: bool
    detail: str


def progress(it: Workload) -> Progress:
    """How far the rollout of the newest template is."""
    if it.observed < it.generation:
        return Progress(False, False, "its controller has not seen the change yet")
    condition = it.condition("Progressing")
    if condition is not None and condition.reason == DEADLINE:
        return Progress(
            False, True, f"its controller gave up ({DEADLINE}): {it.available} of {it.wanted} are available"
        )
    if it.updated < it.wanted:
        return Progress(False, False, f"{it.updated} of {it.wanted} pods have the template")
    if it.total > it.updated:
        return Progress(False, False, f"{it.total - it.updated} older pods are still there")
    if it.available < it.updated:
        return Progress(False, False, f"{it.available} of {it.updated} pods are available")
    return Progress(True, False, f"all {it.updated} pods have the template and are available")
