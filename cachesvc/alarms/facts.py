"""Gathers what alarms are made of."""

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from operator import attrgetter

from cachesvc.alarms.damage_facts import damage_facts, lost_facts
from cachesvc.alarms.size_shares import SizeShares
from cachesvc.assignment.mining_tasks import MiningTasks
from cachesvc.clusters.sources import Sources
from cachesvc.descriptors import descriptors_in_use
from cachesvc.log.log_store import LogStore
from cachesvc.log.partition_log import PartitionLog
from cachesvc.model import MiningState, Segment
from cachesvc.policy.alarm_facts import (
    AwayFacts,
    DescriptorFacts,
    Facts,
    ForeignFacts,
    MiningFacts,
    RecoveryFacts,
    StoreFacts,
    TaskFacts,
    UnreadFacts,
)
from cachesvc.policy.mining_task import TaskState
from cachesvc.snapshots.shelf import Shelf
from cachesvc.store.mining_ports import MiningTaskRecord
from cachesvc.store.refusals import descriptor_limit
from cachesvc.subscriptions.retention import Retention
from cachesvc.subscriptions.store_levels import StoreLevels
from cachesvc.subscriptions.subscriptions import Subscriptions
from cachesvc.watching.lag import mining_lag_s

# Partitions in the hands of a reader.
_MINED = frozenset(
    {
        MiningState.STARTING,
        MiningState.MINING,
        MiningState.THROTTLED,
        MiningState.BLOCKED,
        MiningState.SOURCE_UNREACHABLE,
        MiningState.FAILED,
    }
)


@dataclass(frozen=True, slots=True)
class Observed:
    """Whatever alarms may be about.

    Attributes:
        store: The logs.
        sources: The connections.
        subscriptions: Who has read how far.
        mining_tasks: What is to be mined.
        retention: How long and how much of what is cached stays.
        levels: How full the stores are.
        shares: How near limits of size have come.
        shelf: Who reads snapshots.
    """

    store: LogStore
    sources: Sources
    subscriptions: Subscriptions
    mining_tasks: MiningTasks
    retention: Retention
    levels: StoreLevels
    shares: SizeShares
    shelf: Shelf

    def facts(self, now_ms: int) -> Facts:
        """What is the case now."""
        return Facts(
            [_task(task.record) for task in self.mining_tasks.all()],
            {source.name: source.error for source in self.sources.all() if source.error},
            list(self._mining(now_ms)),
            list(self._unread(now_ms)),
            DescriptorFacts(descriptors_in_use(), descriptor_limit()),
            {
                source.name: ForeignFacts(source.foreign, source.lookup.cluster_id)
                for source in self.sources.all()
                if source.foreign
            },
            {
                name: StoreFacts(level.bytes_max, level.kept_bytes, level.full)
                for name, level in self.levels.all().items()
            },
            tuple(damage_facts(self.store, now_ms)),
            tuple(lost_facts(self.store, self.subscriptions, now_ms)),
            tuple(
                RecoveryFacts(name, snapshot.partition, snapshot.end_offset)
                for name, snapshot in self.shelf.recoveries()
            ),
            tuple(self._away()),
        )

    def _away(self) -> Iterator[AwayFacts]:
        sealer = self.store.sealer
        found = self.store.watch.away | {
            name: str(error) for name, error in sealer.failures.items()
        }
        for name, error in sorted(found.items()):
            _, waiting = sealer.waiting_for(name)
            yield AwayFacts(name, error, waiting, sealer.waiting_bytes_max)

    def _mining(self, now_ms: int) -> Iterator[MiningFacts]:
        troubled = [log for log in self.store.logs.values() if _is_troubled(log)]
        for log in sorted(troubled, key=attrgetter("id")):
            source, lag_s = log.source, mining_lag_s(log, now_ms)
            yield MiningFacts(log.id, source.state, source.error, log.mining_lag, lag_s)
        away = MiningState.SOURCE_UNREACHABLE
        for topic in self.store.waiting.topics():
            for number, why in self.store.waiting.of_topic(topic).items():
                yield MiningFacts(topic.partition(number), away, why, None, None)

    def _unread(self, now_ms: int) -> Iterator[UnreadFacts]:
        for subscription in self.subscriptions.all():
            name = subscription.record.name
            for partition, position in subscription.positions.items():
                snapshot = self.shelf.read_by(subscription, partition)
                offset = position if snapshot is None else snapshot.end_offset
                log = self.store.get(partition)
                if log is None or offset >= log.log_end_offset:
                    continue
                rule = self.retention.rule(partition.connection)
                kept_s = max(rule.age_ms, rule.unread_ms) / 1000
                if offset < log.log_start_offset:
                    yield UnreadFacts(name, partition, -now_ms / 1000, kept_s)
                    continue
                segment = _segment_of(log, offset)
                if segment is not None:
                    left_s = (rule.free_after_ms(segment, unread=True) - now_ms) / 1000
                    used = self._used(segment, now_ms)
                    yield UnreadFacts(name, partition, left_s, kept_s, used)

    def _used(self, segment: Segment, now_ms: int) -> float:
        limits = self.retention.limits(segment.partition.connection)
        limited = limits.any or bool(self.levels.all())
        return self.shares.used(segment, limits, now_ms) if limited else 0.0


def _is_troubled(log: PartitionLog) -> bool:
    """Whether a reader has a partition, and not all of it is mined; most of many are quiet."""
    if log.source.state is MiningState.MINING:
        return bool(log.mining_lag) and log.ended_by is None
    return log.source.state in _MINED and log.ended_by is None


def _task(record: MiningTaskRecord) -> TaskFacts:
    stopped, failed = record.state is TaskState.STOPPED, record.state is TaskState.FAILED
    return TaskFacts(record.connection, stopped, failed, record.cause)


def _segment_of(log: PartitionLog, offset: int) -> Segment | None:
    """In which the record at ``offset`` lies; None where it is not yet in one."""
    found = bisect_right(log.segments, offset, key=lambda segment: segment.base_offset) - 1
    if found < 0 or offset >= log.segments[found].end_offset:
        return None
    return log.segments[found]
