"""A Subscribe call from its checked request to its end."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from cachesvc.assignment.assignments import Assignments
from cachesvc.clusters.sources import Source, Sources
from cachesvc.log.log_store import LogStore
from cachesvc.model import Mode
from cachesvc.serving.batches import Batches
from cachesvc.serving.convert import SubscribeCall
from cachesvc.serving.joining import Joining, Served
from cachesvc.serving.recovery import StreamSnapshots
from cachesvc.serving.selection import find_topics
from cachesvc.serving.stream import Stream, Write
from cachesvc.serving.stream_events import started
from cachesvc.serving.stream_settings import StreamSettings
from cachesvc.snapshots.shelf import Shelf
from cachesvc.subscriptions.subscriber import Subscriber
from cachesvc.subscriptions.subscriptions import Subscription, Subscriptions, SubscriptionSettings
from cachesvc.watching.deliveries import Deliveries

T = TypeVar("T")


class Subscribing:
    """Opens subscriptions, resolves starts, runs streams.

    Args:
        store: The logs.
        sources: The connections.
        subscriptions: The durable side.
        assignments: Makes the logs of topics that are new to the cache.
        batches: Cuts and encodes frames for all streams.
        shelf: Has the snapshots that streams may begin with.
        progress_interval_s: Longest silence of a stream.
        deliveries: Counts what streams send.
    """

    def __init__(
        self,
        store: LogStore,
        sources: Sources,
        subscriptions: Subscriptions,
        assignments: Assignments,
        batches: Batches,
        shelf: Shelf,
        progress_interval_s: float,
        deliveries: Deliveries,
    ) -> None:
        self._store = store
        self._sources = sources
        self._subscriptions = subscriptions
        self._assignments = assignments
        self._batches = batches
        self._shelf = shelf
        self._progress_interval_s = progress_interval_s
        self._deliveries = deliveries

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
            SubscriptionSettings(
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
            call.form,
            call.batch_bytes_max,
            self._progress_interval_s,
            bounded=bool(call.end) or call.mode is Mode.FULL,
            gap_policy=call.gap_policy,
            message_bytes_max=call.message_bytes_max,
        )
        snapshots = StreamSnapshots(self._shelf, self._subscriptions, subscription, subscriber)
        stream = Stream(
            self._store, self._batches, snapshots, subscriber, settings, self._deliveries
        )
        served = Served(call, source, subscription, subscriber, stream)
        joining = Joining(
            self._store,
            self._sources,
            self._assignments,
            self._subscriptions,
            served,
            self._shelf,
        )
        later = None
        try:
            await joining.start()
            await write(
                started(
                    subscriber.epoch, source.name, stream.cursors, joining.ends, joining.snapshots
                )
            )
            if not joining.done:
                later = asyncio.ensure_future(joining.run())
            await stream.run(write)
        finally:
            if later is not None:
                later.cancel()
            stream.close()
