"""Reading a partition's log from wherever it lies, once for everybody who asks.

A *chunk* is a run of whole frames: a piece of a journal, or a row group of a segment. Its
boundaries do not depend on who reads, so chunks are shared through one cache.
"""

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple, Protocol, TypeVar, TypeVarTuple

import pyarrow as pa

from cachesvc.errors import DamagedFile, DataLoss, StoreUnreadable
from cachesvc.log.estimates import first_candidate
from cachesvc.log.locations import InJournal, InMemory, InSegment, JournalEntry
from cachesvc.log.partition_log import PartitionLog
from cachesvc.log.shared_cache import CacheCounts, SharedCache
from cachesvc.log.stores import Stores
from cachesvc.model import PartitionId, Segment
from cachesvc.store import recoding, segments
from cachesvc.store.file_store import ReadableFile
from cachesvc.store.frames import Frame
from cachesvc.store.journal import JournalFile, JournalIndex, read_frames
from cachesvc.store.refusals import unreadable
from cachesvc.store.row_group_file import RowGroupPlan, read_plans, read_row_group_file

_log = logging.getLogger(__name__)
T = TypeVar("T")
Ts = TypeVarTuple("Ts")
Chunk = Sequence[Frame]
_ChunkKey = tuple[PartitionId, str, int] | tuple[PartitionId, str, int, Literal["as a file"]]
_LAYOUTS_BYTES_MAX = 8 << 20
_LOOKS_BYTES_MAX, _LOOK_BYTES = 4 << 20, 512


class Wanted(Protocol):
    """Which records a reader wants, as far as it can be told before they are read as a whole."""

    @property
    def text(self) -> str:
        """The same for two that want the same."""

    @property
    def columns(self) -> Sequence[str]:
        """What ``any_pass`` looks at; empty where it can tell nothing."""

    def may_pass(self, oldest_ms: int, newest_ms: int) -> bool:
        """Whether any of some records may be wanted, by the range of their timestamps."""

    def any_pass(self, records: pa.Table) -> bool:
        """Whether any of these may be, of which ``columns`` are there. Blocking."""


class FileBounds(NamedTuple):
    """Which row groups a reader takes as files.

    Attributes:
        end: None of those that reach beyond; None if there is no such offset.
        bytes_max: None that is larger.
    """

    end: int | None
    bytes_max: int


def chunk_bytes(chunk: Chunk) -> int:
    """Bytes that a chunk holds in memory."""
    return sum(frame.encoded_bytes for frame in chunk)


class LogReader:
    """Reads frames for subscribers and jobs. Belongs to one event loop.

    Args:
        stores: Where segments lie.
        executor: Runs file I/O and decoding.
        cache_bytes_max: Budget for chunks that are kept after use.
    """

    def __init__(self, stores: Stores, executor: Executor, cache_bytes_max: int) -> None:
        self._stores = stores
        self._executor = executor
        self.reads: Counter[str] = Counter()
        """How often what was asked for lay in memory, in a journal and in a segment."""
        self._prefetches: set[asyncio.Task[None]] = set()
        self.on_damage: Callable[[PartitionId, str, Exception], None] = lambda *_: None
        """Called with a sealed journal that is damaged; must not wait."""
        self._chunks: SharedCache[_ChunkKey, Chunk] = SharedCache(cache_bytes_max, chunk_bytes)
        self._looks: SharedCache[tuple[PartitionId, str, int, str], bool] = SharedCache(
            _LOOKS_BYTES_MAX, lambda _: _LOOK_BYTES
        )
        self._layouts: SharedCache[str, segments.SegmentLayout] = SharedCache(
            _LAYOUTS_BYTES_MAX, lambda layout: 256 + 220 * len(layout.first_offsets)
        )
        self._plans: SharedCache[str, Sequence[RowGroupPlan]] = SharedCache(
            _LAYOUTS_BYTES_MAX, lambda plans: 256 + sum(3_000 + len(each.footer) for each in plans)
        )
        self._indexes: SharedCache[Path, JournalIndex] = SharedCache(
            _LAYOUTS_BYTES_MAX, lambda index: 256 + 200 * len(index.chunks)
        )

    @property
    def caches(self) -> Mapping[str, CacheCounts]:
        """What is kept after use, by name."""
        return {
            "chunks": self._chunks,
            "layouts": self._layouts,
            "row_groups": self._plans,
            "journal_indexes": self._indexes,
        }

    async def read(self, log: PartitionLog, offset: int, wanted: Wanted | None = None) -> Chunk:
        """The frames from the one that covers ``offset`` on, to the end of its chunk.

        Empty at the log's end. The first frame may begin before ``offset``. What is not wanted may
        be left unread, and is a frame without records then.

        Raises:
            DataLoss: The offset is below the log's start.
            DamagedFile: What lies there fails its checksum, and no other file has it.
            StoreUnreadable: The system does not let it be read.
        """
        while True:
            location = log.locate(offset)
            if location is None:
                return ()
            self.reads[location.place] += 1
            if isinstance(location, InMemory):
                return location.frames
            if isinstance(location, InJournal):
                try:
                    chunk = await self._journal_chunk(log, location.journal, offset)
                except (FileNotFoundError, DamagedFile) as error:
                    if not location.journal.sealed:
                        raise DamagedFile(f"{location.journal.path}: {error}") from error
                    await self.leave_to_segment(log, location.journal, error)
                    continue
            else:
                try:
                    chunk = await self._segment_chunk(location.segment, offset, wanted)
                except FileNotFoundError as error:
                    if log.locate(offset) == location:
                        raise DamagedFile(f"{location.segment.path} is missing") from error
                    continue  # merged or expired meanwhile
            return [frame for frame in chunk if frame.end_offset > offset]

    async def read_file(self, segment: Segment, offset: int, wanted: Wanted | None = None) -> Chunk:
        """The same for a file that is no part of a log; ``offset`` lies in its range.

        Raises:
            DamagedFile: What lies there fails its checksum, or the file is gone.
            StoreUnreadable: The system does not let it be read.
        """
        try:
            chunk = await self._segment_chunk(segment, offset, wanted)
        except FileNotFoundError as error:
            raise DamagedFile(f"{segment.path} is missing") from error
        return [frame for frame in chunk if frame.end_offset > offset]

    async def row_group(self, log: PartitionLog, offset: int, bounds: FileBounds) -> Frame | None:
        """The row group that begins at ``offset``, as a frame whose payload is a Parquet file.

        None where there is none, it is out of bounds or damaged, or somebody else has its frames
        already: ``read`` is to be asked then.

        Raises:
            DataLoss: The offset is below the log's start.
            StoreUnreadable: The system does not let it be read.
        """
        location = log.locate(offset)
        if not isinstance(location, InSegment):
            return None
        found = await self.row_group_of(location.segment, offset, bounds)
        if found is not None:
            self.reads[location.place] += 1
        return found

    async def row_group_of(self, segment: Segment, offset: int, bounds: FileBounds) -> Frame | None:
        """The same for a file that is no part of a log; ``offset`` lies in its range."""
        file = self._stores.file(segment)
        try:
            layout = await self._layout(segment)
            number = layout.locate(offset)
            covered = begin, end = segments.group_range(segment, layout, number)
            if not layout.times or begin != offset or (bounds.end or end) < end:
                return None
            plans = await self._plans.get(
                segment.path, lambda: self.run_at(segment.store, read_plans, file)
            )
            key = (segment.partition, file.name, number)
            if plans[number].file_bytes > bounds.bytes_max or self._chunks.has(key):
                return None
            place = covered, layout.first_offsets[number], layout.times[number]

            async def make() -> Chunk:
                read = read_row_group_file
                return (await self.run_at(segment.store, read, file, plans[number], *place),)

            return (await self._chunks.get((*key, "as a file"), make))[0]
        except (FileNotFoundError, DamagedFile):
            return None

    def prefetch(
        self,
        log: PartitionLog,
        offset: int,
        wanted: Wanted | None = None,
        as_file: FileBounds | None = None,
    ) -> None:
        """Begins to read the chunk at ``offset`` if that needs the disk, to make waiting short.

        With ``as_file`` the row group there as a file, if it can be had as one.
        """
        if not log.in_memory(offset):
            task = asyncio.ensure_future(self._prefetch(log, offset, wanted, as_file))
            self._prefetches.add(task)
            task.add_done_callback(self._prefetches.discard)

    async def _prefetch(
        self, log: PartitionLog, offset: int, wanted: Wanted | None, as_file: FileBounds | None
    ) -> None:
        with contextlib.suppress(DataLoss, StoreUnreadable):  # whoever reads it is told
            if as_file is None or await self.row_group(log, offset, as_file) is None:
                await self.read(log, offset, wanted)

    async def offset_at(self, log: PartitionLog, timestamp_ms: int) -> int | None:
        """The first cached offset whose timestamp is not before ``timestamp_ms``, or None."""
        offset = first_candidate(log, timestamp_ms)
        while chunk := await self.read(log, offset):
            found = await self.run(recoding.first_offset_at, chunk, timestamp_ms, offset)
            if found is not None:
                return found
            offset = chunk[-1].end_offset
        return None

    async def slice(self, frame: Frame, begin: int, end: int) -> Frame:
        """The part of a frame that covers ``[begin, end)``."""
        if begin <= frame.base_offset and frame.end_offset <= end:
            return frame
        return await self.run(recoding.slice_frame, frame, begin, end)

    async def run(self, function: Callable[[*Ts], T], *arguments: *Ts) -> T:
        """Runs blocking work beside the event loop.

        Raises:
            FileNotFoundError: A file is gone.
            StoreUnreadable: The system refuses a file that is there.
        """
        return await self._run(self._executor, function, *arguments)

    async def run_at(self, store: str, function: Callable[[*Ts], T], *arguments: *Ts) -> T:
        """The same for work that reads from a store, which may be slow."""
        executor = self._stores.executor(store) or self._executor
        return await self._run(executor, function, *arguments)

    async def _run(self, executor: Executor, function: Callable[[*Ts], T], *arguments: *Ts) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(executor, function, *arguments)
        except FileNotFoundError:
            raise
        except OSError as error:
            path = next((each for each in arguments if isinstance(each, Path)), self._stores.path)
            raise unreadable(path, error) from error

    async def _journal_chunk(self, log: PartitionLog, entry: JournalEntry, offset: int) -> Chunk:
        index = entry.index
        if index is None:
            index = await self._indexes.get(
                entry.path, lambda: self.run(_scan_journal, entry.path, log.id)
            )
        if not index.chunks or offset >= index.end_offset:
            raise DamagedFile(
                f"{entry.path} ends at offset {index.end_offset}, not behind {offset}"
            )
        number = index.locate(offset)
        begin, end = index.extent(number)
        if entry.file is not None and number + 1 == len(index.chunks):
            # The newest chunk of the active journal still grows.
            return await self.run(read_frames, entry.path, begin, end)
        key = (log.id, entry.path.name, number)
        return await self._chunks.get(key, lambda: self.run(read_frames, entry.path, begin, end))

    async def _segment_chunk(self, segment: Segment, offset: int, wanted: Wanted | None) -> Chunk:
        times = segment.min_timestamp_ms, segment.max_timestamp_ms
        if wanted is not None and segment.record_count and not wanted.may_pass(*times):
            return (recoding.unread_frame(segment.base_offset, segment.end_offset),)
        file = self._stores.file(segment)
        layout = await self._layout(segment)
        number = layout.locate(offset)
        key = (segment.partition, file.name, number)
        if wanted is not None and layout.first_offsets:
            out = layout.times and not wanted.may_pass(*layout.times[number])
            if not out and wanted.columns and key not in self._chunks:
                out = not await self._looks.get(
                    (*key, wanted.text),
                    lambda: self.run_at(segment.store, _look, file, layout, number, wanted),
                )
            if out:
                return (recoding.unread_frame(*segments.group_range(segment, layout, number)),)
        read = segments.read_row_group
        return await self._chunks.get(
            key, lambda: self.run_at(segment.store, read, file, segment, layout, number)
        )

    async def _layout(self, segment: Segment) -> segments.SegmentLayout:
        file = self._stores.file(segment)
        return await self._layouts.get(
            segment.path, lambda: self.run_at(segment.store, segments.read_layout, file, segment)
        )

    async def leave_to_segment(
        self, log: PartitionLog, entry: JournalEntry, error: Exception
    ) -> None:
        """Takes a sealed journal that is gone or damaged out; its segment has the same records."""
        if entry not in log.journals:
            return  # it was one too many for the budget
        log.journals.remove(entry)
        if isinstance(error, DamagedFile):
            self.on_damage(log.id, str(entry.path), error)
        _log.warning(
            "a sealed journal cannot be read and goes; its segment has the same records",
            extra={
                "event": "warm_journal_dropped",
                "journal": str(entry.path),
                "error": str(error),
            },
        )
        await self.run(partial(entry.path.unlink, missing_ok=True))


def _look(file: ReadableFile, layout: segments.SegmentLayout, number: int, wanted: Wanted) -> bool:
    """Whether any record of a row group may be wanted, by what is quick to read of it."""
    return wanted.any_pass(segments.read_columns(file, layout, number, wanted.columns))


def _scan_journal(path: Path, partition: PartitionId) -> JournalIndex:
    journal, _ = JournalFile.recover(path, partition)
    return journal.index
