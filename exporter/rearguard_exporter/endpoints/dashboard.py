"""The application's own figures as one JSON document, for `GET /api/monitoring/dashboard`.

It is read from the same children that Prometheus scrapes. Figures count from the start of the process; the status is
judged over the last minutes.
"""

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future

from rearguard_exporter import families
from rearguard_exporter.background.threads import Worker
from rearguard_exporter.database.pools import Pools
from rearguard_exporter.database.watches import Watches
from rearguard_exporter.endpoints.browser_figures import browser_figures
from rearguard_exporter.endpoints.status import Recent, Status, Totals, judge
from rearguard_exporter.endpoints.sums import Json, Sum
from rearguard_exporter.identity import Identity
from rearguard_exporter.traffic.websocket import Reason
from rearguard_exporter.values.instruments import Instruments
from rearguard_exporter.values.process_figures import ProcessFigures
from rearguard_exporter.values.slots import Child, Slots


class Dashboard:
    """The document of one process, made from what its monitor measured."""

    def __init__(
        self,
        identity: Identity,
        instruments: Instruments,
        figures: ProcessFigures,
        pools: Pools,
        watches: Watches,
        worker: Worker,
    ) -> None:
        self._identity = identity
        self._instruments = instruments
        self._figures = figures
        self._pools = pools
        self._watches = watches
        self._worker = worker
        self._began = time.monotonic()
        self._recent = Recent(self._began)

    def sample(self) -> None:
        """Remember what was counted until now, and measure the process. Called every few seconds."""
        self._recent.note(time.monotonic(), totals(self._instruments))
        self._figures.sample()  # last: whatever fails there, the window moves on

    def document(self) -> Json:
        """The document now."""
        now = time.monotonic()
        figures, pools, databases = self._figures.figures(), self._pools.shown(), self._watches.answers()
        seconds, recent = self._recent.until(now, totals(self._instruments))
        verdict = judge(seconds, recent, memory_used(figures), databases, pools)
        return build(self._identity, now - self._began, verdict, self._instruments, figures, databases, pools)

    def submit(self) -> Future[Json]:
        """As `document`, made in the exporter's own thread."""
        return self._worker.submit(self.document)


def build(
    identity: Identity,
    uptime: float,
    verdict: tuple[Status, Sequence[str]],
    instruments: Instruments,
    figures: Mapping[str, float],
    databases: Mapping[str, bool | None],
    pools: Sequence[Json],
) -> Json:
    """The document. `databases` says of each watched database whether it answers; None before its first check."""
    status, reasons = verdict
    return {
        "status": status,
        "reasons": list(reasons),
        "service": identity.service,
        "version": identity.version,
        "environment": identity.environment,
        "uptime_s": round(uptime, 3),
        "endpoints": _endpoints(instruments.http_duration),
        "database": {
            "up": dict(databases),
            "pools": list(pools),
            "operations": _operations(instruments.db_duration),
            "connection_failures": _total(instruments.pool_failures),
            "connection_timeouts": _total(instruments.pool_timeouts),
        },
        "websocket": {
            "active": _total(instruments.socket_active),
            "connections": _total(instruments.socket_connections),
            "disconnects": _by_last_label(instruments.socket_disconnects),
            "messages": _by_last_label(instruments.socket_messages),
        },
        "browser": browser_figures(instruments),
        "system": dict(figures),
    }


def memory_used(figures: Mapping[str, float]) -> float | None:
    """Used memory over its limit; None before it was measured."""
    usage, limit = figures.get(families.MEMORY_USAGE.name), figures.get(families.MEMORY_LIMIT.name)
    return usage / limit if usage is not None and limit else None


def is_failure(status: str, error_type: str) -> bool:
    """Whether a request failed: 5xx, or an error ended it. 4xx is the caller's error, as in the rules."""
    return status.startswith("5") or (bool(error_type) and not status.startswith("4"))


def totals(instruments: Instruments) -> Totals:
    """What was counted up to now."""
    http, database = Sum(), Sum()
    for (_, _, status, error_type, *_), child in instruments.http_duration.known().items():
        http.add(child, error=is_failure(status, error_type))
    for child in instruments.db_duration.children():
        database.add(child, error=False)
    ends = _by_last_label(instruments.socket_disconnects)
    return Totals(
        http.count,
        http.errors,
        http.total,
        database.count,
        database.total,
        sum(ends.values()),
        ends.get(Reason.ABNORMAL, 0),
    )


def _endpoints(durations: Slots) -> list[Json]:
    sums: dict[tuple[str, str], Sum] = {}
    for (method, route, status, error_type, *_), child in durations.known().items():
        sums.setdefault((route, method), Sum()).add(child, error=is_failure(status, error_type))
    return [{"route": route, "method": method, **held.figures()} for (route, method), held in sorted(sums.items())]


def _operations(durations: Slots) -> list[Json]:
    sums: dict[tuple[str, str], Sum] = {}
    for (_, namespace, operation, error_type), child in durations.known().items():
        sums.setdefault((namespace, operation), Sum()).add(child, error=bool(error_type))
    return [
        {"database": namespace, "operation": operation, **held.figures()}
        for (namespace, operation), held in sorted(sums.items())
    ]


def _value(child: Child) -> int:
    return int(child.counts()[0])


def _total(slots: Slots) -> int:
    return sum(_value(child) for child in slots.children())


def _by_last_label(slots: Slots) -> dict[str, int]:
    sums: dict[str, int] = {}
    for values, child in slots.known().items():
        sums[values[-1]] = sums.get(values[-1], 0) + _value(child)
    return sums
