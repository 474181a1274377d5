"""Statements of the DuckDB catalogue, executed; and what its groups of tables have in common."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import duckdb
import pyarrow as pa

from cachesvc.errors import StoreUnwritable

_ROWS_AT_ONCE = 10_000


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

    def run(self, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
        """The rows that a statement answers."""
        with failures():
            return self._connection.execute(
                self._statements[statement], list(parameters)
            ).fetchall()

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
        self._connection.register(name, table)
        try:
            return self.run(statement)
        finally:
            with suppress(duckdb.TransactionException):  # of one that has failed
                self._connection.unregister(name)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Makes what is run within durable at once, or not at all."""
        with failures():
            self._connection.begin()
        try:
            yield
        except BaseException:
            with failures():
                self._connection.rollback()
            raise
        with failures():
            self._connection.commit()


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
