"""What a user may add to the observation of a request: labels of their own, and the trace that it belongs to."""

from rearguard_exporter.values.counts import Key
from rearguard_exporter.values.exemplars import Exemplars, Trace
from rearguard_exporter.values.slots import Slots
from rearguard_exporter.values.user_labels import RequestLabels


class RequestExtras:
    """Labels from the user's hooks, if there are any, and exemplars."""

    def __init__(self, labels: RequestLabels | None, exemplars: Exemplars) -> None:
        self._labels = labels
        self._exemplars = exemplars

    def labelled(self, key: Key, request: object) -> Key:
        """The key, followed by the values that the user's hooks give to this request."""
        return key if self._labels is None else key + self._labels.of(request)

    def trace(self) -> Trace | None:
        """The trace that is active here, for adapters whose requests outlive it."""
        return self._exemplars.trace()

    def note(self, slots: Slots, key: Key, seconds: float, trace: Trace | None) -> None:
        """Keep an exemplar of this observation, with `trace` or else the trace that is active here."""
        if self._exemplars.on:
            self._exemplars.note(slots, key, seconds, trace)
