"""Compaction: merges small adjacent segments of a partition into larger ones, losing nothing.

A segment that stays lone is rewritten by itself, as what is merged is compressed more thoroughly.
"""

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from cachesvc.errors import DamagedFile, StoreUnreadable, StoreUnwritable
from cachesvc.jobs.giving_way import give_way
from cachesvc.jobs.job import Progress
from cachesvc.log.log_store import LogStore
from cachesvc.log.partition_log import PartitionLog
from cachesvc.model import Segment
from cachesvc.policy.compaction import CompactionPlan, MergeLimits, plan_compaction
from cachesvc.settings.jobs import CompactConfig
from cachesvc.store.merging import merge_segments
from cachesvc.subscriptions.retention import Retention


class Compact:
    """Merges as the policy plans: file durable, manifest commit; the sweep takes old files.

    Args:
        store: Whose segments.
        config: When, and up to which size.
        retention: Says how far apart the minings may be of what is merged, and up to what size.
    """

    name = "compact"
    description = "merge small adjacent segments into larger ones"

    def __init__(self, store: LogStore, config: CompactConfig, retention: Retention) -> None:
        self.interval_s = config.interval_s
        self._store = store
        self._config = config
        self._retention = retention

    async def run(self, progress: Progress) -> Mapping[str, int]:
        """See ``Job.run``."""
        now_ms = time.time_ns() // 1_000_000
        plans = [
            (log, plan)
            for log in self._store.in_order()
            for plan in plan_compaction(log.segments, self._limits(log, now_ms))
        ]
        counts: Counter[str] = Counter(
            segments_merged=0, segments_made=0, bytes_before=0, bytes_after=0
        )
        failure: Exception | None = None
        thread = ThreadPoolExecutor(1, "compact", initializer=give_way)
        given_up = threading.Event()
        try:
            for done, (log, plan) in enumerate(plans):
                progress(done, len(plans), f"{log.id.topic}/{log.id.partition}")
                try:
                    merged = await self._merge(thread, log, plan, given_up.is_set)
                except (StoreUnreadable, StoreUnwritable) as error:
                    failure = error  # other topics may lie in another store
                    continue
                if merged is None:
                    continue
                counts["segments_merged"] += len(plan.segments)
                counts["segments_made"] += 1
                counts["bytes_before"] += plan.bytes
                counts["bytes_after"] += merged.bytes
        finally:
            # A merge that was cancelled ends soon, and nobody waits for it.
            given_up.set()
            thread.shutdown(wait=False)
        progress(len(plans), len(plans), "")
        if failure is not None:
            raise failure
        return counts

    async def _merge(
        self,
        thread: ThreadPoolExecutor,
        log: PartitionLog,
        plan: CompactionPlan,
        given_up: Callable[[], bool],
    ) -> Segment | None:
        """The segment that came of it; None where a source went meanwhile, or was damaged."""
        sources = list(plan.segments)
        now_ms = time.time_ns() // 1_000_000
        stores = self._store.stores
        target = stores.choose(log.id.topic_id)
        with self._store.builds.under_way():
            try:
                async with stores.at_hand(sources, target) as directory:
                    merged = await asyncio.get_running_loop().run_in_executor(
                        thread, merge_segments, directory, sources, plan.level, now_ms, given_up
                    )
                    merged = await stores.publish(merged, directory, target)
            except (FileNotFoundError, DamagedFile):
                # Gone, or damaged: whichever it is, the repair knows.
                if not await self._repair(log, sources):
                    raise
                return None
            published = await self._store.manifest.merge(log, sources, merged)
        return merged if published else None

    async def _repair(self, log: PartitionLog, sources: Sequence[Segment]) -> bool:
        """Whether something was wrong with one of them, and it is repaired or gone now."""
        return any([await self._store.repair.mend(log, source) for source in sources])

    def _limits(self, log: PartitionLog, now_ms: int) -> MergeLimits:
        connection = log.id.connection
        span_ms = self._retention.rule(connection).merged_span_ms
        limits = self._retention.limits(connection)
        bytes_max = limits.merged_bytes_max(self._config.segment_bytes_target, log.segments)
        return MergeLimits(bytes_max, span_ms, now_ms - int(self._config.lone_age_s * 1000))
