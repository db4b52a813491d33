"""Kubernetes: the workloads whose pod templates are a target's versions, read by watching and changed by one patch.

Here: `access` finds the API server and says who asks, `api` asks it, `objects` makes records of its answers, `mirror`
follows one kind of object in one namespace, `patches`, `drains` and `rollout` are the rules of a change,
`permissions` and `events` are small questions and notes, `cluster` is the whole.
Never here: whether a version is to be changed.
"""

from rearguard_controller.adapters.kubernetes.cluster import Cluster
from rearguard_controller.adapters.kubernetes.objects import Workload
from rearguard_controller.adapters.kubernetes.orders import Done, Order, Pods
from rearguard_controller.adapters.kubernetes.rights import Lacking
from rearguard_controller.adapters.kubernetes.troubles import HOLDS, Trouble

__all__ = ["HOLDS", "Cluster", "Done", "Lacking", "Order", "Pods", "Trouble", "Workload"]
