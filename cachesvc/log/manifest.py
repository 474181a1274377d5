"""Changes of the manifest, one at a time: sealed, merged, expired, in the catalogue and the logs.

Jobs choose what to change by what the logs have, and work on it for a while; meanwhile another job
may have changed that. So each change is checked when its turn has come, and is not made where what
it takes away is no longer there: whoever wanted it looks again at its next run.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

from cachesvc.log.catalogue_thread import CatalogueThread
from cachesvc.log.partition_log import PartitionLog
from cachesvc.model import Segment
from cachesvc.policy.coverage import OffsetRange
from cachesvc.policy.mined_times import ClockReading, put_right
from cachesvc.store.journal import JournalIndex


class Manifest:
    """Lets one change after the other happen. Belongs to one event loop.

    Args:
        catalogue: Where the manifest is durable.
    """

    def __init__(self, catalogue: CatalogueThread) -> None:
        self._catalogue = catalogue
        self._turn = asyncio.Lock()

    async def add(self, log: PartitionLog, segment: Segment, index: JournalIndex) -> Segment:
        """Publishes the segment of a journal; answers what was published.

        Its times of mining are those of the journal now: they may have been put right meanwhile.
        """
        async with self._turn:
            segment = replace(
                segment,
                oldest_mined_ms=index.oldest_mined_ms,
                newest_mined_ms=index.newest_mined_ms,
            )
            now_ms = time.time_ns() // 1_000_000
            await self._catalogue.call(lambda port: port.replace_segments([], [segment], now_ms))
            log.install([], [segment])
        return segment

    async def merge(self, log: PartitionLog, sources: Sequence[Segment], merged: Segment) -> bool:
        """Publishes a merge: readers of the old files finish undisturbed, new ones use the new.

        Returns:
            False where a source is gone, which leaves all as it was.
        """
        async with self._turn:
            log = log.current
            found = _still_there(log, sources)
            if found is None:
                return False
            merged = replace(
                merged,
                oldest_mined_ms=min(source.oldest_mined_ms for source in found),
                newest_mined_ms=max(source.newest_mined_ms for source in found),
            )
            now_ms = time.time_ns() // 1_000_000
            await self._catalogue.call(lambda port: port.replace_segments(found, [merged], now_ms))
            log.install(found, [merged])
        return True

    async def expire(self, log: PartitionLog, removed: Sequence[Segment], log_start: int) -> bool:
        """Moves a log's start up and retires the segments before it.

        Returns:
            False where one of them is gone already, which leaves all as it was.
        """
        async with self._turn:
            log = log.current
            found = _still_there(log, removed)
            if found is None:
                return False
            now_ms = time.time_ns() // 1_000_000
            # Lower ranges are what their segments say, so that only the top one has a start.
            starts = {log.id: log_start} if log.above is None else {}
            await self._catalogue.call(lambda port: port.expire_segments(found, starts, now_ms))
            log = log.current
            log.install(found, [])
            log.advance_start(log_start)
        return True

    async def take_out(
        self,
        log: PartitionLog,
        damaged: Segment,
        whole: Sequence[Segment],
        missing: Sequence[OffsetRange],
    ) -> PartitionLog | None:
        """Replaces a damaged segment by those of what is whole of it, and notes what is missing.

        Returns:
            The log, which has to be cut there still; None where the segment is gone already, which
            leaves all as it was.
        """
        async with self._turn:
            log = log.current
            found = _still_there(log, [damaged])
            if found is None:
                return None
            now_ms = time.time_ns() // 1_000_000
            starts = {log.id: missing[-1].end} if log.above is None and missing else {}
            await self._catalogue.call(
                lambda port: port.put_damaged(log.id, missing, whole, starts, now_ms, found)
            )
            log = log.current
            log.install(found, [])
        return log

    @asynccontextmanager
    async def unchanged(self) -> AsyncIterator[None]:
        """Lets no change happen meanwhile: they wait for their turn."""
        async with self._turn:
            yield

    async def put_times_right(
        self,
        logs: Callable[[], Iterable[PartitionLog]],
        earlier: ClockReading,
        now: ClockReading,
    ) -> int:
        """Corrects times of mining where the machine's clock was set (``policy.mined_times``).

        Args:
            logs: All of them.
            earlier: When this was done last.
            now: The present.

        Returns:
            Of how many segments.
        """
        async with self._turn:
            right: dict[str, Segment] = {}
            for log in logs():
                for segment in log.segments:
                    oldest_ms = put_right(segment.oldest_mined_ms, earlier, now)
                    newest_ms = put_right(segment.newest_mined_ms, earlier, now)
                    if (oldest_ms, newest_ms) != (segment.oldest_mined_ms, segment.newest_mined_ms):
                        right[segment.path] = replace(
                            segment, oldest_mined_ms=oldest_ms, newest_mined_ms=newest_ms
                        )
            if right:
                changed = list(right.values())
                await self._catalogue.call(lambda port: port.put_mined_times(changed))
            for log in logs():
                log.segments = [right.get(segment.path, segment) for segment in log.segments]
                for index in (entry.index for entry in log.journals if not entry.sealed):
                    if index is not None:
                        index.oldest_mined_ms = put_right(index.oldest_mined_ms, earlier, now)
                        index.newest_mined_ms = put_right(index.newest_mined_ms, earlier, now)
        return len(right)


def _still_there(log: PartitionLog, segments: Sequence[Segment]) -> list[Segment] | None:
    """The same segments as the log has them now; None if it does not have all of them."""
    present = {segment.path: segment for segment in log.segments}
    found = [present[segment.path] for segment in segments if segment.path in present]
    return found if len(found) == len(segments) else None
