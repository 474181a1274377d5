"""When models are refreshed, and which records a refresh looks at.

The rule of the user's document: a connection with fewer than 10,000 models is refreshed every hour,
one with more once a day, at the time its ``model_load_time`` names.
"""

from collections.abc import Sequence
from dataclasses import dataclass

DAILY_FROM_MODELS = 10_000
"""From this number of models on a connection is refreshed daily."""

DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class LoadTimes:
    """The moments of a connection's ``model_load_time`` around the present.

    A calendar that changes its offset may have 23 or 25 hours between them.

    Attributes:
        previous_ms: The last one that is not after the present.
        next_ms: The first one after the present.
    """

    previous_ms: int
    next_ms: int


def next_refresh_ms(
    models: int, refreshed_ms: int | None, now_ms: int, times: LoadTimes, interval_ms: int
) -> int:
    """When a connection's models have to be refreshed next; ``now_ms`` or before: now.

    Args:
        models: How many the connection has.
        refreshed_ms: When its last refresh began; None if there was none.
        now_ms: The present.
        times: Of the connection, around the present.
        interval_ms: Between refreshes of a connection with few models.
    """
    if refreshed_ms is None:
        return now_ms
    if models < DAILY_FROM_MODELS:
        # A clock that was set back does not stop refreshing.
        return min(refreshed_ms, now_ms) + interval_ms
    return times.previous_ms if refreshed_ms < times.previous_ms else times.next_ms


@dataclass(frozen=True, slots=True)
class Stored:
    """A file of a partition: its range, and how much is in it."""

    base_offset: int
    end_offset: int
    records: int
    bytes: int


def sample_begin(
    files: Sequence[Stored], begin: int, end: int, records_max: int, bytes_max: int
) -> int:
    """The offset from which about the newest ``records_max`` records of ``[begin, end)`` lie.

    A file counts as evenly filled, so the sample may be larger or smaller than asked for, by less
    than what one file holds.

    Args:
        files: Of the partition, in any order; they may overlap.
        begin: What is before was looked at already, or is not there.
        end: What is behind is not there yet.
        records_max: Bound on records.
        bytes_max: Bound on their bytes as stored.
    """
    records, size, at = float(records_max), float(bytes_max), end
    for file in sorted(files, key=lambda file: file.end_offset, reverse=True):
        first, last = max(file.base_offset, begin), min(file.end_offset, at)
        if first >= last:
            continue
        span = file.end_offset - file.base_offset
        of_records, of_bytes = file.records / span, file.bytes / span
        fits = min(
            records / of_records if of_records else last - first,
            size / of_bytes if of_bytes else last - first,
        )
        if fits < last - first:
            # Always something, or a single large record would never be looked at.
            return max(first, last - max(1, int(fits)))
        records -= of_records * (last - first)
        size -= of_bytes * (last - first)
        at = first
    return begin
