"""Which files of a store are its segments, where nobody knows any more.

Files of one partition cover ranges that are apart, or one within the other: a merge covers its
sources. So the widest of each are the segments, as long as what is known says nothing else.
"""

from collections.abc import Collection, Iterable, Sequence

from cachesvc.model import Segment
from cachesvc.policy.coverage import Coverage, OffsetRange


def live_segments(
    known: Sequence[Segment], found: Iterable[Segment], retired: Collection[str]
) -> list[Segment]:
    """Segments of one partition, in offset order, none overlapping another.

    Args:
        known: Those of an older manifest whose files are there.
        found: What files say of themselves, known ones included or not.
        retired: Paths that were no segments any more by then. They are taken only where something
            between two segments would be missing without them.
    """
    paths = {segment.path for segment in known}
    others = [segment for segment in found if segment.path not in paths]
    fresh = [segment for segment in others if segment.path not in retired]
    live = _widest([*known, *fresh])
    if not live:
        return []
    covered = Coverage.of(_range(segment) for segment in live)
    missing = covered.gaps(OffsetRange(live[0].base_offset, live[-1].end_offset))
    again = [
        segment
        for segment in others
        if segment.path in retired
        and any(
            part.begin <= segment.base_offset and segment.end_offset <= part.end for part in missing
        )
    ]
    return sorted([*live, *_widest(again)], key=lambda segment: segment.base_offset)


def damaged_ranges(
    live: Sequence[Segment], broken: Sequence[OffsetRange], lost: Iterable[OffsetRange]
) -> list[OffsetRange]:
    """What no segment of one partition has, and a file that is damaged or gone had.

    What lies before all that is there, damaged or not, has expired since the older manifest.

    Args:
        live: What ``live_segments`` answered.
        broken: Ranges of files that are there and cannot be read.
        lost: These, and ranges of the older manifest whose files are gone.
    """
    there = [*map(_range, live), *broken]
    if not there:
        return []
    begin, end = min(each.begin for each in there), max(each.end for each in there)
    covered = Coverage.of(_range(segment) for segment in live)
    had = Coverage.of(lost)
    return [
        part
        for missing in covered.gaps(OffsetRange(begin, end))
        for part in Coverage.of(had.gaps(missing)).gaps(missing)
    ]


def _widest(segments: Iterable[Segment]) -> list[Segment]:
    """In offset order; what overlaps one that begins earlier, or as early and ends later, is out.

    Of files that cover the same range, the newest.
    """
    live: list[Segment] = []
    for segment in sorted(segments, key=lambda s: (s.base_offset, -s.end_offset, -s.created_ms)):
        if not live or segment.base_offset >= live[-1].end_offset:
            live.append(segment)
    return live


def _range(segment: Segment) -> OffsetRange:
    return OffsetRange(segment.base_offset, segment.end_offset)
