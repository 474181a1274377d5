from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from cachesvc.errors import InvalidRequest
from cachesvc.log.partition_log import PartitionLog
from cachesvc.serving.append_parts import AppendParts, WholeAppend
from cachesvc.serving.appending import Appender, frame_of
from cachesvc.store.frames import Frame, encode_frame
from cachesvc.v1 import mining_pb2 as pb
from tests.support.frames import ORDERS, Reject, frame, full_frame, record, records, records_of
from tests.unit.log.running import append, filled, read_all, roll, running

WHOLE = frame(10, 20, [record(12), record(15)], [Reject(13)])


def request(each: Frame = WHOLE, **changes: Any) -> pb.AppendRequest:
    """The append of a frame, and what is different."""
    usual: dict[str, Any] = {
        "topic": "orders",
        "base_offset": each.base_offset,
        "end_offset": each.end_offset,
        "record_count": each.record_count,
        "min_timestamp_ms": each.min_timestamp_ms,
        "max_timestamp_ms": each.max_timestamp_ms,
        "payload": bytes(each.payload),
        "reject_count": each.reject_count,
        "rejects": bytes(each.rejects),
        "first_offset": each.first_offset if each.record_count else 0,
    }
    return pb.AppendRequest(**(usual | changes))


def whole(append: pb.AppendRequest) -> WholeAppend:
    return WholeAppend(append, append.payload, append.rejects)


@pytest.mark.parametrize(
    "each",
    [WHOLE, full_frame(0, 5), frame(3, 9), frame(3, 9, rejects=[Reject(4)]), frame(3, 3)],
    ids=["both", "records", "holes", "rejects", "nothing"],
)
def test_an_append_carries_a_frame(each: Frame) -> None:
    assert frame_of(whole(request(each))) == each


@pytest.mark.parametrize(
    "changes",
    [
        {"base_offset": -1},
        {"end_offset": 9},
        {"record_count": 0},
        {"record_count": -2},
        {"record_count": -(2**31), "payload": b"x"},
        {"record_count": 10},
        {"payload": b""},
        {"reject_count": 0},
        {"reject_count": -1},
        {"reject_count": 9},
        {"rejects": b""},
        {"first_offset": 9},
        {"first_offset": 20},
        {"first_offset": -1},
    ],
    ids=str,
)
def test_refuses_numbers_that_contradict_each_other(changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest, match=r"append to orders/0 of .* contradicts itself") as e:
        frame_of(whole(request(**changes)))
    assert e.value.reason == "INVALID_APPEND"


def test_whatever_is_accepted_can_be_written() -> None:
    limits: dict[str, Any] = {"min_timestamp_ms": -(2**63), "max_timestamp_ms": 2**63 - 1}
    accepted = frame_of(whole(request(base_offset=0, end_offset=2**63 - 1, **limits)))
    assert b"".join(encode_frame(accepted))


def test_who_comes_into_a_range_while_it_is_noted_as_lost_moves_no_log(tmp_path: Path) -> None:
    async def run() -> None:
        async with running(tmp_path) as store:
            top = await filled(store, [frame(100, 110, records(100, 110))], begin=100)
            store.ranges.reach(ORDERS, 20)
            store.backfill.want("one", ORDERS, 20)
            lower = store.backfill.taking(ORDERS, 20, 40)
            await append(store, lower, [frame(20, 40, records(20, 40))])
            await roll(store, lower)
            note = store.changes.lose

            async def noted(log: PartitionLog, begin: int, end: int) -> None:
                store.ranges.reach(ORDERS, 60)
                store.backfill.want("other", ORDERS, 60)
                await note(log, begin, end)

            store.changes.lose = noted  # type: ignore[method-assign]
            asked: Any = Mock()
            gap = request(frame(40, 100), topic="orders", gap=True, backfill=True)
            appender = Appender(store, asked, AppendParts(1 << 20), asked)
            log, done = await appender._append(top, gap, frame_of(whole(gap)))
            await done
            await roll(store, log)
            store.tend()
            store.tend()
            assert store.ranges.of(ORDERS) == [top]
            assert (top.log_start_offset, top.log_end_offset) == (20, 110)
            lost = top.gap_at(40)
            assert lost is not None
            assert (lost.begin, lost.end) == (40, 100)
            found = await read_all(store.reader, top, 20)
            assert records_of(found) == records(20, 40) + records(100, 110)

    asyncio.run(run())
