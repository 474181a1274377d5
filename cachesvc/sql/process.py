"""The process of one query: ``python -m cachesvc.sql.process``, started by ``QueryEngine``.

It ends at once when its input does, which is when the service wants no answer any more, or is gone.
"""

import os
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import duckdb
import msgspec
import pyarrow as pa
from pyarrow import ipc

from cachesvc.arrow_alone import keep_pandas_out
from cachesvc.bounds import bound_process, open_duckdb
from cachesvc.errors import CacheError, DamagedFile
from cachesvc.sql import messages
from cachesvc.sql.journals import JournalRecords
from cachesvc.sql.messages import Column, Done, Failure, LogView, Query
from cachesvc.sql.relations import define_logs, fence
from cachesvc.sql.statement import logs_named

_ROWS_PER_BATCH = 10_000
_PIECE_BYTES = 1 << 20
_WORDS_MAX = 800
_READING_FAILED = "failed: IOError"
"""How DuckDB passes on what Arrow says of a damaged file: in words alone."""
# What is the statement's fault, told by the class of the error; everything else is its data's.
_OF_STATEMENT = (
    duckdb.BinderException,
    duckdb.CatalogException,
    duckdb.ParserException,
    duckdb.SyntaxException,
    duckdb.NotImplementedException,
)


class _Answer:
    """A file that Arrow writes to, whose content becomes messages."""

    def __init__(self, output: BinaryIO) -> None:
        self._output = output
        self.closed = False

    def send(self, kind: bytes, content: object) -> None:
        self._output.write(messages.pack(kind, content))
        self._output.flush()

    def write(self, data: "pa.Buffer | bytes") -> int:
        view = memoryview(data)
        for begin in range(0, len(view), _PIECE_BYTES):
            for part in messages.encode(messages.ROWS, view[begin : begin + _PIECE_BYTES]):
                self._output.write(part)
        return len(view)

    def flush(self) -> None:
        self._output.flush()

    def close(self) -> None:
        self.closed = True


def main() -> None:
    """Answers one query, and ends the process."""
    keep_pandas_out()
    # Whatever a library prints must not get between the messages.
    output = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    answer = _Answer(output)
    try:
        _answer(sys.stdin.buffer, answer)
    except (EOFError, BrokenPipeError):
        os._exit(1)
    except BaseException as error:
        with suppress(BrokenPipeError):
            answer.send(messages.FAILED, _failure(error))
    # DuckDB's own end would wait for what nobody wants any more.
    os._exit(0)


def _answer(source: BinaryIO, answer: _Answer) -> None:
    query = msgspec.msgpack.decode(messages.read_message(source, messages.QUERY), type=Query)
    bound_process(query.bounds)
    pa.set_cpu_count(query.bounds.threads)
    spill = Path(query.directory, "spill")
    spill.mkdir()
    connection = open_duckdb(query.bounds, str(spill))
    answer.send(messages.NAMED, logs_named(connection, query.sql))
    body = messages.read_message(source, messages.VIEW)
    views = msgspec.msgpack.decode(body, type=list[LogView])
    threading.Thread(target=_end_with, args=(source,), daemon=True).start()
    readers = define_logs(connection, views)
    fence(connection)
    try:
        _run(connection, f"explain analyze {query.sql}" if query.explain else query.sql, answer)
    except Exception:
        _raise_damage(readers)
        raise


def _run(connection: "duckdb.DuckDBPyConnection", sql: str, answer: _Answer) -> None:
    relation = connection.sql(sql)
    kinds = [str(kind) for kind in relation.types]
    columns = [Column(*each) for each in zip(relation.columns, kinds, strict=True)]
    answer.send(messages.COLUMNS, columns)
    reader = relation.to_arrow_reader(_ROWS_PER_BATCH)
    rows = 0
    with ipc.new_stream(pa.PythonFile(answer, mode="w"), reader.schema) as writer:
        for batch in reader:
            writer.write_batch(batch)
            answer.flush()
            rows += batch.num_rows
    answer.send(messages.DONE, Done(rows))


def _end_with(source: BinaryIO) -> None:
    source.read(1)
    os._exit(1)


def _raise_damage(readers: list[JournalRecords]) -> None:
    for reader in readers:
        if reader.failure is not None:
            raise reader.failure


def _failure(error: BaseException) -> Failure:
    words = str(error).split("\n\nPossible solutions")[0].split("\n\nSee also")[0].strip()
    words = words[:_WORDS_MAX] or type(error).__name__
    if isinstance(error, DamagedFile | FileNotFoundError) or _READING_FAILED in words:
        return Failure(reason="DAMAGED_FILE", message=words)
    if isinstance(error, CacheError):
        return Failure(reason=error.reason, message=words)
    if isinstance(error, duckdb.OutOfMemoryException | MemoryError | pa.ArrowMemoryError):
        return Failure(reason="QUERY_MEMORY_MAX", message=words)
    if isinstance(error, duckdb.PermissionException):
        return Failure(reason="SQL_FORBIDDEN", message=words)
    if isinstance(error, _OF_STATEMENT):
        return Failure(reason="INVALID_SQL", message=words)
    if isinstance(error, duckdb.Error | pa.ArrowException):
        return Failure(reason="QUERY_FAILED", message=words)
    return Failure(reason="INTERNAL", message=f"{type(error).__name__}: {words}")


if __name__ == "__main__":
    main()
