"""The logs of a view in DuckDB: a view for each, and table macros that find it by its name."""

import json
from collections.abc import Sequence

import duckdb

from cachesvc.sql.journals import JournalRecords
from cachesvc.sql.messages import Cut, LogView, SnapshotEnd
from cachesvc.sql.segments import open_segments
from cachesvc.sql.statement import LOG, LOG_TABLE, SNAPSHOT
from cachesvc.sql.typed_columns import column_names

_KAFKA = ("offset", "timestamp", "timestamp_type", "key", "value", "headers")
COLUMNS = ("connection", "topic", "incarnation", "partition", *_KAFKA)
SNAPSHOT_END = "snapshot_end"
"""The column of snapshots that a log has not."""


def fence(connection: "duckdb.DuckDBPyConnection") -> None:
    """Lets queries open nothing from now on, for good."""
    connection.execute("set TimeZone = 'UTC'").fetchall()
    connection.execute("set enable_external_access = false").fetchall()
    connection.execute("set lock_configuration = true").fetchall()


def define_logs(
    connection: "duckdb.DuckDBPyConnection", views: Sequence[LogView]
) -> list[JournalRecords]:
    """Makes ``log``, ``log_table`` and ``snapshot`` mean what a view says.

    Answers what reads its journals.
    """
    readers = []
    relations: dict[str, list[tuple[LogView, str]]] = {}
    for number, view in enumerate(views):
        reader = JournalRecords(view.journals)
        connection.register(f"journals {number}", reader)
        if view.segments:
            connection.register(f"segments {number}", open_segments(view.segments))
        readers.append(reader)
        name = f"log {number}"
        connection.execute(f"create view {identifier(name)} as {_select(view, number)}").fetchall()
        relations.setdefault(_macro_of(view), []).append((view, name))
    for macro, named in relations.items():
        connection.execute(_macro(macro, named)).fetchall()
    return readers


def _macro_of(view: LogView) -> str:
    if view.named.snapshot:
        return SNAPSHOT
    return LOG_TABLE if view.named.typed else LOG


def _select(view: LogView, number: int) -> str:
    records = _select_records(view, number)
    if view.named.snapshot:
        return f"select *, {_end_of(view.ends)} as {SNAPSHOT_END} from ({records})"
    return _select_typed(records, view.structure) if view.named.typed else records


def _end_of(ends: Sequence[SnapshotEnd]) -> str:
    cases = " ".join(
        f'when incarnation = {each.incarnation} and "partition" = {each.partition} then {each.end}'
        for each in ends
    )
    return f"cast(case {cases} end as bigint)"


def quoted(text: str) -> str:
    """A text as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"


def identifier(name: str) -> str:
    """A name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def _macro(name: str, relations: Sequence[tuple[LogView, str]]) -> str:
    cases = " ".join(
        f"when topic = {quoted(view.named.topic)} and connection = {quoted(view.named.connection)} "
        f"then {quoted(relation)}"
        for view, relation in relations
    )
    return (
        f"create macro {name}(topic, connection := '') as table "
        f"select * from query_table(case {cases} end)"
    )


def _select_records(view: LogView, number: int) -> str:
    columns = ", ".join(map(identifier, COLUMNS[2:]))
    named = (
        f"{quoted(view.connection)} as connection, {quoted(view.named.topic)} as topic, {columns}"
    )
    parts = [f"select {named} from {identifier(f'journals {number}')}"]
    if view.segments:
        files = identifier(f"segments {number}")
        parts.insert(0, f"select {named} from {files}{_without(view.cuts)}")
    return " union all ".join(parts)


def _without(cuts: Sequence[Cut]) -> str:
    """Leaves out what retention has taken of segments that are kept."""
    conditions = [
        f"not (incarnation = {cut.incarnation} and partition = {cut.partition} "
        f'and "offset" < {cut.begin})'
        for cut in cuts
    ]
    return f" where {' and '.join(conditions)}" if conditions else ""


def _select_typed(records: str, structure: str) -> str:
    names = column_names(json.loads(structure), COLUMNS)
    if not names:
        return records
    own = ", ".join(map(identifier, COLUMNS))
    fields = ", ".join(
        f"fields.{identifier(field)} as {identifier(name)}" for field, name in names.items()
    )
    parsed = f"select *, from_json(value, {quoted(structure)}) as fields from ({records})"
    return f"select {own}, {fields} from ({parsed})"
