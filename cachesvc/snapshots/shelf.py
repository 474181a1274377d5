"""Which snapshots there are, and which of them subscriptions are in the middle of.

A subscription that has begun to read a snapshot has to end with the same one: a newer one lacks
keys that were deleted since, which it would never hear of. So what it reads is durable, and stays
as long as the subscription's position lies within.
"""

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

from cachesvc.log.log_store import LogStore
from cachesvc.model import PartitionId, Snapshot, TopicId
from cachesvc.policy.snapshots import superseded
from cachesvc.store.snapshot_port import SnapshotRead
from cachesvc.subscriptions.subscriptions import Subscription


class Shelf:
    """All snapshots of a store. Belongs to one event loop.

    Args:
        store: Whose; they are durable in its catalogue.
        subscriptions: Answers all subscriptions.
        kept: How many stay of each partition.
    """

    def __init__(
        self,
        store: LogStore,
        subscriptions: Callable[[], Iterable[Subscription]],
        kept: int,
    ) -> None:
        self._catalogue = store.catalogue
        self._manifest = store.manifest
        self._damages = store.damages
        self._subscriptions = subscriptions
        self._kept = kept
        self._snapshots: dict[PartitionId, list[Snapshot]] = {}
        for snapshot in store.catalogue.call_blocking(lambda port: port.snapshots.list()):
            self._snapshots.setdefault(snapshot.partition, []).append(snapshot)
        self._reads = store.catalogue.call_blocking(lambda port: port.snapshots.list_reads())

    def all(self) -> list[Snapshot]:
        """Every snapshot, ordered by partition and end."""
        return [each for partition in sorted(self._snapshots) for each in self.of(partition)]

    def of(self, partition: PartitionId) -> list[Snapshot]:
        """Those of a partition, in the order of their ends."""
        return sorted(self._snapshots.get(partition, ()), key=lambda each: each.end_offset)

    def newest(self, partition: PartitionId) -> Snapshot | None:
        """The one with the highest end."""
        return next(reversed(self.of(partition)), None)

    def has(self, topic: TopicId) -> bool:
        """Whether there is any of a topic's incarnation."""
        return any(found and each.topic_id == topic for each, found in self._snapshots.items())

    def read_by(self, subscription: Subscription, partition: PartitionId) -> Snapshot | None:
        """The snapshot of a partition that a subscription is in the middle of, or about to begin.

        It is about to as long as its begin is not stored as its position.
        """
        snapshot = self.reads(subscription, partition)
        if snapshot is None:
            return None
        position = subscription.positions.get(partition, snapshot.base_offset)
        return snapshot if snapshot.base_offset <= position < snapshot.end_offset else None

    def reads(self, subscription: Subscription, partition: PartitionId) -> Snapshot | None:
        """The snapshot of a partition that a subscription began with last, if it is still there."""
        read = self._reads.get(subscription.record.name, {}).get(partition)
        return None if read is None else self._find(partition, read.path)

    def _find(self, partition: PartitionId, path: str) -> Snapshot | None:
        found = (each for each in self._snapshots.get(partition, ()) if each.file.path == path)
        return next(found, None)

    def recoveries(self) -> Iterator[tuple[str, Snapshot]]:
        """Who fell out of retention and loads a partition anew, from which snapshot.

        Until the next snapshot of the partition after that was done.
        """
        for name, reads in sorted(self._reads.items()):
            for partition, read in sorted(reads.items()):
                snapshot = self._find(partition, read.path) if read.recovers else None
                if snapshot is not None:
                    yield name, snapshot

    def readers(self, snapshot: Snapshot) -> list[str]:
        """The names of the subscriptions that are in the middle of a snapshot, in order."""
        partition = snapshot.partition
        return sorted(
            each.record.name
            for each in self._subscriptions()
            if self.read_by(each, partition) == snapshot
        )

    async def publish(self, snapshot: Snapshot) -> None:
        """Makes a snapshot live, and retires those that it supersedes; durable on return."""
        partition = snapshot.partition
        known = [*self._snapshots.get(partition, ()), snapshot]
        gone = superseded(known, self._kept, self._read_paths(partition))
        await self._replace(partition, gone, [snapshot])
        await self._forget_read(partition)

    async def take_out(self, snapshot: Snapshot, damage: object) -> None:
        """Retires a damaged one, and tells of it like of any other damaged file."""
        self._damages.note(snapshot.partition, snapshot.file.path, damage)
        await self._replace(snapshot.partition, [snapshot], [])

    def bytes_in(self, store: str) -> int:
        """Bytes of those that lie in a store."""
        every = (each for found in self._snapshots.values() for each in found)
        return sum(each.file.bytes for each in every if each.file.store == store)

    async def leave_newest(self, store: str) -> int:
        """Retires all in a store but the newest of each partition and what is read; how many."""
        count = 0
        for partition in list(self._snapshots):
            old = superseded(self.of(partition), 1, self._read_paths(partition))
            gone = [each for each in old if each.file.store == store]
            if gone:
                await self._replace(partition, gone, [])
            count += len(gone)
        return count

    async def keep_only(self, wanted: Collection[PartitionId]) -> int:
        """Retires the snapshots of all other partitions that nobody reads; how many."""
        count = 0
        for partition in [each for each in self._snapshots if each not in wanted]:
            read = self._read_paths(partition)
            gone = [each for each in self.of(partition) if each.file.path not in read]
            if gone:
                await self._replace(partition, gone, [])
            count += len(gone)
        return count

    async def _replace(
        self, partition: PartitionId, removed: Iterable[Snapshot], added: Iterable[Snapshot]
    ) -> None:
        gone, new = list(removed), list(added)
        now_ms = time.time_ns() // 1_000_000
        async with self._manifest.unchanged():
            await self._catalogue.call(lambda port: port.snapshots.replace(gone, new, now_ms))
        paths = {each.file.path for each in gone}
        stay = [each for each in self._snapshots.get(partition, ()) if each.file.path not in paths]
        self._snapshots[partition] = [*stay, *new]

    async def begin(
        self,
        subscription: str,
        snapshots: Mapping[PartitionId, Snapshot],
        *,
        recovers: bool = False,
    ) -> None:
        """Notes what a subscription begins to read; durable on return.

        Args:
            subscription: Its name.
            snapshots: What it reads of each partition.
            recovers: Whether it has fallen out of retention; stays so for the same snapshot.
        """
        known = self._reads.get(subscription, {})
        recovering = {read.path for read in known.values() if read.recovers}
        reads = {
            partition: SnapshotRead(path := each.file.path, recovers or path in recovering)
            for partition, each in snapshots.items()
        }
        if reads:
            await self._catalogue.call(lambda port: port.snapshots.put_reads(subscription, reads))
            self._reads.setdefault(subscription, {}).update(reads)

    async def forget(self, subscription: str) -> None:
        """Forgets all that a subscription reads; nothing happens if that is nothing."""
        reads = self._reads.pop(subscription, {})
        if reads:
            await self._forget(subscription, list(reads))

    async def _forget(self, name: str, partitions: Sequence[PartitionId]) -> None:
        await self._catalogue.call(lambda port: port.snapshots.forget_reads(name, partitions))

    def _read_paths(self, partition: PartitionId) -> set[str]:
        found = (self.read_by(each, partition) for each in self._subscriptions())
        return {snapshot.file.path for snapshot in found if snapshot is not None}

    async def _forget_read(self, partition: PartitionId) -> None:
        """Forgets what subscriptions are through with of a partition, or that are gone."""
        there = {each.record.name: each for each in self._subscriptions()}
        for name, reads in list(self._reads.items()):
            subscription = there.get(name)
            if partition not in reads:
                continue
            if subscription is None or self.read_by(subscription, partition) is None:
                del reads[partition]
                await self._forget(name, [partition])
