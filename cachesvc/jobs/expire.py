"""Retention: advances log starts past segments that have had their time."""

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from functools import cache, partial

from cachesvc.jobs.job import Progress
from cachesvc.jobs.retired_files import RetiredFiles
from cachesvc.log.log_store import LogStore
from cachesvc.model import PartitionId
from cachesvc.policy.mined_times import ClockReading
from cachesvc.policy.retention import plan_retention
from cachesvc.subscriptions.retention import Retention, Unread
from cachesvc.subscriptions.subscriptions import Subscription

_log = logging.getLogger(__name__)
# Goes on while the machine sleeps, where the system has such a clock.
_STEADY = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def read_clocks() -> ClockReading:
    """Both clocks of this machine now."""
    return ClockReading(time.time_ns() // 1_000_000, time.clock_gettime_ns(_STEADY) // 1_000_000)


class Expire:
    """Retires whole segments from a log's start, as the policy plans.

    Args:
        store: Whose segments.
        subscriptions: Answers all subscriptions.
        retention: How long what is cached stays.
        retired: Deletes files of what expired, if the retention is short.
        interval_s: Between runs.
        clocks: The present.
    """

    name = "expire"
    description = "drop what has been cached for as long as the retention says"

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
        counts: Counter[str] = Counter(segments_expired=0, records_expired=0, bytes_expired=0)
        corrected = await self._store.manifest.put_times_right(
            self._store.every, self._earlier, now
        )
        self._earlier = now
        if corrected:
            _log.warning(
                "the clock was set; times of mining have been put right",
                extra={"event": "mined_times_put_right", "segments": corrected},
            )
        # Most runs need not know what somebody has still to read.
        unread = cache(lambda: Unread(self._subscriptions()))
        logs = self._store.in_order()
        for done, log in enumerate(logs):
            progress(done, len(logs), f"{log.id.topic}/{log.id.partition}")
            rule = self._retention.rule(log.id.connection)
            lowest = partial(_lowest, unread, log.id)
            plan = plan_retention(log.segments, now.wall_ms, rule, lowest)
            if plan.log_start_offset is None:
                continue
            if not await self._store.expire(log, list(plan.dropped), plan.log_start_offset):
                continue  # merged meanwhile: the next run looks at what came of it
            counts["segments_expired"] += len(plan.dropped)
            counts["records_expired"] += sum(segment.record_count for segment in plan.dropped)
            counts["bytes_expired"] += sum(segment.bytes for segment in plan.dropped)
        await self._retired.delete_due()
        progress(len(logs), len(logs), "")
        return counts


def _lowest(unread: Callable[[], Unread], partition: PartitionId) -> int | None:
    return unread().lowest(partition)
