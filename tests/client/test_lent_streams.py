"""Streams of a service that hands records over in shared memory, or fails to."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import replace
from enum import Enum, auto
from typing import Any

import pytest
from grpc import StatusCode, aio

from cachesvc.client import ArrowCompression, Batch, Client, Encoding, Mode, Stream
from cachesvc.client.payload import LentPayload
from cachesvc.v1 import log_cache_pb2 as pb
from tests.client.fake_log import Logs, record
from tests.client.fake_server import FakeLogCache, Fault, serving
from tests.client.lender import CAPACITY, ORDERS, Lender, listening, stream_of
from tests.client.running import QUICK, eventually, in_event_loop
from tests.client.test_lent_payload import as_message

OFFSETS = list(range(0, 60, 2))


class Way(Enum):
    """How a batch is handed over."""

    RIGHT = auto()
    WITHOUT_DESCRIPTOR = auto()
    SHORT = auto()
    LONGER_THAN_THE_BLOCK = auto()
    NOT_AT_ALL = auto()
    HUNG_UP = auto()


class LendingLogCache(FakeLogCache):
    """A service that lends what it sends to whom it knows.

    Attributes:
        ways: How the next batches are handed over; then all are as they should be.
        lenders: One a stream that has named a token.
    """

    def __init__(self, logs: Logs, **options: Any) -> None:
        super().__init__(logs, **options)
        self.ways: list[Way] = []
        self.lenders: list[Lender] = []
        self.sock: socket.socket | None = None

    async def Subscribe(  # noqa: N802
        self,
        request: pb.SubscribeRequest,
        context: aio.ServicerContext[pb.SubscribeRequest, pb.SubscribeResponse],
    ) -> AsyncIterator[pb.SubscribeResponse]:
        lender = self._claim(request.shared_memory)
        number = 0
        async for response in super().Subscribe(request, context):
            if lender is not None and response.WhichOneof("event") == "batch":
                number += 1
                self._lend(lender, number, response.batch)
            yield response

    def _claim(self, token: bytes) -> Lender | None:
        if not token or self.sock is None:
            return None
        connection, _ = self.sock.accept()
        connection.setblocking(False)
        assert connection.recv(64) == token
        self.lenders.append(Lender(connection))
        return self.lenders[-1]

    def _lend(self, lender: Lender, number: int, batch: pb.Batch) -> None:
        data = stream_of(batch)
        batch.ClearField("arrow_ipc")
        batch.shared.block, batch.shared.length = number, len(data)
        way = self.ways.pop(0) if self.ways else Way.RIGHT
        if way is Way.RIGHT:
            lender.lend(number, data)
        elif way is Way.WITHOUT_DESCRIPTOR:
            lender.introduce(number, CAPACITY)
        elif way is Way.SHORT:
            with open(os.devnull, "rb") as nothing:
                lender.introduce(number, CAPACITY, nothing.fileno())
        elif way is Way.LONGER_THAN_THE_BLOCK:
            lender.lend(number, data)
            batch.shared.length = CAPACITY + 1
        elif way is Way.HUNG_UP:
            lender.connection.close()


@asynccontextmanager
async def lent(cache: LendingLogCache) -> AsyncIterator[Client]:
    with ExitStack() as stack:
        async with serving(cache) as target, Client(target) as client:
            port = int(target.rpartition(":")[2])
            cache.sock = stack.enter_context(listening(port))
            try:
                yield client
            finally:
                for lender in cache.lenders:
                    lender.close()


async def batches_of(stream: Stream) -> list[Batch]:
    return [each async for each in stream]


@in_event_loop
async def test_records_come_in_memory_and_all_of_it_is_given_back() -> None:
    cache = LendingLogCache(Logs({ORDERS: OFFSETS}))
    async with lent(cache) as client:
        async with client.subscribe("s", topics="orders", mode=Mode.FULL, settings=QUICK) as stream:
            seen = [each async for each in stream.records()]
        (lender,) = cache.lenders
        await eventually(lambda: lender.is_hung_up_on)
        assert [lender.done(number) for number in range(1, 11)] == [1] * 10
        assert len(lender.heard) == 21
    assert [as_message(each) for each in seen] == [record(ORDERS, each) for each in OFFSETS]


@in_event_loop
async def test_the_connection_stays_until_the_last_table_is_gone() -> None:
    cache = LendingLogCache(Logs({ORDERS: OFFSETS}))
    async with lent(cache) as client:
        async with client.subscribe("s", topics="orders", mode=Mode.FULL, settings=QUICK) as stream:
            batches = await batches_of(stream)
        (lender,) = cache.lenders
        assert all(isinstance(each.payload, LentPayload) for each in batches)
        tables = [each.to_arrow() for each in batches]
        del batches, stream
        await asyncio.sleep(0)
        assert lender.listen() == [b for b in lender.heard if b.startswith(b"t")]
        found = [offset for table in tables for offset in table.column("offset").to_pylist()]
        assert found == OFFSETS
        del tables
        await eventually(lambda: lender.is_hung_up_on)
        assert [lender.done(number) for number in range(1, 11)] == [1] * 10


@pytest.mark.parametrize("way", [way for way in Way if way is not Way.RIGHT])
@in_event_loop
async def test_where_memory_does_not_come_the_next_connection_is_one_of_messages(way: Way) -> None:
    cache = LendingLogCache(Logs({ORDERS: OFFSETS}))
    cache.ways = [Way.RIGHT, Way.RIGHT, way]
    settings = replace(QUICK, silence_max_s=0.5 if way is Way.NOT_AT_ALL else 20.0)
    async with lent(cache) as client:
        async with client.subscribe(
            "s", topics="orders", mode=Mode.FULL, settings=settings
        ) as stream:
            batches = await batches_of(stream)
        assert [isinstance(each.payload, LentPayload) for each in batches[:3]] == [
            True,
            True,
            False,
        ]
        records = [each for batch in batches for each in batch]
        assert [each.offset for each in records] == OFFSETS
        assert [bool(each.shared_memory) for each in cache.requests] == [True, False]
        (lender,) = cache.lenders
        if way is not Way.HUNG_UP:
            assert not lender.is_hung_up_on
            del batches, records
            await eventually(lambda: lender.is_hung_up_on)
            assert [lender.done(1), lender.done(2), lender.done(3)] == [1, 1, 0]


@in_event_loop
async def test_a_connection_that_is_lost_is_made_again_with_memory() -> None:
    cache = LendingLogCache(Logs({ORDERS: OFFSETS}))
    cache.faults.extend([Fault(2, StatusCode.UNAVAILABLE), Fault(3, StatusCode.UNAVAILABLE)])
    async with lent(cache) as client:
        async with client.subscribe("s", topics="orders", mode=Mode.FULL, settings=QUICK) as stream:
            kept: list[Batch] = await batches_of(stream)
        assert len(cache.lenders) == 3
        assert len({each.shared_memory for each in cache.requests}) == 3
        assert not any(lender.is_hung_up_on for lender in cache.lenders)
        assert [offset for each in kept for offset in each.offsets] == OFFSETS
        del kept
        await eventually(lambda: all(lender.is_hung_up_on for lender in cache.lenders))


@pytest.mark.parametrize(
    "asked",
    [
        {"settings": replace(QUICK, shared_memory=False)},
        {"settings": QUICK, "encoding": Encoding.RECORDS},
        {"settings": QUICK, "arrow_compression": ArrowCompression.NONE},
        {"settings": QUICK, "batch_bytes_max": 1},
    ],
    ids=["said no", "records", "uncompressed", "small"],
)
@in_event_loop
async def test_who_wants_another_form_names_no_memory(asked: dict[str, Any]) -> None:
    cache = LendingLogCache(Logs({ORDERS: OFFSETS}))
    async with (
        lent(cache) as client,
        client.subscribe("s", topics="orders", mode=Mode.FULL, **asked) as stream,
    ):
        assert [each.offset async for each in stream.records()] == OFFSETS
        assert [each.shared_memory for each in cache.requests] == [b""]
        assert cache.lenders == []
        assert cache.sock is not None
        with pytest.raises(BlockingIOError):
            cache.sock.accept()


@in_event_loop
async def test_a_stream_that_waits_keeps_nothing_of_what_it_has_passed_on() -> None:
    cache = LendingLogCache(Logs({ORDERS: OFFSETS[:6]}))
    async with (
        lent(cache) as client,
        client.subscribe(
            "s", topics="orders", mode=Mode.FULL_AND_INCREMENTAL, settings=QUICK
        ) as stream,
    ):
        batches = aiter(stream)
        seen = 0
        while seen < 6:
            seen += len(await anext(batches))
        (lender,) = cache.lenders
        await eventually(lambda: lender.done(1) == lender.done(2) == 1)
        assert not lender.is_hung_up_on
