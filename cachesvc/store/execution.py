"""Statements of the DuckDB catalogue, executed; and what its groups of tables have in common."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import duckdb
import pyarrow as pa

from cachesvc.errors import StoreUnwritable
from cachesvc.store.change_log import Change, ChangeLog, Statement

_ROWS_AT_ONCE = 10_000
_CHANGING = re.compile(r"(\s|--[^\n]*\n)*(insert|update|delete)\b")
_PUT_NUMBER = "put_change_number"


@contextmanager
def failures() -> Iterator[None]:
    """Names what DuckDB raises, so that callers need not know it: a full disk, most likely."""
    try:
        yield
    except duckdb.Error as error:
        raise StoreUnwritable(f"the catalogue cannot be used: {error}") from error


class Execution:
    """Executes statements by their names. Belongs to one thread.

    Every method may raise ``StoreUnwritable``.

    Args:
        connection: To the database.
        statements: By name.
    """

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, statements: Mapping[str, str]
    ) -> None:
        self._connection = connection
        self._statements = statements

        self._changing = {name for name, text in statements.items() if _CHANGING.match(text)}
        self._within: list[Statement] | None = None
        self.changes: ChangeLog | None = None
        """Takes what is changed; None for a catalogue that nothing of it is needed of."""

    def run(self, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
        """The rows that a statement answers."""
        text = self._statements[statement]
        if statement not in self._changing:
            return self._execute(text, list(parameters))
        return self._change(Statement(text, list(parameters)))

    def stream(self, statement: str) -> Iterator[tuple[Any, ...]]:
        """The same of one that answers very many: not all are in memory at a time.

        Nothing else may be executed meanwhile.
        """
        with failures():
            found = self._connection.execute(self._statements[statement])
            while rows := found.fetchmany(_ROWS_AT_ONCE):
                yield from rows

    def run_with(self, name: str, table: pa.Table, statement: str) -> list[tuple[Any, ...]]:
        """The same of a statement that reads an Arrow table of that name."""
        text = self._statements[statement]
        with self._registered(name, table):
            if statement not in self._changing:
                return self._execute(text, [])
            rows = b"" if self.changes is None else _ipc(table)
            return self._change(Statement(text, [], name, rows))

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Makes what is run within durable at once, or not at all."""
        with failures():
            self._connection.begin()
        self._within = []
        try:
            yield
            noted = self._note(self._within)
        except BaseException:
            with failures():
                self._connection.rollback()
            raise
        finally:
            self._within = None
        try:
            with failures():
                self._connection.commit()
        except BaseException:
            if noted is not None:
                noted.take_back()
            raise

    def change_number(self) -> int:
        """Of the last change that the catalogue has."""
        return int(self.run("get_change_number")[0][0])

    def put_change_number(self, number: int) -> None:
        """Says so; the next change follows it."""
        self._execute(self._statements[_PUT_NUMBER], [number])

    def repeat(self, change: Change) -> None:
        """Changes what was changed once, in one transaction; files of changes get nothing of it."""
        with failures():
            self._connection.begin()
        try:
            for statement in change.statements:
                if statement.table:
                    with pa.ipc.open_stream(statement.rows) as rows:
                        table = rows.read_all()
                    with self._registered(statement.table, table):
                        self._execute(statement.text, statement.parameters)
                else:
                    self._execute(statement.text, statement.parameters)
            self.put_change_number(change.number)
            with failures():
                self._connection.commit()
        except BaseException:
            with failures():
                self._connection.rollback()
            raise

    def _change(self, statement: Statement) -> list[tuple[Any, ...]]:
        if self._within is None:
            with self.transaction():
                return self._change(statement)
        rows = self._execute(statement.text, statement.parameters)
        self._within.append(statement)
        return rows

    def _note(self, statements: list[Statement]) -> ChangeLog | None:
        """Notes what a transaction has changed, and where; None if there is nothing to note."""
        if self.changes is None or not statements:
            return None
        self.put_change_number(self.changes.number + 1)
        self.changes.append(statements)
        return self.changes

    def _execute(self, text: str, parameters: list[Any]) -> list[tuple[Any, ...]]:
        with failures():
            return self._connection.execute(text, parameters).fetchall()

    @contextmanager
    def _registered(self, name: str, table: pa.Table) -> Iterator[None]:
        self._connection.register(name, table)
        try:
            yield
        finally:
            with suppress(duckdb.TransactionException):  # of one that has failed
                self._connection.unregister(name)


def _ipc(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


class Tables:
    """A group of the catalogue's tables; those who inherit from it say which.

    Args:
        execution: Of their statements.
    """

    def __init__(self, execution: Execution) -> None:
        self._run = execution.run
        self._stream = execution.stream
        self._run_with = execution.run_with
        self._transaction = execution.transaction
