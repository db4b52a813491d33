"""Whom the controller asks about the world, and what it remembers of their answers: one frozen record.

Here: the record alone. A reload makes a new one.
"""

from __future__ import annotations

from dataclasses import dataclass

from rearguard_controller.adapters.alertmanager import Alertmanager
from rearguard_controller.adapters.prometheus import Prometheus
from rearguard_controller.facts.alerts_now import AlertsNow
from rearguard_controller.facts.cluster_troubles import ClusterTroubles
from rearguard_controller.facts.silences import Silences


@dataclass(frozen=True, slots=True)
class Sources:
    """Whom the controller asks about the world.

    Attributes:
        prometheus: for alerts, rules and figures.
        alertmanager: for silences and drills; None where none is configured.
        silences: what Alertmanager holds back, as it was read last.
        alerts_now: what Prometheus says fires, as it was read last.
        troubles: what Kubernetes itself tells of workloads; None where no target can be one.
    """

    prometheus: Prometheus
    alertmanager: Alertmanager | None
    silences: Silences
    alerts_now: AlertsNow
    troubles: ClusterTroubles | None = None
