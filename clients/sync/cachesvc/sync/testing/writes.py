"""The changes that the conformance suite writes."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from cachesvc.client import Positions, TopicPartition
from cachesvc.sync.changes import CHANGE_SCHEMA, Changes
from cachesvc.sync.sink import Delivery

TOPIC = "conformance"
"""The topic of every change that the suite writes."""

IDS_PER_PARTITION = 1_000_000
"""Ids below this belong to partition 0, those below twice this to partition 1, and so on."""


@dataclass(frozen=True, slots=True)
class Write:
    """A change that the suite makes: an insert, an update, or a delete where the value is None."""

    offset: int
    id: int
    value: Mapping[str, Any] | None


def put(offset: int, partition: int = 0, *, of: int | None = None, note: str = "") -> Write:
    """A write of the row number ``of`` of a partition; of a row of its own without it."""
    number = offset if of is None else of
    id_ = partition * IDS_PER_PARTITION + number
    value = {"id": id_, "partition": partition, "number": offset, "note": note}
    return Write(offset, id_, value)


def delete(offset: int, partition: int = 0, *, of: int) -> Write:
    """A delete of the row number ``of`` of a partition."""
    return Write(offset, partition * IDS_PER_PARTITION + of, None)


def changes(
    writes: Sequence[Write], partition: int = 0, next_position: int | None = None
) -> Changes:
    """Writes as changes of one partition."""
    columns: dict[str, list[Any]] = {
        "offset": [write.offset for write in writes],
        "timestamp": [1_700_000_000_000 + write.offset for write in writes],
        "timestamp_type": [0] * len(writes),
        "key": [json.dumps({"id": write.id}).encode() for write in writes],
        "value": [None if write.value is None else json.dumps(write.value) for write in writes],
        "headers": [None] * len(writes),
        "deleted": [write.value is None for write in writes],
    }
    arrays = [pa.array(columns[field.name], field.type) for field in CHANGE_SCHEMA]
    rows = pa.RecordBatch.from_arrays(arrays, schema=CHANGE_SCHEMA)
    end = next_position if next_position is not None else writes[-1].offset + 1
    return Changes(TopicPartition(TOPIC, partition, 1), end, rows)


def delivery(*pieces: Changes) -> Delivery:
    """A delivery, with the positions behind it."""
    return Delivery(pieces, Positions(piece.position for piece in pieces))
