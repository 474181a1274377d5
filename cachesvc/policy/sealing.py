"""When a journal is full and becomes a segment.

Invariants:

* A journal without appends is never sealed, whatever its age; one with appends is sealed at the
  first limit that it has reached, and size comes before records before age where several are
  reached at once.
* A segment that was sealed for its age has ``ripe_bytes`` at least, or ``age_ms_max`` lie between
  it and the one before. So a partition that gets little, however often, leaves in a time of ``t``
  at most ``t / age_ms_max`` segments, and one more for each ``ripe_bytes`` that it got.
"""

from dataclasses import dataclass
from enum import Enum


class SealCause(Enum):
    """Which limit a journal has reached."""

    SIZE = "size"
    RECORDS = "records"
    AGE = "age"


@dataclass(frozen=True, slots=True)
class SealLimits:
    """A journal is sealed once it has one of these; each at least 1.

    Attributes:
        bytes_max: Bytes of its frames.
        records_max: Its records.
        age_ms_max: Milliseconds since it was opened.
        ripe_bytes: From so many bytes on a journal is sealed at ``ripe_age_ms`` already, for it
            makes a segment of a decent size.
        ripe_age_ms: Milliseconds since it was opened.
    """

    bytes_max: int
    records_max: int
    age_ms_max: int
    ripe_bytes: int = 1 << 62
    ripe_age_ms: int = 1 << 62

    def __post_init__(self) -> None:
        limits = self.bytes_max, self.records_max, self.age_ms_max
        if min(*limits, self.ripe_bytes, self.ripe_age_ms) < 1:
            raise ValueError(f"a limit is below 1: {self}")


def should_seal(
    bytes: int, records: int, opened_ms: int, now_ms: int, limits: SealLimits
) -> SealCause | None:
    """Why to seal a journal now, or None while there is no reason.

    Args:
        bytes: Bytes of its frames. A journal with neither bytes nor records is empty; one with
            bytes alone covers offsets that hold no record, and is sealed like any other.
        records: Its records.
        opened_ms: When it was opened. Far behind ``now_ms`` where the clock was set back: that is
            an age too, for the true one is not known.
        now_ms: The present.
        limits: When it is full.
    """
    if bytes == 0 and records == 0:
        return None
    if bytes >= limits.bytes_max:
        return SealCause.SIZE
    if records >= limits.records_max:
        return SealCause.RECORDS
    age_ms = abs(now_ms - opened_ms)
    ripe = bytes >= limits.ripe_bytes and age_ms >= limits.ripe_age_ms
    return SealCause.AGE if ripe or age_ms >= limits.age_ms_max else None
