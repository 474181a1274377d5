"""One partition's log: what is cached, where it lies, and who wants to know when it grows.

A partition has one log that grows with its source, and perhaps others below it, apart by what is
missing (``stretches``). Belongs to the event loop; nothing here waits or touches a file.
Invariants:

* ``log_start_offset <= log_end_offset``; both only grow, but for the start of a log that another
  one below it has come up to.
* Segments cover ``[log_start.., sealed_end)`` without holes; journals that are not sealed yet cover
  ``[sealed_end, log_end)`` without holes, the last of them takes appends.
* Recent frames are contiguous and end at ``log_end_offset``; the budget drops the oldest.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from cachesvc.errors import DataLoss
from cachesvc.model import GapCause, LostRange, MiningState, PartitionId, Segment
from cachesvc.store.frames import Frame
from cachesvc.store.journal import JournalFile, JournalIndex


@dataclass(slots=True)
class JournalEntry:
    """A journal of the partition.

    Attributes:
        path: The file.
        base_offset: Begin of its range.
        end_offset: End of its range; follows the appends while it is active.
        bytes: Size of the file; follows the appends while it is active.
        created_ms: When it was begun.
        index: Its chunks; None until somebody reads a journal that was sealed before this start.
        file: Open for appends; None once it is sealed.
        sealed: Whether its segment is live; it is then only kept for fast reading.
        damaged: Whether a read found damage, so that it has to be sealed as far as it is whole.
    """

    path: Path
    base_offset: int
    end_offset: int
    bytes: int
    created_ms: int
    index: JournalIndex | None = None
    file: JournalFile | None = None
    sealed: bool = False
    damaged: bool = False


@dataclass(frozen=True, slots=True)
class InMemory:
    """The frames that begin with the one that covers the offset."""

    frames: list[Frame]


@dataclass(frozen=True, slots=True)
class InJournal:
    """The offset lies in this journal."""

    journal: JournalEntry


@dataclass(frozen=True, slots=True)
class InSegment:
    """The offset lies in this segment."""

    segment: Segment


Place = InMemory | InJournal | InSegment


@dataclass(slots=True)
class SourceState:
    """What the reader last said of the partition; gone with a restart.

    Attributes:
        high_watermark: The source's last readable offset + 1; None until it was told.
        state: What mining is doing.
        error: Why, where the state needs a reason.
    """

    high_watermark: int | None = None
    state: MiningState = MiningState.IDLE
    error: str = ""


class PartitionLog:
    """The log of one partition. See the module for the invariants."""

    def __init__(self, partition: PartitionId, log_start_offset: int) -> None:
        self.id = partition
        self.log_start_offset = log_start_offset
        self.mined_from = log_start_offset
        """Where mining of the partition began; what lies before was never cached."""
        self.log_end_offset = log_start_offset
        self.accepted_end_offset = log_start_offset
        """The end once everything that is being written has been written."""
        self.source = SourceState()
        self.lost: list[LostRange] = []
        """What of the partition neither the source nor the cache has; in offset order, shared by
        all its logs."""
        self.ended_by: GapCause | None = None
        """Why this life of the topic is over, so that nothing is mined any more; None while not."""
        self.segments: list[Segment] = []
        self.journals: list[JournalEntry] = []
        self.recent = RecentFrames()
        self.above: PartitionLog | None = None
        """The next log of the partition, if something between the two is missing."""
        self.joined: PartitionLog | None = None
        """The log that has taken this one over, once nothing between the two is missing."""
        self._listeners: set[Callable[[], None]] = set()

    @property
    def empty(self) -> bool:
        """Whether nothing has ever been mined, so that the log may still begin anywhere."""
        return self.log_end_offset == self.log_start_offset and not (self.segments or self.journals)

    @property
    def blank(self) -> bool:
        """Whether it is a mere place, of which nothing was mined and nothing is on its way."""
        return self.empty and self.accepted_end_offset == self.log_start_offset

    @property
    def next(self) -> "PartitionLog | None":
        """The log that it comes up to: the next one above that is more than a place, or the top."""
        above = self.above
        while above is not None and above.above is not None and above.blank:
            above = above.above
        return above

    @property
    def ceiling(self) -> int | None:
        """Where it ends for good, because the next log begins there; None for the top one."""
        return self.next.log_start_offset if self.next is not None else None

    @property
    def complete(self) -> bool:
        """Whether it has come up to the log above, and takes nothing more."""
        return self.ceiling is not None and self.accepted_end_offset >= self.ceiling

    @property
    def current(self) -> "PartitionLog":
        """The log that it has become a part of; itself as long as it is none."""
        return self if self.joined is None else self.joined.current

    @property
    def top(self) -> "PartitionLog":
        """The partition's log that grows with the source."""
        log = self.current
        return log if log.above is None else log.above.top

    @property
    def active(self) -> JournalEntry | None:
        """The journal that takes appends; None if the next append begins one."""
        last = self.journals[-1] if self.journals else None
        return last if last is not None and last.file is not None and not last.sealed else None

    @property
    def sealed_end_offset(self) -> int:
        """The end of what segments cover."""
        return self.segments[-1].end_offset if self.segments else self.log_start_offset

    @property
    def mining_lag(self) -> int | None:
        """Offsets at the source that are not yet here; None until the source was asked."""
        if self.source.high_watermark is None:
            return None
        return max(0, self.source.high_watermark - self.log_end_offset)

    def set_state(self, state: MiningState, error: str) -> bool:
        """Notes what mining does; whether that is news."""
        news = (self.source.state, self.source.error) != (state, error)
        self.source.state, self.source.error = state, error
        return news

    def begin_at(self, offset: int) -> None:
        """Moves an empty log to where the source begins."""
        assert self.empty
        self.log_start_offset = self.log_end_offset = self.accepted_end_offset = offset
        self.mined_from = offset

    def publish(self, frame: Frame) -> None:
        """Makes a frame that was written to the active journal visible to subscribers."""
        active = self.active
        assert active is not None and active.file is not None
        assert frame.base_offset == self.log_end_offset, (frame.base_offset, self.log_end_offset)
        active.file.publish(frame)
        active.end_offset = frame.end_offset
        active.bytes += frame.encoded_bytes
        self.log_end_offset = frame.end_offset
        self.recent.add(frame)
        self.notify()

    def install(self, removed: list[Segment], added: list[Segment]) -> None:
        """Follows a change of the manifest."""
        gone = {segment.path for segment in removed}
        kept = [segment for segment in self.segments if segment.path not in gone]
        self.segments = sorted([*kept, *added], key=lambda segment: segment.base_offset)

    def advance_start(self, log_start_offset: int) -> None:
        """Follows retention. Subscribers before the new start are told at their next read."""
        self.log_start_offset = max(self.log_start_offset, log_start_offset)
        self.notify()

    def reaches(self, offset: int) -> bool:
        """Whether the record at ``offset`` is here, or is to be here next, and in no other log."""
        if self.joined is not None or offset < self.log_start_offset:
            return False
        ceiling = self.ceiling
        return ceiling is None or (offset < ceiling and offset <= self.accepted_end_offset)

    def gap_at(self, offset: int) -> LostRange | None:
        """What cannot be given from ``offset`` on, if the next offset is one of those.

        At the end of a life that is over this is a range that may be empty.
        """
        if (lost := self.lost_at(offset)) is not None:
            return lost
        if offset < self.log_start_offset:
            return LostRange(offset, self.log_start_offset, GapCause.CACHE_RETENTION)
        if self.ended_by is not None and self.ceiling is not None:
            return (
                LostRange(offset, self.ceiling, GapCause.CACHE_RETENTION)
                if self.accepted_end_offset <= offset < self.ceiling
                else None
            )
        if self.ended_by is not None and offset >= self.accepted_end_offset:
            return LostRange(offset, max(offset, self.source.high_watermark or 0), self.ended_by)
        return None

    def lost_at(self, offset: int) -> LostRange | None:
        """What is known to be lost from ``offset`` on, if that one is."""
        for lost in self.lost:
            if lost.begin <= offset < lost.end:
                return LostRange(offset, lost.end, lost.cause)
        return None

    def next_gap(self, offset: int) -> int | None:
        """Where the first lost range behind ``offset`` begins."""
        return next((lost.begin for lost in self.lost if lost.begin > offset), None)

    def lose(self, lost: LostRange) -> None:
        """Notes a range that the source does not have any more."""
        known = [each for each in self.lost if each.begin != lost.begin]
        self.lost[:] = sorted([*known, lost])

    def take_over(self, below: "PartitionLog") -> None:
        """Makes a log that has come up to this one a part of it."""
        assert below.next is self
        assert below.complete
        assert all(entry.sealed for entry in below.journals)
        self.segments = [*below.segments, *self.segments]
        self.journals = [*below.journals, *self.journals]
        self.log_start_offset = below.log_start_offset
        below.joined = self
        below.notify()

    def locate(self, offset: int) -> Place | None:
        """Where the record at ``offset``, or the next one behind it, lies; None at the log's end.

        Raises:
            DataLoss: The offset is below the log's start; the reason names the cause.
        """
        if offset >= self.log_end_offset:
            return None
        if offset < self.log_start_offset:
            raise DataLoss(
                f"{self.id}: offsets [{offset}, {self.log_start_offset}) are no longer cached; "
                "reset the subscription to go on from the log start",
                reason=GapCause.CACHE_RETENTION.name,
                metadata={
                    "topic": self.id.topic,
                    "partition": self.id.partition,
                    "begin_offset": offset,
                    "end_offset": self.log_start_offset,
                },
            )
        frames = self.recent.since(offset)
        if frames:
            return InMemory(frames)
        found = bisect_right(self.journals, offset, key=lambda entry: entry.base_offset) - 1
        if found >= 0 and offset < self.journals[found].end_offset:
            return InJournal(self.journals[found])
        found = bisect_right(self.segments, offset, key=lambda segment: segment.base_offset) - 1
        if found >= 0 and offset < self.segments[found].end_offset:
            return InSegment(self.segments[found])
        raise DataLoss(f"{self.id}: no file of the store covers offset {offset}")

    def in_memory(self, offset: int) -> bool:
        """Whether reading at ``offset`` needs no disk; true at the log's end."""
        return offset >= self.log_end_offset or self.recent.covers(offset)

    def bytes_behind(self, offset: int) -> int:
        """Estimate of the encoded bytes between ``offset`` and the log's end."""
        total = 0
        covered = self.log_end_offset
        for entry in reversed(self.journals):
            if entry.end_offset <= offset:
                return total
            before = entry.index.bytes_before(offset) if entry.index else 0
            total += entry.bytes - (before if entry.base_offset < offset else 0)
            covered = entry.base_offset
        for segment in reversed(self.segments):
            if segment.end_offset <= offset:
                break
            end = min(segment.end_offset, covered)
            span = segment.end_offset - segment.base_offset
            if end > max(segment.base_offset, offset):
                part = end - max(segment.base_offset, offset)
                total += segment.bytes * part // max(1, span)
        return total

    def timestamp_at(self, offset: int) -> int | None:
        """About when the record at ``offset`` was made; None where nobody knows without reading."""
        if offset >= self.log_end_offset:
            return None
        frames = self.recent.since(offset)
        if frames:
            return frames[0].min_timestamp_ms or None
        for entry in reversed(self.journals):
            if entry.base_offset <= offset < entry.end_offset and entry.index is not None:
                chunks = entry.index.chunks
                return (
                    chunks[entry.index.locate(offset)].min_timestamp_ms or None if chunks else None
                )
        found = bisect_right(self.segments, offset, key=lambda segment: segment.base_offset) - 1
        return self.segments[found].min_timestamp_ms or None if found >= 0 else None

    @property
    def newest_timestamp_ms(self) -> int | None:
        """The largest timestamp of the newest cached records; None in an empty log."""
        newest = max((frame.max_timestamp_ms for frame in self.recent.tail(16)), default=0)
        for entry in reversed(self.journals[-1:]):
            newest = max(newest, entry.index.max_timestamp_ms if entry.index else 0)
        if not newest and self.segments:
            newest = self.segments[-1].max_timestamp_ms
        return newest or None

    def subscribe(self, listener: Callable[[], None]) -> None:
        """Calls ``listener`` when the log's ends or its mining state change; it must not wait."""
        self._listeners.add(listener)

    def unsubscribe(self, listener: Callable[[], None]) -> None:
        """Ends that; idempotent."""
        self._listeners.discard(listener)

    def notify(self) -> None:
        """Tells everybody who listens."""
        for listener in self._listeners:
            listener()


_DROPPED = Frame(0, 0, 0, 0, 0, 0, 0, b"")
"""Stands where a frame was, so that its bytes are free at once."""


@dataclass(slots=True)
class RecentFrames:
    """The newest frames of a partition, contiguous, oldest first."""

    _frames: list[Frame] = field(default_factory=list)
    _bases: list[int] = field(default_factory=list)
    _dropped: int = 0

    def add(self, frame: Frame) -> None:
        """Enters the newest frame."""
        self._frames.append(frame)
        self._bases.append(frame.base_offset)

    def drop_oldest(self) -> Frame:
        """Removes the oldest frame; amortised constant time."""
        frame = self._frames[self._dropped]
        self._frames[self._dropped] = _DROPPED
        self._dropped += 1
        if self._dropped > 64 and self._dropped * 2 > len(self._frames):
            del self._frames[: self._dropped], self._bases[: self._dropped]
            self._dropped = 0
        return frame

    def covers(self, offset: int) -> bool:
        """Whether the frame that covers ``offset`` is here."""
        return self._dropped < len(self._bases) and offset >= self._bases[self._dropped]

    def since(self, offset: int, limit: int = 256) -> list[Frame]:
        """At most ``limit`` frames from the one that covers ``offset`` on; empty if it is not."""
        if not self.covers(offset):
            return []
        first = bisect_right(self._bases, offset, lo=self._dropped) - 1
        if offset >= self._frames[first].end_offset:
            return []
        return self._frames[first : first + limit]

    def tail(self, count: int) -> Iterator[Frame]:
        """The newest ``count`` frames."""
        return iter(self._frames[max(self._dropped, len(self._frames) - count) :])

    def __len__(self) -> int:
        return len(self._frames) - self._dropped


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
