"""Moving: brings segments to the store in which an operator wants their topics to lie."""

import asyncio
import secrets
import shutil
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from cachesvc.errors import DamagedFile, StoreUnreadable, StoreUnwritable
from cachesvc.jobs.job import Progress
from cachesvc.log.log_store import LogStore
from cachesvc.log.partition_log import PartitionLog
from cachesvc.model import Segment, TopicId
from cachesvc.store import layout
from cachesvc.store.copying import copy_segment


class Move:
    """Copies segment by segment: put, read back and compared, then named by the manifest.

    What is to lie where is durable, so a run that was ended in any way goes on where it was, by
    itself soon after the next start. Readers of the old files finish undisturbed; the sweep takes
    these, a grace time later. One segment at a time, slowly enough to leave disk and network to
    serving.

    Args:
        store: Whose segments.
        misplaced: Those that lie elsewhere than they should.
        interval_s: Between runs.
        bytes_per_s_max: Copied in a second, on average.
    """

    name = "move"
    description = "bring segments to the stores to which topics were moved"

    def __init__(
        self,
        store: LogStore,
        misplaced: Callable[[], Sequence[Segment]],
        interval_s: float,
        bytes_per_s_max: int,
    ) -> None:
        self.interval_s = interval_s
        self._store = store
        self._misplaced = misplaced
        self._bytes_per_s_max = bytes_per_s_max

    async def next_run_ms(self, now_ms: int) -> int:
        """See ``OwnSchedule``: now where something is left of a run that was ended."""
        return now_ms if self._misplaced() else now_ms + int(self.interval_s * 1000)

    async def run_due(self, progress: Progress) -> Mapping[str, int]:
        """See ``OwnSchedule``."""
        return await self.run(progress)

    async def run(self, progress: Progress) -> Mapping[str, int]:
        """See ``Job.run``.

        Raises:
            StoreUnreadable: A store is away; what lies in others was moved.
            StoreUnwritable: Likewise.
        """
        counts: Counter[str] = Counter(segments_moved=0, bytes_moved=0, segments_damaged=0)
        failed: dict[str, Exception] = {}
        done = 0
        with ThreadPoolExecutor(1, thread_name_prefix="move") as thread:
            # What is asked for meanwhile, and sealed behind the plan, is taken along.
            while left := [each for each in self._misplaced() if each.path not in failed]:
                segment = left[0]
                topic = f"{segment.partition.topic}/{segment.partition.partition}"
                progress(done, done + len(left), topic)
                began_s = time.monotonic()
                try:
                    outcome = await self._move(thread, segment)
                except (StoreUnreadable, StoreUnwritable) as error:
                    failed.update(_of_the_same_way(left, segment, error, self._target))
                    continue
                done += 1
                counts[outcome] += 1
                if outcome == "segments_moved":
                    counts["bytes_moved"] += segment.bytes
                lasts_s = segment.bytes / self._bytes_per_s_max
                await asyncio.sleep(max(0.0, lasts_s - (time.monotonic() - began_s)))
        progress(done, done + len(failed), "")
        if failed:
            raise next(iter(failed.values()))
        return counts

    def _target(self, topic: TopicId) -> str:
        return self._store.stores.choose(topic)

    async def _move(self, thread: ThreadPoolExecutor, segment: Segment) -> str:
        """Moves one; by which count it counts."""
        store = self._store
        log = _holder(store, segment)
        if log is None:
            return "segments_gone"
        target = self._target(segment.partition.topic_id)
        directory = store.path / layout.STAGING / secrets.token_hex(8)
        loop = asyncio.get_running_loop()
        with store.builds.under_way():
            try:
                copied = await loop.run_in_executor(thread, self._copy, segment, target, directory)
                await store.manifest.merge(log, [segment], copied)
            except (FileNotFoundError, DamagedFile):
                # Gone or damaged: whichever it is, the repair knows.
                if not await store.repair.mend(log, segment):
                    raise
                return "segments_damaged"
            finally:
                await asyncio.shield(loop.run_in_executor(None, shutil.rmtree, directory, True))
        return "segments_moved"

    def _copy(self, segment: Segment, target: str, directory: Path) -> Segment:
        """In the thread."""
        stores = self._store.stores
        stores.claim(target)
        directory.mkdir(parents=True)
        source, sink = stores.files(segment.store), stores.files(target)
        return copy_segment(segment, source, sink, target, directory)


def _holder(store: LogStore, segment: Segment) -> PartitionLog | None:
    """The log that has a segment; None once it was merged or expired."""
    for log in store.ranges.of(segment.partition):
        if any(each.path == segment.path for each in log.segments):
            return log
    return None


def _of_the_same_way(
    left: Sequence[Segment],
    segment: Segment,
    error: Exception,
    target: Callable[[TopicId], str],
) -> dict[str, Exception]:
    """By path, what would fail likewise: from the same store to the same one."""
    way = segment.store, target(segment.partition.topic_id)
    return {
        each.path: error for each in left if (each.store, target(each.partition.topic_id)) == way
    }
