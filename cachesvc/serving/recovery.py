"""What becomes of a stream's snapshots: of a damaged one, and of one that reaches beyond a gap."""

import logging
from collections.abc import Callable

from cachesvc.errors import DamagedFile
from cachesvc.model import GapCause, LostRange, PartitionId, Snapshot
from cachesvc.snapshots.shelf import Shelf
from cachesvc.subscriptions.subscriber import Subscriber
from cachesvc.subscriptions.subscriptions import Subscription, Subscriptions

_log = logging.getLogger(__name__)

_RECOVERABLE = (GapCause.SOURCE_RETENTION, GapCause.CACHE_RETENTION, GapCause.STORE_DAMAGED)
"""Gaps behind which the same incarnation of the topic goes on."""


class StreamSnapshots:
    """The snapshots of one stream. Belongs to one event loop and one call.

    Args:
        shelf: Has them.
        subscriptions: Stores positions.
        subscription: Whose stream it is.
        subscriber: Who reads it.
        has: Whether a partition is the subscriber's under an epoch; of a member of a shared
            subscription it may be another's by now.
    """

    def __init__(
        self,
        shelf: Shelf,
        subscriptions: Subscriptions,
        subscription: Subscription,
        subscriber: Subscriber,
        has: Callable[[PartitionId, int], bool] = lambda partition, epoch: True,
    ) -> None:
        self._shelf = shelf
        self._subscriptions = subscriptions
        self._subscription = subscription
        self._subscriber = subscriber
        self._has = has

    async def damaged(self, snapshot: Snapshot, damage: DamagedFile) -> None:
        """Takes a snapshot out; the next run of the job makes another one.

        Whoever was in the middle of it goes on in the log at the same offset: that has what the
        snapshot left out as well, or there is a gap.
        """
        _log.error(
            "a snapshot is damaged; its readers go on in the log",
            extra={"event": "snapshot_damaged", "snapshot": snapshot.file.path},
        )
        await self._shelf.take_out(snapshot, damage)

    async def recover(self, partition: PartitionId, epoch: int, lost: LostRange) -> bool:
        """Has whoever reads the partition next load it anew; durable on return.

        Args:
            partition: Which.
            epoch: Of its assignment; 0 for a subscriber that shares nothing.
            lost: The gap.

        Returns:
            False where no snapshot reaches beyond the gap, or another member has the partition by
            now, which leaves all positions as they were.
        """
        snapshot = self._shelf.newest(partition)
        if lost.cause not in _RECOVERABLE or snapshot is None or snapshot.end_offset < lost.end:
            return False
        name = self._subscription.record.name
        await self._shelf.begin(name, {partition: snapshot}, recovers=True)
        begin = {partition: snapshot.base_offset}
        if not self._has(partition, epoch):
            return False
        # What this stream delivered counts no more: a commit of it would leave the begin out.
        self._subscriber.delivered.update(begin)
        await self._subscriptions.store_start(self._subscription, self._subscriber.epoch, begin)
        _log.warning(
            "a subscription has lost records and loads a partition anew from a snapshot",
            extra={
                "event": "recovers_from_snapshot",
                "subscription": name,
                "topic": partition.topic,
                "partition": partition.partition,
                "begin_offset": lost.begin,
                "end_offset": lost.end,
                "cause": lost.cause.name,
                "snapshot": snapshot.file.path,
            },
        )
        return True
