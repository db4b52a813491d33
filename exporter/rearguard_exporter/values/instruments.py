"""Every family that is observed as things happen.

Adapters observe through `Instruments` and nothing else, so they need not change when the way of keeping values does.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

from prometheus_client.registry import Collector

from rearguard_exporter import families
from rearguard_exporter.families import Family
from rearguard_exporter.fault_barrier import log
from rearguard_exporter.values.counts import Keep
from rearguard_exporter.values.exemplars import Exemplars
from rearguard_exporter.values.request_extras import RequestExtras
from rearguard_exporter.values.slots import Slots
from rearguard_exporter.values.user_labels import Hook, RequestLabels

LABEL_LIMIT = 20
"""Values that a label of a request hook may have; further ones become the overflow value."""

_NONE: Mapping[str, Any] = MappingProxyType({})


class Options(NamedTuple):
    """What a user may change about what is observed."""

    exemplars: bool | None = False  # None: while OpenTelemetry's SDK is loaded
    labels: Mapping[str, str] = _NONE  # constant
    request_labels: Mapping[str, Hook] = _NONE
    label_limit: int = LABEL_LIMIT
    has_created: bool = False  # whether it is kept when each child was made


OnOperation = Callable[[str, str, str, str, float, BaseException | None], None]
"""What is told of each database operation: library, system, namespace, statement, seconds, failure."""


class Registers(Protocol):
    """Where the families are registered."""

    def register(self, collector: Collector) -> None:
        """Register one.

        Raises:
            ValueError: another collector has one of its names.
        """


class Instruments:
    """One attribute for each family, all registered in one registry. `limit` is each family's limit of series.

    With `keep`, counts are where other processes see them.
    """

    def __init__(
        self, registry: Registers, limit: int, options: Options | None = None, keep: Keep | None = None
    ) -> None:
        told = options or Options()
        self.all: list[Slots] = []
        self.exemplars = Exemplars(told.exemplars)
        self.request_labels: RequestLabels | None = None
        self.on_operation: OnOperation | None = None
        self._has_told_unmatched = False

        def slots(family: Family) -> Slots:
            made = Slots(family, limit, told.labels, keep)
            made.began = {} if told.has_created else None
            registry.register(made)
            self.all.append(made)
            return made

        duration = families.HTTP_DURATION
        self.http_duration = slots(duration._replace(labels=(*duration.labels, *told.request_labels)))
        if told.request_labels:
            fold = self.http_duration.count_fold
            self.request_labels = RequestLabels(told.request_labels, told.label_limit, fold)
        self.http_active = slots(families.HTTP_ACTIVE)
        self.socket_active = slots(families.SOCKET_ACTIVE)
        self.socket_connections = slots(families.SOCKET_CONNECTIONS)
        self.socket_duration = slots(families.SOCKET_DURATION)
        self.socket_disconnects = slots(families.SOCKET_DISCONNECTS)
        self.socket_messages = slots(families.SOCKET_MESSAGES)
        self.db_duration = slots(families.DB_DURATION)
        self.pool_timeouts = slots(families.POOL_TIMEOUTS)
        self.pool_failures = slots(families.POOL_FAILURES)
        self.db_up = slots(families.DB_UP)
        self.vitals = {name: slots(family) for name, family in families.WEB_VITALS.items()}
        self.browser_timing = slots(families.BROWSER_TIMING)
        self.browser_errors = slots(families.BROWSER_ERRORS)
        self.beacons = slots(families.EXPORTER_BEACONS)
        self.loop_lag = slots(families.LOOP_LAG).child()

    def extras(self) -> RequestExtras | None:
        """What users add to the observation of each request; None if there is nothing, as far as is known now."""
        if self.request_labels is None and not self.exemplars.on:
            return None
        return RequestExtras(self.request_labels, self.exemplars)

    def tell_unmatched(self) -> None:
        """Say once that the application serves requests whose routes it does not show, if none has a route yet."""
        if self._has_told_unmatched or any(key[1] != families.UNMATCHED for key in self.http_duration.known()):
            return
        self._has_told_unmatched = True
        log.info(
            "rearguard_exporter: this application serves requests, but shows no route that is known here: they count "
            "as %s. exporter/README.md says under 'Routes' whose routes are known", families.UNMATCHED,
        )  # fmt: skip

    def capped(self) -> tuple[Slots, ...]:
        """The families with labels, whose series are limited."""
        return (
            self.http_duration,
            self.http_active,
            self.socket_active,
            self.socket_connections,
            self.socket_duration,
            self.socket_disconnects,
            self.socket_messages,
            self.db_duration,
            self.pool_timeouts,
            self.pool_failures,
            self.db_up,
            *self.vitals.values(),
            self.browser_timing,
            self.browser_errors,
        )
