"""The source's positions, kept beside the rows and moved in the same transaction."""

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
_FORGET = "delete from {} where task = %s"
# Held to the transaction's end, so that two processes of one task write one after the other.
_LOCK = "select pg_advisory_xact_lock(hashtextextended(%s, 7600))"


class KeptPositions:
    """Positions of one task in a table.

    Args:
        table: Schema and name.
        task: Whose.
    """

    def __init__(self, table: sql.Identifier, task: str) -> None:
        self._table = table
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
        """Begins a transaction's writing: nobody else may write for this task before its end.

        Raises:
            TargetUnavailable: Somebody has, since these positions were read.
        """
        await connection.execute(_LOCK, [self._task])
        found = await self.read(connection)
        if any(found.get(key) != known.get(key) for key in wanted):
            raise TargetUnavailable(
                "the positions in PostgreSQL moved: another process of this task is writing, or a "
                "transaction that looked lost was not",
                reason="POSITIONS_MOVED",
            )

    async def move(self, connection: Connection, positions: Positions) -> None:
        """Writes positions; none moves back."""
        values = positions.values()
        await connection.execute(
            self._move,
            [
                self._task,
                [position.topic for position in values],
                [position.partition for position in values],
                [position.incarnation for position in values],
                [position.offset for position in values],
            ],
        )
