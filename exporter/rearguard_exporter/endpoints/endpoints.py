"""The endpoints that one monitor answers: their paths, and what makes each body."""

from typing import Final, NamedTuple

from rearguard_exporter.endpoints.beacons import BeaconEndpoint
from rearguard_exporter.endpoints.dashboard import Dashboard
from rearguard_exporter.endpoints.health import Health
from rearguard_exporter.endpoints.metrics import MetricsEndpoint

METRICS: Final = "/metrics"
DASHBOARD: Final = "/api/monitoring/dashboard"
HEALTH: Final = "/healthz"
READINESS: Final = "/readyz"
VITALS: Final = "/api/monitoring/vitals"
SCRIPT: Final = "/api/monitoring/vitals.js"

READING: Final = frozenset({"GET", "HEAD"})
"""The methods of the endpoints that are only read."""

METHODS: Final = {VITALS: frozenset({"POST", "OPTIONS"})}
"""The methods of those that are not. Any other method of a path is the application's."""


class Endpoints(NamedTuple):
    """What makes the bodies, for whoever serves them."""

    metrics: MetricsEndpoint
    dashboard: Dashboard
    health: Health
    beacons: BeaconEndpoint | None  # None: nothing is measured in browsers
