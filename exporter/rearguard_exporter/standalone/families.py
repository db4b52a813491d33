"""The metric families that the stand-alone exporter adds for services that cannot be changed.

What it shares with instrumented applications (`target_info`, `db_up`, `process_*`) stands in `families` above.
"""

from rearguard_exporter.families import counter, gauge

_DATABASE = "db_client_connection_pool_name"

WATCHED_PROCESSES = gauge(
    "rearguard_exporter_watched_processes", "Processes of the watched service found at the last look."
)
CONFIG_RELOADED = gauge(
    "rearguard_exporter_config_reload_success",
    "Whether the configuration was last read without error (1) or not (0).",
)
PROBE_SUCCESS = gauge("probe_success", "Whether the last probe succeeded (1) or not (0).", "probe")
PROBE_DURATION = gauge("probe_duration_seconds", "How long the last probe took.", "probe")
PROBE_STATUS = gauge("probe_http_status_code", "Status of the last answer; 0 where there was none.", "probe")
PROBE_CERTIFICATE = gauge(
    "probe_ssl_earliest_cert_expiry", "When the certificate of the server ends, Unix time.", "probe"
)
POSTGRESQL_CONNECTIONS = gauge(
    "postgresql_connections", "Connections of clients to the server, by state.", _DATABASE, "state"
)
POSTGRESQL_CONNECTION_MAX = gauge("postgresql_connection_max", "Most connections the server takes.", _DATABASE)
POSTGRESQL_LONG_QUERIES = gauge(
    "postgresql_long_queries", "Statements that run for longer than `long_query` at this moment.", _DATABASE
)
POSTGRESQL_LONGEST_QUERY = gauge(
    "postgresql_longest_query_seconds", "For how long the oldest running statement has run.", _DATABASE
)
POSTGRESQL_LONGEST_TRANSACTION = gauge(
    "postgresql_longest_transaction_seconds", "For how long the oldest transaction has been open.", _DATABASE
)
POSTGRESQL_STATEMENTS = counter(
    "postgresql_statements_total", "Statements that have ended, of pg_stat_statements.", _DATABASE
)
POSTGRESQL_STATEMENT_SECONDS = counter(
    "postgresql_statement_seconds_total", "Time that they took, of pg_stat_statements.", _DATABASE
)
POSTGRESQL_SLOW_STATEMENTS = gauge(
    "postgresql_slow_statements",
    "Kinds of statements whose mean time is longer than `slow_query`, of pg_stat_statements.",
    _DATABASE,
)
POSTGRESQL_LOCK_WAITS = gauge("postgresql_lock_waits", "Locks that are waited for at this moment.", _DATABASE)
POSTGRESQL_SIZE = gauge("postgresql_db_size_bytes", "Size of the database on the disk.", _DATABASE)
POSTGRESQL_REPLICAS = gauge("postgresql_replicas", "Replicas that receive from this server.", _DATABASE)
POSTGRESQL_REPLICATION_BYTES = gauge(
    "postgresql_replication_lag_bytes",
    "What the furthest replica has not replayed yet; of a replica, what it received and has not.",
    _DATABASE,
)
POSTGRESQL_REPLICATION_SECONDS = gauge(
    "postgresql_replication_lag_seconds", "How old the last transaction that this replica replayed is.", _DATABASE
)

FAMILIES = (
    WATCHED_PROCESSES,
    CONFIG_RELOADED,
    PROBE_SUCCESS,
    PROBE_DURATION,
    PROBE_STATUS,
    PROBE_CERTIFICATE,
    POSTGRESQL_CONNECTIONS,
    POSTGRESQL_CONNECTION_MAX,
    POSTGRESQL_LONG_QUERIES,
    POSTGRESQL_LONGEST_QUERY,
    POSTGRESQL_LONGEST_TRANSACTION,
    POSTGRESQL_STATEMENTS,
    POSTGRESQL_STATEMENT_SECONDS,
    POSTGRESQL_SLOW_STATEMENTS,
    POSTGRESQL_LOCK_WAITS,
    POSTGRESQL_SIZE,
    POSTGRESQL_REPLICAS,
    POSTGRESQL_REPLICATION_BYTES,
    POSTGRESQL_REPLICATION_SECONDS,
)
"""Every one of them."""
