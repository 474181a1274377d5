"""Which partitions of a stream begin with a snapshot, and where in it.

A partition that has a position goes on there: in the middle of the snapshot that its subscription
was reading, if the position lies in that. One that has none begins with the newest snapshot, which
is durable before its first record: after a crash in the middle it goes on with the same one.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from cachesvc.errors import PreconditionFailed
from cachesvc.log.partition_log import PartitionLog
from cachesvc.model import Bootstrap, Mode, PartitionId, Snapshot
from cachesvc.serving.convert import PartitionName, SubscribeCall
from cachesvc.snapshots.shelf import Shelf
from cachesvc.subscriptions.subscriptions import Subscription

SNAPSHOT_UNAVAILABLE = "SNAPSHOT_UNAVAILABLE"
"""The reason of a refusal where a partition has no snapshot that serves."""


@dataclass(frozen=True, slots=True)
class Start:
    """Where a partition begins.

    Attributes:
        log: Its log.
        position: The first offset to deliver.
        snapshot: What it reads first; None for the log.
        resumed: Whether it was in the middle of that before.
    """

    log: PartitionLog
    position: int
    snapshot: Snapshot | None = None
    resumed: bool = False


def choose_starts(
    call: SubscribeCall,
    resolved: Iterable[tuple[PartitionLog, int]],
    positioned: Collection[PartitionName],
    subscription: Subscription,
    shelf: Shelf,
) -> list[Start]:
    """Where each partition begins.

    Args:
        call: What was asked for.
        resolved: Where each would begin without snapshots.
        positioned: Partitions that had a position before, or a start that waited for the source.
        subscription: Whose.
        shelf: Has the snapshots.

    Raises:
        PreconditionFailed: A partition is to begin with a snapshot, and there is none that serves
            (``SNAPSHOT_UNAVAILABLE``).
    """
    if call.bootstrap is not Bootstrap.SNAPSHOT:
        return [Start(*each) for each in resolved]
    all_wanted = call.mode is Mode.FULL or not subscription.record.full_sync_done
    starts = []
    for log, position in resolved:
        name = log.id.topic, log.id.partition
        if name in (call.start.positions or {}) or name in positioned:
            starts.append(_go_on(log, position, shelf.reads(subscription, log.id)))
        elif all_wanted:
            starts.append(_begin(call, log, position, shelf))
        else:
            starts.append(Start(log, position))
    return starts


def _go_on(log: PartitionLog, position: int, snapshot: Snapshot | None) -> Start:
    if snapshot is None or not snapshot.base_offset <= position < snapshot.end_offset:
        return Start(log, position)
    return Start(log, position, snapshot, resumed=position > snapshot.base_offset)


def _begin(call: SubscribeCall, log: PartitionLog, position: int, shelf: Shelf) -> Start:
    snapshot = shelf.newest(log.id)
    end = call.end.get((log.id.topic, log.id.partition))
    if snapshot is None:
        # A partition that came since, or had no records yet: there is nothing to leave out.
        if log.empty or shelf.has(log.id.topic_id):
            return Start(log, position)
        raise _unavailable(
            log.id,
            "there is none of the topic; `cachesvc jobs run snapshot` makes one of what is sealed, "
            "if the connection's snapshot_expression names the topic",
        )
    if snapshot.base_offset > position:
        raise _unavailable(
            log.id,
            f"it begins at offset {snapshot.base_offset}, and there are records from {position} "
            "on; subscribe once without bootstrap, which has them mined, and make another one",
        )
    if end is not None and end.offset < snapshot.end_offset:
        raise _unavailable(
            log.id, f"it stands for offset {snapshot.end_offset}, behind the end {end.offset}"
        )
    return Start(log, snapshot.base_offset, snapshot)


def _unavailable(partition: PartitionId, why: str) -> PreconditionFailed:
    return PreconditionFailed(
        f"{partition} cannot begin with a snapshot: {why}",
        reason=SNAPSHOT_UNAVAILABLE,
        metadata={"topic": partition.topic, "partition": partition.partition},
    )
