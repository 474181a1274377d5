"""What is whole of a damaged file, as segments of its own.

What fails its checksum, or does not decode, is left out as a whole: a chunk of a journal, a row
group of a segment. Everything else is kept, for the source may not have it any more.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from cachesvc.errors import DamagedFile
from cachesvc.model import PartitionId, Segment
from cachesvc.policy.coverage import Coverage, OffsetRange
from cachesvc.store.journal import JournalFile, JournalIndex, read_frames
from cachesvc.store.segments import (
    SegmentLayout,
    decode_frames,
    read_layout,
    read_records,
    read_table,
    seal_journal,
    write_segment,
)


@dataclass(frozen=True, slots=True)
class Salvaged:
    """What is left of a segment.

    Attributes:
        segments: With what is whole of it, in offset order.
        damage: What is wrong with it, for people; empty if nothing is, and no file was written.
        rejects_lost: Records that the JSON rule had turned away and whose file is damaged, where
            the records around them are whole.
    """

    segments: tuple[Segment, ...]
    damage: str = ""
    rejects_lost: int = 0

    def missing(self, segment: Segment) -> tuple[OffsetRange, ...]:
        """What the segment had and none of these has."""
        kept = Coverage.of(OffsetRange(each.base_offset, each.end_offset) for each in self.segments)
        return kept.gaps(OffsetRange(segment.base_offset, segment.end_offset))


def seal_whole_parts(
    store: Path,
    partition: PartitionId,
    path: Path,
    index: JournalIndex,
    now_ms: int,
    *,
    backfilled: bool = False,
) -> list[Segment]:
    """Writes segments of what is whole of a damaged journal, in offset order. Blocking.

    Like ``seal_journal`` otherwise; the index is what was known of the journal while it was whole.
    Chunks with damage are left out.
    """
    ends = [*(chunk.base_offset for chunk in index.chunks[1:]), index.end_offset]
    whole = (n for n in range(len(index.chunks)) if _is_whole_chunk(path, index, n))

    def tables(run: list[int], *, records: bool) -> Iterator[pa.Table]:
        for number in run:
            yield decode_frames(read_frames(path, *index.extent(number)), records=records)

    return [
        write_segment(
            store,
            partition,
            (index.chunks[run[0]].base_offset, ends[run[-1]]),
            tables(run, records=True),
            tables(run, records=False),
            now_ms=now_ms,
            level=0,
            backfilled_ms=now_ms if backfilled else 0,
            mined_ms=(index.oldest_mined_ms, index.newest_mined_ms),
        )
        for run in _runs(whole)
    ]


def _is_whole_chunk(path: Path, index: JournalIndex, number: int) -> bool:
    try:
        frames = read_frames(path, *index.extent(number))
        decode_frames(frames, records=True)
        decode_frames(frames, records=False)
    except (DamagedFile, FileNotFoundError):
        return False
    return True


def damage_of(store: Path, segment: Segment) -> str:
    """What is wrong with the files of a segment, for people; empty if nothing is. Blocking.

    Reads all of them, a row group at a time.

    Raises:
        OSError: The system does not let one be read.
    """
    try:
        layout = read_layout(store / segment.path, segment)
    except (DamagedFile, FileNotFoundError) as error:
        return str(error)
    _, damage = _whole_row_groups(store, segment, layout)
    return damage or _rejects_of(store, segment)[1]


def salvage_segment(store: Path, segment: Segment, now_ms: int) -> Salvaged:
    """Writes segments of what is whole of a damaged one. Blocking; memory of a row group.

    The files are durable afterwards and named by nobody, as with ``write_segment``.

    Raises:
        OSError: The system does not let something be read or written.
    """
    try:
        layout = read_layout(store / segment.path, segment)
    except (DamagedFile, FileNotFoundError) as error:
        return Salvaged((), str(error))
    whole, damage = _whole_row_groups(store, segment, layout)
    rejects, rejects_damage = _rejects_of(store, segment)
    if not damage and not rejects_damage:
        return Salvaged((segment,))
    runs = _runs(whole) if layout.first_offsets else [[]]
    # What a failure leaves behind nobody names, and the sweep takes it.
    written = [_rewrite(store, segment, layout, run, rejects, now_ms) for run in runs]
    lost = segment.reject_count if rejects_damage else 0
    return Salvaged(tuple(written), damage or rejects_damage, lost)


def seal_again(store: Path, segment: Segment, journal: Path, now_ms: int) -> Segment | None:
    """Writes a segment anew from the journal that it was sealed from, if that is whole. Blocking.

    Raises:
        OSError: The system does not let something be read or written; nothing is left behind.
    """
    try:
        opened, damage = JournalFile.recover(journal, segment.partition)
        index = opened.index
        if damage or (index.base_offset, index.end_offset) != (
            segment.base_offset,
            segment.end_offset,
        ):
            return None
        backfilled = bool(segment.backfilled_ms)
        made = seal_journal(store, segment.partition, opened, now_ms, backfilled=backfilled)
    except (DamagedFile, FileNotFoundError):
        return None
    return replace(
        made,
        backfilled_ms=segment.backfilled_ms,
        oldest_mined_ms=segment.oldest_mined_ms,
        newest_mined_ms=segment.newest_mined_ms,
    )


def _whole_row_groups(
    store: Path, segment: Segment, layout: SegmentLayout
) -> tuple[list[int], str]:
    """Which row groups are whole, and what is wrong with the first one that is not."""
    whole, damage = [], ""
    for number in range(len(layout.first_offsets)):
        try:
            read_records(store / segment.path, segment, layout, number)
        except (DamagedFile, FileNotFoundError) as error:
            damage = damage or str(error)
        else:
            whole.append(number)
    return whole, damage


def _rejects_of(store: Path, segment: Segment) -> tuple[pa.Table | None, str]:
    """A segment's rejects, and what is wrong with their file; neither where it has none."""
    if not segment.rejects_path:
        return None, ""
    try:
        table = read_table(store / segment.rejects_path)
    except (DamagedFile, FileNotFoundError) as error:
        return None, str(error)
    if table.num_rows != segment.reject_count:
        return None, f"{segment.rejects_path}: {table.num_rows} rejects, not {segment.reject_count}"
    return table, ""


def _rewrite(
    store: Path,
    segment: Segment,
    layout: SegmentLayout,
    run: list[int],
    rejects: pa.Table | None,
    now_ms: int,
) -> Segment:
    """A segment of row groups that continue each other; of none if there are none."""
    bounds = [segment.base_offset, *layout.first_offsets[1:], segment.end_offset]
    begin, end = (bounds[run[0]], bounds[run[-1] + 1]) if run else (bounds[0], bounds[-1])
    turned_away = []
    if rejects is not None:
        offset = pc.field("offset")
        turned_away = [rejects.filter((offset >= begin) & (offset < end))]
    return write_segment(
        store,
        segment.partition,
        (begin, end),
        (read_records(store / segment.path, segment, layout, number) for number in run),
        turned_away,
        now_ms=now_ms,
        level=segment.level,
        backfilled_ms=segment.backfilled_ms,
        mined_ms=(segment.oldest_mined_ms, segment.newest_mined_ms),
    )


def _runs(numbers: Iterable[int]) -> list[list[int]]:
    """Rising numbers, cut where one is left out."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and runs[-1][-1] == number - 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return runs
