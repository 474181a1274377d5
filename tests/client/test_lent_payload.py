"""Batches in memory that is lent: records keep nothing of it, and are the same without it."""

from __future__ import annotations

import asyncio
import pickle
import weakref
from collections.abc import Callable, Iterator

import pyarrow as pa
import pytest

from cachesvc.client import Batch, Record, TopicPartition, incoming
from cachesvc.client import payload as payload_module
from cachesvc.client.payload import ArrowPayload, LentPayload
from cachesvc.v1 import log_cache_pb2 as pb
from tests.client.fake_log import encode, record
from tests.client.lender import ORDERS, lending, stream_of
from tests.client.running import in_event_loop

OFFSETS = [*range(25), 30, 31, 40]
MESSAGE = encode(ORDERS, [record(ORDERS, each) for each in OFFSETS], 41)


class Memory:
    """Stands for memory that is lent; it is given back when this is no more."""

    def __init__(self) -> None:
        self._data = bytearray(stream_of(MESSAGE))
        self._view = memoryview(self._data)

    def lend(self) -> tuple[pa.Buffer, Callable[[], bool]]:
        """A buffer, and whether something refers to it."""
        view = self._view[:]
        there = weakref.ref(view)
        return pa.py_buffer(view), lambda: there() is not None

    def overwrite(self) -> None:
        self._data[:] = bytes([0xEE]) * len(self._data)


@pytest.fixture(autouse=True)
def _small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(payload_module, "PIECE_RECORDS_MAX", 4)


@pytest.fixture
def memory() -> Memory:
    return Memory()


def batch_of(buffer: pa.Buffer) -> Batch:
    of = TopicPartition("orders", 0, 1)
    return Batch(of, 0, 41, len(OFFSETS), LentPayload(buffer))


def as_message(each: Record) -> pb.Record:
    return pb.Record(
        offset=each.offset,
        timestamp_ms=each.timestamp_ms,
        key=each.key,
        value=each.value,
        headers=[pb.Header(key=header.key, value=header.value) for header in each.headers],
        timestamp_type=int(each.timestamp_type),  # type: ignore[arg-type]
    )


def one_by_one(batch: Batch) -> list[Record]:
    found = []
    records: Iterator[Record] = iter(batch)
    for each in records:
        found.append(each)
        each.timestamp_ms  # noqa: B018 what is rare is made for all once it is asked for
    return found


@pytest.mark.parametrize(
    "take",
    [Batch.records, list, one_by_one, lambda batch: [each for p in batch.pieces() for each in p]],
    ids=["records", "list", "one by one", "pieces"],
)
def test_records_are_right_after_their_memory_was_given_back_and_filled_again(
    memory: Memory, take: Callable[[Batch], list[Record]]
) -> None:
    buffer, is_there = memory.lend()
    batch = batch_of(buffer)
    records = take(batch)
    del buffer
    assert is_there()
    del batch
    assert not is_there(), "records keep memory that somebody waits for"
    memory.overwrite()
    expected = [record(ORDERS, each) for each in OFFSETS]
    assert list(map(as_message, records)) == expected


def test_a_record_that_is_kept_of_a_batch_read_in_part_keeps_nothing(memory: Memory) -> None:
    buffer, is_there = memory.lend()
    batch = batch_of(buffer)
    left = iter(batch)
    first = next(left)
    assert is_there()
    del buffer, batch, left
    assert not is_there()
    memory.overwrite()
    assert as_message(first) == record(ORDERS, 0)


def test_a_table_and_its_parts_keep_the_memory(memory: Memory) -> None:
    buffer, is_there = memory.lend()
    value = batch_of(buffer).to_arrow(["value"]).column("value").slice(3, 2)
    del buffer
    assert is_there()
    assert value.to_pylist() == [record(ORDERS, each).value.decode() for each in (3, 4)]
    del value
    assert not is_there()


@pytest.mark.parametrize("begin", [0, 1, 7, 24, 25, 27, 40])
def test_a_batch_that_begins_later_has_the_rest_and_keeps_the_memory_as_long(
    memory: Memory, begin: int
) -> None:
    buffer, is_there = memory.lend()
    rest = LentPayload(buffer).starting_at(begin)
    assert isinstance(rest, LentPayload)
    del buffer
    assert is_there()
    batch = Batch(TopicPartition("orders", 0, 1), begin, 41, sum(o >= begin for o in OFFSETS), rest)
    records = batch.records()
    assert batch.to_arrow().column("offset").to_pylist() == [o for o in OFFSETS if o >= begin]
    del batch, rest
    assert not is_there()
    memory.overwrite()
    expected = [record(ORDERS, each) for each in OFFSETS if each >= begin]
    assert list(map(as_message, records)) == expected


def test_it_is_what_a_message_would_have_had(memory: Memory) -> None:
    lent, sent = batch_of(memory.lend()[0]), ArrowPayload(pa.py_buffer(MESSAGE.arrow_ipc))
    assert lent.to_arrow() == pa.Table.from_batches(sent.arrow_batches())


def test_a_batch_that_is_copied_to_another_process_keeps_nothing(memory: Memory) -> None:
    buffer, is_there = memory.lend()
    pickled = pickle.dumps(batch_of(buffer))
    del buffer
    assert not is_there()
    memory.overwrite()
    assert list(map(as_message, pickle.loads(pickled))) == [record(ORDERS, o) for o in OFFSETS]


@in_event_loop
async def test_records_of_lent_batches_let_the_service_fill_their_memory_again() -> None:
    with lending() as (memory, lender):
        records = []
        for _ in range(3):
            data = stream_of(MESSAGE)
            batch = batch_of(await memory.take(1, lender.lend(1, data)))
            records += batch.records()
            del batch
            lender.overwrite(1, bytes(len(data)))
        assert lender.done(1) == 3
        await asyncio.sleep(0)
    assert list(map(as_message, records)) == 3 * [record(ORDERS, each) for each in OFFSETS]


@pytest.mark.parametrize("joined", [False, True])
def test_a_message_tells_where_a_batch_lies(joined: bool) -> None:
    message = pb.Batch()
    message.CopyFrom(MESSAGE)
    message.shared.CopyFrom(pb.SharedMemory(block=5, length=70))
    message.ClearField("arrow_ipc")
    response = pb.SubscribeResponse(batch=message)
    expected = [5]
    if joined:
        other = pb.Batch()
        other.CopyFrom(message)
        other.shared.block = 6
        response = pb.SubscribeResponse(batches=pb.Batches(batch=[message, other]))
        expected = [5, 6]
    found = list(incoming.received(response.SerializeToString()))
    assert all(isinstance(each, incoming.Lent) for each in found)
    assert [each.block for each in found if isinstance(each, incoming.Lent)] == expected
