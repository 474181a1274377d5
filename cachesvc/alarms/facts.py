"""Gathers what alarms are made of."""

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from operator import attrgetter

from cachesvc.assignment.mining_tasks import MiningTasks
from cachesvc.clusters.sources import Sources
from cachesvc.descriptors import descriptors_in_use
from cachesvc.log.log_store import LogStore
from cachesvc.log.partition_log import PartitionLog
from cachesvc.model import MiningState
from cachesvc.policy.alarms import (
    DescriptorFacts,
    Facts,
    ForeignFacts,
    MiningFacts,
    TaskFacts,
    UnreadFacts,
)
from cachesvc.policy.mining_task import TaskState
from cachesvc.policy.retention import RetentionRule
from cachesvc.store.mining_ports import MiningTaskRecord
from cachesvc.store.refusals import descriptor_limit
from cachesvc.subscriptions.retention import Retention
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
        retention: How long what is cached stays.
    """

    store: LogStore
    sources: Sources
    subscriptions: Subscriptions
    mining_tasks: MiningTasks
    retention: Retention

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
        )

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
            for partition, offset in subscription.positions.items():
                log = self.store.get(partition)
                if log is None or offset >= log.log_end_offset:
                    continue
                rule = self.retention.rule(partition.connection)
                free_ms = _free_after_ms(log, offset, rule)
                if free_ms is not None:
                    kept_s = max(rule.age_ms, rule.unread_ms) / 1000
                    yield UnreadFacts(name, partition, (free_ms - now_ms) / 1000, kept_s)


def _is_troubled(log: PartitionLog) -> bool:
    """Whether a reader has a partition, and not all of it is mined; most of many are quiet."""
    if log.source.state is MiningState.MINING:
        return bool(log.mining_lag) and log.ended_by is None
    return log.source.state in _MINED and log.ended_by is None


def _task(record: MiningTaskRecord) -> TaskFacts:
    stopped, failed = record.state is TaskState.STOPPED, record.state is TaskState.FAILED
    return TaskFacts(record.connection, stopped, failed, record.cause)


def _free_after_ms(log: PartitionLog, offset: int, rule: RetentionRule) -> int | None:
    """When retention may take the record at ``offset``: 0 if it has, None if that is far."""
    if offset < log.log_start_offset:
        return 0
    found = bisect_right(log.segments, offset, key=lambda segment: segment.base_offset) - 1
    if found < 0 or offset >= log.segments[found].end_offset:
        return None  # not yet in a segment
    return rule.free_after_ms(log.segments[found], unread=True)
