from __future__ import annotations

import gc
import weakref

import pytest

from cachesvc.log.memory_budget import MemoryBudget
from cachesvc.log.partition_log import PartitionLog
from cachesvc.store.frames import Frame
from tests.support.frames import ORDERS, full_frames


def publish(budget: MemoryBudget, log: PartitionLog, frame: Frame) -> None:
    """As the writer does, without a journal."""
    log.recent.add(frame)
    log.log_end_offset = frame.end_offset
    budget.add(log, frame)


def sized(base: int, end: int, size: int = 1_000) -> Frame:
    return Frame(base, end, base, 0, 0, end - base, 0, bytes(size))


def kept(log: PartitionLog) -> list[tuple[int, int]]:
    return [(each.base_offset, each.end_offset) for each in log.recent.tail(1_000)]


def test_drops_the_oldest_of_all_partitions() -> None:
    size = sized(0, 5).encoded_bytes
    budget = MemoryBudget(3 * size)
    first, second = PartitionLog(ORDERS, 0), PartitionLog(ORDERS.topic_id.partition(1), 0)
    publish(budget, first, sized(0, 5))
    publish(budget, second, sized(0, 5))
    publish(budget, first, sized(5, 10))
    assert budget.bytes == 3 * size
    publish(budget, second, sized(5, 10))
    assert (kept(first), kept(second)) == ([(5, 10)], [(0, 5), (5, 10)])
    publish(budget, second, sized(10, 15))
    assert (kept(first), kept(second)) == ([(5, 10)], [(5, 10), (10, 15)])
    assert budget.bytes == 3 * size


def test_a_frame_beyond_the_budget_is_not_kept() -> None:
    small, large = sized(0, 5), sized(5, 500, 5_000)
    budget = MemoryBudget(small.encoded_bytes)
    log = PartitionLog(ORDERS, 0)
    publish(budget, log, small)
    publish(budget, log, large)
    assert (kept(log), budget.bytes) == ([], 0)
    publish(budget, log, sized(500, 505))
    assert kept(log) == [(500, 505)]


def test_never_holds_more_than_the_budget() -> None:
    budget = MemoryBudget(20_000)
    log = PartitionLog(ORDERS, 0)
    for frame in full_frames(0, 3_000, 7):
        publish(budget, log, frame)
        held = sum(each.encoded_bytes for each in log.recent.tail(1_000))
        assert held == budget.bytes <= 20_000
    assert kept(log)[-1][1] == 3_000


@pytest.mark.parametrize("count", [3, 300])
def test_what_is_dropped_is_free_at_once(count: int) -> None:
    budget = MemoryBudget(5_000)
    log = PartitionLog(ORDERS, 0)
    payloads: list[weakref.ref[memoryview]] = []
    for base in range(count):
        payload = memoryview(bytes(1_000))
        payloads.append(weakref.ref(payload))
        publish(budget, log, Frame(base, base + 1, base, 0, 0, 1, 0, payload))
        del payload
    gc.collect()
    assert sum(payload() is not None for payload in payloads) == len(log.recent) <= 4
