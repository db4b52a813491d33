"""OpenMetrics' exemplars: the trace that an observation belongs to, kept beside the bucket that it fell into.

Only traces that OpenTelemetry records and samples are kept, so that an exemplar's trace can be found. OpenTelemetry
is not imported: while its SDK is not loaded there are no such traces. A bucket keeps its last exemplar.
"""

import sys
import time
from bisect import bisect_left
from typing import NamedTuple

from rearguard_exporter.fault_barrier import report
from rearguard_exporter.values.counts import Key
from rearguard_exporter.values.slots import Exemplar, Slots

_API = "opentelemetry.trace"
_SDK = "opentelemetry.sdk.trace"


class Trace(NamedTuple):
    """A span that is being recorded, by OpenTelemetry's numbers."""

    trace_id: int
    span_id: int


def current() -> Trace | None:
    """The trace that is active here, if it is recorded and sampled; else None."""
    return _of_opentelemetry() or _of_datadog() or _of_sentry()


def _of_datadog() -> Trace | None:
    module = sys.modules.get("ddtrace.trace")
    span = None if module is None else module.tracer.current_span()
    if span is None:
        return None
    priority = span.context.sampling_priority  # None until it is decided
    return None if priority is not None and priority <= 0 else Trace(span.trace_id, span.span_id)


def _of_sentry() -> Trace | None:
    module = sys.modules.get("sentry_sdk")
    asked = getattr(module, "get_current_span", None)
    span = None if asked is None else asked()
    if span is None or not getattr(span, "sampled", None):
        return None
    return Trace(int(span.trace_id, 16), int(span.span_id, 16))


def _of_opentelemetry() -> Trace | None:
    api = sys.modules.get(_API)
    if api is None:
        return None
    span = api.get_current_span()
    if not span.is_recording():
        return None
    context = span.get_span_context()
    return Trace(context.trace_id, context.span_id) if context.trace_flags.sampled else None


class Exemplars:
    """Keeps exemplars if they are `wanted`: always, never, or (None) while OpenTelemetry's SDK is loaded."""

    def __init__(self, wanted: bool | None) -> None:
        self._wanted = wanted

    @property
    def on(self) -> bool:
        """Whether there may be traces to note."""
        return _SDK in sys.modules if self._wanted is None else self._wanted

    def ask_always(self) -> None:
        """Note traces from now on, whether OpenTelemetry's SDK is loaded or not: other tracers are in use."""
        self._wanted = True

    def trace(self) -> Trace | None:
        """The trace that is active here; None if there is none, or exemplars are off."""
        try:
            return current() if self.on else None
        except Exception:  # noqa: BLE001 - the wall between the exporter and the application
            report("current trace")
            return None

    def note(self, slots: Slots, key: Key, value: float, trace: Trace | None = None) -> None:
        """Keep an exemplar of `value`, just observed, with `trace` or else the trace that is active here."""
        trace = trace or self.trace()
        if trace is None:
            return
        try:
            labels = f'trace_id="{trace.trace_id:032x}",span_id="{trace.span_id:016x}"'
            bucket = bisect_left(slots.family.bounds, value)
            slots.child(*key).keep(bucket, Exemplar(labels, value, time.time()))
        except Exception:  # noqa: BLE001 - as above
            report("exemplar")
