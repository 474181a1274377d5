"""One transaction's worth of changes on their way into the table."""

import asyncio
from collections.abc import Sequence
from typing import TypeAlias

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

_Encoded: TypeAlias = tuple[Documents, CsvRows | None]
_NO_HEADER = csv.WriteOptions(include_header=False)


class TableWriter:
    """Copies changes to where they wait and merges them, chunk by chunk.

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
        try:
            for chunk in chunks(changes):
                before = encoding
                encoding = asyncio.ensure_future(self._thread.run(self._encode, chunk))
                if before is not None:
                    await self._merge(connection, await before)
            if encoding is not None:
                await self._merge(connection, await encoding)
        finally:
            if encoding is not None:
                encoding.cancel()

    def _encode(self, rows: pa.Table) -> _Encoded:
        found = documents(rows, self._key_field, self._key_from_record)
        return found, self._coder.encode(found)

    async def _merge(self, connection: Connection, encoded: _Encoded) -> None:
        found, rows = encoded
        if rows is None:
            await self._merge_documents(connection, found)
            return
        if rows.keys:
            await _copy(connection, self._statements.copy_keys, rows.keys)
            await connection.execute(self._statements.delete_keys)
            await connection.execute(self._statements.clear_keys)
        if rows.rows and not await self._copied_straight(connection, rows):
            await _copy(connection, self._statements.copy_rows, rows.rows)
            await connection.execute(self._statements.merge_rows)
            await connection.execute(self._statements.clear_rows)

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
