"""Subscriptions: durable positions, and who is subscribed now.

What is durable lives in the catalogue; this keeps a copy in memory and is the only one to change
it. A subscription has at most one subscriber: the newest, by epoch. Commits of all subscriptions
gather while one transaction is under way and go together into the next, so that their number
does not depend on the number of tasks.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from weakref import WeakValueDictionary

from cachesvc.errors import CacheError, NotFound, Superseded
from cachesvc.log.catalogue_thread import CatalogueThread
from cachesvc.model import GapPolicy, Mode, PartitionId
from cachesvc.policy.start_position import ExplicitStart
from cachesvc.store.ports import PositionCommit, SubscriptionRecord
from cachesvc.subscriptions.subscriber import Subscriber

__all__ = ["Subscriber", "Subscription", "SubscriptionSettings", "Subscriptions"]


@dataclass(slots=True)
class Subscription:
    """A subscription as it is now.

    Attributes:
        record: Its durable side.
        positions: Durable too: the next offset to read, per partition.
        subscriber: The newest one since the service started; it may commit after its stream ended.
        connected: Whether that one's stream is open.
        awaited: Where to start in partitions, by topic and number, of which the source could not be
            asked yet; as long as the service runs.
    """

    record: SubscriptionRecord
    positions: dict[PartitionId, int] = field(default_factory=dict)
    subscriber: Subscriber | None = None
    connected: bool = False
    awaited: dict[tuple[str, int], ExplicitStart] = field(default_factory=dict)

    @property
    def delivering(self) -> dict[PartitionId, int]:
        """Where the open stream is in the newest incarnations; empty without a stream."""
        if self.subscriber is None or not self.connected:
            return {}
        delivered = self.subscriber.delivered
        newest = {(each.topic, each.partition): each for each in sorted(delivered)}
        return {each: delivered[each] for each in newest.values()}


@dataclass(frozen=True, slots=True)
class SubscriptionSettings:
    """What a subscriber wants its subscription to be; fields as in ``SubscriptionRecord``."""

    name: str
    connection: str
    topics: tuple[str, ...]
    topic_expression: str
    mode: Mode
    gap_policy: GapPolicy = GapPolicy.STOP_AT_GAP


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A commit that waits for the next transaction, and the subscriber it came from, if known."""

    commit: PositionCommit
    subscriber: Subscriber | None
    done: "asyncio.Future[None]"


class Subscriptions:
    """All subscriptions of a store. Belongs to one event loop; ``run`` has to run.

    Args:
        catalogue: Where they are durable.
        on_change: Called when the set of subscriptions or of their topics may have changed.
    """

    def __init__(self, catalogue: CatalogueThread, on_change: Callable[[], None]) -> None:
        self._catalogue = catalogue
        self._on_change = on_change
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._ended_by: CacheError | None = None
        self.ended = asyncio.Event()
        """Set once there are no subscribers any more, because the service ends."""
        self._waiting: list[_Waiting] = []
        self._wake = asyncio.Event()
        records = catalogue.call_blocking(lambda port: port.list_subscriptions())
        positions = catalogue.call_blocking(lambda port: port.list_positions())
        self._deleted_epoch = catalogue.call_blocking(lambda port: port.deleted_epoch())
        self._all = {
            record.name: Subscription(record, positions.get(record.name, {})) for record in records
        }

    def all(self) -> list[Subscription]:
        """Every subscription, ordered by name."""
        return [self._all[name] for name in sorted(self._all)]

    def using(self, connection: str) -> list[str]:
        """The names of the subscriptions of a connection, in order."""
        return [each.record.name for each in self.all() if each.record.connection == connection]

    def get(self, name: str) -> Subscription:
        """A subscription.

        Raises:
            NotFound: There is none of that name.
        """
        found = self._all.get(name)
        if found is None:
            raise NotFound(
                f"there is no subscription {name!r}; Subscribe makes one on first use",
                reason="UNKNOWN_SUBSCRIPTION",
                metadata={"subscription": name},
            )
        return found

    async def open(self, wanted: SubscriptionSettings) -> tuple[Subscription, Subscriber]:
        """Makes the caller the newest subscriber; an older one is told and ends."""
        now_ms = time.time_ns() // 1_000_000
        name = wanted.name
        record = SubscriptionRecord(
            name,
            wanted.connection,
            wanted.topics,
            wanted.topic_expression,
            wanted.mode,
            # Whoever still streams from a subscription of that name that was deleted is older.
            epoch=self._deleted_epoch + 1,
            full_sync_done=False,
            created_ms=now_ms,
            gap_policy=wanted.gap_policy,
        )
        async with self._locks.setdefault(name, asyncio.Lock()):
            subscription = self._all.get(name)
            if subscription is None:
                await self._catalogue.call(lambda port: port.put_subscription(record))
                subscription = self._all[name] = Subscription(record)
            else:
                async with self._commits_barred(subscription):
                    await self._change(subscription, record)
            # Until the stream has places, retention keeps what the one before had still to read.
            before = () if subscription.subscriber is None else subscription.subscriber.reads
            self._end_subscriber(subscription, "SUBSCRIPTION_TAKEN_OVER", "a newer subscriber took")
            subscriber = Subscriber(subscription.record.epoch, before=before)
            subscription.subscriber = subscriber
            subscription.connected = True
        self.check_open()
        self._on_change()
        return subscription, subscriber

    def check_open(self) -> None:
        """Lets nobody subscribe any more once the service ends.

        Raises:
            CacheError: What ``end_all`` was given.
        """
        if self._ended_by is not None:
            raise self._ended_by

    @asynccontextmanager
    async def _commits_barred(self, subscription: Subscription) -> AsyncIterator[None]:
        """Raises the epoch, so that what is written within comes after every accepted commit.

        Nothing is durable of it yet: the block does that. Where it fails all is as before.
        """
        epoch = subscription.record.epoch
        subscription.record = replace(subscription.record, epoch=epoch + 1)
        try:
            await self._enqueue(PositionCommit(subscription.record.name, {}, None))
            yield
        except BaseException:
            subscription.record = replace(subscription.record, epoch=epoch)
            raise

    async def _change(self, subscription: Subscription, record: SubscriptionRecord) -> None:
        before = subscription.record
        record = replace(
            record,
            epoch=before.epoch,
            full_sync_done=before.full_sync_done,
            created_ms=before.created_ms,
            committed_ms=before.committed_ms,
        )
        moved = record.connection != before.connection
        await self._catalogue.call(lambda port: port.put_subscription(record, drop_positions=moved))
        subscription.record = record
        if moved:
            subscription.positions.clear()
            subscription.awaited.clear()

    def leave(self, subscription: Subscription, subscriber: Subscriber) -> None:
        """Notes that a stream has ended; a newer one is not touched."""
        if subscription.subscriber is subscriber:
            subscription.connected = False

    async def store_start(
        self, subscription: Subscription, epoch: int, positions: Mapping[PartitionId, int]
    ) -> None:
        """Stores where a subscriber starts, so that what comes after is not lost if it dies.

        This is the one way, beside ``reset``, in which a stored position moves back.
        """
        name = subscription.record.name
        self._check_epoch(name, epoch)
        if positions:
            await self._enqueue(PositionCommit(name, dict(positions), None))

    async def commit(self, name: str, epoch: int, positions: Mapping[PartitionId, int]) -> None:
        """Stores positions of the newest subscriber; durable when this returns.

        A position that is lower than the stored one changes nothing: stored positions never move
        back by a commit.

        Raises:
            NotFound: There is no such subscription.
            Superseded: ``epoch`` is not the newest; nothing is stored.
            InvalidRequest: A position lies behind what was delivered; nothing is stored.
        """
        subscriber = self._check_epoch(name, epoch).subscriber
        if subscriber is not None:
            subscriber.check_delivered(name, positions)
        now_ms = time.time_ns() // 1_000_000
        await self._enqueue(PositionCommit(name, dict(positions), now_ms), subscriber)

    def _check_epoch(self, name: str, epoch: int) -> Subscription:
        subscription = self.get(name)
        if epoch != subscription.record.epoch:
            raise Superseded(
                f"subscription {name!r} has a newer subscriber (epoch {subscription.record.epoch}, "
                f"yours is {epoch}); this one has to stop",
                reason="SUBSCRIPTION_TAKEN_OVER",
                metadata={"subscription": name, "epoch": subscription.record.epoch},
            )
        return subscription

    async def reset(
        self, name: str, positions: Mapping[PartitionId, int], *, forget_full_sync: bool
    ) -> Subscription:
        """Replaces the stored positions; with none the next subscriber starts as its mode says."""
        async with self._locks.setdefault(name, asyncio.Lock()):
            subscription = self.get(name)
            async with self._commits_barred(subscription):
                before = subscription.record
                record = replace(
                    before, full_sync_done=before.full_sync_done and not forget_full_sync
                )
                await self._catalogue.call(
                    lambda port: port.put_subscription(record, positions, drop_positions=True)
                )
                subscription.record = record
                subscription.positions = dict(positions)
                subscription.awaited.clear()
            self._end_subscriber(subscription, "SUBSCRIPTION_RESET", "an operator reset")
        self._on_change()
        return subscription

    async def delete(self, name: str) -> None:
        """Forgets a subscription.

        Raises:
            NotFound: There is none of that name.
        """
        async with self._locks.setdefault(name, asyncio.Lock()):
            subscription = self.get(name)
            await self._catalogue.call(lambda port: port.delete_subscription(name))
            del self._all[name]
            self._deleted_epoch = max(self._deleted_epoch, subscription.record.epoch)
            self._end_subscriber(subscription, "SUBSCRIPTION_DELETED", "an operator deleted")
        self._on_change()

    def end_all(self, error: CacheError) -> None:
        """Ends every subscriber, and whoever is about to be one, because the service ends."""
        self._ended_by = error
        self.ended.set()
        for subscription in self._all.values():
            if subscription.subscriber is not None:
                subscription.subscriber.end(error)

    async def run(self) -> None:
        """Stores positions until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            waiting, self._waiting = self._waiting, []
            try:
                await self._store(waiting)
            except Exception as error:  # told to every caller
                for each in waiting:
                    if not each.done.done():
                        each.done.set_exception(error)

    async def _store(self, waiting: list[_Waiting]) -> None:
        commits = self._settled(waiting)
        if commits:
            await self._catalogue.call(lambda port: port.commit_positions(commits))
        for commit in commits:
            subscription = self._all.get(commit.subscription)
            if subscription is None:
                continue
            subscription.positions.update(commit.positions)
            if commit.committed_ms is not None:
                subscription.record = replace(
                    subscription.record,
                    committed_ms=commit.committed_ms,
                    full_sync_done=subscription.record.full_sync_done or commit.full_sync_done,
                )
        for each in waiting:
            if not each.done.done():
                each.done.set_result(None)

    def _settled(self, waiting: list[_Waiting]) -> list[PositionCommit]:
        """What commits come to, one after the other: no step back, and whether a full sync is done.

        A start is taken as it is. Subscriptions that were deleted meanwhile are left out.
        """
        settled: list[PositionCommit] = []
        stored: dict[str, dict[PartitionId, int]] = {}
        for each in waiting:
            commit = each.commit
            subscription = self._all.get(commit.subscription)
            if subscription is None:
                continue
            known = stored.setdefault(commit.subscription, dict(subscription.positions))
            if commit.committed_ms is not None:
                forward = {p: at for p, at in commit.positions.items() if at >= known.get(p, 0)}
                done = each.subscriber is not None and each.subscriber.full_sync_done(
                    {**known, **forward}
                )
                commit = replace(commit, positions=forward, full_sync_done=done)
            known.update(commit.positions)
            settled.append(commit)
        return settled

    async def _enqueue(self, commit: PositionCommit, subscriber: Subscriber | None = None) -> None:
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(commit, subscriber, done))
        self._wake.set()
        await done

    def _end_subscriber(self, subscription: Subscription, reason: str, who: str) -> None:
        if subscription.subscriber is None:
            return
        name = subscription.record.name
        subscription.subscriber.end(
            Superseded(
                f"{who} the subscription {name!r}",
                reason=reason,
                metadata={"subscription": name, "epoch": subscription.record.epoch},
            )
        )
        subscription.subscriber = None
        subscription.connected = False
