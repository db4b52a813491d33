"""The leases in PostgreSQL: one for all targets, or one for each shard of them, and the replicas that share them.

Here: statements about leases and replicas. All go by the database's clock, over a connection that nothing else uses.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from rearguard_controller.errors import JournalError
from rearguard_controller.journal.postgres.connections import Connection, Connections
from rearguard_controller.model.shards import ONE

NOW = "extract(epoch from clock_timestamp())::double precision"  # the database's clock
END_HUNG_EVERY = 1.0  # seconds: several leases are asked for side by side
SILENT = 60.0  # seconds after which a replica that says nothing is forgotten


class Lease:
    """The one lease, for all targets."""

    def __init__(self, connections: Connections) -> None:
        """Use these connections, whose work must not queue behind anything."""
        self._connections = connections

    async def take(self, holder: str, seconds: float) -> int | None:
        """See `Journal.take_lease`."""
        over = f"(until is null or until <= {NOW})"
        await self._connections.end_hung()  # a leader that was stopped during a write would keep the row locked
        rows = await self._connections.rows(
            # `for update` waits for the writes that are under way behind the present leader's fence
            f"with free as materialized (select name from lease where {over} for update)"  # noqa: S608  # our own words
            " insert into lease (name, holder, epoch, until)"
            f" values ('controller', $1, 1, {NOW} + $2::double precision)"
            f" on conflict (name) do update set holder = $1, epoch = lease.epoch + 1, until = {NOW} + $2"
            " where exists (select from free) returning epoch",
            holder,
            seconds,
        )
        return int(rows[0]["epoch"]) if rows else None

    async def renew(self, epoch: int, seconds: float) -> bool:
        """See `Journal.renew_lease`."""
        await self._connections.end_hung()  # a follower may hang as well, while it stores what a person asked
        rows = await self._connections.rows(
            f"update lease set until = {NOW} + $2::double precision"  # noqa: S608  # our own words
            " where epoch = $1 and until is not null returning epoch",
            epoch,
            seconds,
        )
        return bool(rows)

    async def release(self, epoch: int) -> None:
        """See `Journal.release_lease`."""
        await self._connections.rows("update lease set until = null where epoch = $1", epoch)


class ShardLease(Lease):
    """The lease of one of several shards."""

    def __init__(self, connections: Connections, number: int, count: int) -> None:
        """Of this shard."""
        super().__init__(connections)
        self._number, self._held_by_all = number, _said(count)

    async def take(self, holder: str, seconds: float) -> int | None:
        """See `Journal.take_lease`. It is not waited for writes: other shards' renewals must not wait, either."""
        await self._end_hung()
        rows = await self._connections.rows(
            f"with free as materialized (select number from shard where number = $3"  # noqa: S608  # our own words
            f" and (until is null or until <= {NOW}) for update skip locked)"
            f" update shard set holder = $1, epoch = epoch + 1, until = {NOW} + $2::double precision"
            " where number in (select number from free)"
            " and exists (select from lease where holder = $4 and until = 'Infinity') returning epoch",
            holder,
            seconds,
            self._number,
            self._held_by_all,
        )
        return int(rows[0]["epoch"]) if rows else None

    async def renew(self, epoch: int, seconds: float) -> bool:
        """See `Journal.renew_lease`."""
        await self._end_hung()
        rows = await self._connections.rows(
            f"update shard set until = {NOW} + $2::double precision"  # noqa: S608  # our own words
            " where number = $3 and epoch = $1 and until is not null returning epoch",
            epoch,
            seconds,
            self._number,
        )
        return bool(rows)

    async def release(self, epoch: int) -> None:
        """See `Journal.release_lease`."""
        await self._connections.rows(
            "update shard set until = null where number = $2 and epoch = $1", epoch, self._number
        )

    async def _end_hung(self) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._connections.ended_hung_at >= END_HUNG_EVERY:
            self._connections.ended_hung_at = now
            await self._connections.end_hung()


async def agree(connection: Connection, count: int) -> None:
    """See `Journal.agree_on_shards`; within a transaction.

    Raises:
        JournalError: as there.
    """
    if await _agreed(connection) == count:  # asked without a lock, for which a leader that hangs would have to end
        return
    await connection.execute("insert into lease values ('controller', '', 0, null) on conflict do nothing")
    [lasts] = await connection.fetchrow(
        f"select until < 'Infinity' and until > {NOW} from lease where name = 'controller' for update"  # noqa: S608  # our own words
    ) or [None]
    before = await _agreed(connection)
    if before == count:  # others started as we did
        return
    await connection.execute("lock table shard in access exclusive mode")
    lives = bool(lasts)
    for table in ("shard", "replica"):
        found = await connection.fetchval(f"select exists (select from {table} where until > {NOW})")  # noqa: S608  # our own words
        lives = lives or bool(found)
    if lives:
        raise JournalError(
            f"Replicas with {_said(before)} share this journal, and this one has {_said(count)}.",
            hint="Give all replicas the same `sharding`. To change it, stop all of them for 15 seconds.",
        )
    epoch = await connection.fetchval(
        # none that anybody led under, who may sleep through the change
        "select 1 + greatest((select max(epoch) from shard), (select max(epoch) from lease))"
    )
    await connection.execute("delete from shard")
    if count == ONE:
        await connection.execute("update lease set until = null, epoch = $1", epoch)
    else:
        await connection.execute(
            "insert into lease (name, holder, epoch, until) values ('controller', $1, $2, 'Infinity')"
            " on conflict (name) do update set holder = $1, epoch = $2, until = 'Infinity'",
            _said(count),
            epoch,
        )
        await connection.executemany(
            "insert into shard (number, holder, epoch) values ($1, '', $2)",
            [(number, epoch) for number in range(count)],
        )
    await connection.execute("update inbox set shard = null where judged_at is null and shard is not null")


async def note(connections: Connections, name: str, seconds: float) -> Mapping[str, float]:
    """See `Journal.note_replica`."""
    rows = await connections.rows(
        f"with now as (select {NOW} as now), gone as ("  # noqa: S608  # our own words
        f" delete from replica where until < {NOW} - $3::double precision and name <> $1), mine as ("
        " insert into replica (name, since, until) select $1, now, now + $2::double precision from now"
        " on conflict (name) do update set until = excluded.until, since ="
        " case when replica.until < excluded.since then excluded.since else replica.since end returning name, since)"
        " select name, now - since as lived from mine, now union all"
        " select name, now - since from replica, now where name <> $1 and until > now",
        name,
        seconds,
        SILENT,
    )
    return {row["name"]: float(row["lived"]) for row in rows}


async def forget(connections: Connections, name: str) -> None:
    """See `Journal.forget_replica`."""
    await connections.rows("delete from replica where name = $1", name)


async def _agreed(connection: Connection) -> int:
    """How many shards there are, as all replicas agreed last."""
    holder = await connection.fetchval("select holder from lease where until = 'Infinity'")
    return ONE if holder is None else int(holder.split()[0])


def _said(count: int) -> str:
    return f"{count} shard{'' if count == ONE else 's'}"
