"""One partition's log: what is cached, where it lies, and who wants to know when it grows.

A partition has one log that grows with its source, and perhaps others below it, apart by what is
missing (``coverage_ranges``). Belongs to the event loop; nothing here waits or touches a file.
Invariants:

* ``log_start_offset <= log_end_offset``; both only grow, but for the start of a log that another
  one below it has come up to.
* Segments cover ``[log_start.., sealed_end)``, nothing missing; journals that are not sealed yet
  cover ``[sealed_end, log_end)``, nothing missing, the last of them takes appends.
* Recent frames are contiguous and end at ``log_end_offset``; the budget drops the oldest.
"""

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass

from cachesvc.errors import DataLoss
from cachesvc.log.locations import InJournal, InMemory, InSegment, JournalEntry, Location
from cachesvc.log.recent_frames import RecentFrames
from cachesvc.model import GapCause, LostRange, MiningState, PartitionId, Segment
from cachesvc.policy.blocking import Trouble
from cachesvc.store.frames import Frame


@dataclass(slots=True)
class SourceState:
    """What the reader last said of the partition; gone with a restart.

    Attributes:
        high_watermark: The source's last readable offset + 1; None until it was told.
        state: What mining is doing.
        error: Why, where the state needs a reason.
        trouble: What it has stopped at, where it is blocked.
    """

    high_watermark: int | None = None
    state: MiningState = MiningState.IDLE
    error: str = ""
    trouble: Trouble | None = None


class PartitionLog:
    """The log of one partition. See the module for the invariants."""

    __slots__ = (
        "_listeners",
        "above",
        "accepted_end_offset",
        "ended_by",
        "id",
        "joined",
        "journals",
        "log_end_offset",
        "log_start_offset",
        "lost",
        "mined_from",
        "recent",
        "segments",
        "source",
    )

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
        """Why this incarnation is over, so that nothing is mined any more; None while it is not."""
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
        """Whether nothing is cached."""
        return self.log_end_offset == self.log_start_offset and not (self.segments or self.journals)

    @property
    def blank(self) -> bool:
        """Whether it is an empty range, of which nothing was mined and nothing is on its way."""
        return self.empty and self.accepted_end_offset == self.log_start_offset

    @property
    def untouched(self) -> bool:
        """Whether nothing of the partition was ever mined, so that it may begin anywhere."""
        return self.blank and self.above is None and self.log_start_offset == self.mined_from

    @property
    def next(self) -> "PartitionLog | None":
        """The log that it comes up to: the next one above that is not empty, or the top."""
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

    def publish(self, frame: Frame, mined_s: float = 0.0) -> None:
        """Makes a frame that was written to the active journal visible to subscribers.

        ``mined_s`` is when it came, on the monotonic clock; 0 where that is not known.
        """
        active = self.active
        assert active is not None and active.file is not None
        assert frame.base_offset == self.log_end_offset, (frame.base_offset, self.log_end_offset)
        active.file.publish(frame)
        active.end_offset = frame.end_offset
        active.bytes += frame.encoded_bytes
        self.log_end_offset = frame.end_offset
        self.recent.add(frame, mined_s)
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

        At the end of an incarnation that is over this is a range that may be empty.
        """
        if (lost := self.lost_at(offset)) is not None:
            return lost
        if offset < self.log_start_offset:
            return self._missing(offset, self.log_start_offset)
        if self.ended_by is not None and self.ceiling is not None:
            in_missing = self.accepted_end_offset <= offset < self.ceiling
            return self._missing(offset, self.ceiling) if in_missing else None
        if self.ended_by is not None and offset >= self.accepted_end_offset:
            return LostRange(offset, max(offset, self.source.high_watermark or 0), self.ended_by)
        return None

    def _missing(self, offset: int, end: int) -> LostRange:
        """The first part of what is missing up to ``end`` that has one cause."""
        mined_from = self.top.mined_from
        if self.ended_by is not None and offset < mined_from:
            # It was never cached, and was not mined afterwards before its incarnation was over.
            return LostRange(offset, min(end, mined_from), self.ended_by)
        return LostRange(offset, end, GapCause.CACHE_RETENTION)

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
        # Damage may have put a range between sealed journals of this one.
        together = [*below.journals, *self.journals]
        self.journals = sorted(together, key=lambda entry: entry.base_offset)
        self.log_start_offset = below.log_start_offset
        below.joined = self
        below.notify()

    def locate(self, offset: int) -> Location | None:
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

    def subscribe(self, listener: Callable[[], None]) -> None:
        """Calls ``listener`` when the log's ends or its mining state change; it must not wait."""
        self._listeners.add(listener)

    @property
    def has_several_listeners(self) -> bool:
        """Whether more than one stream reads it now."""
        return len(self._listeners) > 1

    def unsubscribe(self, listener: Callable[[], None]) -> None:
        """Ends that; idempotent."""
        self._listeners.discard(listener)

    def notify(self) -> None:
        """Tells everybody who listens."""
        for listener in self._listeners:
            listener()
