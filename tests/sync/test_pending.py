import asyncio

import pytest

from cachesvc.sync.config import BatchConfig
from cachesvc.sync.runner.pending import Pending
from tests.client.running import in_event_loop
from tests.sync.pieces import ends_of, offsets_of, piece

LONG = 100.0


@in_event_loop
async def test_a_delivery_has_as_many_records_as_allowed() -> None:
    pending = Pending(BatchConfig(records_max=4, wait_s_max=LONG))
    await pending.put(piece([0, 1, 2]))
    await pending.put(piece([5, 6, 7, 8], partition=1))
    first = await pending.take()
    assert offsets_of(first) == [[0, 1, 2]]
    assert offsets_of(await pending.take()) == [[5, 6, 7, 8]]


@in_event_loop
async def test_a_large_piece_is_cut() -> None:
    pending = Pending(BatchConfig(records_max=4, wait_s_max=0.0))
    await pending.put(piece(range(10), refused=[3, 4, 11]))
    taken = [await pending.take() for _ in range(3)]
    assert [offsets_of(each) for each in taken] == [[[0, 1, 2, 3]], [[4, 5, 6, 7]], [[8, 9]]]
    assert [ends_of(each) for each in taken] == [[4], [8], [10]]
    assert [[r.offset for r in each[0].refused] for each in taken] == [[3], [4], [11]]
    assert pending.empty and pending.bytes == 0


@in_event_loop
async def test_rows_of_one_offset_stay_together() -> None:
    pending = Pending(BatchConfig(records_max=2, wait_s_max=0.0))
    await pending.put(piece([0, 1, 1, 1, 1, 2]))
    taken = [await pending.take() for _ in range(3)]
    assert [offsets_of(each) for each in taken] == [[[0]], [[1, 1, 1, 1]], [[2]]]
    assert [ends_of(each) for each in taken] == [[1], [2], [3]]


@in_event_loop
async def test_bytes_are_bounded() -> None:
    pending = Pending(BatchConfig(bytes_max=10_000, wait_s_max=0.0))
    await pending.put(piece(range(30), size=1_000))
    sizes = []
    while not pending.empty:
        sizes.append(sum(each.nbytes for each in await pending.take()))
    assert len(sizes) >= 4 and max(sizes) <= 11_500


@in_event_loop
async def test_a_record_larger_than_the_limit_travels_alone() -> None:
    pending = Pending(BatchConfig(bytes_max=1_024, wait_s_max=0.0))
    await pending.put(piece([0, 1], size=5_000))
    assert offsets_of(await pending.take()) == [[0]]
    assert offsets_of(await pending.take()) == [[1]]


@in_event_loop
async def test_whoever_puts_waits_while_there_is_enough() -> None:
    pending = Pending(BatchConfig(records_max=2, wait_s_max=LONG))
    await pending.put(piece([0, 1]))
    putting = asyncio.create_task(pending.put(piece([2])))
    await asyncio.sleep(0)
    assert not putting.done()
    await pending.take()
    await putting


@in_event_loop
async def test_a_record_waits_for_others_only_so_long() -> None:
    pending = Pending(BatchConfig(records_max=100, wait_s_max=0.01))
    await pending.put(piece([0]))
    assert offsets_of(await pending.take()) == [[0]]


@in_event_loop
@pytest.mark.parametrize(("drop", "left"), [(False, [[0]]), (True, [])])
async def test_the_end_gives_what_is_left_or_drops_it(drop: bool, left: list[list[int]]) -> None:
    pending = Pending(BatchConfig(wait_s_max=LONG))
    await pending.put(piece([0]))
    taking = asyncio.create_task(pending.take())
    await asyncio.sleep(0)
    pending.end(drop=drop)
    assert offsets_of(await taking) == left
    assert await pending.take() == []


@in_event_loop
async def test_a_piece_without_records_is_delivered_for_its_position() -> None:
    pending = Pending(BatchConfig(wait_s_max=0.0))
    await pending.put(piece([]))
    assert offsets_of(await pending.take()) == [[]]
