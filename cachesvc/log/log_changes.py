"""What becomes of logs: that they begin, that they end, and what they will never have.

Each change is durable in the catalogue before anybody sees it.
"""

import time
from dataclasses import replace
from functools import partial

from cachesvc.log.catalogue_thread import CatalogueThread
from cachesvc.log.coverage_ranges import CoverageRanges
from cachesvc.log.epochs import MinedEpochs
from cachesvc.log.incarnations import TopicIncarnations
from cachesvc.log.log_registry import LogRegistry
from cachesvc.log.mending import Mending
from cachesvc.log.partition_log import PartitionLog
from cachesvc.model import LostRange, PartitionId, TopicIncarnation
from cachesvc.policy.gaps import causes
from cachesvc.policy.incarnations import in_incarnation_before
from cachesvc.store.ports import Catalogue, TopicEntry


class LogChanges:
    """Changes of logs. Belongs to one event loop.

    Args:
        catalogue: Where they are durable.
        logs: The top log of every partition.
        ranges: Those below as well.
        incarnations: Which incarnation each topic is in.
        epochs: Which leader epochs each log was mined from.
        mending: Knows what is missing for damage.
    """

    def __init__(
        self,
        catalogue: CatalogueThread,
        logs: LogRegistry,
        ranges: CoverageRanges,
        incarnations: TopicIncarnations,
        epochs: MinedEpochs,
        mending: Mending,
    ) -> None:
        self._catalogue = catalogue
        self._logs = logs
        self._ranges = ranges
        self._incarnations = incarnations
        self._epochs = epochs
        self._mending = mending

    async def create(self, entry: TopicEntry) -> None:
        """Makes logs of new incarnations and partitions in one transaction; durable on return.

        The logs of incarnations that are over come to their end, and their subscribers are told. A
        partition that is known stays as it is.
        """
        starts = {each: at for each, at in entry.starts.items() if each not in self._logs}
        entry = replace(entry, starts=starts)
        now_ms = time.time_ns() // 1_000_000
        await self._catalogue.call(lambda port: port.put_topics(entry, now_ms))
        self._incarnations.add(entry.incarnations)
        self._epochs.add(entry.epochs)
        for partition, offset in starts.items():
            if partition not in self._logs:
                self._logs.add(PartitionLog(partition, offset))
            before = self._logs.get(in_incarnation_before(partition))
            if before is not None:
                before.notify()
        for incarnation in entry.incarnations:
            if incarnation.cause is not None:
                self._end_incarnation_before(incarnation)

    async def lose(self, log: PartitionLog, begin: int, end: int) -> None:
        """Notes that the source has ``[begin, end)`` no more; durable on return."""
        now_ms = time.time_ns() // 1_000_000
        mined_from = log.top.mined_from if log.above is not None else end
        parts = causes(begin, end, mined_from, self._mending.damaged(log.id))
        known = [(each.begin, each.end) for each in log.lost]
        for lost in parts:
            if any(b <= lost.begin and lost.end <= e for b, e in known):
                continue
            await self._catalogue.call(partial(_put_lost, log.id, lost, now_ms))
            log.lose(lost)

    async def begin_at(self, log: PartitionLog, offset: int) -> None:
        """Moves the start of an empty log to where the source turned out to begin."""
        await self._catalogue.call(lambda port: port.put_partition(log.id, offset))
        if log.empty:
            log.begin_at(offset)

    def _end_incarnation_before(self, incarnation: TopicIncarnation) -> None:
        """Tells the logs of a topic's earlier incarnations and subscribers that these are over."""
        for log in self._logs.of_name(incarnation.topic.connection, incarnation.topic.topic):
            if log.id.incarnation >= incarnation.topic.incarnation:
                continue
            cause = self._incarnations.ended_by(log.id.topic_id)
            for each in self._ranges.of(log.id):
                if each.ended_by is not cause:
                    each.ended_by = cause
                    each.notify()


def _put_lost(partition: PartitionId, lost: LostRange, now_ms: int, port: Catalogue) -> None:
    port.put_lost(partition, lost, now_ms)
