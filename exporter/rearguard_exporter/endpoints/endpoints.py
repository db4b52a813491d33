"""The endpoints that one monitor answers: their paths, and what makes each body."""

from dataclasses import dataclass
from typing import Final

from rearguard_exporter.endpoints.dashboard import Dashboard
from rearguard_exporter.endpoints.health import Health
from rearguard_exporter.endpoints.metrics import MetricsEndpoint

METRICS: Final = "/metrics"
DASHBOARD: Final = "/api/monitoring/dashboard"
HEALTH: Final = "/healthz"
READINESS: Final = "/readyz"


@dataclass(frozen=True, slots=True)
class Endpoints:
    """What makes the bodies, for whoever serves them."""

    metrics: MetricsEndpoint
    dashboard: Dashboard
    health: Health
