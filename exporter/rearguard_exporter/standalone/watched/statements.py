"""What a PostgreSQL server is asked, and the figures of its answers.

Here: the statements and the reading of their rows. No text of a statement is asked for. A group of figures that
cannot be had (no right, no extension) is missing alone.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from rearguard_exporter.families import Family
from rearguard_exporter.standalone import families

if TYPE_CHECKING:
    import asyncpg

    Connection: TypeAlias = asyncpg.Connection[asyncpg.Record]

Found = dict[Family, dict[tuple[str, ...], float]]
"""Figures of one group; the labels are those after the database's name."""

Group: TypeAlias = "Callable[[Connection, Limits], Awaitable[Found]]"

STATES = (
    "active",
    "idle",
    "idle_in_transaction",
    "idle_in_transaction_aborted",
    "fastpath_function_call",
    "disabled",
    "unknown",  # of other users' connections, without the role pg_monitor
)


class Limits:
    """What counts as long, and how long each answer is waited for; seconds."""

    def __init__(self, long_query: float, slow_query: float, patience: float) -> None:
        self.long_query = long_query
        self.slow_query = slow_query
        self.patience = patience


def number(value: object) -> float:
    """A finite number.

    Raises:
        ValueError: the server answered something else.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError("no number")
    return float(value)


async def connections(connection: Connection, limits: Limits) -> Found:
    """Connections by state, and the most there may be."""
    rows = await connection.fetch(
        "select state, count(*) as count from pg_stat_activity where backend_type = 'client backend' group by state",
        timeout=limits.patience,
    )
    counts = dict.fromkeys(STATES, 0.0)
    for row in rows:
        state = str(row["state"]).replace(" (", " ").rstrip(")").replace(" ", "_")
        counts[state if state in counts else "unknown"] += number(row["count"])
    most = await connection.fetchval("select current_setting('max_connections')::int", timeout=limits.patience)
    return {
        families.POSTGRESQL_CONNECTIONS: {(state,): count for state, count in counts.items()},
        families.POSTGRESQL_CONNECTION_MAX: {(): number(most)},
    }


async def running(connection: Connection, limits: Limits) -> Found:
    """Statements and transactions that run for long; not this one."""
    row = await _row(
        connection,
        limits,
        """
        select count(*) filter (where is_active and seconds > $1) as long,
               coalesce(max(seconds) filter (where is_active), 0)::float8 as query,
               coalesce(max(open), 0)::float8 as transaction
        from (
            select state = 'active' as is_active,
                   extract(epoch from clock_timestamp() - query_start)::float8 as seconds,
                   extract(epoch from clock_timestamp() - xact_start)::float8 as open
            from pg_stat_activity
            where backend_type = 'client backend' and pid <> pg_backend_pid()
        ) as others
        """,
        limits.long_query,
    )
    return {
        families.POSTGRESQL_LONG_QUERIES: {(): number(row["long"])},
        families.POSTGRESQL_LONGEST_QUERY: {(): max(0.0, number(row["query"]))},
        families.POSTGRESQL_LONGEST_TRANSACTION: {(): max(0.0, number(row["transaction"]))},
    }


async def locks(connection: Connection, limits: Limits) -> Found:
    """Locks that are waited for."""
    row = await _row(connection, limits, "select count(*) as count from pg_locks where not granted")
    return {families.POSTGRESQL_LOCK_WAITS: {(): number(row["count"])}}


async def statements(connection: Connection, limits: Limits) -> Found:
    """Sums over pg_stat_statements, of this database; nothing where the extension is not there."""
    rows = await connection.fetch(
        """
        select quote_ident(nspname) as schema, (
            select count(*) from pg_attribute where attrelid = to_regclass(
                quote_ident(nspname) || '.pg_stat_statements') and attname = 'total_exec_time'
        ) as is_new
        from pg_extension join pg_namespace on pg_namespace.oid = extnamespace
        where extname = 'pg_stat_statements'
        """,
        timeout=limits.patience,
    )
    if not rows:
        return {}
    word = "exec_time" if rows[0]["is_new"] else "time"  # its name before PostgreSQL 13
    row = await _row(
        connection,
        limits,
        f"""
        select coalesce(sum(calls), 0)::float8 as calls,
               coalesce(sum(total_{word}), 0)::float8 / 1000 as seconds,
               count(*) filter (where mean_{word} / 1000 > $1) as slow
        from {rows[0]["schema"]}.pg_stat_statements(false)
        where dbid = (select oid from pg_database where datname = current_database())
        """,  # noqa: S608 - the server has quoted the name of the schema
        limits.slow_query,
    )
    return {
        families.POSTGRESQL_STATEMENTS: {(): number(row["calls"])},
        families.POSTGRESQL_STATEMENT_SECONDS: {(): number(row["seconds"])},
        families.POSTGRESQL_SLOW_STATEMENTS: {(): number(row["slow"])},
    }


async def replication(connection: Connection, limits: Limits) -> Found:
    """How far replicas are behind: of a primary the furthest one, of a replica itself."""
    is_replica = await connection.fetchval("select pg_is_in_recovery()", timeout=limits.patience)
    if is_replica:
        row = await _row(
            connection,
            limits,
            """
            select pg_wal_lsn_diff(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())::float8 as bytes,
                   case when pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() then 0
                        else extract(epoch from clock_timestamp() - pg_last_xact_replay_timestamp())
                   end::float8 as seconds
            """,
        )
        found: Found = {}
        if row["bytes"] is not None:
            found[families.POSTGRESQL_REPLICATION_BYTES] = {(): max(0.0, number(row["bytes"]))}
        if row["seconds"] is not None:
            found[families.POSTGRESQL_REPLICATION_SECONDS] = {(): max(0.0, number(row["seconds"]))}
        return found
    row = await _row(
        connection,
        limits,
        """
        select count(*) as count,
               coalesce(max(pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn)), 0)::float8 as bytes
        from pg_stat_replication
        """,
    )
    return {
        families.POSTGRESQL_REPLICAS: {(): number(row["count"])},
        families.POSTGRESQL_REPLICATION_BYTES: {(): max(0.0, number(row["bytes"]))},
    }


async def size(connection: Connection, limits: Limits) -> Found:
    """Bytes of the database."""
    found = await connection.fetchval("select pg_database_size(current_database())", timeout=limits.patience)
    return {families.POSTGRESQL_SIZE: {(): number(found)}}


GROUPS: Mapping[str, Group] = {
    "connections": connections,
    "running statements": running,
    "locks": locks,
    "pg_stat_statements": statements,
    "replication": replication,
}
"""What is asked each time; `size` is asked more rarely."""


async def _row(connection: Connection, limits: Limits, statement: str, *values: Any) -> asyncpg.Record:
    row = await connection.fetchrow(statement, *values, timeout=limits.patience)
    if row is None:
        raise ValueError("no row")
    return row
