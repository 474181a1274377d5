"""Makes logs: which incarnation each topic is in, and where those of new partitions begin."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from cachesvc.clusters.first_offsets import first_offsets
from cachesvc.clusters.lookup import TopicPartition
from cachesvc.clusters.sources import Source, Sources
from cachesvc.log.log_store import LogStore
from cachesvc.log.waiting import why_it_waits
from cachesvc.model import GapCause, MiningStart, PartitionId, StartKind, TopicId, TopicIncarnation
from cachesvc.policy.incarnations import (
    first_offset,
    in_incarnation_before,
    incarnation_now,
    next_incarnation,
)
from cachesvc.policy.leader_epochs import EpochHistory
from cachesvc.store.ports import TopicEntry

RETRY_S = 1.0
"""How long a partition that waits is left alone."""


@dataclass(frozen=True, slots=True)
class _Begins:
    """Where new logs begin, and of which partitions nobody says so."""

    offsets: Mapping[PartitionId, int]
    unknown: Mapping[PartitionId, str]


class LogCreation:
    """Makes logs. Belongs to one event loop; a connection waits for no other one's cluster.

    Args:
        store: Holds the logs.
        sources: Told when there are new ones, and when other partitions wait.
        start_of: Where mining of a connection's new topics begins.
        on_over: Called with an incarnation of a topic before the next one gets logs.
    """

    def __init__(
        self,
        store: LogStore,
        sources: Sources,
        start_of: Callable[[str], MiningStart],
        on_over: Callable[[TopicId], None],
    ) -> None:
        self._store = store
        self._sources = sources
        self._start_of = start_of
        self._on_over = on_over
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._truncated: dict[TopicId, set[int]] = {}
        self._asked_s: dict[str, float] = {}

    def truncated(self, partition: PartitionId) -> bool:
        """Notes that a source has lost records that were mined; whether that is news."""
        numbers = self._truncated.setdefault(partition.topic_id, set())
        news = partition.partition not in numbers
        numbers.add(partition.partition)
        return news

    async def create(self, source: Source, topics: Iterable[str]) -> None:
        """Makes the logs of these topics' partitions, those that are new. Idempotent.

        A topic that turns out to be in another incarnation gets new logs, and those of the
        incarnation before come to their end. A new log begins where the mining task says: where the
        source begins now, by default. All is one transaction, however many topics and partitions
        there are.

        A partition whose leader does not answer waits (``LogStore.waiting``) and is asked for again
        by a later call, ``RETRY_S`` after this one at the earliest.

        Raises:
            SourceUnreachable: There are new ones and the cluster does not answer.
        """
        async with self._locks[source.name]:
            incarnations = [self._incarnation(source, topic) for topic in topics]
            new = self._new(source, incarnations)
            due = new if self._retry_is_due(source, new) else self._not_waiting(new)
            changed = [
                incarnation
                for incarnation in incarnations
                if incarnation
                != self._store.incarnations.present(source.name, incarnation.topic.topic)
                or self._store.incarnations.is_new(incarnation.topic)
            ]
            begins = await self._begins(source, incarnations, due)
            if changed or begins.offsets:
                causes = {incarnation.topic: incarnation.cause for incarnation in incarnations}
                await self._put(changed, begins.offsets, causes)
                self._forget_truncated()
            news = self._wait(incarnations, new, begins) or bool(begins.offsets)
        if news:
            self._sources.notify()

    def _new(self, source: Source, incarnations: Iterable[TopicIncarnation]) -> list[PartitionId]:
        """The partitions of the cluster that have no log."""
        return [
            incarnation.topic.partition(number)
            for incarnation in incarnations
            if not source.lacks(incarnation.topic.topic)
            for known in [self._store.logs.numbers(incarnation.topic)]
            for number in source.topics.get(incarnation.topic.topic, ())
            if number not in known
        ]

    def _retry_is_due(self, source: Source, new: Collection[PartitionId]) -> bool:
        now_s = time.monotonic()
        if not new or now_s - self._asked_s.get(source.name, -RETRY_S) < RETRY_S:
            return False
        self._asked_s[source.name] = now_s
        return True

    def _not_waiting(self, new: Iterable[PartitionId]) -> list[PartitionId]:
        return [partition for partition in new if partition not in self._store.waiting]

    async def _put(
        self,
        incarnations: Sequence[TopicIncarnation],
        begins: Mapping[PartitionId, int],
        causes: Mapping[TopicId, GapCause | None],
    ) -> None:
        for incarnation in incarnations:
            known = self._store.topic_id(incarnation.topic.connection, incarnation.topic.topic)
            if incarnation.topic != known:
                self._on_over(known)
                self._store.waiting.put(known, {})
        inherited = {
            each: self._inherited(each, begin)
            for each, begin in begins.items()
            if causes[each.topic_id] is GapCause.SOURCE_TRUNCATED
        }
        epochs = {each: history for each, history in inherited.items() if history.starts}
        await self._store.changes.create(TopicEntry(incarnations, begins, epochs))

    def _wait(
        self, incarnations: Iterable[TopicIncarnation], new: Iterable[PartitionId], begins: _Begins
    ) -> bool:
        """Notes which of the new ones wait; whether these are others than before."""
        if not self._store.waiting and not begins.unknown:
            return False
        waiting: dict[TopicId, dict[int, str]] = {
            incarnation.topic: {} for incarnation in incarnations
        }
        for each in new:
            if each not in begins.offsets:
                known = self._store.waiting.of_topic(each.topic_id).get(each.partition, "")
                waiting[each.topic_id][each.partition] = begins.unknown.get(each, known)
        others = [self._store.waiting.put(topic, found) for topic, found in waiting.items()]
        return any(others)

    def _incarnation(self, source: Source, topic: str) -> TopicIncarnation:
        """The incarnation that a topic is in now, known to the store or not."""
        known = self._store.incarnations.present(source.name, topic)
        truncated = known.topic in self._truncated
        found_id = source.topic_ids.get(topic)
        cluster_id = (
            self._store.incarnations.cluster_of(source.name) if found_id is not None else ""
        )
        return incarnation_now(known, found_id or "", truncated=truncated, cluster_id=cluster_id)

    async def _begins(
        self, source: Source, incarnations: Iterable[TopicIncarnation], new: Collection[PartitionId]
    ) -> _Begins:
        """Asks the source about all of them at once."""
        if not new:
            return _Begins({}, {})
        asked = [(partition.topic, partition.partition) for partition in new]
        answers = await source.lookup.earliest_offsets(asked)
        earliest, failed = dict(answers.found), dict(answers.failed)
        start = self._start_of(source.name)
        if start.kind is not StartKind.EARLIEST:
            fresh = [
                each for each in earliest if not self._store.logs.has_topic(source.name, each[0])
            ]
            first = await first_offsets(source.lookup, fresh, start)
            earliest.update(first.found)
            failed.update(first.failed)
        causes = {incarnation.topic: incarnation.cause for incarnation in incarnations}
        ends: Mapping[TopicPartition, int] = earliest
        if any(causes[partition.topic_id] for partition in new):
            found = await source.lookup.end_offsets(list(earliest))
            ends = found.found
            failed.update(found.failed)
        offsets = {}
        for partition in new:
            name = partition.topic, partition.partition
            if name not in failed:
                cause, log_end = causes[partition.topic_id], self._intact_end(partition)
                offsets[partition] = first_offset(cause, earliest[name], ends[name], log_end)
        unknown = {p: why_it_waits(failed[p.topic, p.partition]) for p in new if p not in offsets}
        return _Begins(offsets, unknown)

    def _intact_end(self, partition: PartitionId) -> int | None:
        """Where the log of the incarnation before ended, if the source has lost nothing of it."""
        before = self._store.get(in_incarnation_before(partition))
        return (
            None if before is None or self._is_truncated(before.id) else before.accepted_end_offset
        )

    def _is_truncated(self, partition: PartitionId) -> bool:
        return partition.partition in self._truncated.get(partition.topic_id, ())

    def _inherited(self, partition: PartitionId, begin: int) -> EpochHistory:
        """What was mined before a log that goes on behind a truncation.

        What nobody has noticed yet of that truncation then shows at the next look at the source.
        """
        before = self._store.get(in_incarnation_before(partition))
        if before is None or self._is_truncated(before.id) or before.accepted_end_offset != begin:
            return EpochHistory()
        return self._store.epochs.inherited(before.id, begin)

    def _forget_truncated(self) -> None:
        """Forgets what the source has lost once the partition's next log has been made."""
        for topic, numbers in list(self._truncated.items()):
            following = next_incarnation(topic)
            numbers -= {n for n in numbers if self._store.get(following.partition(n)) is not None}
            if not numbers:
                del self._truncated[topic]

    def partitions(self, source: Source, topic: str) -> tuple[int, ...]:
        """The partitions of a topic that have a log of the cluster that the connection means."""
        incarnation = self._store.incarnations.present(source.name, topic)
        if incarnation.cluster_id != self._store.incarnations.cluster_of(source.name):
            return ()
        known = self._store.logs.numbers(incarnation.topic)
        return tuple(number for number in source.topics[topic] if number in known)
