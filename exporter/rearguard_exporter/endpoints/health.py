"""The bodies of `/healthz` and `/readyz`.

Health means that the process answers at all. Readiness asks only the databases that were declared to matter for it.
"""

from rearguard_exporter.database.watches import Watches
from rearguard_exporter.endpoints.sums import Json
from rearguard_exporter.identity import Identity


class Health:
    """Health and readiness of this process."""

    def __init__(self, identity: Identity, watches: Watches) -> None:
        self._identity = identity
        self._watches = watches

    def health(self) -> Json:
        """The body of `/healthz`: being served is the proof of health."""
        return {
            "status": "ok",
            "service": self._identity.service,
            "version": self._identity.version,
            "environment": self._identity.environment,
        }

    def readiness(self) -> tuple[bool, Json]:
        """Whether the process is ready for traffic, and the body of `/readyz`."""
        databases = self._watches.readiness()
        ready = all(state == "ok" for state in databases.values())
        return ready, {"status": "ready" if ready else "not ready", "databases": databases}
