"""How topics come into the log: the life each is in, and where the logs of its partitions begin."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping

from cachesvc.log.first_offsets import first_offsets
from cachesvc.log.log_store import LogStore
from cachesvc.log.sources import Source, Sources
from cachesvc.model import MiningStart, PartitionId, StartKind, TopicId, TopicLife
from cachesvc.policy.lives import first_offset, in_life_before, life_now


class Entering:
    """Makes logs. Belongs to one event loop; a connection waits for no other one's cluster.

    Args:
        store: Holds the logs.
        sources: Told when there are new ones.
        start_of: Where mining of a connection's new topics begins.
        on_over: Called with a life of a topic before the next one is entered.
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
        self._truncated: set[PartitionId] = set()

    def truncated(self, partition: PartitionId) -> bool:
        """Notes that a source has lost records that were mined; whether that is news."""
        news = partition not in self._truncated
        self._truncated.add(partition)
        return news

    async def enter(self, source: Source, topics: Iterable[str]) -> None:
        """Makes the logs of these topics' partitions, those that are new. Idempotent.

        A topic that turns out to be in another life gets new logs, and those of the life before
        come to their end. A new log begins where the mining task says: where the source begins now,
        by default.

        Raises:
            SourceUnreachable: There are new ones and the cluster does not answer.
        """
        async with self._locks[source.name]:
            names = sorted(topics)
            before = {self._store.topic_id(source.name, topic) for topic in names}
            lives = [self._life(source, topic) for topic in names]
            new = [
                partition
                for life in lives
                for number in source.topics.get(life.topic.topic, ())
                if self._store.get(partition := life.topic.partition(number)) is None
            ]
            begins = await self._begins(source, lives, new) if new else {}
            for life in lives:
                known = self._store.lives.present(source.name, life.topic.topic)
                if life != known or self._store.lives.is_new(life.topic):
                    if life.topic != known.topic:
                        self._on_over(known.topic)
                    await self._store.lives.put(life)
            for partition in new:
                await self._inherit(partition, begins[partition])
                await self._store.ensure(partition, begins[partition])
            for life in lives:
                if life.cause is not None:
                    self._store.end_life_before(life)
            self._truncated = {each for each in self._truncated if each.topic_id not in before}
        if new:
            self._sources.notify()

    def _life(self, source: Source, topic: str) -> TopicLife:
        """The life that a topic is in now, known to the store or not."""
        known = self._store.lives.present(source.name, topic)
        truncated = any(each.topic_id == known.topic for each in self._truncated)
        found_id = source.topic_ids.get(topic)
        cluster_id = self._store.lives.cluster_of(source.name) if found_id is not None else ""
        return life_now(known, found_id or "", truncated=truncated, cluster_id=cluster_id)

    async def _begins(
        self, source: Source, lives: Iterable[TopicLife], new: Iterable[PartitionId]
    ) -> Mapping[PartitionId, int]:
        asked = [(partition.topic, partition.partition) for partition in new]
        earliest = dict(await source.lookup.earliest_offsets(asked))
        cached = {log.id.topic for log in self._store.all() if log.id.connection == source.name}
        fresh = [(topic, number) for topic, number in asked if topic not in cached]
        start = self._start_of(source.name)
        if fresh and start.kind is not StartKind.EARLIEST:
            earliest.update(await first_offsets(source.lookup, fresh, start))
        causes = {life.topic: life.cause for life in lives}
        ends = await source.lookup.end_offsets(asked) if any(causes.values()) else earliest
        begins = {}
        for partition in new:
            name = partition.topic, partition.partition
            before = self._store.get(in_life_before(partition))
            intact = before is not None and before.id not in self._truncated
            log_end = before.accepted_end_offset if before is not None and intact else None
            cause = causes[partition.topic_id]
            begins[partition] = first_offset(cause, earliest[name], ends[name], log_end)
        return begins

    async def _inherit(self, partition: PartitionId, begin: int) -> None:
        """Lets a log that goes on behind a truncation know what was mined before it.

        What nobody has noticed yet of that truncation then shows at the next look at the source.
        """
        before = self._store.get(in_life_before(partition))
        if before is None or not self._store.lives.truncated_before(partition.topic_id):
            return
        if before.id not in self._truncated and before.accepted_end_offset == begin:
            await self._store.epochs.inherit(partition, before.id, begin)

    def partitions(self, source: Source, topic: str) -> tuple[int, ...]:
        """The partitions of a topic that have a log of the cluster that the connection means."""
        life = self._store.lives.present(source.name, topic)
        if life.cluster_id != self._store.lives.cluster_of(source.name):
            return ()
        topic_id = life.topic
        return tuple(
            number
            for number in source.topics[topic]
            if self._store.get(topic_id.partition(number)) is not None
        )
