"""Drops what a plan says, and keeps what was dropped and why."""

import time
from collections import Counter
from collections.abc import Sequence

from cachesvc.log.log_store import LogStore
from cachesvc.log.partition_log import PartitionLog
from cachesvc.model import Segment
from cachesvc.policy.shedding import TopicName
from cachesvc.policy.size_limits import held_by
from cachesvc.store.drops_port import DropCause, DropRecord


class Dropping:
    """What one run drops. Belongs to one event loop.

    Attributes:
        counts: What was dropped so far: segments, records and bytes, as names of counts.

    Args:
        store: Whose segments.
    """

    def __init__(self, store: LogStore) -> None:
        self._store = store
        self._of_topics: dict[tuple[TopicName, DropCause, str, str], Counter[str]] = {}
        self.counts: Counter[str] = Counter(segments=0, records=0, bytes=0)

    async def drop(
        self,
        log: PartitionLog,
        segments: Sequence[Segment],
        cause: DropCause,
        detail: str = "",
        of_store: str = "",
    ) -> int:
        """Moves a log's start behind its first segments; answers their bytes.

        They are merged meanwhile, at times: then nothing happens, and the next run looks at what
        came of it.

        Raises:
            StoreUnwritable: The catalogue does not take it.
        """
        if not await self._store.expire(log, list(segments), segments[-1].end_offset):
            return 0
        topic = log.id.connection, log.id.topic
        counts = self._of_topics.setdefault((topic, cause, detail, of_store), Counter())
        dropped = Counter(
            segments=len(segments),
            records=sum(segment.record_count for segment in segments),
            bytes=sum(map(held_by, segments)),
        )
        counts.update(dropped)
        self.counts.update(dropped)
        return dropped["bytes"]

    async def note(self) -> None:
        """Makes what was dropped part of the history."""
        now_ms = time.time_ns() // 1_000_000
        records = [
            DropRecord(
                now_ms,
                *topic,
                cause,
                of_store,
                counts["segments"],
                counts["records"],
                counts["bytes"],
                detail,
            )
            for (topic, cause, detail, of_store), counts in self._of_topics.items()
        ]
        self._of_topics.clear()
        if records:
            await self._store.catalogue.call(lambda port: port.drops.add(records))
