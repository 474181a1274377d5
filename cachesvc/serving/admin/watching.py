"""Watching what is mined."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import Any

import grpc

from cachesvc.assignment.assignments import Assignments
from cachesvc.clusters.sources import Source, Sources
from cachesvc.errors import InvalidRequest
from cachesvc.log.log_store import LogStore
from cachesvc.log.partition_log import PartitionLog
from cachesvc.policy.throughput import Flow
from cachesvc.serving.admin import views
from cachesvc.serving.status import errors_as_status
from cachesvc.store import layout
from cachesvc.subscriptions.subscriptions import Subscriptions
from cachesvc.v1 import watching_pb2 as pb
from cachesvc.watching.deliveries import Deliveries
from cachesvc.watching.mining_watch import Activity, MiningWatch

Context = grpc.aio.ServicerContext[Any, Any]
_INTERVAL_S_DEFAULT = 2.0
_PAGE = 1_000


class WatchAdmin:
    """The calls of ``cachesvc.v1.Admin`` that watch mining; see the .proto for the contract.

    Args:
        store: The logs.
        sources: The connections.
        assignments: What is to be mined.
        subscriptions: Who wants what.
        watch: What is mined.
        deliveries: What is sent.
        matching: The topics of a connection that a topic expression means.
    """

    def __init__(
        self,
        store: LogStore,
        sources: Sources,
        assignments: Assignments,
        subscriptions: Subscriptions,
        watch: MiningWatch,
        deliveries: Deliveries,
        matching: Callable[[Source, str], Sequence[str]],
    ) -> None:
        self._store = store
        self._sources = sources
        self._assignments = assignments
        self._subscriptions = subscriptions
        self._watch = watch
        self._deliveries = deliveries
        self._matching = matching

    async def WatchMining(
        self, request: pb.WatchMiningRequest, context: Context
    ) -> AsyncIterator[pb.WatchMiningResponse]:
        async with errors_as_status(context):
            interval_s = _interval_s(request.interval_s)
            named = request.connection
            while True:
                chosen = [self._sources.resolve(named)] if named else self._sources.all()
                async for part in self._snapshot(chosen, request.topic):
                    yield part
                try:
                    async with asyncio.timeout(interval_s):
                        await self._subscriptions.ended.wait()
                except TimeoutError:
                    continue
                self._subscriptions.check_open()

    async def _snapshot(
        self, sources: Iterable[Source], topic: str
    ) -> AsyncIterator[pb.WatchMiningResponse]:
        """Its parts. Others have their turn between pages; nothing waits."""
        at_ms = time.time_ns() // 1_000_000
        last = pb.WatchMiningResponse(at_ms=at_ms)
        for source in sources:
            topics = [found async for found in self._topics(source, topic)]
            whole = _sum([found.activity for found in topics])
            sent = sum_of_delivered([found.delivered for found in topics])
            for begin in range(0, max(1, len(topics)), _PAGE):
                if last.tasks:
                    yield last
                page = topics[begin : begin + _PAGE]
                task = pb.WatchedTask(
                    connection=source.name, activity=whole, topics=page, delivered=sent
                )
                last = pb.WatchMiningResponse(at_ms=at_ms, tasks=[task])
        last.complete = True
        yield last

    async def _topics(self, source: Source, topic: str) -> AsyncIterator[pb.WatchedTopic]:
        users = self._users(source)
        needed = self._assignments.needed(source)
        for number, name in enumerate(sorted(name for name in needed if topic in ("", name))):
            if number % _PAGE == _PAGE - 1:
                await asyncio.sleep(0)
            logs = self._store.present(source.name, name)
            yield self._topic(source, name, logs, users.get(name, []))

    def _users(self, source: Source) -> dict[str, list[str]]:
        """The subscriptions that want each topic of a connection."""
        found: dict[str, list[str]] = {}
        for subscription in self._subscriptions.all():
            record = subscription.record
            if record.connection != source.name:
                continue
            names: Iterable[str] = record.topics
            if record.topic_expression:
                names = self._matching(source, record.topic_expression)
            for name in names:
                found.setdefault(name, []).append(record.name)
        return found

    def _topic(
        self, source: Source, name: str, logs: Sequence[PartitionLog], users: Sequence[str]
    ) -> pb.WatchedTopic:
        topic_id = self._store.topic_id(source.name, name)
        waiting = self._store.waiting.of_topic(topic_id)
        state, error = views.topic_state(logs, waiting, needed=True)
        directory = layout.segment_directory(topic_id.partition(0)).parent
        return pb.WatchedTopic(
            topic=name,
            incarnation=topic_id.incarnation,
            state=int(state),  # type: ignore[arg-type]
            error=error,
            activity=activity_message(self._watch.activity(topic_id, logs)),
            subscriptions=users,
            stored_at=str(self._store.path / directory),
            delivered=delivered_message(self._deliveries.by_topic.get(topic_id)),
        )


def activity_message(found: Activity) -> pb.MiningActivity:
    """What is mined of a topic."""
    return pb.MiningActivity(
        records_per_s_10s=found.records_10s,
        bytes_per_s_10s=found.bytes_10s,
        records_per_s_60s=found.records_60s,
        bytes_per_s_60s=found.bytes_60s,
        lag_records=found.lag_records,
        lag_bytes=found.lag_bytes,
        lag_s=found.lag_s,
        first_record_ms=found.first_ms,
        last_record_ms=found.last_ms,
        records_total=found.total.records,
        bytes_total=found.total.bytes,
        rejects_total=found.total.rejects,
        records_today=found.today.records,
        bytes_today=found.today.bytes,
        rejects_today=found.today.rejects,
    )


def delivered_message(flow: Flow | None) -> pb.Delivered:
    """What subscribers of a topic were sent; nothing for None."""
    if flow is None:
        return pb.Delivered()
    records_per_s, bytes_per_s = flow.per_s(time.monotonic())
    return pb.Delivered(
        records_per_s_10s=records_per_s,
        bytes_per_s_10s=bytes_per_s,
        records_total=flow.records,
        bytes_total=flow.bytes,
    )


def sum_of_delivered(parts: Sequence[pb.Delivered]) -> pb.Delivered:
    """All together."""
    return pb.Delivered(
        records_per_s_10s=sum(part.records_per_s_10s for part in parts),
        bytes_per_s_10s=sum(part.bytes_per_s_10s for part in parts),
        records_total=sum(part.records_total for part in parts),
        bytes_total=sum(part.bytes_total for part in parts),
    )


def _sum(parts: Sequence[pb.MiningActivity]) -> pb.MiningActivity:
    whole = pb.MiningActivity()
    for field in pb.MiningActivity.DESCRIPTOR.fields:
        values = [
            getattr(part, field.name)
            for part in parts
            if not field.has_presence or part.HasField(field.name)
        ]
        if values:
            combine = {"lag_s": max, "first_record_ms": min, "last_record_ms": max}
            setattr(whole, field.name, combine.get(field.name, sum)(values))
    return whole


def _interval_s(value: float) -> float:
    if value and not 0.1 <= value <= 3_600:
        raise InvalidRequest(f"interval_s: {value} is outside 0.1 to 3,600; 0 means 2")
    return value or _INTERVAL_S_DEFAULT
