"""What each store holds, of which topics, and which subscription has still to read most of it."""

import asyncio
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

from cachesvc.errors import NotFound
from cachesvc.log.log_store import LogStore
from cachesvc.model import LOCAL_STORE, PartitionId, Segment
from cachesvc.policy.shedding import TopicName
from cachesvc.policy.size_limits import SizeLimits, held_by
from cachesvc.store.quarantine import quarantined_bytes
from cachesvc.subscriptions.retention import Retention, positions_of
from cachesvc.subscriptions.store_levels import StoreLevels
from cachesvc.subscriptions.subscriptions import Subscriptions
from cachesvc.subscriptions.topic_sizes import TopicSizes, gather

_Positions = Mapping[str, Sequence[tuple[PartitionId, int]]]
"""Where each subscription is in the partitions of one topic, by its name."""


@dataclass(frozen=True, slots=True)
class TopicUsage:
    """What a topic holds of a store.

    Attributes:
        topic: Which.
        bytes: Segments and journals.
        records: In them.
        oldest_mined_ms: When the oldest of them was mined; 0 for unknown.
        limits: How much of the topic stays.
        unread_bytes: What the subscription that is furthest behind has still to read of segments.
        unread_by: That one; empty without any.
    """

    topic: TopicName
    bytes: int
    records: int
    oldest_mined_ms: int
    limits: SizeLimits
    unread_bytes: int
    unread_by: str


@dataclass(frozen=True, slots=True)
class StoreUsage:
    """What lies in one store.

    Attributes:
        store: Its name.
        segment_bytes: Live segments with their rejects.
        journal_bytes: Journals that are no segments yet.
        warm_bytes: Sealed journals that are kept.
        retired_bytes: Files that wait for the sweep.
        bytes_max: Its budget; None without one.
        full: Why nothing is mined into it; empty while that is not so.
        topics: The largest first.
        snapshot_bytes: Snapshots of its topics.
        quarantine_bytes: Damaged files that are kept for a look, beside all other bytes.
    """

    store: str
    segment_bytes: int = 0
    journal_bytes: int = 0
    warm_bytes: int = 0
    retired_bytes: int = 0
    bytes_max: int | None = None
    full: str = ""
    topics: Sequence[TopicUsage] = field(default_factory=tuple)
    snapshot_bytes: int = 0
    quarantine_bytes: int = 0

    @property
    def bytes(self) -> int:
        """All together that a budget is about."""
        live = self.segment_bytes + self.journal_bytes + self.snapshot_bytes
        return live + self.warm_bytes + self.retired_bytes


class StoreUsages:
    """Looks at stores when somebody asks. Belongs to one event loop.

    Args:
        store: Whose stores.
        retention: How much of topics stays.
        subscriptions: Who has read how far.
        budgets: Bytes by store.
        levels: Which stores are full.
        snapshot_bytes: Answers what snapshots have of a store.
    """

    def __init__(
        self,
        store: LogStore,
        retention: Retention,
        subscriptions: Subscriptions,
        budgets: Mapping[str, int],
        levels: StoreLevels,
        snapshot_bytes: Callable[[str], int],
    ) -> None:
        self._snapshot_bytes = snapshot_bytes
        self._store = store
        self._retention = retention
        self._subscriptions = subscriptions
        self._budgets = budgets
        self._levels = levels

    async def list(self, name: str = "") -> Sequence[StoreUsage]:
        """Of every store, the local one first, or of the one that is named.

        Raises:
            NotFound: There is none of that name (``UNKNOWN_STORE``).
        """
        names = self._store.stores.names
        if name and name not in names:
            raise NotFound(
                f"there is no store {name!r}; there are: {', '.join(names)}",
                reason="UNKNOWN_STORE",
                metadata={"store": name},
            )
        topics = gather(self._store, self._retention, self._subscriptions.all())
        positions = self._positions()
        retired = await self._store.catalogue.call(lambda port: port.list_retired())
        found = []
        for each in [name] if name else names:
            usages = await asyncio.to_thread(_usages, topics, positions, each)
            local = each == LOCAL_STORE
            journals = sum(log.journals.bytes for topic in topics for log in topic.segments.logs)
            journals = journals if local else 0
            level = self._levels.all().get(each)
            found.append(
                StoreUsage(
                    each,
                    sum(usage.bytes for usage in usages) - journals,
                    journals,
                    self._store.sealer.warm_bytes if local else 0,
                    sum(file.bytes for file in retired.values() if file.store == each),
                    self._budgets.get(each),
                    level.full if level else "",
                    usages,
                    self._snapshot_bytes(each),
                    await asyncio.to_thread(quarantined_bytes, self._store.path) if local else 0,
                )
            )
        return found

    def _positions(self) -> Mapping[TopicName, _Positions]:
        found: dict[TopicName, dict[str, list[tuple[PartitionId, int]]]] = {}
        for subscription in self._subscriptions.all():
            for partition, offset in positions_of(subscription).items():
                topic = found.setdefault((partition.connection, partition.topic), {})
                topic.setdefault(subscription.record.name, []).append((partition, offset))
        return found


def _usages(
    topics: Iterable[TopicSizes], positions: Mapping[TopicName, _Positions], store: str
) -> Sequence[TopicUsage]:
    found = [_usage(topic, positions.get(topic.topic, {}), store) for topic in topics]
    held = [usage for usage in found if usage.bytes]
    return sorted(held, key=lambda usage: (-usage.bytes, usage.topic))


def _usage(topic: TopicSizes, positions: _Positions, store: str) -> TopicUsage:
    local = store == LOCAL_STORE
    here = [
        [segment for segment in log.segments if segment.store == store]
        for log in topic.segments.logs
    ]
    segments = [segment for of_log in here for segment in of_log]
    journals = [log.journals for log in topic.segments.logs] if local else []
    unread_by, unread_bytes = _furthest_behind(topic, here, positions)
    return TopicUsage(
        topic.topic,
        sum(map(held_by, segments)) + sum(held.bytes for held in journals),
        sum(s.record_count for s in segments) + sum(held.records for held in journals),
        min((segment.oldest_mined_ms for segment in segments), default=0),
        topic.limits,
        unread_bytes,
        unread_by,
    )


def _furthest_behind(
    topic: TopicSizes, here: Sequence[Sequence[Segment]], positions: _Positions
) -> tuple[str, int]:
    unread = dict.fromkeys(positions, 0)
    for log, segments in zip(topic.logs, here, strict=True):
        sizes = [0, *accumulate(map(held_by, segments))]
        ends = [segment.end_offset for segment in segments]
        for name, places in positions.items():
            for partition, offset in places:
                if partition.partition != log.id.partition:
                    continue
                if partition.incarnation == log.id.incarnation:
                    unread[name] += sizes[-1] - sizes[bisect_right(ends, offset)]
                elif partition.incarnation < log.id.incarnation:
                    unread[name] += sizes[-1]
    name = max(sorted(unread), key=unread.__getitem__, default="")
    return (name, unread[name]) if name and unread[name] else ("", 0)
