"""Retention: advances log starts past segments that have had their time, or are too much."""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from functools import cache, partial

from cachesvc.jobs.dropping import Dropping
from cachesvc.jobs.job import Progress
from cachesvc.jobs.retired_files import RetiredFiles
from cachesvc.log.log_store import LogStore
from cachesvc.model import PartitionId
from cachesvc.policy.mined_times import ClockReading
from cachesvc.policy.retention import plan_retention
from cachesvc.policy.size_limits import Held, SizeLimits, plan_topic_limits, total
from cachesvc.store.drops_port import DropCause
from cachesvc.subscriptions.retention import Retention, Unread
from cachesvc.subscriptions.subscriptions import Subscription
from cachesvc.subscriptions.topic_sizes import TopicSizes, gather

_log = logging.getLogger(__name__)
# Goes on while the machine sleeps, where the system has such a clock.
_STEADY = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def read_clocks() -> ClockReading:
    """Both clocks of this machine now."""
    return ClockReading(time.time_ns() // 1_000_000, time.clock_gettime_ns(_STEADY) // 1_000_000)


class Expire:
    """Retires whole segments from a log's start, as the policies plan: by age, then by size.

    Args:
        store: Whose segments.
        subscriptions: Answers all subscriptions.
        retention: How long and how much of what is cached stays.
        retired: Deletes files of what expired, if the retention is short.
        interval_s: Between runs.
        clocks: The present.
    """

    name = "expire"
    description = "drop what the retention says has been cached for long enough, or is too much"

    def __init__(
        self,
        store: LogStore,
        subscriptions: Callable[[], Iterable[Subscription]],
        retention: Retention,
        retired: RetiredFiles,
        interval_s: float,
        clocks: Callable[[], ClockReading] = read_clocks,
    ) -> None:
        self.interval_s = interval_s
        self._store = store
        self._subscriptions = subscriptions
        self._retention = retention
        self._retired = retired
        self._clocks = clocks
        self._earlier = clocks()

    async def run(self, progress: Progress) -> Mapping[str, int]:
        """See ``Job.run``."""
        now = self._clocks()
        corrected = await self._store.manifest.put_times_right(
            self._store.every, self._earlier, now
        )
        self._earlier = now
        if corrected:
            _log.warning(
                "the clock was set; times of mining have been put right",
                extra={"event": "mined_times_put_right", "segments": corrected},
            )
        dropping = Dropping(self._store)
        try:
            await self._by_age(dropping, now.wall_ms, progress)
            await self._by_size(dropping, now.wall_ms)
        finally:
            await dropping.note()
        await self._retired.delete_due()
        return {f"{name}_expired": count for name, count in dropping.counts.items()}

    async def _by_age(self, dropping: Dropping, now_ms: int, progress: Progress) -> None:
        # Most runs need not know what somebody has still to read.
        unread = cache(lambda: Unread(self._subscriptions()))
        logs = self._store.in_order()
        for done, log in enumerate(logs):
            progress(done, len(logs), f"{log.id.topic}/{log.id.partition}")
            rule = self._retention.rule(log.id.connection)
            lowest = partial(_lowest, unread, log.id)
            plan = plan_retention(log.segments, now_ms, rule, lowest)
            if plan.dropped:
                await dropping.drop(log, plan.dropped, DropCause.AGE)
        progress(len(logs), len(logs), "")

    async def _by_size(self, dropping: Dropping, now_ms: int) -> None:
        topics = gather(self._store, self._retention, self._subscriptions())
        for topic in topics:
            if topic.limits.any:
                await self._limit(dropping, topic, now_ms)

    async def _limit(self, dropping: Dropping, topic: TopicSizes, now_ms: int) -> None:
        logs, limits = topic.segments.logs, topic.limits
        plan = await asyncio.to_thread(plan_topic_limits, logs, limits, now_ms)
        if not any(plan):
            return
        cause, detail = _why(await asyncio.to_thread(total, logs), limits)
        for log, planned, count in zip(topic.logs, logs, plan, strict=True):
            if count:
                await dropping.drop(log, planned.segments[:count], cause, detail)


def _why(held: Held, limits: SizeLimits) -> tuple[DropCause, str]:
    if limits.bytes_max is not None and held.bytes > limits.bytes_max:
        text = f"it held {held.bytes:,} bytes, {limits.bytes_max:,} stay"
        return DropCause.TOPIC_BYTES, text
    text = f"it held {held.records:,} records, {limits.records_max:,} stay"
    return DropCause.TOPIC_RECORDS, text


def _lowest(unread: Callable[[], Unread], partition: PartitionId) -> int | None:
    return unread().lowest(partition)
