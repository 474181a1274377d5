"""The service as a whole, for who looks at it again and again."""

import asyncio
import heapq
import os
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import grpc

from cachesvc.clusters.sources import Source
from cachesvc.model import TopicId
from cachesvc.policy.throughput import Tally
from cachesvc.process_usage import process_usage
from cachesvc.serving.admin import views
from cachesvc.serving.admin.watching import delivered_message, sum_of_delivered
from cachesvc.serving.status import errors_as_status
from cachesvc.subscriptions.subscriptions import Subscription
from cachesvc.trends.measured import Measured, in_turns
from cachesvc.v1 import watching_pb2 as pb

Context = grpc.aio.ServicerContext[Any, Any]
_SUBSCRIPTIONS_MAX = 20
_TOPICS_MAX = 10
_FRESH_S = 1.0
_SHARE_MAX = 0.05
"""Of the event loop's time, however many look."""


class SummaryAdmin:
    """The call of ``cachesvc.v1.Admin`` that sums everything up; see the .proto for the contract.

    Args:
        measured: What is summed up.
        version: Of this software.
        clock: Seconds that never go back.
    """

    def __init__(
        self, measured: Measured, version: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._measured = measured
        self._version = version
        self._clock = clock
        self._started_ms = _now_ms()
        self._making = asyncio.Lock()
        self._newest: pb.GetOverviewResponse | None = None
        self._stale_s = 0.0

    async def GetOverview(
        self, request: pb.GetOverviewRequest, context: Context
    ) -> pb.GetOverviewResponse:
        async with errors_as_status(context), self._making:
            began_s = self._clock()
            if self._newest is None or began_s >= self._stale_s:
                self._newest = await self._make()
                now_s = self._clock()
                self._stale_s = now_s + max(_FRESH_S, (now_s - began_s) / _SHARE_MAX)
            return self._newest

    async def _make(self) -> pb.GetOverviewResponse:
        measured = self._measured
        disk = await asyncio.to_thread(os.statvfs, measured.store.path)
        usage, ages = process_usage(), measured.deliveries.ages
        found = pb.GetOverviewResponse(
            at_ms=_now_ms(),
            started_ms=self._started_ms,
            disk_free_bytes=disk.f_bavail * disk.f_frsize,
            disk_bytes=disk.f_blocks * disk.f_frsize,
            version=self._version,
            seals_waiting=measured.store.sealer.waiting,
            mined_to_sent=pb.Distribution(
                bounds_s=ages.bounds, counts=ages.counts, sum_s=ages.total
            ),
            cpu_s=usage.cpu_s,
            resident_bytes=usage.resident_bytes,
            open_files=usage.open_files,
        )
        rates = measured.watch.rates()
        for source in sorted(measured.sources.all(), key=lambda source: source.name):
            found.connections.append(await self._connection(source, rates))
        busiest = heapq.nlargest(_TOPICS_MAX, rates, key=lambda rate: rate[2])
        found.busiest.extend(
            pb.TopicOverview(
                connection=topic.connection,
                topic=topic.topic,
                records_per_s=records,
                bytes_per_s=size,
            )
            for topic, records, size in busiest
            if records >= 0.005  # shown as 0 otherwise
        )
        await self._subscriptions(found)
        return found

    async def _connection(
        self, source: Source, rates: Sequence[tuple[TopicId, float, float]]
    ) -> pb.ConnectionOverview:
        measured = self._measured
        own = [rate for rate in rates if rate[0].connection == source.name]
        mined = sum((measured.watch.since_start(topic) for topic, _, _ in own), Tally())
        sent = sum_of_delivered(
            [
                delivered_message(flow)
                for topic, flow in measured.deliveries.by_topic.items()
                if topic.connection == source.name
            ]
        )
        needed = measured.assignments.needed(source)
        states: Counter[int] = Counter()
        lag = 0
        async for name in in_turns(needed):
            topic = measured.store.topic_id(source.name, name)
            logs = measured.store.logs.of_topic(topic)
            waiting = measured.store.waiting.of_topic(topic)
            states[int(views.topic_state(logs, waiting, needed=True)[0])] += 1
            lag += sum(log.mining_lag or 0 for log in logs)
        return pb.ConnectionOverview(
            connection=source.name,
            topics=len(measured.store.logs.topics(source.name)),
            topics_needed=len(needed),
            readers=len(measured.assignments.readers(source.name)),
            records_per_s=sum(records for _, records, _ in own),
            bytes_per_s=sum(size for _, _, size in own),
            lag_records=lag,
            mined_records=mined.records,
            mined_bytes=mined.bytes,
            delivered_records=sent.records_total,
            delivered_bytes=sent.bytes_total,
            delivered_records_per_s=sent.records_per_s_10s,
            delivered_bytes_per_s=sent.bytes_per_s_10s,
            states=[
                pb.StateCount(state=state, topics=count)  # type: ignore[arg-type]
                for state, count in sorted(states.items())
            ],
        )

    async def _subscriptions(self, found: pb.GetOverviewResponse) -> None:
        furthest: list[tuple[bool, int, str, Subscription]] = []
        async for subscription in in_turns(self._measured.subscriptions.all()):
            found.subscriptions += 1
            found.subscriptions_connected += subscription.connected
            found.streams += subscription.streams
            lag = self._lag(subscription)
            row = (subscription.connected, lag, subscription.record.name, subscription)
            heapq.heappush(furthest, row)
            if len(furthest) > _SUBSCRIPTIONS_MAX:
                heapq.heappop(furthest)
        for connected, lag, name, subscription in sorted(furthest, reverse=True):
            record = subscription.record
            found.furthest_behind.append(
                pb.SubscriptionOverview(
                    subscription=name,
                    connection=record.connection,
                    connected=connected,
                    lag_records=lag,
                    committed_ms=record.committed_ms,
                )
            )

    def _lag(self, subscription: Subscription) -> int:
        behind = 0
        for partition, offset in subscription.positions.items():
            log = self._measured.store.get(partition)
            if log is not None:
                behind += max(0, log.log_end_offset - offset)
        return behind


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
