"""Retention: advances log starts past segments whose newest record is too old."""

import time
from collections import Counter
from collections.abc import Callable, Mapping

from cachesvc.jobs.job import Progress
from cachesvc.log.log_store import LogStore
from cachesvc.policy.retention import plan_retention


class Expire:
    """Retires whole segments from a log's start, as Kafka does.

    Args:
        store: Whose segments.
        interval_s: Between runs.
        age_s: How long records stay, against their timestamp.
        age_s_of: What a connection's mining task says instead; None where it says nothing.
    """

    name = "expire"
    description = "drop records older than the retention"

    def __init__(
        self,
        store: LogStore,
        interval_s: float,
        age_s: float,
        age_s_of: Callable[[str], float | None] = lambda connection: None,
    ) -> None:
        self.interval_s = interval_s
        self._store = store
        self._age_s = age_s
        self._age_s_of = age_s_of

    async def run(self, progress: Progress) -> Mapping[str, int]:
        """See ``Job.run``."""
        counts: Counter[str] = Counter(segments_expired=0, records_expired=0, bytes_expired=0)
        logs = self._store.in_order()
        for done, log in enumerate(logs):
            progress(done, len(logs), f"{log.id.topic}/{log.id.partition}")
            age_s = self._age_s_of(log.id.connection) or self._age_s
            plan = plan_retention(log.segments, time.time_ns() // 1_000_000, int(age_s * 1000))
            if plan.log_start_offset is None:
                continue
            await self._store.expire(log, list(plan.dropped), plan.log_start_offset)
            counts["segments_expired"] += len(plan.dropped)
            counts["records_expired"] += sum(segment.record_count for segment in plan.dropped)
            counts["bytes_expired"] += sum(segment.bytes for segment in plan.dropped)
        progress(len(logs), len(logs), "")
        return counts
