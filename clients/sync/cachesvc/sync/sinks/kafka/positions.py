"""The source's positions as records of a compacted topic, one per task and partition."""

from collections.abc import Iterable, Mapping

import msgspec
from msgspec import Struct

from cachesvc.client import Position, Positions
from cachesvc.mining.kafka.producing import Columns


class _Key(Struct, frozen=True, forbid_unknown_fields=True):
    task: str
    topic: str
    partition: int


class _Value(Struct, frozen=True):
    offset: int
    incarnation: int
    # Of the service that the topic is mined by, where the task knows it.
    connection: str = ""


def position_columns(
    task: str, connection: str, positions: Iterable[Position], timestamp_ms: int
) -> Columns:
    """Positions as records."""
    listed = list(positions)
    return Columns(
        [msgspec.json.encode(_Key(task, each.topic, each.partition)) for each in listed],
        [msgspec.json.encode(_Value(each.offset, each.incarnation, connection)) for each in listed],
        [timestamp_ms] * len(listed),
    )


def no_position_columns(task: str, positions: Iterable[Position], timestamp_ms: int) -> Columns:
    """Tombstones of positions."""
    listed = list(positions)
    return Columns(
        [msgspec.json.encode(_Key(task, each.topic, each.partition)) for each in listed],
        [None] * len(listed),
        [timestamp_ms] * len(listed),
    )


def positions_of(task: str, connection: str, records: Mapping[bytes, bytes | None]) -> Positions:
    """Those of a task among the records; of what is none, nothing is made.

    Args:
        task: Its name.
        connection: Positions of another connection are another source's; empty for any.
        records: The last value of each key.
    """
    found = []
    for key, value in records.items():
        try:
            of = msgspec.json.decode(key, type=_Key)
            at = msgspec.json.decode(value or b"", type=_Value)
        except msgspec.DecodeError:
            continue
        strange = connection and at.connection and connection != at.connection
        if of.task == task and not strange:
            found.append(Position(of.topic, of.partition, at.offset, at.incarnation))
    return Positions(found)
