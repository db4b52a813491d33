"""What every adapter needs of its monitor."""

from dataclasses import dataclass

from rearguard_exporter.apm.tracers import Tracers
from rearguard_exporter.background.lifecycle import Lifecycle
from rearguard_exporter.endpoints.endpoints import Endpoints
from rearguard_exporter.fault_barrier import log
from rearguard_exporter.traffic.excluded_paths import ExcludedPaths
from rearguard_exporter.values.instruments import Instruments


@dataclass(slots=True, eq=False)
class MonitorParts:
    """One per monitor."""

    instruments: Instruments
    endpoints: Endpoints
    lifecycle: Lifecycle
    tracers: Tracers
    excluded: ExcludedPaths | None  # paths whose requests are not measured
    shows_workers: bool  # an exposition shows all processes that share a folder
    has_own_port: bool  # it shows exposition and dashboard, so that applications show health and readiness only
    has_warned: bool = False

    def warn_of_second_monitor(self) -> None:
        """Say once in the log that an application stays measured by another monitor than this one."""
        if not self.has_warned:
            self.has_warned = True
            log.warning(
                "rearguard_exporter: this application is measured by another Monitor already, and stays so; use one "
                "Monitor in a process, and instrument each application once"
            )
