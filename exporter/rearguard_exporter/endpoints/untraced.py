"""Keeps the exporter's own endpoints out of traces: a scrape every few seconds is no transaction of the application.

Here: what an SDK that the application has loaded is told. Never here: importing one.
"""

import sys

from rearguard_exporter.fault_barrier import quiet


@quiet
def leave_untraced() -> None:
    """Tell Sentry's SDK, where it is loaded, to drop the transaction of the request that is being answered.

    Call it while the request is handled. Elsewhere it does nothing.
    """
    sentry = sys.modules.get("sentry_sdk")
    if sentry is None or not hasattr(sentry, "get_current_scope"):
        return
    transaction = sentry.get_current_scope().transaction
    if transaction is not None:
        transaction.sampled = False
