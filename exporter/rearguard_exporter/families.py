"""Every metric family of an instrumented application, once: name, kind, help, labels, bucket bounds.

The names follow the OpenTelemetry semantic conventions as Prometheus translates them (dots to underscores, unit as
suffix, `_total` on counters). Rules, dashboards and tests read `FAMILIES`; nothing else spells a name out.
A label is added only if its values are a small closed set, or are bounded by the application's own code (routes,
pools). Client addresses, raw paths, users and query texts never become labels.
"""

from enum import StrEnum, unique
from typing import NamedTuple

from prometheus_client.utils import floatToGoString

UNMATCHED = "__unmatched__"
"""The route of every request that no route of the application matched."""

OTHER = "_OTHER"
"""Stands for every unknown method or database operation (OpenTelemetry's convention)."""

OVERFLOW = "__overflow__"
"""Stands for all further label values once a family has reached its limit of series."""


def written_number(value: float) -> str:
    """The number as the official encoders write it: `0.005`, `1.0`, `+Inf`."""
    written: str = floatToGoString(value)  # type: ignore[no-untyped-call]  # it has no hints
    return written


@unique
class Kind(StrEnum):
    """The type of a family, in the words of the exposition formats."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@unique
class Joining(StrEnum):
    """How the figures that several processes have of one series become one."""

    SUM = "sum"  # of all, also of those that ended: what is counted
    SUM_LIVING = "sum_living"
    MAX = "max"  # of the living
    MIN = "min"  # of the living
    MAX_EVER = "max_ever"  # also of those that ended
    MIN_EVER = "min_ever"
    EACH = "each"  # of the living, apart, by the process's id
    BY_NUMBER = "by_number"  # of the living, apart, by the worker's number

    @property
    def counts_dead(self) -> bool:
        """Whether processes that ended count, too."""
        return self in {Joining.SUM, Joining.MAX_EVER, Joining.MIN_EVER}


class Family(NamedTuple):
    """One family: `name` as it is queried (with `_total` for counters, without `_bucket` for histograms)."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    bounds: tuple[float, ...] = ()  # upper bounds of a histogram, seconds, without +Inf
    joining: Joining = Joining.SUM  # of workers that share a folder

    @property
    def series(self) -> tuple[str, ...]:
        """The metric names that PromQL finds for this family."""
        if self.kind is Kind.HISTOGRAM:
            return (f"{self.name}_bucket", f"{self.name}_sum", f"{self.name}_count")
        return (self.name,)

    @property
    def width(self) -> int:
        """How many numbers one set of label values takes: buckets and sum, or one."""
        return len(self.bounds) + 2 if self.kind is Kind.HISTOGRAM else 1

    @property
    def lines(self) -> int:
        """How many series one set of label values takes."""
        return len(self.bounds) + 3 if self.kind is Kind.HISTOGRAM else 1


def counter(name: str, text: str, *labels: str) -> Family:
    """A counter with this help text."""
    return Family(name, Kind.COUNTER, text, labels)


def gauge(name: str, text: str, *labels: str, joining: Joining = Joining.SUM_LIVING) -> Family:
    """A gauge with this help text."""
    return Family(name, Kind.GAUGE, text, labels, (), joining)


# Bounds that OpenTelemetry's stable HTTP and database conventions advise.
_HTTP_BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
_DB_BOUNDS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0)
# No convention exists: from a failed handshake's second to a day of an open page.
_SOCKET_BOUNDS = (1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14400.0, 86400.0)
# Each contains the two bounds by which Web Vitals are rated good and poor.
_LCP_BOUNDS = (0.25, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 5.0, 7.5, 10.0, 20.0, 60.0)
_INP_BOUNDS = (0.025, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.0, 5.0)
_FCP_BOUNDS = (0.25, 0.5, 1.0, 1.5, 1.8, 2.4, 3.0, 4.0, 5.0, 7.5, 10.0, 20.0)
_TTFB_BOUNDS = (0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.2, 1.8, 2.5, 5.0, 10.0)
_CLS_BOUNDS = (0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.25, 0.35, 0.5, 1.0, 2.0)
_TIMING_BOUNDS = (0.05, 0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.5, 4.0, 5.0, 7.5, 10.0, 20.0, 60.0)
_LAG_BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

TARGET_INFO = gauge(
    "target_info",
    "Which service, version and environment this process is.",
    "service_name",
    "service_version",
    "deployment_environment_name",
)

HTTP_DURATION = Family(
    "http_server_request_duration_seconds",
    Kind.HISTOGRAM,
    "Duration of HTTP server requests.",
    ("http_request_method", "http_route", "http_response_status_code", "error_type"),
    _HTTP_BOUNDS,
)
HTTP_ACTIVE = gauge(
    "http_server_active_requests",
    "HTTP requests being answered at this moment.",
    "http_request_method",
    "url_scheme",
)

SOCKET_ACTIVE = gauge(
    "websocket_server_active_connections", "WebSocket connections open at this moment.", "http_route"
)
SOCKET_CONNECTIONS = counter("websocket_server_connections_total", "WebSocket connections accepted.", "http_route")
SOCKET_DURATION = Family(
    "websocket_server_connection_duration_seconds",
    Kind.HISTOGRAM,
    "How long WebSocket connections lasted.",
    ("http_route",),
    _SOCKET_BOUNDS,
)
SOCKET_DISCONNECTS = counter(
    "websocket_server_disconnects_total", "WebSocket connections ended, by reason.", "http_route", "reason"
)
SOCKET_MESSAGES = counter(
    "websocket_server_messages_total",
    "WebSocket messages, by direction (receive, transmit).",
    "http_route",
    "websocket_message_direction",
)

DB_DURATION = Family(
    "db_client_operation_duration_seconds",
    Kind.HISTOGRAM,
    "Duration of database operations.",
    ("db_system_name", "db_namespace", "db_operation_name", "error_type"),
    _DB_BOUNDS,
)
POOL_COUNT = gauge(
    "db_client_connection_count",
    "Connections of the pool, by state (idle, used).",
    "db_client_connection_pool_name",
    "db_client_connection_state",
)
POOL_MAX = gauge("db_client_connection_max", "Most connections the pool may open.", "db_client_connection_pool_name")
POOL_PENDING = gauge(
    "db_client_connection_pending_requests",
    "Callers waiting for a connection at this moment.",
    "db_client_connection_pool_name",
)
POOL_TIMEOUTS = counter(
    "db_client_connection_timeouts_total",
    "Callers that got no connection in time.",
    "db_client_connection_pool_name",
)
POOL_FAILURES = counter(
    "db_client_connection_failures_total",
    "Connections that could not be made; where the pool is not measured, failed checks of the database.",
    "db_client_connection_pool_name",
)
DB_UP = gauge(
    "db_up",
    "Whether the last check of the database succeeded (1) or not (0).",
    "db_client_connection_pool_name",
    joining=Joining.MIN,
)


def _vital(name: str, text: str, bounds: tuple[float, ...]) -> Family:
    labels = ("page", "browser_web_vital_navigation_type")
    return Family(f"browser_web_vital_{name}", Kind.HISTOGRAM, text, labels, bounds)


# By the name that beacons have for them.
WEB_VITALS = {
    "lcp": _vital("lcp_seconds", "Largest Contentful Paint of page views.", _LCP_BOUNDS),
    "inp": _vital("inp_seconds", "Interaction to Next Paint of page views.", _INP_BOUNDS),
    "fcp": _vital("fcp_seconds", "First Contentful Paint of page views.", _FCP_BOUNDS),
    "ttfb": _vital("ttfb_seconds", "Time to First Byte of page views.", _TTFB_BOUNDS),
    "cls": _vital("cls", "Cumulative Layout Shift of page views, without unit.", _CLS_BOUNDS),
}
BROWSER_TIMING = Family(
    "browser_timing_seconds",
    Kind.HISTOGRAM,
    "Times that pages measured themselves, by the names that the service allows.",
    ("browser_timing_name",),
    _TIMING_BOUNDS,
)
BROWSER_ERRORS = counter(
    "browser_javascript_errors_total", "Uncaught JavaScript errors and rejections, by type.", "page", "error_type"
)

MEMORY_USAGE = gauge("process_memory_usage_bytes", "Resident memory of this process.")
MEMORY_LIMIT = gauge(
    "process_memory_limit_bytes",
    "Memory this process may use: the cgroup's limit, else the host's memory.",
    joining=Joining.MAX,
)
PROCESS_CPU = gauge(
    "process_cpu_utilization_ratio",
    "Use of one processor by this process, by mode (user, system); 2 is two of them.",
    "cpu_mode",
)
SYSTEM_CPU = gauge(
    "system_cpu_utilization_ratio",
    "Use of all processors of the host, by mode; all modes together 0 to 1.",
    "cpu_mode",
    joining=Joining.MAX,
)
SYSTEM_MEMORY = gauge(
    "system_memory_utilization_ratio",
    "Memory of the host, by state (used), 0 to 1.",
    "system_memory_state",
    joining=Joining.MAX,
)
LOOP_LAG = Family(
    "python_event_loop_lag_seconds",
    Kind.HISTOGRAM,
    "How late the event loop woke up a timer.",
    (),
    _LAG_BOUNDS,
)

EXPORTER_SERIES = gauge("rearguard_exporter_series", "Series held for each family.", "family")
EXPORTER_FOLDED = counter(
    "rearguard_exporter_folded_total",
    "Look-ups of label values answered with the overflow value, by family.",
    "family",
)
EXPORTER_RENDER = gauge(
    "rearguard_exporter_render_seconds",
    "Time the last exposition spent on each family.",
    "family",
    joining=Joining.MAX,
)
EXPORTER_TIMEOUTS = counter(
    "rearguard_exporter_collector_timeouts_total",
    "Scrapes that went without a collector of the application, because it did not answer in time.",
    "collector",
)
EXPORTER_BEACONS = counter(
    "rearguard_exporter_beacons_total",
    "Beacons of browsers, by what became of them (taken, or why they were refused).",
    "result",
)

WORKERS = gauge(
    "rearguard_exporter_workers",
    "Living processes that share a folder, by the version that they serve.",
    "service_version",
)
WORKER_MEMORY = gauge("process_worker_memory_usage_bytes", "Resident memory of each worker.", "worker_number")
WORKER_CPU = counter("process_worker_cpu_seconds_total", "Processor time used by each worker.", "worker_number")
WORKER_FDS = gauge("process_worker_open_fds", "Open file descriptors of each worker.", "worker_number")
WORKER_START = gauge("process_worker_start_time_seconds", "When each worker started, Unix time.", "worker_number")

OWN = (
    TARGET_INFO,
    HTTP_DURATION,
    HTTP_ACTIVE,
    SOCKET_ACTIVE,
    SOCKET_CONNECTIONS,
    SOCKET_DURATION,
    SOCKET_DISCONNECTS,
    SOCKET_MESSAGES,
    DB_DURATION,
    POOL_COUNT,
    POOL_MAX,
    POOL_PENDING,
    POOL_TIMEOUTS,
    POOL_FAILURES,
    DB_UP,
    *WEB_VITALS.values(),
    BROWSER_TIMING,
    BROWSER_ERRORS,
    MEMORY_USAGE,
    MEMORY_LIMIT,
    PROCESS_CPU,
    SYSTEM_CPU,
    SYSTEM_MEMORY,
    LOOP_LAG,
    EXPORTER_SERIES,
    EXPORTER_FOLDED,
    EXPORTER_RENDER,
    EXPORTER_TIMEOUTS,
    EXPORTER_BEACONS,
    WORKERS,
    WORKER_MEMORY,
    WORKER_CPU,
    WORKER_FDS,
    WORKER_START,
)
"""What this package defines."""

STANDARD = (
    gauge("process_virtual_memory_bytes", "Virtual memory of this process."),
    gauge("process_resident_memory_bytes", "Resident memory of this process."),
    gauge("process_start_time_seconds", "When this process started, Unix time.", joining=Joining.MIN),
    counter("process_cpu_seconds_total", "Processor time used."),
    gauge("process_open_fds", "Open file descriptors."),
    gauge("process_max_fds", "Most file descriptors that may be open."),
    counter("python_gc_objects_collected_total", "Objects freed by the garbage collector.", "generation"),
    counter("python_gc_objects_uncollectable_total", "Objects it could not free.", "generation"),
    counter("python_gc_collections_total", "Runs of the garbage collector.", "generation"),
    gauge(
        "python_info",
        "The Python running.",
        "implementation",
        "major",
        "minor",
        "patchlevel",
        "version",
        joining=Joining.MAX,
    ),
)
"""What prometheus-client's own collectors add (its names, its help texts), on Linux and CPython."""

FAMILIES = OWN + STANDARD
"""Every family that an instrumented application exposes."""
