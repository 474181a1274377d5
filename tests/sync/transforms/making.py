"""Changes for transforms, and what becomes of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import msgspec
import pyarrow as pa

from cachesvc.client import TopicPartition
from cachesvc.sync import CHANGE_SCHEMA, Changes, Transform, Transformed
from cachesvc.sync.transforms import TRANSFORMS

OF = TopicPartition("orders", 3, 1)
BASE = 10


def changes(
    values: Sequence[str | None],
    deleted: Sequence[bool] | None = None,
    keys: Sequence[bytes | None] | None = None,
) -> Changes:
    """Rows with offsets from 10 on, two apart, and holes behind."""
    count = len(values)
    columns = [
        pa.array([BASE + 2 * number for number in range(count)], pa.int64()),
        pa.array([1_000 + number for number in range(count)], pa.timestamp("ms", tz="UTC")),
        pa.array([0] * count, pa.int8()),
        pa.array(keys if keys is not None else [b"k%d" % n for n in range(count)], pa.binary()),
        pa.array(values, pa.string()),
        pa.array([[{"key": "n", "value": b"%d" % n}] for n in range(count)]).cast(
            CHANGE_SCHEMA.field("headers").type
        )
        if count
        else pa.array([], CHANGE_SCHEMA.field("headers").type),
        pa.array(deleted or [value is None for value in values], pa.bool_()),
    ]
    rows = pa.RecordBatch.from_arrays(columns, schema=CHANGE_SCHEMA)
    return Changes(OF, BASE + 2 * count + 5, rows)


def transform(kind: str, **settings: Any) -> Transform:
    """One of a kind, of settings as a task's file has them."""
    found = TRANSFORMS[kind]
    return found.make(msgspec.convert(settings, found.settings))


def values_of(done: Transformed) -> list[str | None]:
    """The values of what goes on."""
    checked(done)
    values: list[str | None] = done.changes.rows.column("value").to_pylist()
    return values


def reasons_of(done: Transformed) -> dict[int, str]:
    """Row to reason of what does not."""
    return {refused.row: refused.reason for refused in done.refused}


def checked(done: Transformed) -> Transformed:
    """The same, after a look at what every transform promises."""
    rows = done.changes.rows
    assert rows.schema == CHANGE_SCHEMA
    rows.validate(full=True)
    offsets = rows.column("offset").to_pylist()
    assert offsets == sorted(offsets)
    assert [each.row for each in done.refused] == sorted({each.row for each in done.refused})
    for value, deleted in zip(
        *(rows.column(n).to_pylist() for n in ("value", "deleted")), strict=True
    ):
        assert deleted or value is not None
        assert value is None or isinstance(json.loads(value), dict)
    return done


def become(kind: str, value: str, **settings: Any) -> str:
    """What one value becomes; fails if it does not go on."""
    done = transform(kind, **settings).apply(changes([value]))
    assert done.refused == ()
    (text,) = values_of(done)
    assert text is not None
    return text


def refusal(kind: str, value: str, **settings: Any) -> tuple[str, str]:
    """Why one value does not go on: reason and detail."""
    done = transform(kind, **settings).apply(changes([value]))
    assert values_of(done) == []
    (refused,) = done.refused
    assert refused.row == 0
    return refused.reason, refused.detail
