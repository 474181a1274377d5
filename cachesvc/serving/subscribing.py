"""A Subscribe call from its checked request to its end."""

import asyncio
import uuid
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from cachesvc.assignment.assignments import Assignments
from cachesvc.clusters.sources import Source, Sources
from cachesvc.log.log_store import LogStore
from cachesvc.model import Mode, Sharing
from cachesvc.serving.batches import Batches
from cachesvc.serving.calling import current_may_read
from cachesvc.serving.convert import SubscribeCall
from cachesvc.serving.joining import Joining, Served
from cachesvc.serving.member_starts import MemberStarts, Shared
from cachesvc.serving.membership import Membership
from cachesvc.serving.recovery import StreamSnapshots
from cachesvc.serving.selection import find_topics
from cachesvc.serving.sharing import share, until_ended
from cachesvc.serving.silence import Write
from cachesvc.serving.stream import Stream
from cachesvc.serving.stream_events import started
from cachesvc.serving.stream_settings import StreamSettings
from cachesvc.serving.turns import Turns
from cachesvc.shared_memory.neighbours import Neighbour
from cachesvc.shared_memory.place import SharedMemory
from cachesvc.snapshots.shelf import Shelf
from cachesvc.subscriptions.members import name_of
from cachesvc.subscriptions.subscriber import Origin, Subscriber
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
        memory: What processes of this machine are handed records in; None where that is not done.
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
        memory: SharedMemory | None = None,
    ) -> None:
        self._store = store
        self._sources = sources
        self._subscriptions = subscriptions
        self._assignments = assignments
        self._batches = batches
        self._shelf = shelf
        self._progress_interval_s = progress_interval_s
        self._deliveries = deliveries
        self._memory = memory
        self._turns = Turns()

    async def serve(self, call: SubscribeCall, write: Write, origin: Origin | None = None) -> None:
        """Serves one call until the stream is complete or its subscriber has to end.

        Cancel-safe: the subscriber leaves, nothing else changes.

        Args:
            call: What was asked for.
            write: Sends a message to the client.
            origin: Who asked, for those who look at the subscription.

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
        wanted = SubscriptionSettings(
            call.subscription,
            source.name,
            call.topics,
            call.topic_expression,
            call.mode,
            call.gap_policy,
        )
        with self._neighbour(call) as neighbour:
            taken = write if neighbour is None else _taken(write, neighbour)
            if call.sharing is Sharing.SHARED:
                await self._share(call, source, wanted, taken, origin, neighbour)
            else:
                await self._serve_alone(call, source, wanted, taken, origin, neighbour)

    @contextmanager
    def _neighbour(self, call: SubscribeCall) -> Iterator[Neighbour | None]:
        """Where records are handed over for as long as the call runs; None where they are not."""
        neighbour = None if self._memory is None else self._memory.claim(call.shared_memory)
        try:
            yield neighbour
        finally:
            if self._memory is not None and neighbour is not None:
                self._memory.end(neighbour)

    async def _serve_alone(
        self,
        call: SubscribeCall,
        source: Source,
        wanted: SubscriptionSettings,
        write: Write,
        origin: Origin | None,
        neighbour: Neighbour | None,
    ) -> None:
        """Serves the one who has the subscription for itself."""
        subscription, subscriber = await self._subscriptions.open(wanted)
        subscriber.origin = origin
        try:
            await until_ended(
                subscriber, self._stream(call, source, subscription, subscriber, write, neighbour)
            )
        finally:
            self._subscriptions.leave(subscription, subscriber)

    async def _share(
        self,
        call: SubscribeCall,
        source: Source,
        wanted: SubscriptionSettings,
        write: Write,
        origin: Origin | None,
        neighbour: Neighbour | None,
    ) -> None:
        """Serves a member."""
        end = {name: (at.incarnation, at.offset) for name, at in call.end.items()}
        reduction = "" if call.reduction is None else call.reduction.text
        name = call.member or uuid.uuid4().hex
        also = end, reduction, call.bootstrap
        subscription, group, member = await self._subscriptions.join(wanted, name, also)
        member.subscriber.origin = origin

        async def timed(data: bytes) -> None:
            await group.written(member, write(data))

        snapshots = StreamSnapshots(
            self._shelf,
            self._subscriptions,
            subscription,
            member.subscriber,
            lambda partition, epoch: group.keeps(member, name_of(partition), epoch),
        )
        stream = self._make_stream(call, snapshots, member.subscriber, neighbour)
        shared = Shared(call, source, subscription, group, member, stream)
        starts = MemberStarts(self._store, self._subscriptions, self._shelf, shared)
        membership = Membership(self._store, self._sources, self._assignments, starts, shared)
        try:
            await until_ended(
                member.subscriber, share(membership, stream, timed, group.epoch, source.name, name)
            )
        finally:
            done = stream.complete
            self._subscriptions.leave_group(subscription, group, member, finished=done)

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

    def _make_stream(
        self,
        call: SubscribeCall,
        snapshots: StreamSnapshots,
        subscriber: Subscriber,
        neighbour: Neighbour | None,
    ) -> Stream:
        settings = StreamSettings(
            call.form,
            call.batch_bytes_max,
            self._progress_interval_s,
            bounded=bool(call.end) or call.mode is Mode.FULL,
            gap_policy=call.gap_policy,
            message_bytes_max=call.message_bytes_max,
            joins_batches=call.joins_batches,
            reduction=call.reduction,
            subscription=call.subscription,
            parquet_bytes_max=call.parquet_bytes_max,
            may_read=current_may_read(),
            neighbour=neighbour,
            lent_bytes_max=call.lent_bytes_max,
        )
        return Stream(
            self._store,
            self._batches,
            snapshots,
            subscriber,
            settings,
            self._deliveries,
            self._turns,
            None if self._memory is None else self._memory.lending,
        )

    async def _stream(
        self,
        call: SubscribeCall,
        source: Source,
        subscription: Subscription,
        subscriber: Subscriber,
        write: Write,
        neighbour: Neighbour | None,
    ) -> None:
        snapshots = StreamSnapshots(self._shelf, self._subscriptions, subscription, subscriber)
        stream = self._make_stream(call, snapshots, subscriber, neighbour)
        served = Served(call, source, subscription, subscriber, stream, current_may_read())
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


def _taken(write: Write, neighbour: Neighbour) -> Write:
    """Writes, and waits until the client has taken enough of what it was handed over."""

    async def written(data: bytes) -> None:
        told_bytes = neighbour.told_bytes
        await write(data)
        await neighbour.taken(told_bytes)

    return written
