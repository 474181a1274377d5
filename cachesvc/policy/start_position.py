"""Where a stream starts in one partition.

The first of these that applies decides:

    1. an explicit start of this call;
    2. the stored position;
    3. a partition that was found later: the earliest offset, so that nothing of it is lost;
    4. the mode: FULL starts at the earliest offset; INCREMENTAL at the source's end;
       FULL_AND_INCREMENTAL at the earliest offset as long as no full sync is done, else at the
       source's end.

The earliest offset is the lowest one that the cache or the source has: what the cache does not have
is mined for the stream.

Invariant: no record between the position that was asked for and the start is left out in silence.
A position before the log start is taken as it is: the stream has the range mined, or tells the gap.
So is one after the log's end: the log may have lost a tail that it mines again.

The rules are those of a Kafka source in the sync platform: full syncs read from the earliest
offset, increments from the latest, and an earlier position is resumed.
"""

from dataclasses import dataclass

from cachesvc.model import Mode


@dataclass(frozen=True, slots=True)
class FromEarliest:
    """Asks for the lowest offset that the cache or the source has."""


@dataclass(frozen=True, slots=True)
class FromLatest:
    """Asks for the source's end at the time of the call."""


@dataclass(frozen=True, slots=True)
class FromTimestamp:
    """Asks for the first record whose timestamp is not before this; the end if there is none.

    Where the source keeps no timestamps, any record could be as new as that: it asks for the lowest
    offset then.
    """

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
        source_start: The lowest offset that the source has; None if it has not been asked.
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
    source_start: int | None = None
    added_later: bool = False


@dataclass(frozen=True, slots=True)
class At:
    """The next offset to read is this one."""

    offset: int


@dataclass(frozen=True, slots=True)
class NeedsSourceEnd:
    """Ask the source for its end, then decide again with it."""


@dataclass(frozen=True, slots=True)
class NeedsSourceStart:
    """Ask the source for its lowest offset, then decide again with it."""


@dataclass(frozen=True, slots=True)
class NeedsTimestampLookup:
    """Ask for the offset at this time, then decide again with ``after_lookup`` as the start."""

    timestamp_ms: int


StartPosition = At | NeedsSourceStart | NeedsSourceEnd | NeedsTimestampLookup


def start_position(facts: PartitionFacts) -> StartPosition:
    """Where a stream starts in one partition.

    Needs the source's end before it needs a lookup by time: an end that was asked for after the
    lookup could lie behind a record that the lookup was too early to find.
    """
    match facts.start:
        case FromEarliest():
            return _at_earliest(facts)
        case FromPosition(offset):
            return At(offset)
        case FromTimestamp(timestamp_ms):
            return (
                NeedsSourceEnd() if facts.source_end is None else NeedsTimestampLookup(timestamp_ms)
            )
        case FromLatest():
            return _at_source_end(facts)
    if facts.stored is not None:
        return At(facts.stored)
    if facts.added_later or _mode_starts_earliest(facts.mode, facts.full_sync_done):
        return _at_earliest(facts)
    return _at_source_end(facts)


def postponed(facts: PartitionFacts, now_ms: int) -> ExplicitStart:
    """What a start means once the source answers, which it did not do at the time of the call.

    The source's end is asked for in words that do not change until then: the first record that is
    not before the call. Log ends and the source's bounds do not matter here.
    """
    match facts.start:
        case FromEarliest() | FromPosition() | FromTimestamp():
            return facts.start
        case FromLatest():
            return FromTimestamp(now_ms)
    if facts.stored is not None:
        return FromPosition(facts.stored)
    if facts.added_later or _mode_starts_earliest(facts.mode, facts.full_sync_done):
        return FromEarliest()
    return FromTimestamp(now_ms)


def first_at(cached: int | None, at_source: int | None, log_start: int, log_end: int) -> int | None:
    """The first offset at a time, of what the cache and the source have found; None: neither has.

    The source's answer counts below what is cached; and behind it, where the record is still to be
    mined. In between it is a record that was not cached, such as one that was turned away.
    """
    if at_source is not None and at_source < log_start:
        return at_source
    if cached is not None or at_source is None:
        return cached
    return max(at_source, log_end)


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


def _at_earliest(facts: PartitionFacts) -> At | NeedsSourceStart:
    """A log that begins at 0 has all that there ever was: its source need not be asked."""
    if facts.log_start == 0:
        return At(0)
    if facts.source_start is None:
        return NeedsSourceStart()
    return At(min(facts.log_start, facts.source_start))


def _at_source_end(facts: PartitionFacts) -> At | NeedsSourceEnd:
    """What has been mined was readable at the source: its end is at least the log's."""
    if facts.source_end is None:
        return NeedsSourceEnd()
    return At(max(facts.source_end, facts.log_end))
