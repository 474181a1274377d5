"""A Subscribe call from its checked request to its end."""

import asyncio
from collections.abc import Coroutine, Iterable, Mapping
from typing import Any, TypeVar

from cachesvc.errors import InvalidRequest, SourceUnreachable
from cachesvc.log.assignments import Assignments
from cachesvc.log.log_store import LogStore
from cachesvc.log.partition_log import PartitionLog
from cachesvc.log.sources import Source, Sources
from cachesvc.log.subscriber import Subscriber
from cachesvc.log.subscriptions import Subscription, Subscriptions, SubscriptionWish
from cachesvc.model import Mode, PartitionId
from cachesvc.policy.topics import topic_matcher
from cachesvc.serving.batches import Batches
from cachesvc.serving.convert import (
    NamedOffset,
    PartitionName,
    SubscribeCall,
    partition_id,
)
from cachesvc.serving.starts import Starts
from cachesvc.serving.stream import Stream, StreamSettings, Write
from cachesvc.serving.stream_events import started
from cachesvc.store.ports import SubscriptionRecord

T = TypeVar("T")


class Subscribing:
    """Opens subscriptions, resolves starts, runs streams.

    Args:
        store: The logs.
        sources: The connections.
        subscriptions: The durable side.
        assignments: Makes the logs of topics that are new to the cache.
        batches: Cuts and encodes frames for all streams.
        progress_interval_s: Longest silence of a stream.
    """

    def __init__(
        self,
        store: LogStore,
        sources: Sources,
        subscriptions: Subscriptions,
        assignments: Assignments,
        batches: Batches,
        progress_interval_s: float,
    ) -> None:
        self._store = store
        self._sources = sources
        self._subscriptions = subscriptions
        self._assignments = assignments
        self._batches = batches
        self._progress_interval_s = progress_interval_s

    async def serve(self, call: SubscribeCall, write: Write) -> None:
        """Serves one call until the stream is complete or its subscriber has to end.

        Cancel-safe: the subscriber leaves, nothing else changes.

        Raises:
            CacheError: The call is refused, or the subscriber has to end, or the service does.
        """
        source = self._sources.resolve(call.connection)
        source.check_mined()
        # A full sync has to know every partition; others join a running stream.
        whole = call.mode is Mode.FULL and not call.end
        await self._unless_ended(
            find_topics(self._sources, self._store, source, call.topics, whole=whole)
        )
        # It may have been changed or deleted meanwhile.
        source = self._sources.resolve(source.name)
        source.check_mined()
        subscription, subscriber = await self._subscriptions.open(
            SubscriptionWish(
                call.subscription,
                source.name,
                call.topics,
                call.topic_expression,
                call.mode,
                call.gap_policy,
            )
        )
        serving = asyncio.ensure_future(self._stream(call, source, subscription, subscriber, write))
        try:
            either: set[asyncio.Future[Any]] = {serving, subscriber.ended}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if not serving.done():
                raise subscriber.ended.result()
            serving.result()
        finally:
            serving.cancel()
            self._subscriptions.leave(subscription, subscriber)

    async def _unless_ended(self, work: Coroutine[Any, Any, T]) -> T:
        """What ``work`` answers, unless the service ends meanwhile."""
        working = asyncio.ensure_future(work)
        ending = asyncio.ensure_future(self._subscriptions.ended.wait())
        try:
            await asyncio.wait({working, ending}, return_when=asyncio.FIRST_COMPLETED)
            self._subscriptions.check_open()
            return working.result()
        finally:
            for task in (working, ending):
                task.cancel()
            await asyncio.gather(working, ending, return_exceptions=True)

    async def _stream(
        self,
        call: SubscribeCall,
        source: Source,
        subscription: Subscription,
        subscriber: Subscriber,
        write: Write,
    ) -> None:
        settings = StreamSettings(
            call.encoding,
            call.batch_bytes_max,
            self._progress_interval_s,
            bounded=bool(call.end) or call.mode is Mode.FULL,
            gap_policy=call.gap_policy,
        )
        stream = Stream(self._store, self._batches, subscriber, settings)
        joining = None
        try:
            await self._enter(call, source, subscription, subscriber, stream)
            await write(started(subscriber.epoch, source.name, stream.cursors))
            if not settings.bounded:
                joining = asyncio.ensure_future(
                    self._join_later(source, subscription, subscriber, stream)
                )
            await stream.run(write)
        finally:
            if joining is not None:
                joining.cancel()
            stream.close()

    async def _enter(
        self,
        call: SubscribeCall,
        source: Source,
        subscription: Subscription,
        subscriber: Subscriber,
        stream: Stream,
    ) -> None:
        """Resolves start and end of every partition, stores what has to be, fills the stream."""
        await self._assignments.enter(source, self.topics_of(subscription.record, source))
        logs = {_name(log.id): log for log in self.logs_of(subscription.record, source)}
        _check_known("end", call.end, logs)
        _check_known("start.positions", call.start.positions or {}, logs)
        if call.end:
            logs = {name: log for name, log in logs.items() if name in call.end}
        starts = Starts(self._store, source)
        resolved = await starts.resolve(logs.values(), call.mode, call.start, subscription)
        ends: Mapping[PartitionId, int] = {}
        if call.end:
            ends = {
                partition_id(source.name, name, at, logs[name].id.incarnation): at.offset
                for name, at in call.end.items()
            }
        elif call.mode is Mode.FULL:
            ends = await starts.source_ends(logs.values())
        if call.mode is Mode.FULL:
            subscriber.full_start = dict(resolved.positions)
            subscriber.full_end = dict(ends)
        await self._subscriptions.store_start(subscription, subscriber.epoch, resolved.to_store)
        stream.ends = ends
        for partition, position in resolved.positions.items():
            log = self._store.get(partition)
            assert log is not None, "starts are of logs"
            stream.add(log, position)

    async def _join_later(
        self,
        source: Source,
        subscription: Subscription,
        subscriber: Subscriber,
        stream: Stream,
    ) -> None:
        """Enters partitions and topics that appear while the stream runs."""
        changed = asyncio.Event()
        self._sources.subscribe(changed.set)
        try:
            while True:
                new = [
                    log
                    for log in self.logs_of(subscription.record, source)
                    if not stream.reads(log.id.topic, log.id.partition)
                ]
                starts = {
                    log.id: subscription.positions.get(log.id, log.log_start_offset) for log in new
                }
                if starts:
                    await self._subscriptions.store_start(subscription, subscriber.epoch, starts)
                for log in new:
                    stream.add_later(log, starts[log.id])
                await changed.wait()
                changed.clear()
        finally:
            self._sources.unsubscribe(changed.set)

    def topics_of(self, record: SubscriptionRecord, source: Source) -> list[str]:
        """The topics that a subscription means now, those the source has or had."""
        if record.topic_expression:
            matches = topic_matcher(record.topic_expression)
            return sorted(name for name in source.topics if matches(name))
        return [name for name in record.topics if name in source.topics]

    def logs_of(self, record: SubscriptionRecord, source: Source) -> list[PartitionLog]:
        """The logs of a subscription's topics in their present life, ordered by partition."""
        if record.topic_expression:
            matches = topic_matcher(record.topic_expression)
        else:
            matches = set(record.topics).__contains__
        return [
            log
            for log in self._store.present()
            if log.id.connection == source.name and matches(log.id.topic)
        ]


async def find_topics(
    sources: Sources, store: LogStore, source: Source, topics: Iterable[str], *, whole: bool = False
) -> None:
    """Makes sure that topics are known, asking the source where that is needed.

    It is asked about topics that are new, and once before the first answer of this connection. A
    source that is known to be away is not waited for again just to serve what is cached.

    Args:
        sources: Asks.
        store: Knows what is cached.
        source: The connection.
        topics: Names.
        whole: Whether what is known without an answer of the source is of no use.

    Raises:
        NotFound: The source has no such topic, or it does not belong to the connection.
        SourceUnreachable: It cannot be asked.
    """
    cached = {log.id.topic for log in store.all() if log.id.connection == source.name}
    unknown = [topic for topic in topics if topic not in source.topics and topic not in cached]
    away = bool(source.error) and not whole
    if not unknown and (source.known or away):
        return
    try:
        await sources.look(source)
    except SourceUnreachable:
        if unknown or whole:
            raise
        return
    for topic in unknown:
        if topic not in source.topics:
            raise source.unknown(topic)


def _name(partition: PartitionId) -> PartitionName:
    return partition.topic, partition.partition


def _check_known(
    field: str,
    positions: Mapping[PartitionName, NamedOffset],
    logs: Mapping[PartitionName, PartitionLog],
) -> None:
    for topic, number in positions:
        if (topic, number) not in logs:
            raise InvalidRequest(
                f"{field}: {topic}/{number} is no partition of this subscription",
                reason="UNKNOWN_PARTITION",
                metadata={"topic": topic, "partition": number},
            )
