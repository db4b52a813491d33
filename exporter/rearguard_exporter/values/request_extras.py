"""What users may add to the observation of a request: labels of their own, and the trace that it belongs to.

Apart from the requests' own way, which asks once a lane whether there is anything to add. Never here: frameworks.
"""

from rearguard_exporter.values.exemplars import Exemplars, Trace
from rearguard_exporter.values.slots import Key, Slots
from rearguard_exporter.values.user_labels import RequestLabels


class Additions:
    """Labels of requests, where there are `labels`, and exemplars."""

    def __init__(self, labels: RequestLabels | None, exemplars: Exemplars) -> None:
        self._labels = labels
        self._exemplars = exemplars

    def labelled(self, key: Key, request: object) -> Key:
        """The key with the values of the user's labels for this request."""
        return key if self._labels is None else key + self._labels.of(request)

    def trace(self) -> Trace | None:
        """The trace active here, for those whose trace is over when the request ends."""
        return self._exemplars.trace()

    def note(self, slots: Slots, key: Key, seconds: float, trace: Trace | None) -> None:
        """The request was observed, in this trace or else in the one active here."""
        if self._exemplars.on:
            self._exemplars.note(slots, key, seconds, trace)
