"""How partitions come into a stream: at its start, later, and those that could not be asked before.

A partition whose leader cannot be asked where its records begin and end is *awaited*: the stream
goes on without it and says so, and it joins as soon as its leader answers. A stream that has an end
does not end before.
"""

import asyncio
import contextlib
import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from cachesvc.assignment.assignments import Assignments
from cachesvc.assignment.log_creation import RETRY_S
from cachesvc.clusters.sources import Source, Sources
from cachesvc.errors import InvalidRequest, PreconditionFailed, SourceUnreachable
from cachesvc.log.log_store import LogStore
from cachesvc.log.partition_log import PartitionLog
from cachesvc.log.waiting import why_it_waits
from cachesvc.model import Mode, PartitionId
from cachesvc.policy.start_position import ExplicitStart
from cachesvc.serving.bootstrap import Start, choose_starts
from cachesvc.serving.calling import MayRead, may_read_all
from cachesvc.serving.convert import (
    NamedOffset,
    PartitionName,
    StartRequest,
    SubscribeCall,
    partition_id,
)
from cachesvc.serving.selection import logs_of, topics_of, waiting_of
from cachesvc.serving.starts import Starts, start_in_absence
from cachesvc.serving.stream import Stream
from cachesvc.snapshots.shelf import Shelf
from cachesvc.subscriptions.subscriber import Subscriber
from cachesvc.subscriptions.subscriptions import Subscription, Subscriptions

GONE_AFTER_S = 10.0
"""How long a cluster has to be without a topic before its partitions are awaited no more."""


@dataclass(frozen=True, slots=True)
class Served:
    """One Subscribe call.

    Attributes:
        call: What was asked for.
        source: The connection.
        subscription: Its durable side.
        subscriber: Who called.
        stream: What the caller gets.
        may_read: Which topics the caller may read; others are as if there were none of them.
    """

    call: SubscribeCall
    source: Source
    subscription: Subscription
    subscriber: Subscriber
    stream: Stream
    may_read: MayRead = may_read_all


class Joining:
    """Brings partitions into one stream. Belongs to one event loop and one call.

    Args:
        store: The logs.
        sources: Tells when there are others.
        assignments: Makes the logs of topics that are new to the cache.
        subscriptions: Stores starts.
        served: Whose partitions.
        shelf: Has the snapshots that they may begin with.

    Attributes:
        snapshots: What begins with one, once started.
    """

    def __init__(
        self,
        store: LogStore,
        sources: Sources,
        assignments: Assignments,
        subscriptions: Subscriptions,
        served: Served,
        shelf: Shelf,
    ) -> None:
        self._store = store
        self._sources = sources
        self._assignments = assignments
        self._subscriptions = subscriptions
        self._shelf = shelf
        self.snapshots: list[Start] = []
        self._call = served.call
        self._source = served.source
        self._subscription = served.subscription
        self._subscriber = served.subscriber
        self._stream = served.stream
        self._may_read = served.may_read
        self._bounded = bool(served.call.end) or served.call.mode is Mode.FULL
        self._full = served.call.mode is Mode.FULL
        self._ends: dict[PartitionId, int] = {}
        self._gone_s: dict[str, float] = {}  # since when the cluster has no such topics
        self._awaited: dict[PartitionId, str] = {}  # not in the stream, with the reasons
        self._endless: set[PartitionId] = set()  # in the stream of a full sync, without an end yet

    @property
    def ends(self) -> Mapping[PartitionId, int]:
        """Where the stream ends; empty for one that does not, or as long as that is not all."""
        open_ended = self._full and not self._call.end and (self._awaited or self._endless)
        return {} if open_ended else self._ends

    @property
    def done(self) -> bool:
        """Whether nothing joins any more."""
        return self._bounded and not self._awaited and not self._endless

    async def start(self) -> None:
        """Resolves start and end of every partition, stores what has to be, fills the stream.

        Raises:
            InvalidRequest: The call names a partition that the subscription does not have.
            SourceUnreachable: The source has to be asked and does not answer at all.
        """
        call, source = self._call, self._source
        topics = topics_of(self._subscription.record, source, self._may_read)
        await self._assignments.create_logs(source, topics)
        logs = {_name(log.id): log for log in self._logs()}
        waiting = {_name(partition): partition for partition in self._waiting()}
        named = logs.keys() | waiting.keys()
        check_known("end", call.end, named)
        check_known("start.positions", call.start.positions or {}, named)
        if call.end:
            logs = {name: log for name, log in logs.items() if name in call.end}
            waiting = {name: each for name, each in waiting.items() if name in call.end}
            for name, at in call.end.items():
                present = self._store.topic_id(source.name, name[0]).incarnation
                self._ends[partition_id(source.name, name, at, present)] = at.offset
        self._stream.ends = self._ends
        for partition in waiting.values():
            self._await(
                partition,
                self._store.waiting.why(partition),
                start_in_absence(partition, call.mode, call.start, self._subscription),
            )
        # What had a position before it was resolved, or a start that waited for the source.
        positioned = {*map(_name, self._subscription.positions), *self._subscription.awaited}
        resolved = await self._resolve(logs.values(), call.start)
        for start in await self._bootstrapped(resolved, positioned):
            self._stream.add(start.log, start.position, start.snapshot)
        self._follow()

    async def _bootstrapped(
        self, resolved: list[tuple[PartitionLog, int]], positioned: Collection[PartitionName]
    ) -> list[Start]:
        """Where partitions begin; snapshots that are begun are durable, with their begin."""
        starts = choose_starts(self._call, resolved, positioned, self._subscription, self._shelf)
        self.snapshots = [start for start in starts if start.snapshot is not None]
        begun = {
            each.log.id: each.snapshot for each in starts if each.snapshot and not each.resumed
        }
        await self._shelf.begin(self._subscription.record.name, begun)
        begins = {partition: snapshot.base_offset for partition, snapshot in begun.items()}
        await self._store_start(begins)
        if self._full:
            self._subscriber.full_start.update(begins)
        return starts

    async def run(self) -> None:
        """Enters what comes later: new partitions and topics, and those that were awaited.

        Into a stream that has an end only the latter come; it returns once all are there.
        """
        changed = asyncio.Event()
        self._sources.subscribe(changed.set)
        try:
            while not self.done:
                failed = False
                try:
                    await self._look()
                except (SourceUnreachable, PreconditionFailed):  # source and store are tried again
                    failed = True
                pause_s = RETRY_S if failed or self._awaited or self._endless else None
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(pause_s):
                        await changed.wait()
                changed.clear()
        finally:
            self._sources.unsubscribe(changed.set)

    def _logs(self) -> list[PartitionLog]:
        return logs_of(self._subscription.record, self._store, self._source, self._may_read)

    def _waiting(self) -> list[PartitionId]:
        return waiting_of(self._subscription.record, self._store, self._source, self._may_read)

    async def _look(self) -> None:
        """Enters what may join now."""
        reads = self._stream.reads
        new = [log for log in self._logs() if not reads(log.id.topic, log.id.partition)]
        if not self._bounded:
            for partition in self._waiting():
                if not reads(partition.topic, partition.partition):
                    self._awaited.setdefault(partition, self._store.waiting.why(partition))
        awaited = [log for log in new if log.id in self._awaited]
        for log, position in await self._resolve(awaited, StartRequest()):
            self._stream.add_later(log, position)
        if not self._bounded:
            await self._join_new([log for log in new if log.id not in self._awaited])
        self._follow()

    async def _join_new(self, logs: Iterable[PartitionLog]) -> None:
        """Partitions that were found later begin at their log's start."""
        stored = self._subscription.positions
        new = [log for log in logs if not self._stream.reads(log.id.topic, log.id.partition)]
        starts = {log.id: stored.get(log.id, log.log_start_offset) for log in new}
        await self._store_start(starts)
        for log in new:
            self._stream.add_later(log, starts[log.id])

    async def _resolve(
        self, logs: Iterable[PartitionLog], start: StartRequest
    ) -> list[tuple[PartitionLog, int]]:
        """The logs that may join, with the positions; their ends are in the stream already."""
        starts = Starts(self._store, self._source)
        resolved = await starts.resolve(logs, self._call.mode, start, self._subscription)
        joining = {
            log: position
            for partition, position in resolved.positions.items()
            if (log := self._store.get(partition)) is not None
        }
        if self._full and not self._call.end:
            endless = [log for each in self._endless if (log := self._store.get(each)) is not None]
            self._end(await starts.source_ends([*joining, *endless]), joining)
        if self._full:
            self._subscriber.full_start.update(resolved.positions)
            self._subscriber.full_end.update(self._ends)
        await self._store_start(resolved.to_store)
        for partition, meant in resolved.unknown.items():
            self._await(partition, why_it_waits(starts.failed[partition]), meant)
        for partition in resolved.positions:
            self._awaited.pop(partition, None)
            self._subscription.awaited.pop(_name(partition), None)
        return list(joining.items())

    def _end(self, ends: Mapping[PartitionId, int], joining: Iterable[PartitionLog]) -> None:
        """Notes where a full sync ends, and where nobody can say so yet."""
        for partition in self._endless & ends.keys():
            self._stream.end_at(partition, ends[partition])
        self._ends.update(ends)
        self._endless |= {log.id for log in joining}
        self._endless -= ends.keys()

    async def _store_start(self, positions: Mapping[PartitionId, int]) -> None:
        epoch = self._subscriber.epoch
        await self._subscriptions.store_start(self._subscription, epoch, positions)

    def _await(self, partition: PartitionId, why: str, meant: ExplicitStart) -> None:
        self._awaited[partition] = why
        self._subscription.awaited[_name(partition)] = meant

    def _follow(self) -> None:
        """Forgets awaited partitions that are gone, and has the stream tell of the others."""
        now_s = time.monotonic()
        for partition in list(self._awaited):
            topic, number = _name(partition)
            present = self._store.topic_id(self._source.name, topic).partition(number)
            why = self._awaited.pop(partition)
            if not self._source.lacks(topic) or self._store.get(present) is not None:
                self._gone_s.pop(topic, None)
            # A broker that has just started may not know all topics yet.
            if now_s - self._gone_s.get(topic, now_s) < GONE_AFTER_S:
                self._awaited[present] = self._store.waiting.why(present) or why
            if self._source.lacks(topic):
                self._gone_s.setdefault(topic, now_s)
        if self._full:
            self._subscriber.full_end_open = not self.done
        self._stream.wait_for(self._awaited)


def _name(partition: PartitionId) -> PartitionName:
    return partition.topic, partition.partition


def check_known(
    field: str, positions: Mapping[PartitionName, NamedOffset], known: Collection[PartitionName]
) -> None:
    """Accepts positions of partitions that a subscription has.

    Raises:
        InvalidRequest: One is of another (``UNKNOWN_PARTITION``).
    """
    for topic, number in positions:
        if (topic, number) not in known:
            raise InvalidRequest(
                f"{field}: {topic}/{number} is no partition of this subscription",
                reason="UNKNOWN_PARTITION",
                metadata={"topic": topic, "partition": number},
            )
