"""The status of disruption budgets and quotas: how many pods there are, and how many more or fewer there may be.

A quota counts pods only; neither a budget nor a quota is enforced.
"""

import math
from typing import Any

from local_cluster.kinds import BUDGETS, PODS, QUOTAS
from local_cluster.objects import Object, is_going, labels_of, namespace_of
from local_cluster.pods import is_ready
from local_cluster.selectors import matches
from local_cluster.store import Change, Key, Store
from local_cluster.work_queue import WorkQueue

_POD_COUNTS = ("pods", "count/pods")


class BudgetController:
    """Writes the status of each PodDisruptionBudget and ResourceQuota."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.queue = WorkQueue(self._look)  # of namespaces
        for kind in (BUDGETS, QUOTAS, PODS):
            store.listen(kind, self._when_changed)

    def _when_changed(self, change: Change) -> None:
        self.queue.add((namespace_of(change.object), ""))

    def _look(self, key: Key) -> None:
        budgets, quotas = self._store.all(BUDGETS, key[0]), self._store.all(QUOTAS, key[0])
        if not budgets and not quotas:
            return
        pods = [pod for pod in self._store.all(PODS, key[0]) if not is_going(pod)]
        for budget in budgets:
            self._store.update(BUDGETS, {**budget, "status": _budget_status(budget, pods)})
        for quota in quotas:
            hard = quota["spec"].get("hard") or {}
            used = {name: str(len(pods)) for name in _POD_COUNTS if name in hard}
            self._store.update(QUOTAS, {**quota, "status": {"hard": hard, "used": used}})


def _budget_status(budget: Object, pods: list[Object]) -> Object:
    spec = budget["spec"]
    mine = [pod for pod in pods if matches(spec.get("selector"), labels_of(pod))]
    healthy = sum(is_ready(pod) for pod in mine)
    if "maxUnavailable" in spec:
        desired = len(mine) - _number(spec["maxUnavailable"], len(mine))
    else:
        desired = _number(spec.get("minAvailable", 1), len(mine))
    return {
        "observedGeneration": budget["metadata"]["generation"],
        "expectedPods": len(mine),
        "currentHealthy": healthy,
        "desiredHealthy": max(desired, 0),
        "disruptionsAllowed": max(healthy - desired, 0),
    }


def _number(value: Any, whole: int) -> int:
    if isinstance(value, str) and value.endswith("%"):
        return math.ceil(whole * float(value[:-1]) / 100)
    return int(value)
