"""Functions of a user's, as the transform ``python`` finds them."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc


def total(value: dict[str, Any], rate: float = 2) -> dict[str, Any] | None:
    """Adds a field; drops what is cheap, and cannot do with a text."""
    if value["price"] < 1:
        return None
    return {**value, "total": value["price"] * rate}


def unchanged(value: dict[str, Any]) -> dict[str, Any]:
    return value


def split(value: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"item": item} for item in value["items"]]


def anything(value: dict[str, Any]) -> Any:
    return {"object": object()} if value["gives"] == "object" else value["gives"]


def unkeyed(record: dict[str, Any]) -> Any:
    if record["deleted"]:
        return None
    value = record["value"]
    assert (record["offset"] - 10) / 2 == record["timestamp_ms"] - 1_000
    assert record["headers"][0][0] == "n"
    if value.get("gone"):
        return [{"key": b"a", "value": None, "deleted": True}, {**record, "key": None}]
    return {"value": {**value, "was": record["key"].decode()}}


def records(record: dict[str, Any]) -> Any:
    return record["value"]["gives"]


def upper(rows: pa.RecordBatch) -> pa.Table:
    """Fails with any value that has an x in it, and leaves columns out."""
    if pc.any(pc.match_substring(rows.column("value"), "x")).as_py():
        raise ValueError("x")
    return pa.table(
        {"offset": rows.column("offset"), "value": pc.utf8_upper(rows.column("value"))}
    ).slice(0)


def reversed_twice(rows: pa.RecordBatch) -> pa.RecordBatch:
    order = [row for row in reversed(range(rows.num_rows)) for _ in range(2)]
    return rows.take(pa.array(order, pa.int64()))


def wrong(rows: pa.RecordBatch) -> Any:
    kind = rows.column("value")[0].as_py()
    offset = rows.column("offset")
    return {
        '{"a":"none"}': None,
        '{"a":"column"}': pa.table({"offset": offset, "price": offset}),
        '{"a":"offset"}': pa.table({"value": rows.column("value")}),
        '{"a":"strange"}': pa.table({"offset": pc.add(offset, 1)}),
        '{"a":"type"}': pa.table({"offset": offset, "deleted": offset.cast(pa.string())}),
        '{"a":"null"}': pa.table({"offset": offset, "value": pa.nulls(rows.num_rows, pa.string())}),
        '{"a":"array"}': pa.table({"offset": offset, "value": ["[1]"] * rows.num_rows}),
    }.get(kind, rows)


not_callable = 1
