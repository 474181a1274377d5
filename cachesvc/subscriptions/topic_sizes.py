"""The logs of each topic, as the decisions about sizes look at them.

What is gathered here is as of one moment and needs no event loop: lists of segments are replaced,
never changed, so a plan over many of them may be made in a thread meanwhile. Whatever it drops is
checked against the manifest when its turn has come.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from itertools import groupby

from cachesvc.log.log_store import LogStore
from cachesvc.log.partition_log import PartitionLog
from cachesvc.policy.shedding import TopicName, TopicSegments
from cachesvc.policy.size_limits import Held, LogSegments, SizeLimits
from cachesvc.subscriptions.retention import Retention, Unread
from cachesvc.subscriptions.subscriptions import Subscription


@dataclass(frozen=True, slots=True)
class TopicSizes:
    """A topic, with all its incarnations, partitions and ranges.

    Attributes:
        logs: They.
        segments: The same, in the same order, for a plan.
        limits: How much of it stays.
    """

    logs: tuple[PartitionLog, ...]
    segments: TopicSegments
    limits: SizeLimits

    @property
    def topic(self) -> TopicName:
        """Which topic."""
        return self.segments.topic


def gather(
    store: LogStore, retention: Retention, subscriptions: Iterable[Subscription]
) -> list[TopicSizes]:
    """Every topic of which there is a log, ordered by connection and name."""
    unread = Unread(subscriptions)
    limits = {name: retention.limits(name) for name in store.logs.connections()}
    return [
        _topic(topic, tuple(logs), unread, limits[topic[0]])
        for topic, logs in groupby(store.in_order(), key=_name)
    ]


def _name(log: PartitionLog) -> TopicName:
    return log.id.connection, log.id.topic


def _topic(
    topic: TopicName, logs: tuple[PartitionLog, ...], unread: Unread, limits: SizeLimits
) -> TopicSizes:
    parts = [
        LogSegments(log.segments, partial(unread.lowest, log.id), _in_journals(log)) for log in logs
    ]
    return TopicSizes(logs, TopicSegments(topic, parts, limits.protection), limits)


def _in_journals(log: PartitionLog) -> Held:
    """What is in journals that are no segment yet."""
    waiting = [entry for entry in log.journals if not entry.sealed]
    records = sum(entry.index.record_count for entry in waiting if entry.index is not None)
    return Held(sum(entry.bytes for entry in waiting), records)
