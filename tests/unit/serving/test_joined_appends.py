"""Appends of one fetch come in one message: each counts by itself, and all of them together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from cachesvc.model import TopicId
from cachesvc.serving.append_parts import AppendParts
from cachesvc.serving.appending import Appender
from cachesvc.v1 import log_cache_pb2 as log_cache
from cachesvc.v1 import mining_pb2 as pb
from tests.support.frames import full_frame
from tests.unit.assignment.plans import epoch_of, planning
from tests.unit.clusters.lookups import FakeLookup
from tests.unit.log.running import until
from tests.unit.serving.test_joining import Streams

ORDERS = TopicId("main", "orders")


class Answers:
    """A call's context that keeps what is answered."""

    def __init__(self) -> None:
        self.messages: list[pb.AppendResponse] = []

    async def write(self, message: pb.AppendResponse) -> None:
        self.messages.append(message)


def _append(number: int, begin: int, end: int, **changes: Any) -> pb.AppendRequest:
    frame = full_frame(begin, end)
    fields: dict[str, Any] = {
        "connection": "main",
        "topic": "orders",
        "partition": number,
        "incarnation": 1,
        "base_offset": begin,
        "end_offset": end,
        "record_count": frame.record_count,
        "first_offset": begin,
        "payload": bytes(frame.payload),
    }
    return pb.AppendRequest(**(fields | changes))


def _offsets(message: log_cache.SubscribeResponse) -> dict[int, list[int]]:
    batches = message.batches.batch if message.HasField("batches") else [message.batch]
    return {batch.partition: [r.offset for r in batch.records] for batch in batches}


def test_what_comes_together_is_answered_and_delivered_together(tmp_path: Path) -> None:
    async def run() -> None:
        async with planning(tmp_path, FakeLookup(orders=3)) as plan:
            reader = plan.join("reader")
            streams = Streams(plan)
            mode = log_cache.FULL_AND_INCREMENTAL
            async with streams.open(mode=mode, joins_batches=True) as told:
                await plan.settled("orders")
                epoch = epoch_of(reader, "orders")
                answers, over = Answers(), asyncio.Event()

                async def requests() -> AsyncIterator[pb.AppendRequest]:
                    good = [_append(number, 0, 5, epoch=epoch) for number in range(3)]
                    stale = _append(1, 5, 9, epoch=epoch - 1)
                    nowhere = _append(9, 0, 5, epoch=epoch)
                    yield pb.AppendRequest(joined=[good[0], good[1], stale, nowhere, good[2]])
                    await over.wait()
                    yield _append(0, 5, 7, epoch=epoch)

                appender = Appender(plan.store, plan.assignments, AppendParts(1 << 20), answers)  # type: ignore[arg-type]
                appending = asyncio.ensure_future(appender.run(requests()))
                await until(lambda: any(_is_batch(each) for each in told))
                await until(lambda: bool(answers.messages))
                over.set()
                await appending
                await until(lambda: sum(map(_is_batch, told)) == 2)

        (together, alone) = answers.messages
        assert [(each.partition, each.refused) for each in together.joined] == [
            (0, ""),
            (1, ""),
            (1, "STALE_EPOCH"),
            (9, "UNKNOWN_PARTITION"),
            (2, ""),
        ]
        assert [each.log_end_offset for each in together.joined][:2] == [5, 5]
        assert not alone.joined
        assert (alone.partition, alone.log_end_offset) == (0, 7)
        first, second = map(_offsets, filter(_is_batch, told))
        assert first == {number: [0, 1, 2, 3, 4] for number in range(3)}
        assert second == {0: [5, 6]}

    asyncio.run(run())


def _is_batch(message: log_cache.SubscribeResponse) -> bool:
    return message.WhichOneof("event") in ("batch", "batches")
