"""The logs of a view in DuckDB: a view for each, and table macros that find it by its name."""

import json
from collections.abc import Sequence

import duckdb

from cachesvc.sql.journals import JournalRecords
from cachesvc.sql.messages import Cut, LogView
from cachesvc.sql.segments import open_segments
from cachesvc.sql.statement import LOG, LOG_TABLE
from cachesvc.sql.typed_columns import column_names

_KAFKA = ("offset", "timestamp", "timestamp_type", "key", "value", "headers")
COLUMNS = ("connection", "topic", "incarnation", "partition", *_KAFKA)


def fence(connection: "duckdb.DuckDBPyConnection") -> None:
    """Lets queries open nothing from now on, for good."""
    connection.execute("set TimeZone = 'UTC'").fetchall()
    connection.execute("set enable_external_access = false").fetchall()
    connection.execute("set lock_configuration = true").fetchall()


def define_logs(
    connection: "duckdb.DuckDBPyConnection", views: Sequence[LogView]
) -> list[JournalRecords]:
    """Makes ``log`` and ``log_table`` mean what a view says; answers what reads its journals."""
    readers = []
    relations: dict[bool, list[tuple[LogView, str]]] = {False: [], True: []}
    for number, view in enumerate(views):
        reader = JournalRecords(view.journals)
        connection.register(f"journals {number}", reader)
        if view.segments:
            connection.register(f"segments {number}", open_segments(view.segments))
        readers.append(reader)
        name = f"log {number}"
        select = _select_records(view, number)
        if view.named.typed:
            select = _select_typed(select, view.structure)
        connection.execute(f"create view {identifier(name)} as {select}").fetchall()
        relations[view.named.typed].append((view, name))
    for typed, macro in ((False, LOG), (True, LOG_TABLE)):
        if relations[typed]:
            connection.execute(_macro(macro, relations[typed])).fetchall()
    return readers


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
