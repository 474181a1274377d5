"""Where a stream starts in one partition.

The first of these that applies decides:

    1. an explicit start of this call;
    2. the stored position;
    3. a partition that was found later: its log start, so that nothing of it is lost;
    4. the mode: FULL starts at the log start; INCREMENTAL at the source's end;
       FULL_AND_INCREMENTAL at the log start as long as no full sync is done, else at the
       source's end.

Invariant: no record between the position that was asked for and the start is left out in silence.
A position before the log start is out of range by name. One after the log's end is not: the log
may have lost a tail that it mines again, and the stream waits there.

The rules are those of a Kafka source in the sync platform: full syncs read from the earliest
offset, increments from the latest, and an earlier position is resumed.
"""

from dataclasses import dataclass

from cachesvc.model import GapCause, Mode


@dataclass(frozen=True, slots=True)
class FromEarliest:
    """Asks for the log start."""


@dataclass(frozen=True, slots=True)
class FromLatest:
    """Asks for the source's end at the time of the call."""


@dataclass(frozen=True, slots=True)
class FromTimestamp:
    """Asks for the first record whose timestamp is not before this; the end if there is none."""

    timestamp_ms: int


@dataclass(frozen=True, slots=True)
class FromPosition:
    """Asks for exactly this offset."""

    offset: int


ExplicitStart = FromEarliest | FromLatest | FromTimestamp | FromPosition


@dataclass(frozen=True, slots=True)
class PartitionFacts:
    """What the choice of a start depends on.

    Attributes:
        mode: What the subscription is for.
        start: The explicit start that this call asks for in this partition, if any; a partition
            that is found only after the call has none.
        stored: The committed position, if there is one.
        full_sync_done: Whether this subscription has had a full sync.
        log_start: The lowest offset still cached.
        log_end: The next offset the cache will accept.
        source_end: The source's last readable offset + 1; None if it has not been asked.
        added_later: Whether the partition was found after the stream started or after the
            subscription was made.
    """

    mode: Mode
    start: ExplicitStart | None
    stored: int | None
    full_sync_done: bool
    log_start: int
    log_end: int
    source_end: int | None
    added_later: bool = False


@dataclass(frozen=True, slots=True)
class At:
    """The next offset to read is this one."""

    offset: int


@dataclass(frozen=True, slots=True)
class OutOfRange:
    """``[begin, end)`` was asked for and cannot be given."""

    begin: int
    end: int
    cause: GapCause


@dataclass(frozen=True, slots=True)
class NeedsSourceEnd:
    """Ask the source for its end, then decide again with it."""


@dataclass(frozen=True, slots=True)
class NeedsTimestampLookup:
    """Ask for the offset at this time, then decide again with ``after_lookup`` as the start."""

    timestamp_ms: int


StartPosition = At | OutOfRange | NeedsSourceEnd | NeedsTimestampLookup


def start_position(facts: PartitionFacts) -> StartPosition:
    """Where a stream starts in one partition.

    Needs the source's end before it needs a lookup by time: an end that was asked for after the
    lookup could lie behind a record that the lookup was too early to find.
    """
    match facts.start:
        case FromEarliest():
            return At(facts.log_start)
        case FromPosition(offset):
            return _at(offset, facts.log_start)
        case FromTimestamp(timestamp_ms):
            return (
                NeedsSourceEnd() if facts.source_end is None else NeedsTimestampLookup(timestamp_ms)
            )
        case FromLatest():
            return _at_source_end(facts)
    if facts.stored is not None:
        return _at(facts.stored, facts.log_start)
    if facts.added_later or _mode_starts_earliest(facts.mode, facts.full_sync_done):
        return At(facts.log_start)
    return _at_source_end(facts)


def after_lookup(offset: int | None) -> FromPosition | FromLatest:
    """The start that a lookup by time has found; None: no record is as new as that."""
    return FromLatest() if offset is None else FromPosition(offset)


def _mode_starts_earliest(mode: Mode, full_sync_done: bool) -> bool:
    match mode:
        case Mode.FULL:
            return True
        case Mode.FULL_AND_INCREMENTAL:
            return not full_sync_done
        case Mode.INCREMENTAL:
            return False


def _at(offset: int, log_start: int) -> At | OutOfRange:
    if offset < log_start:
        return OutOfRange(offset, log_start, GapCause.CACHE_RETENTION)
    return At(offset)


def _at_source_end(facts: PartitionFacts) -> At | NeedsSourceEnd:
    """What has been mined was readable at the source: its end is at least the log's."""
    if facts.source_end is None:
        return NeedsSourceEnd()
    return At(max(facts.source_end, facts.log_end))
