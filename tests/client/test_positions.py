from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import msgspec
import pytest

from cachesvc.client import AtTimestamp, Position, Positions, StreamSettings
from cachesvc.client.positions import as_positions


def test_positions_are_immutable_values() -> None:
    position = Position("orders", 0, 42, 1)
    with pytest.raises(AttributeError):
        position.offset = 43  # type: ignore[misc]
    positions = Positions([position])
    moved = positions.moved(Position("orders", 0, 50, 1), Position("orders", 1, 7, 1))
    assert positions == Positions([position])
    assert hash(positions) == hash(Positions([position]))
    assert moved["orders", 0].offset == 50
    assert [each.offset for each in moved.values()] == [50, 7]
    assert repr(positions) == f"Positions([{position!r}])"


def test_positions_can_be_stored_elsewhere_and_come_back() -> None:
    positions = Positions([Position("orders", 1, 7, 2), Position("orders", 0, 42, 2)])
    stored = msgspec.json.encode(list(positions.values()))
    assert Positions(msgspec.json.decode(stored, type=list[Position])) == positions


def test_a_later_incarnation_of_a_topic_lies_behind_an_earlier_one() -> None:
    assert Position("orders", 0, 5, 1).is_after(Position("orders", 0, 4, 1))
    assert not Position("orders", 0, 5, 1).is_after(Position("orders", 0, 5, 1))
    assert Position("orders", 0, 0, 2).is_after(Position("orders", 0, 9, 1))
    assert not Position("orders", 0, 9, 1).is_after(Position("orders", 0, 0, 2))
    assert Position("orders", 0, 9, 0).is_after(Position("orders", 0, 8, 3))


def test_callers_may_give_positions_in_many_forms() -> None:
    expected = Positions([Position("orders", 0, 42)])
    assert as_positions(expected) is expected
    assert as_positions(Position("orders", 0, 42)) == expected
    assert as_positions([Position("orders", 0, 42)]) == expected
    assert as_positions({("orders", 0): 42}) == expected
    assert as_positions({("orders", 0): Position("orders", 0, 42)}) == expected


def test_anything_else_is_refused() -> None:
    with pytest.raises(TypeError, match="expected a Position"):
        as_positions(["orders"])  # type: ignore[list-item]
    with pytest.raises(TypeError, match="expected an offset"):
        as_positions({("orders", 0): "42"})  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="filed under"):
        as_positions({("orders", 1): Position("orders", 0, 42)})


def test_a_time_to_start_at_is_exact() -> None:
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    assert AtTimestamp(1_700_000_000_123).timestamp_ms == 1_700_000_000_123
    assert AtTimestamp(epoch + timedelta(milliseconds=5)).timestamp_ms == 5
    # The first record not before 5.001 ms has a timestamp of at least 6 ms.
    assert AtTimestamp(epoch + timedelta(microseconds=5_001)).timestamp_ms == 6
    summer = datetime(2024, 7, 1, 2, tzinfo=timezone(timedelta(hours=2)))
    assert AtTimestamp(summer).timestamp_ms == 1_719_792_000_000
    with pytest.raises(ValueError, match="time zone"):
        AtTimestamp(datetime(2024, 7, 1))  # noqa: DTZ001


def test_settings_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ValueError, match="reconnect_delay_first_s"):
        StreamSettings(reconnect_delay_first_s=2, reconnect_delay_max_s=1)
    with pytest.raises(ValueError, match="batches_buffered_max"):
        StreamSettings(batches_buffered_max=0)
