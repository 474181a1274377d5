"""One Subscribe call of the fake service."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field

from cachesvc.v1 import log_cache_pb2 as pb
from tests.client.fake_log import Key, Logs, Offsets, encode


@dataclass
class Subscribed:
    """The durable side of a subscription, and its live stream."""

    epoch: int = 0
    mode: int = 0
    positions: Offsets = field(default_factory=dict)
    full_end: Offsets = field(default_factory=dict)
    full_sync_done: bool = False
    evicted: asyncio.Future[str] | None = None

    def evict(self, reason: str) -> None:
        if self.evicted is not None and not self.evicted.done():
            self.evicted.set_result(reason)
        self.evicted = None


class Session:
    """One Subscribe call: where it stands in every partition."""

    def __init__(
        self,
        logs: Logs,
        request: pb.SubscribeRequest,
        subscribed: Subscribed,
        batch_records_max: int,
        rewind: int,
    ) -> None:
        self._logs = logs
        self._batch_records_max = batch_records_max
        self._rewind = rewind
        self._request = request
        self._epoch = subscribed.epoch
        self._end = {(each.topic, each.partition): each.offset for each in request.end.positions}
        keys = list(self._end) or self._logs.keys_of(request.topics)
        if request.mode == pb.FULL and not self._end:
            self._end = {key: self._logs.end(key) for key in keys}
        if request.mode == pb.FULL:
            subscribed.full_end = dict(self._end)
        self._at = {key: self._start(key, subscribed) for key in keys}
        self._starts = dict(self._at)

    def started(self) -> pb.SubscribeResponse:
        return pb.SubscribeResponse(
            started=pb.Started(
                epoch=self._epoch,
                positions=position_messages(self._starts),
                end=position_messages(self._end),
                connection="fake",
            )
        )

    async def responses(self, evicted: asyncio.Future[str]) -> AsyncIterator[pb.SubscribeResponse]:
        """Everything after Started; ends when the stream is complete or evicted."""
        told: set[str] = set()
        while not evicted.done():
            version = self._logs.version
            for key in self._logs.keys_of(self._request.topics):
                if key not in self._at and not self._end:
                    self._at[key] = 0
                    start = position_message(key, 0)
                    yield pb.SubscribeResponse(partition_added=pb.PartitionAdded(start=start))
            if (batch := self._next_batch()) is not None:
                yield pb.SubscribeResponse(batch=batch)
            elif self._end and all(self._at[key] >= end for key, end in self._end.items()):
                yield pb.SubscribeResponse(ended=pb.Ended(positions=position_messages(self._end)))
                return
            else:
                for topic in {topic for topic, _ in self._at} - told:
                    told.add(topic)
                    yield pb.SubscribeResponse(caught_up=pb.CaughtUp(topic=topic))
                if not evicted.done():
                    yield self._progress()
                await self._logs.changed(version, evicted)

    def _progress(self) -> pb.SubscribeResponse:
        partitions = [
            pb.PartitionProgress(
                topic=key[0],
                partition=key[1],
                incarnation=1,
                position=at,
                log_end_offset=self._logs.end(key),
                mining_state=pb.MINING,
            )
            for key, at in self._at.items()
        ]
        return pb.SubscribeResponse(progress=pb.Progress(partitions=partitions))

    def _start(self, key: Key, subscribed: Subscribed) -> int:
        start = self._request.start
        named = {(each.topic, each.partition): each.offset for each in start.positions.positions}
        match start.WhichOneof("start"):
            case "earliest":
                return self._logs.start(key)
            case "latest":
                return self._logs.end(key)
            case "timestamp_ms":
                at = self._logs.at_time(key, start.timestamp_ms)
                return self._logs.end(key) if at is None else at
        if key in named:
            return max(named[key] - self._rewind, 0)
        if key in subscribed.positions:
            return subscribed.positions[key]
        from_latest = self._request.mode == pb.INCREMENTAL or (
            self._request.mode == pb.FULL_AND_INCREMENTAL and subscribed.full_sync_done
        )
        return self._logs.end(key) if from_latest else self._logs.start(key)

    def _next_batch(self) -> pb.Batch | None:
        for key, at in self._at.items():
            end = self._end.get(key, self._logs.end(key))
            records = self._logs.records(key, at, end)[: self._batch_records_max]
            if not records:
                self._at[key] = max(at, end)
                continue
            next_position = records[-1].offset + 1
            self._at[key] = next_position
            return encode(key, records, next_position, self._request.encoding)
        return None


def position_message(key: Key, offset: int) -> pb.Position:
    return pb.Position(topic=key[0], partition=key[1], incarnation=1, offset=offset)


def position_messages(offsets: Offsets) -> Iterable[pb.Position]:
    return [position_message(key, offset) for key, offset in offsets.items()]
