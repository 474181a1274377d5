"""What can be said of a log's records by what is known of its files, without reading any."""

from bisect import bisect_right

from cachesvc.log.partition_log import PartitionLog


def bytes_behind(log: PartitionLog, offset: int) -> int:
    """Estimate of the encoded bytes between ``offset`` and the log's end."""
    total = 0
    covered = log.log_end_offset
    for entry in reversed(log.journals):
        if entry.end_offset <= offset:
            return total
        before = entry.index.bytes_before(offset) if entry.index else 0
        total += entry.bytes - (before if entry.base_offset < offset else 0)
        covered = entry.base_offset
    for segment in reversed(log.segments):
        if segment.end_offset <= offset:
            break
        end = min(segment.end_offset, covered)
        span = segment.end_offset - segment.base_offset
        if end > max(segment.base_offset, offset):
            part = end - max(segment.base_offset, offset)
            total += segment.bytes * part // max(1, span)
    return total


def timestamp_at(log: PartitionLog, offset: int) -> int | None:
    """About when the record at ``offset`` was made; None where nobody knows without reading."""
    if offset >= log.log_end_offset:
        return None
    frames = log.recent.since(offset)
    if frames:
        return _known(frames[0].min_timestamp_ms)
    for entry in reversed(log.journals):
        if entry.base_offset <= offset < entry.end_offset and entry.index is not None:
            chunks = entry.index.chunks
            return _known(chunks[entry.index.locate(offset)].min_timestamp_ms) if chunks else None
    found = bisect_right(log.segments, offset, key=lambda segment: segment.base_offset) - 1
    return _known(log.segments[found].min_timestamp_ms) if found >= 0 else None


def _known(timestamp_ms: int) -> int | None:
    """None where there is no record, or none with a timestamp."""
    return timestamp_ms if timestamp_ms > 0 else None


def newest_timestamp_ms(log: PartitionLog) -> int | None:
    """The largest timestamp of the newest cached records; None without any."""
    newest = max((frame.max_timestamp_ms for frame in log.recent.tail(16)), default=0)
    for entry in reversed(log.journals[-1:]):
        newest = max(newest, entry.index.max_timestamp_ms if entry.index else 0)
    if not newest and log.segments:
        newest = log.segments[-1].max_timestamp_ms
    return _known(newest)


def may_lack_times(log: PartitionLog, end_offset: int) -> bool:
    """Whether there may be records without a timestamp before ``end_offset``."""
    return any(
        segment.record_count and segment.min_timestamp_ms < 0
        for segment in log.segments
        if segment.base_offset < end_offset
    ) or any(
        entry.index.min_timestamp_ms < 0
        for entry in log.journals
        if entry.index is not None and entry.base_offset < end_offset
    )


def first_candidate(log: PartitionLog, timestamp_ms: int) -> int:
    """An offset from which to look for the first record at or after ``timestamp_ms``.

    Everything before it is older, as far as sizes kept in memory can tell; timestamps need not rise
    with offsets, so this looks for the first file whose largest timestamp is not before it.
    """
    for segment in log.segments:
        if segment.max_timestamp_ms >= timestamp_ms and segment.end_offset > log.log_start_offset:
            return max(segment.base_offset, log.log_start_offset)
    for entry in log.journals:
        if entry.end_offset <= log.sealed_end_offset or entry.index is None:
            continue
        found = [n for n, t in enumerate(entry.index.max_timestamps_ms) if t >= timestamp_ms]
        if found:
            return max(entry.index.chunks[found[0]].base_offset, log.log_start_offset)
    return log.log_end_offset
