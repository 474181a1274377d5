"""Answers of queries as what people and programs want: a table, CSV, JSON, Parquet.

DuckDB makes text of values, as it knows how each of its types is written; nothing is opened by it.
Rows are written as they come, so an answer may be larger than memory.
"""

import os
import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import duckdb
import pyarrow as pa
import typer
from pyarrow import csv, ipc, parquet

from cachesvc.cli.failure import CommandFailed
from cachesvc.cli.render import Column, show_table
from cachesvc.v1.sql_pb2 import RunSqlResponse, SqlColumn

_ROWS_PER_BATCH = 10_000
_NUMBERS = ("INT", "DOUBLE", "FLOAT", "DECIMAL")


class Answer:
    """An answer as it comes from the service.

    Args:
        responses: Its parts.

    Attributes:
        columns: Their names, and DuckDB's names of their types.
    """

    def __init__(self, responses: Iterator[RunSqlResponse]) -> None:
        self._responses = responses
        self.columns: list[SqlColumn] = list(next(responses, RunSqlResponse()).columns)
        self._complete = False
        self._ended = False
        self._failure: BaseException | None = None

    def reader(self) -> pa.RecordBatchReader:
        """Its rows, once."""
        return ipc.open_stream(pa.PythonFile(_Joined(self._pieces()), mode="r"))

    def finish(self) -> None:
        """Takes what comes behind the last row.

        Raises:
            CommandFailed: The answer has no end.
        """
        for _ in self._pieces():
            pass
        if not self._complete:
            raise _broken_off()

    @contextmanager
    def taken(self) -> Iterator[None]:
        """A block that takes rows; what ends the answer ends the block, as it was raised.

        Libraries that call back for more have only words of their own for that.

        Raises:
            CommandFailed: The answer ends in the middle.
        """
        try:
            yield
        except BaseException as error:
            if self._failure is not None:
                raise self._failure from None
            if self._ended and not self._complete:
                raise _broken_off() from error
            raise

    def _pieces(self) -> Iterator[bytes]:
        try:
            for response in self._responses:
                self._complete = self._complete or response.HasField("summary")
                if response.arrow_ipc:
                    yield response.arrow_ipc
        except GeneratorExit:
            raise
        except BaseException as error:
            self._failure = error
            raise
        self._ended = True


def _broken_off() -> CommandFailed:
    return CommandFailed("the answer ends in the middle", advice="try again")


class _Joined:
    """Pieces of bytes as a file to read."""

    closed = False

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._rest = memoryview(b"")

    def read(self, size: int = -1) -> bytes:
        parts: list[memoryview] = []
        missing = size if size >= 0 else sys.maxsize
        while missing:
            if not self._rest:
                piece = next(self._pieces, None)
                if piece is None:
                    break
                self._rest = memoryview(piece)
            part, self._rest = self._rest[:missing], self._rest[missing:]
            parts.append(part)
            missing -= len(part)
        return b"".join(parts)

    def close(self) -> None:
        self.closed = True


@contextmanager
def sink_of(file: Path | None) -> Iterator[BinaryIO]:
    """Where to write: standard output, or a file that is there once the block has ended well.

    Raises:
        CommandFailed: The file cannot be written.
    """
    if file is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    part = file.with_name(f".{file.name}.{os.getpid()}.tmp")
    try:
        with part.open("xb") as sink:
            yield sink
        part.replace(file)
    except OSError as error:
        raise CommandFailed(f"{file} cannot be written: {error.strerror}") from error
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def write_answer(answer: Answer, form: str, sink: BinaryIO) -> None:
    """Writes all of an answer, as ``form`` says: csv, json or parquet."""
    with answer.taken():
        _WRITERS[form](answer, sink)
        answer.finish()


def show_answer(answer: Answer, rows_max: int) -> None:
    """Prints the first rows of an answer as a table, or its plan."""
    rows = _first_rows(answer, rows_max + 1)
    if [column.name for column in answer.columns] == ["explain_key", "explain_value"]:
        for _, plan in rows:
            typer.echo(plan)
        return
    show_table(rows[:rows_max], _table_columns(answer), "no rows")
    if len(rows) > rows_max:
        typer.echo(f"only the first {rows_max:,} rows; --rows, --format or -o gives more", err=True)


def _first_rows(answer: Answer, count: int) -> list[tuple[Any, ...]]:
    rows: list[tuple[Any, ...]] = []
    with answer.taken(), closing(_texts(answer)) as batches:
        for batch in batches:
            rows += zip(*(column.to_pylist() for column in batch.columns), strict=True)
            if len(rows) >= count:
                return rows[:count]
        answer.finish()
    return rows


def _table_columns(answer: Answer) -> list[Column]:
    def cell(index: int) -> Callable[[Any], str]:
        return lambda row: "" if row[index] is None else row[index]

    return [
        Column(column.name, cell(index), any(each in column.type for each in _NUMBERS))
        for index, column in enumerate(answer.columns)
    ]


def _write_csv(answer: Answer, sink: BinaryIO) -> None:
    names = [column.name for column in answer.columns]
    schema = pa.schema([(f"{number}", pa.string()) for number in range(len(names))])
    options = csv.WriteOptions(include_header=False)
    header = [pa.array([name]) for name in names]
    with csv.CSVWriter(sink, schema, write_options=options) as writer:
        writer.write_batch(pa.RecordBatch.from_arrays(header, schema=schema))
        for batch in _texts(answer):
            writer.write_batch(pa.RecordBatch.from_arrays(batch.columns, schema=schema))


def _write_json(answer: Answer, sink: BinaryIO) -> None:
    before = b"[\n  "
    for batch in _texts(answer, objects=True):
        for line in batch.column(0).to_pylist():
            sink.write(before + line.encode())
            before = b",\n  "
    sink.write(b"[]\n" if before.startswith(b"[") else b"\n]\n")


def _write_parquet(answer: Answer, sink: BinaryIO) -> None:
    reader = answer.reader()
    with parquet.ParquetWriter(sink, reader.schema, compression="zstd") as writer:
        for batch in reader:
            writer.write_batch(batch)


_WRITERS: dict[str, Callable[[Answer, BinaryIO], None]] = {
    "csv": _write_csv,
    "json": _write_json,
    "parquet": _write_parquet,
}


def _texts(answer: Answer, *, objects: bool = False) -> Generator[pa.RecordBatch, None, None]:
    """Rows with each value as text, or each row as one JSON object."""
    reader = answer.reader()
    names = [f"c{number}" for number in range(len(answer.columns))]
    connection = duckdb.connect(":memory:", config={"threads": 1})
    connection.execute("set TimeZone = 'UTC'").fetchall()
    connection.register("answer", _renamed(reader, names))
    if objects:
        fields = ", ".join(
            f"{_quoted(column.name)}, {name}{'::json' if column.type == 'JSON' else ''}"
            for name, column in zip(names, answer.columns, strict=True)
        )
        select = f"json_object({fields})::varchar"
    else:
        select = ", ".join(f"{name}::varchar" for name in names)
    yield from connection.sql(f"select {select} from answer").to_arrow_reader(_ROWS_PER_BATCH)


def _renamed(reader: pa.RecordBatchReader, names: list[str]) -> pa.RecordBatchReader:
    fields = [field.with_name(name) for field, name in zip(reader.schema, names, strict=True)]
    schema = pa.schema(fields)
    batches = (pa.RecordBatch.from_arrays(batch.columns, schema=schema) for batch in reader)
    return pa.RecordBatchReader.from_batches(schema, batches)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
