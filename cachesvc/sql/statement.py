"""What a query may be, and which logs it names; decided on DuckDB's own parse of it."""

import json
from collections.abc import Iterator
from typing import Any

import duckdb

from cachesvc.errors import InvalidRequest
from cachesvc.sql.messages import NamedLog

LOG, LOG_TABLE, SNAPSHOT = "log", "log_table", "snapshot"
# Table functions that look at nothing but their arguments and DuckDB's own tables.
HARMLESS = frozenset(
    {
        "duckdb_columns",
        "duckdb_functions",
        "duckdb_keywords",
        "duckdb_settings",
        "duckdb_types",
        "generate_series",
        "icu_calendar_names",
        "json_each",
        "json_tree",
        "pg_timezone_names",
        "range",
        "repeat",
        "repeat_row",
        "unnest",
    }
)
_WRITING = ("DELETE_QUERY_NODE", "INSERT_QUERY_NODE", "MERGE_QUERY_NODE", "UPDATE_QUERY_NODE")
_ONLY_SELECT = "a query is one SELECT statement: nothing else is let through"
_HOW = "write log('TOPIC') or log('TOPIC', connection := 'NAME'), with both as plain text"


def logs_named(connection: "duckdb.DuckDBPyConnection", sql: str) -> list[NamedLog]:
    """The logs that a query names, each once, in order of their names.

    Args:
        connection: Whose parser to ask.
        sql: The query.

    Raises:
        InvalidRequest: It is no SELECT statement, or calls what is not allowed
            (``INVALID_SQL``, ``SQL_FORBIDDEN``).
    """
    statements = _parse(connection, sql)
    if len(statements) != 1:
        raise InvalidRequest(f"{_ONLY_SELECT}, not {len(statements)}", reason="INVALID_SQL")
    found: set[NamedLog] = set()
    for node in _nodes(statements[0]):
        kind = node.get("type")
        if kind in _WRITING:
            raise InvalidRequest(f"{_ONLY_SELECT}; this writes", reason="SQL_FORBIDDEN")
        if kind == "TABLE_FUNCTION":
            named = _named_log(node["function"])
            if named is not None:
                found.add(named)
    return sorted(found)


def _parse(connection: "duckdb.DuckDBPyConnection", sql: str) -> list[Any]:
    answer = connection.execute("select json_serialize_sql(?)", [sql]).fetchall()[0][0]
    parsed = json.loads(answer)
    if parsed["error"]:
        message, kind = parsed["error_message"], parsed["error_type"]
        if kind == "parser":
            position = parsed.get("position", "")
            where = f" at character {int(position) + 1}" if str(position).isdigit() else ""
            raise InvalidRequest(f"{message}{where}", reason="INVALID_SQL")
        raise InvalidRequest(_ONLY_SELECT, reason="SQL_FORBIDDEN")
    statements: list[Any] = parsed["statements"]
    return statements


def _nodes(root: Any) -> Iterator[dict[str, Any]]:
    """Every object of a parse, in no order; a deep query costs no stack."""
    waiting = [root]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            yield node
            waiting.extend(node.values())
        elif isinstance(node, list):
            waiting.extend(node)


def _named_log(function: dict[str, Any]) -> NamedLog | None:
    """The log that a table function means; None for one that means none and is harmless."""
    path = function["qualified_name"]["path"]
    name = path[-1].lower()
    if len(path) > 1 or name not in HARMLESS | {LOG, LOG_TABLE, SNAPSHOT}:
        others = ", ".join(f"{each}()" for each in sorted(HARMLESS))
        raise InvalidRequest(
            f"the table function {'.'.join(path)}() is not for queries here; there are "
            f"log('TOPIC'), log_table('TOPIC'), snapshot('TOPIC') and {others}",
            reason="SQL_FORBIDDEN",
        )
    if name in HARMLESS:
        return None
    topic = connection = ""
    for position, argument in enumerate(function["arguments"]):
        text = _text(argument["expression"])
        if position == 0 and not argument["name"]:
            topic = text
        elif position == 1 and argument["name"].lower() == "connection":
            connection = text
        else:
            raise InvalidRequest(f"{name}(…) is called otherwise; {_HOW}", reason="INVALID_SQL")
    if not topic:
        raise InvalidRequest(f"{name}(…) names no topic; {_HOW}", reason="INVALID_SQL")
    return NamedLog(topic, connection, name == LOG_TABLE, name == SNAPSHOT)


def _text(expression: dict[str, Any]) -> str:
    literal = expression.get("literal")
    if expression.get("class") != "CONSTANT" or not literal or literal.get("kind") != "STRING":
        raise InvalidRequest(
            f"which log is meant has to be known first; {_HOW}", reason="INVALID_SQL"
        )
    return str(literal["text"])
