"""Subscriptions: durable positions, and who is subscribed now.

What is durable lives in the catalogue; this keeps a copy in memory and is the only one to change
it. A subscription has at most one subscriber, the newest by epoch, or a group whose members share
it; a group takes over from a subscriber and a subscriber from a group. What all subscriptions have
stored gathers while one transaction is under way and goes together into the next, so that their
number does not depend on the number of tasks.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from dataclasses import replace
from weakref import WeakValueDictionary

from cachesvc.errors import CacheError, NotFound, Superseded
from cachesvc.log.catalogue_thread import CatalogueThread
from cachesvc.log.gathering import Gathering
from cachesvc.model import PartitionId
from cachesvc.store.ports import PositionCommit, SubscriptionChange, SubscriptionRecord
from cachesvc.subscriptions.group import Group, partition_revoked, sharing_contradicted
from cachesvc.subscriptions.members import Member, SharingBounds
from cachesvc.subscriptions.position_queue import PositionQueue
from cachesvc.subscriptions.subscriber import Subscriber
from cachesvc.subscriptions.subscription import Opened, Subscription, SubscriptionSettings

__all__ = ["Opened", "Subscriber", "Subscription", "SubscriptionSettings", "Subscriptions"]


class Subscriptions:
    """All subscriptions of a store. Belongs to one event loop; ``run`` has to run.

    Args:
        catalogue: Where they are durable.
        on_change: Called when the set of subscriptions or of their topics may have changed.
        sharing: How long others wait for a member of a shared one.
    """

    def __init__(
        self,
        catalogue: CatalogueThread,
        on_change: Callable[[], None],
        sharing: SharingBounds | None = None,
    ) -> None:
        self._catalogue = catalogue
        self._on_change = on_change
        self._sharing = sharing or SharingBounds()
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self.making: Callable[[str], AbstractContextManager[None]] = lambda _: nullcontext()
        """Is around the making of one of that name, and may raise to forbid it."""
        self.on_committed: Callable[[str, Mapping[PartitionId, int]], None] | None = None
        """Called with a name and positions of it that a commit has made durable; must not wait."""
        self.on_opened: Callable[[Opened], None] = lambda _: None
        """Called by the task of whoever makes one, or has it from now on."""
        self._ended_by: CacheError | None = None
        self.ended = asyncio.Event()
        """Set once there are no subscribers any more, because the service ends."""
        records = catalogue.call_blocking(lambda port: port.list_subscriptions())
        positions = catalogue.call_blocking(lambda port: port.list_positions())
        self._deleted_epoch = catalogue.call_blocking(lambda port: port.deleted_epoch())
        self._all = {
            record.name: Subscription(record, positions.get(record.name, {})) for record in records
        }
        self._changes = Gathering(self._store_changes)
        self._queue = PositionQueue(catalogue, self._all)

    def all(self) -> list[Subscription]:
        """Every subscription, ordered by name."""
        return [self._all[name] for name in sorted(self._all)]

    def using(self, connection: str) -> list[str]:
        """The names of the subscriptions of a connection, in order."""
        return [each.record.name for each in self.all() if each.record.connection == connection]

    def __len__(self) -> int:
        return len(self._all)

    def __contains__(self, name: str) -> bool:
        return name in self._all

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
        """Makes the caller the newest subscriber; older ones are told and end."""
        async with self._locks.setdefault(wanted.name, asyncio.Lock()):
            subscription = await self._renew(wanted)
            # Until the stream has places, retention keeps what those before had still to read.
            before = tuple(subscription.reads)
            self._end_subscriber(subscription, "SUBSCRIPTION_TAKEN_OVER", "a newer subscriber took")
            subscriber = Subscriber(subscription.record.epoch, before=before)
            subscription.subscriber = subscriber
            subscription.connected = True
        self.check_open()
        self._on_change()
        return subscription, subscriber

    async def join(
        self, wanted: SubscriptionSettings, member_name: str, also: object = None
    ) -> tuple[Subscription, Group, Member]:
        """Makes the caller a member; one that has the subscription for itself is told and ends.

        Args:
            wanted: What all members ask for alike.
            member_name: Takes the place of a member of that name.
            also: What else they have to ask for alike.

        Raises:
            PreconditionFailed: Members are connected that ask for something else
                (``SHARING_CONTRADICTED``).
        """
        async with self._locks.setdefault(wanted.name, asyncio.Lock()):
            subscription = self._all.get(wanted.name)
            group = None if subscription is None else subscription.group
            if group is not None:
                group.retire()
            if subscription is None or group is None or not group.members:
                subscription = await self._renew(wanted)
                self._end_subscriber(
                    subscription, "SUBSCRIPTION_TAKEN_OVER", "a member of a group took"
                )
                group = subscription.group = Group(
                    subscription.record.epoch, lambda: subscription.positions, self._sharing
                )
                subscription.shared_as = wanted, also
            elif subscription.shared_as != (wanted, also):
                raise sharing_contradicted(wanted.name)
            subscriber = Subscriber(group.epoch)
            member = Member(member_name, subscriber, time.time_ns() // 1_000_000)
            group.join(member)
            subscription.connected = True
        self.check_open()
        self._on_change()
        return subscription, group, member

    async def _renew(self, wanted: SubscriptionSettings) -> Subscription:
        """Makes a subscription, or has it with other settings and a higher epoch; durable."""
        name = wanted.name
        # Whoever still streams from a subscription of that name that was deleted is older.
        record = wanted.record(self._deleted_epoch + 1, time.time_ns() // 1_000_000)
        subscription = self._all.get(name)
        if subscription is None:
            with self.making(name):
                await self._changes.put(SubscriptionChange(record))
                subscription = self._all[name] = Subscription(record)
            self.on_opened(Opened(record, None, taken_over=False))
        else:
            before = subscription.record
            async with self._commits_barred(subscription):
                await self._change(subscription, record)
            taken_over = subscription.streams > 0
            self.on_opened(Opened(subscription.record, before, taken_over))
        return subscription

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
            await self._queue.put(PositionCommit(subscription.record.name, {}, None))
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
        await self._changes.put(SubscriptionChange(record, drop_positions=moved))
        subscription.record = record
        if moved:
            subscription.positions.clear()
            subscription.awaited.clear()

    def leave(self, subscription: Subscription, subscriber: Subscriber) -> None:
        """Notes that a stream has ended; a newer one is not touched."""
        if subscription.subscriber is subscriber:
            subscription.connected = False

    def leave_group(
        self, subscription: Subscription, group: Group, member: Member, *, finished: bool
    ) -> None:
        """Notes that a member's stream has ended; ``finished``: because all is delivered."""
        group.leave(member, finished=finished)
        if subscription.group is group:
            subscription.connected = bool(group.active)
            if not group.members:
                subscription.group = None

    async def settled(self, subscription: Subscription) -> None:
        """Waits until every commit is stored that was accepted before."""
        await self._queue.put(PositionCommit(subscription.record.name, {}, None))

    async def store_start(
        self, subscription: Subscription, epoch: int, positions: Mapping[PartitionId, int]
    ) -> None:
        """Stores where a subscriber starts, so that what comes after is not lost if it dies.

        This is the one way, beside ``reset``, in which a stored position moves back.
        """
        name = subscription.record.name
        self._check_epoch(name, epoch)
        if positions:
            await self._queue.put(PositionCommit(name, dict(positions), None))

    async def commit(
        self,
        name: str,
        epoch: int,
        positions: Mapping[PartitionId, int],
        epochs: Mapping[PartitionId, int] | None = None,
    ) -> None:
        """Stores positions of the newest subscriber, or of a member; durable when this returns.

        A position that is lower than the stored one changes nothing: stored positions never move
        back by a commit.

        Args:
            name: The subscription's.
            epoch: Of the subscriber.
            positions: The next offset to read, per partition.
            epochs: Of a member, those of the partitions' assignments.

        Raises:
            NotFound: There is no such subscription.
            Superseded: An epoch is not the newest; nothing is stored.
            InvalidRequest: A position lies behind what was delivered; nothing is stored.
        """
        subscription = self.get(name)
        group, subscriber = subscription.group, subscription.subscriber
        if group is None and epochs and subscriber is None:
            # No group yet since the service started, or its members have gone: nobody has taken the
            # member's place.
            raise partition_revoked(name, epochs)
        if group is None or not epochs:
            self._check_epoch(name, epoch)
        if group is not None:
            # A member that does not know yet of the group after its own has lost its partitions,
            # not its place.
            group.check(name, positions, epochs or {})
            subscriber = group.whole
        elif epochs:
            raise partition_revoked(name, epochs)
        elif subscriber is not None:
            subscriber.check_delivered(name, positions)
        now_ms = time.time_ns() // 1_000_000
        await self._queue.put(PositionCommit(name, dict(positions), now_ms), subscriber)
        if self.on_committed is not None:
            self.on_committed(name, positions)
        if group is not None:
            group.settle()

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
                await self._changes.put(
                    SubscriptionChange(record, dict(positions), drop_positions=True)
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
            for subscriber in subscription.subscribers:
                subscriber.end(error)

    async def run(self) -> None:
        """Stores what changes until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._queue.run())
            tasks.create_task(self._changes.run())

    async def _store_changes(self, changes: list[SubscriptionChange]) -> None:
        # Each holds its subscription's lock, so that none is there twice.
        await self._catalogue.call(lambda port: port.put_subscriptions(changes))

    def _end_subscriber(self, subscription: Subscription, reason: str, who: str) -> None:
        name = subscription.record.name
        for subscriber in subscription.subscribers:
            subscriber.end(
                Superseded(
                    f"{who} the subscription {name!r}",
                    reason=reason,
                    metadata={"subscription": name, "epoch": subscription.record.epoch},
                )
            )
        subscription.subscriber = subscription.group = None
        subscription.connected = False
