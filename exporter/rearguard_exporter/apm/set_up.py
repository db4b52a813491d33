"""Which vendors a user asked for, and their SDKs, imported only then."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from rearguard_exporter.apm.tags import Tags
from rearguard_exporter.apm.tracer import Tracer
from rearguard_exporter.apm.tracers import Tracers
from rearguard_exporter.fault_barrier import log
from rearguard_exporter.optional_libraries import need


class Wanted(NamedTuple):
    """What a user asked for. `None` says that the environment asked, whose faults raise nothing."""

    sentry: Mapping[str, Any] | None = None  # options of the SDK's `init`
    has_sentry: bool = False
    is_sentry_argued: bool = False  # by an argument
    has_datadog: bool = False
    is_datadog_argued: bool = False
    is_profiling: bool = False

    def __repr__(self) -> str:
        """Without the options: they may hold the DSN."""
        return f"Wanted(has_sentry={self.has_sentry}, has_datadog={self.has_datadog})"


def set_up(wanted: Wanted, tags: Tags) -> Tracers:
    """Set up the vendors' SDKs, each once in a process.

    Raises:
        ModuleNotFoundError: an argument asked for an SDK that is not installed.
        ValueError: an argument holds a DSN that is none.
    """
    vendors: list[Tracer] = []
    if wanted.has_sentry and _is_there("sentry_sdk", "sentry", "SENTRY_DSN", must=wanted.is_sentry_argued):
        from rearguard_exporter.apm import sentry  # noqa: PLC0415 - imported only when asked for

        if sentry.set_up(tags, wanted.sentry, must=wanted.is_sentry_argued, is_profiling=wanted.is_profiling):
            vendors.append(sentry.SentryTracer())
    if wanted.has_datadog and _is_there("ddtrace", "datadog", "DD_AGENT_HOST", must=wanted.is_datadog_argued):
        from rearguard_exporter.apm import datadog  # noqa: PLC0415 - as above

        if datadog.set_up(tags, is_profiling=wanted.is_profiling):
            vendors.append(datadog.DatadogTracer())
    return Tracers(tuple(vendors))


def _is_there(library: str, extra: str, variable: str, *, must: bool) -> bool:
    """Whether this SDK can be imported; if not, and nobody `must` have it, a line of the log says what to install."""
    try:
        need(library, extra, f"Monitor({extra}=...)" if must else f"{variable} is set, but Rearguard")
    except Exception as failure:
        if must:
            raise
        # The class and our own sentence alone: what an SDK says of its environment may hold keys.
        told = str(failure) if isinstance(failure, ModuleNotFoundError) else type(failure).__name__
        log.warning("rearguard_exporter: %s; nothing is sent there", told)
        return False
    return True
