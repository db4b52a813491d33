"""Keeps the exporter's own endpoints out of traces: a scrape every few seconds is no transaction of the application.

Here: what an SDK that the application has loaded is told. Never here: importing one.
"""

import sys

from rearguard_exporter.fault_barrier import quiet

_UNTRACED = "rearguard.untraced"
_REJECTED = -1  # Datadog's USER_REJECT


@quiet
def leave_untraced() -> None:
    """Tell Sentry's and Datadog's SDKs, where they are loaded, to drop the trace of the request being answered.

    Call it while the request is handled. Elsewhere it does nothing.
    """
    _leave_datadog()
    sentry = sys.modules.get("sentry_sdk")
    if sentry is None or not hasattr(sentry, "get_current_scope"):
        return
    transaction = sentry.get_current_scope().transaction
    if transaction is not None:
        transaction.sampled = False


def _leave_datadog() -> None:
    module = sys.modules.get("ddtrace.trace")
    span = None if module is None else module.tracer.current_root_span()
    if span is not None:
        span.set_tag(_UNTRACED, "1")  # the filter of apm.datadog drops it
        span.context.sampling_priority = _REJECTED  # where that filter is not in use, the agent does
