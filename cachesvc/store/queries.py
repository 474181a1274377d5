"""Questions to records, answered by DuckDB in memory, beside the catalogue."""

import re

import duckdb
import pyarrow as pa

from cachesvc.errors import DamagedFile
from cachesvc.policy.models import (
    ELEMENT,
    EXAMPLE_LENGTH_MAX,
    JsonType,
    Observation,
    Path,
    Seen,
)
from cachesvc.store.statements import load_statements

_OBSERVE = load_statements("observe.sql")["observe_records"]
_TYPES = {
    "NULL": JsonType.NULL,
    "BOOLEAN": JsonType.BOOLEAN,
    "BIGINT": JsonType.INTEGER,
    "UBIGINT": JsonType.INTEGER,
    "HUGEINT": JsonType.INTEGER,
    "UHUGEINT": JsonType.INTEGER,
    "DOUBLE": JsonType.NUMBER,
    "VARCHAR": JsonType.STRING,
    "ARRAY": JsonType.ARRAY,
    "OBJECT": JsonType.OBJECT,
}
# How json_tree writes a path: simple names stand bare, all others in quotes.
_STEP = re.compile(r'\.([A-Za-z0-9_]+)|\."((?:[^"\\]|\\.)*)"|\[(?:[0-9]+|\*)\]', re.DOTALL)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)


class RecordQueries:
    """A DuckDB of its own, in memory, with one thread. For one thread at a time; close it."""

    def __init__(self) -> None:
        config: dict[str, str | bool | int | float | list[str]] = {
            "threads": 1,
            "memory_limit": "512MB",
        }
        self._connection = duckdb.connect(":memory:", config=config)

    def observe(self, records: pa.Table) -> list[Observation]:
        """What fields the JSON values of records have, of which types, how often, and when.

        Releases the GIL while it looks. A path and type may come several times.

        Args:
            records: Of the record schema; tombstones count for nothing.

        Raises:
            DamagedFile: DuckDB cannot read a value as JSON.
        """
        self._connection.register("records", records.select(["timestamp", "value"]))
        try:
            rows = self._connection.execute(_OBSERVE, [EXAMPLE_LENGTH_MAX]).fetchall()
        except duckdb.Error as error:
            raise DamagedFile(f"records cannot be read as JSON: {error}") from error
        finally:
            self._connection.unregister("records")
        return [
            Observation(
                _parse_path(path), _TYPES[kind], count, Seen(first_ms, last_ms, example or "")
            )
            for path, kind, count, first_ms, last_ms, example in rows
        ]

    def close(self) -> None:
        """Frees its memory."""
        self._connection.close()


def _parse_path(text: str) -> Path:
    steps = []
    end = 1
    while match := _STEP.match(text, end):
        bare, quoted = match.groups()
        if bare is not None:
            steps.append("." + bare)
        elif quoted is not None:
            steps.append("." + _ESCAPED.sub(r"\1", quoted))
        else:
            steps.append(ELEMENT)
        end = match.end()
    assert end == len(text), text
    return tuple(steps)
