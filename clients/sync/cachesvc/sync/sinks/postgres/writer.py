"""One transaction's worth of changes on their way into the table."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import psycopg
import pyarrow as pa
from psycopg import sql
from pyarrow import csv

from cachesvc.sync.changes import Changes
from cachesvc.sync.errors import BatchRefused
from cachesvc.sync.own_thread import OwnThread
from cachesvc.sync.sinks.postgres.documents import Documents, chunks, documents
from cachesvc.sync.sinks.postgres.rows import CsvRows, RowCoder
from cachesvc.sync.sinks.postgres.session import Connection
from cachesvc.sync.sinks.postgres.statements import Statements, statements
from cachesvc.sync.sinks.postgres.straight import StraightCopy
from cachesvc.sync.sinks.postgres.table import Table
from cachesvc.sync.sinks.postgres.together import Together

_NO_HEADER = csv.WriteOptions(include_header=False)


@dataclass(frozen=True, slots=True)
class _Encoded:
    """A chunk of changes.

    Attributes:
        documents: Its objects.
        rows: The same as CSV; None where PostgreSQL is to take the fields out.
        joins: Whether it may wait together with the chunks before it.
    """

    documents: Documents
    rows: CsvRows | None
    joins: bool


class TableWriter:
    """Copies changes to where they wait, chunk by chunk, and merges as many as can be at once.

    While PostgreSQL works on one chunk, the next one is encoded.

    Args:
        table: Where they go.
        key_from_record: Whether the key's fields come from the records' keys.
        refuse_unknown: Whether an object with a field without a column is refused.
        thread: For encoding.
    """

    def __init__(
        self, table: Table, key_from_record: bool, refuse_unknown: bool, thread: OwnThread
    ) -> None:
        self._statements: Statements = statements(table)
        self._coder = RowCoder(table, refuse_unknown)
        self._key_field = table.key[0].field if len(table.key) == 1 else None
        self._key_from_record = key_from_record
        self._refuse_unknown = refuse_unknown
        self._thread = thread
        self._straight = StraightCopy()
        self._together = Together()
        self._rows_wait = self._keys_wait = False

    async def prepare(self, connection: Connection) -> None:
        """Makes the tables in which changes wait, of a new connection."""
        await connection.execute(self._statements.stage)

    async def write(self, connection: Connection, changes: Sequence[Changes]) -> None:
        """Brings changes into the table, within the transaction that is open.

        Raises:
            BatchRefused: A key or a field is not what it has to be.
            psycopg.Error: The database refuses.
        """
        encoding: asyncio.Future[_Encoded] | None = None
        self._rows_wait = self._keys_wait = False
        await self._thread.run(self._together.begin)
        try:
            for chunk in chunks(changes):
                before = encoding
                encoding = asyncio.ensure_future(self._thread.run(self._encode, chunk))
                if before is not None:
                    await self._merge(connection, await before)
            if encoding is not None:
                await self._merge(connection, await encoding)
            # What waited is cleared by the commit.
            await self._merge_waiting(connection)
        finally:
            if encoding is not None:
                encoding.cancel()

    def _encode(self, rows: pa.Table) -> _Encoded:
        found = documents(rows, self._key_field, self._key_from_record)
        coded = self._coder.encode(found)
        if coded is None:
            self._together.begin()
            return _Encoded(found, None, joins=False)
        size = len(coded.rows) + len(coded.keys)
        return _Encoded(found, coded, self._together.joins(coded.touched, size))

    async def _merge(self, connection: Connection, encoded: _Encoded) -> None:
        rows = encoded.rows
        if not encoded.joins:
            await self._merge_waiting(connection, clear=True)
        if rows is None:
            await self._merge_documents(connection, encoded.documents)
            return
        if rows.keys:
            await _copy(connection, self._statements.copy_keys, rows.keys)
            self._keys_wait = True
        if rows.rows and not await self._copied_straight(connection, rows):
            await _copy(connection, self._statements.copy_rows, rows.rows)
            self._rows_wait = True

    async def _merge_waiting(self, connection: Connection, *, clear: bool = False) -> None:
        """Merges what waits; all of it is of different keys."""
        said = self._statements
        if self._keys_wait:
            await connection.execute(said.delete_keys)
            if clear:
                await connection.execute(said.clear_keys)
        if self._rows_wait:
            await connection.execute(said.merge_rows)
            if clear:
                await connection.execute(said.clear_rows)
        self._rows_wait = self._keys_wait = False

    async def _copied_straight(self, connection: Connection, rows: CsvRows) -> bool:
        if rows.keys or not self._straight.worth_a_try():
            return False
        try:
            async with connection.transaction():
                await _copy(connection, self._statements.copy_straight, rows.rows)
        except psycopg.errors.UniqueViolation:
            self._straight.met_a_row()
            return False
        self._straight.went_well()
        return True

    async def _merge_documents(self, connection: Connection, found: Documents) -> None:
        data = await self._thread.run(_numbered, found)
        await _copy(connection, self._statements.copy_documents, data)
        if self._refuse_unknown:
            unknown = await (await connection.execute(self._statements.unknown_fields)).fetchone()
            if unknown is not None:
                raise BatchRefused(
                    f"the table has no column for the field {unknown[0]}", reason="UNKNOWN_FIELD"
                )
        await connection.execute(self._statements.merge_documents)
        await connection.execute(self._statements.clear_documents)


async def _copy(connection: Connection, statement: sql.Composed, data: bytes) -> None:
    async with connection.cursor() as cursor, cursor.copy(statement) as copy:
        await copy.write(data)


def _numbered(found: Documents) -> bytes:
    """Number, whether it deletes, and object of each, as CSV."""
    numbers = pa.array(range(len(found)), pa.int32())
    table = pa.table({"seq": numbers, "deleted": found.deleted, "document": found.objects})
    output = pa.BufferOutputStream()
    csv.write_csv(table, output, _NO_HEADER)
    data: bytes = output.getvalue().to_pybytes()
    return data
