"""Reads Prometheus' list of alerts entry by entry; an entry that was read before, as it is, is not read again.

Here: what is remembered of the last list. A storm of 10,000 alerts is listed about every second, and hardly an entry
changes between two evaluations of its rule.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from rearguard_controller.adapters import foreign_json
from rearguard_controller.adapters.foreign_json import Wanted
from rearguard_controller.adapters.prometheus import answers
from rearguard_controller.adapters.prometheus.answers import PrometheusAlert


class AlertEntries:
    """The alerts of the last list, by their entries as they came."""

    def __init__(self) -> None:
        """Nothing was read."""
        self._known: dict[bytes, PrometheusAlert] = {}

    def listing(self, wanted: Callable[[], Wanted] | None) -> Listing:
        """A reading of the list that keeps only wanted alerts; None keeps all."""
        return Listing(self._known, wanted, self._remember)

    def _remember(self, found: dict[bytes, PrometheusAlert]) -> None:
        self._known = found


class Listing:
    """One reading of the list."""

    def __init__(
        self,
        known: dict[bytes, PrometheusAlert],
        wanted: Callable[[], Wanted] | None,
        ended: Callable[[dict[bytes, PrometheusAlert]], None],
    ) -> None:
        """Nothing has come; `ended` is told of all entries that were kept."""
        self._known, self._make_wanted, self._ended = known, wanted, ended
        self._wanted: Wanted | None = None
        self._entries: dict[bytes, PrometheusAlert] = {}
        self._found: list[PrometheusAlert] = []

    @property
    def known(self) -> Collection[bytes]:
        """Entries of the list before."""
        return self._known.keys()

    def begin(self) -> Callable[[bytes], bytes | None]:
        """An answer begins: what takes its entries. What came of an answer before, which broke off, is forgotten."""
        self._wanted = None if self._make_wanted is None else self._make_wanted()
        self._entries, self._found = {}, []
        return self._take

    def _take(self, entry: bytes) -> bytes | None:
        """Take the next entry, which is JSON, out of the answer.

        Returns:
            None if it was taken, nothing if it is not wanted.

        Raises:
            ShapeError: it is no alert.
        """
        found = self._known.get(entry)
        if found is None:
            fields, place = foreign_json.entry_of(entry), f"data.alerts[{len(self._found)}]"
            labels = foreign_json.labels(fields.get("labels"), f"{place}.labels")
            if self._wanted is not None and not self._wanted(labels, foreign_json.state_of(fields, labels)):
                return b""
            found = answers.alert(fields, place)
        elif self._wanted is not None and not self._wanted(found.labels, found.state):
            return b""
        self._entries[entry] = found
        self._found.append(found)
        return None

    @foreign_json.decoder
    def alerts(self, data: object) -> tuple[PrometheusAlert, ...]:
        """The alerts that were taken out of the `data` of `/api/v1/alerts`."""
        left = foreign_json.mapping(data, "data").get("alerts")
        others = [answers.alert(each, place) for place, each in foreign_json.entries(left, "data.alerts")]
        self._ended(self._entries)
        return (*self._found, *others)
