"""The source's positions, kept beside the rows and moved in the same transaction.

A transaction writes only where its partitions are as they were when the task last knew, so what is
written of each partition follows what was written before, whoever wrote that. Of one task that is
seen to by a lock that others of that name wait for. Tasks that share a subscription lock the rows
of their partitions instead, so that they write side by side.
"""

from collections.abc import Sequence
from typing import Any

from psycopg import sql

from cachesvc.client import Position, Positions
from cachesvc.sync.errors import TargetUnavailable
from cachesvc.sync.sinks.postgres.session import Connection

_CREATE = """
create table if not exists {} (
    task text, topic text, partition int, incarnation int not null, next_offset bigint not null,
    written_at timestamptz not null default now(), primary key (task, topic, partition)
)
"""
_READ = "select topic, partition, next_offset, incarnation from {} where task = %s"
_MOVE = """
insert into {table} as kept (task, topic, partition, incarnation, next_offset)
select %s, * from unnest(%s::text[], %s::int[], %s::int[], %s::bigint[])
on conflict (task, topic, partition) do update
set incarnation = excluded.incarnation, next_offset = excluded.next_offset, written_at = now()
where (kept.incarnation, kept.next_offset) < (excluded.incarnation, excluded.next_offset)
"""
_LOCK_ROWS = """
select topic, partition, next_offset, incarnation from {}
where task = %s and (topic, partition) in (select * from unnest(%s::text[], %s::int[]))
order by topic, partition for update
"""
# Who comes first has it; another one waits for that transaction, and adds nothing.
_BEGIN = """
insert into {} (task, topic, partition, incarnation, next_offset)
select %s, * from unnest(%s::text[], %s::int[], %s::int[], %s::bigint[])
on conflict do nothing
"""
_FORGET = "delete from {} where task = %s"
# Held to the transaction's end, so that two processes of one task write one after the other.
_LOCK = "select pg_advisory_xact_lock(hashtextextended(%s, 7600))"


class KeptPositions:
    """Positions of one task in a table.

    Args:
        table: Schema and name.
        task: Whose; of tasks that share a subscription its name.
        shared: Whether others move them too.
    """

    def __init__(self, table: sql.Identifier, task: str, *, shared: bool = False) -> None:
        self._table = table
        self._shared = shared
        self._lock_rows = sql.SQL(_LOCK_ROWS).format(table)
        self._begin = sql.SQL(_BEGIN).format(table)
        self._task = task
        self._read = sql.SQL(_READ).format(table)
        self._forget = sql.SQL(_FORGET).format(table)
        self._move = sql.SQL(_MOVE).format(table=table)

    async def create(self, connection: Connection) -> None:
        """Makes the table where it is missing."""
        async with connection.transaction():
            # Two that make it at the same time would fail, in spite of the words "if not exists".
            await connection.execute(_LOCK, ["cachesvc_sync_positions"])
            await connection.execute(sql.SQL(_CREATE).format(self._table))

    async def read(self, connection: Connection) -> Positions:
        """How far the table has the task's changes."""
        found = await (await connection.execute(self._read, [self._task])).fetchall()
        return Positions(Position(*row) for row in found)

    async def forget(self, connection: Connection) -> None:
        """Drops all of the task's, after whoever is writing for it."""
        async with connection.transaction():
            await connection.execute(_LOCK, [self._task])
            await connection.execute(self._forget, [self._task])

    async def claim(self, connection: Connection, known: Positions, wanted: Positions) -> None:
        """Begins a transaction's writing: nobody else may write these partitions before its end.

        Args:
            connection: In a transaction.
            known: Where the task has them.
            wanted: Where it will have those that it writes.

        Raises:
            TargetUnavailable: Somebody has, since these positions were read.
        """
        if self._shared:
            unmoved = await self._claim_rows(connection, known, wanted)
        else:
            await connection.execute(_LOCK, [self._task])
            unmoved = _agree(await self.read(connection), known, wanted)
        if not unmoved:
            raise TargetUnavailable(
                "the positions in PostgreSQL moved: another process of this task is writing, or a "
                "transaction that looked lost was not",
                reason="POSITIONS_MOVED",
            )

    async def _claim_rows(
        self, connection: Connection, known: Positions, wanted: Positions
    ) -> bool:
        # In one order for everybody, so that no two wait for each other.
        ordered = sorted(wanted.values())
        keys = [each.topic for each in ordered], [each.partition for each in ordered]
        rows = await connection.execute(self._lock_rows, [self._task, *keys])
        found = Positions(Position(*row) for row in await rows.fetchall())
        if not _agree(found, known, wanted):
            return False
        fresh = [each for each in ordered if each.key not in found]
        if not fresh:
            return True
        begun = await connection.execute(self._begin, [self._task, *_columns(fresh)])
        return begun.rowcount == len(fresh)

    async def move(self, connection: Connection, positions: Positions) -> None:
        """Writes positions; none moves back."""
        await connection.execute(self._move, [self._task, *_columns(sorted(positions.values()))])


def _agree(found: Positions, known: Positions, wanted: Positions) -> bool:
    return all(found.get(key) == known.get(key) for key in wanted)


def _columns(positions: Sequence[Position]) -> list[list[Any]]:
    """Topics, partitions, incarnations and offsets."""
    return [
        [each.topic for each in positions],
        [each.partition for each in positions],
        [each.incarnation for each in positions],
        [each.offset for each in positions],
    ]
