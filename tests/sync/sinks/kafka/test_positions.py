"""Positions as records of a topic."""

from cachesvc.client import Position, Positions
from cachesvc.sync.sinks.kafka.positions import position_columns, positions_of

MINE = [Position("orders", 0, 42, 1), Position("ö", 7, 2**40, 3)]


def test_positions_come_back_for_their_task_alone() -> None:
    columns = position_columns("mine", "local", MINE, 5)
    other = position_columns("other", "local", [Position("orders", 0, 7, 1)], 5)
    assert columns.timestamps_ms == [5, 5]
    records = {
        key: value
        for each in (columns, other)
        for key, value in zip(each.keys, each.values, strict=True)
        if key is not None
    }
    assert positions_of("mine", "local", records) == Positions(MINE)
    assert positions_of("mine", "", records) == Positions(MINE)
    assert positions_of("mine", "elsewhere", records) == Positions()
    strange = {b"": b"", b"{}": b"{}", b'{"task":1}': None, **dict.fromkeys(records)}
    assert positions_of("mine", "local", strange) == Positions()
