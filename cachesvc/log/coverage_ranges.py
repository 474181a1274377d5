"""The coverage ranges of partitions: what is cached of each, with missing ranges between.

A *coverage range* is fully mined, and has a log. The topmost grows with the source. One below it
ends where a *missing range* begins, and grows while that is being mined afterwards (``backfill``);
when it has come up to the one above, the two become one. A range may be empty, where somebody waits
for what is missing; one that grows past it takes it over. Invariant: the ranges of a partition
neither overlap nor touch, but for the moment between coming up and becoming one.
"""

from bisect import bisect_right
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise

from cachesvc.log.partition_log import PartitionLog
from cachesvc.model import MiningState, PartitionId, Segment, TopicId
from cachesvc.policy.coverage import OffsetRange


class CoverageRanges:
    """All coverage ranges of all partitions. Belongs to one event loop.

    Args:
        tops: The topmost log of each partition.
    """

    def __init__(self, tops: Mapping[PartitionId, PartitionLog]) -> None:
        self._tops = tops
        self._below: dict[PartitionId, list[PartitionLog]] = {}
        self._numbers: dict[TopicId, set[int]] = {}  # those of the partitions in ``_below``

    def add(self, partition: PartitionId, below: list[PartitionLog]) -> None:
        """Adds the lower ranges of a partition as they were found, in offset order."""
        top = self._tops[partition]
        for log in below:
            log.lost = top.lost
        if below:
            self._put(partition, below)
            self._link(partition)

    def below(self, partition: PartitionId) -> list[PartitionLog]:
        """The lower ranges of a partition, in offset order."""
        return list(self._below.get(partition, ()))

    def numbers_below(self, topic: TopicId) -> Collection[int]:
        """The numbers of the partitions of one incarnation of a topic that have lower ranges."""
        return self._numbers.get(topic, ())

    def of(self, partition: PartitionId) -> list[PartitionLog]:
        """All ranges of a known partition, in offset order."""
        return [*self._below.get(partition, ()), self._tops[partition]]

    def all_below(self) -> Iterator[PartitionLog]:
        """The lower ranges of all partitions."""
        for below in list(self._below.values()):
            yield from list(below)

    def at(self, partition: PartitionId, offset: int) -> PartitionLog | None:
        """The range that has ``offset``, or takes it next; None where it is missing."""
        ranges = self.of(partition)
        found = bisect_right(ranges, offset, key=lambda log: log.log_start_offset) - 1
        if found < 0:
            return None
        log = ranges[found]
        return log if log.above is None or offset <= log.accepted_end_offset else None

    def reach(self, partition: PartitionId, offset: int) -> PartitionLog:
        """The range from which to read ``offset``.

        In a missing range that is a new, empty one; in a lost range the one behind that. Of an
        incarnation of the topic that is over nothing can be mined any more: there it is the one
        behind the missing range.
        """
        top = self._tops[partition]
        if (lost := top.lost_at(offset)) is not None:
            return self.reach(partition, lost.end)
        log = self.at(partition, offset)
        if log is not None:
            return log
        if top.ended_by is not None:
            return next(log for log in self.of(partition) if offset < log.log_start_offset)
        log = PartitionLog(partition, offset)
        log.lost = top.lost
        log.source.state = MiningState.STARTING
        self._insert(log)
        return log

    def join(self, log: PartitionLog) -> None:
        """Makes a range that has come up to the next one a part of that."""
        above = log.next
        assert above is not None
        self.swallow(log, above.log_start_offset)
        above.take_over(log)
        self._remove(log)

    def swallow(self, log: PartitionLog, end_offset: int) -> None:
        """Lets a range that is about to reach ``end_offset`` take over the empty ones before it."""
        while log.above is not None and log.above.blank and log.above.above is not None:
            empty = log.above
            if empty.log_start_offset >= end_offset:
                return
            self._remove(empty)
            empty.joined = log
            empty.notify()

    def move(self, log: PartitionLog, offset: int) -> None:
        """Moves an empty range up, past what the source has lost."""
        self._remove(log)
        log.begin_at(offset)
        log.joined = self.at(log.id, offset)
        if log.joined is None:
            self._insert(log)
        log.notify()

    def cut(self, log: PartitionLog, gone: OffsetRange, whole: Sequence[Segment]) -> None:
        """Puts in the segments of what is whole of a file that was damaged and is taken out.

        The log keeps what is behind the last missing range from its end; what is before becomes
        ranges of their own. Sealed journals stay with the log until they are one again.

        Args:
            log: Whose file it was; neither its journals nor its segments have it any more.
            gone: What the file covered.
            whole: In offset order.
        """
        sealed_end = max(gone.end, log.sealed_end_offset)
        together = sorted([*log.segments, *whole], key=lambda segment: segment.base_offset)
        runs = contiguous(together)
        log.segments = runs.pop() if runs and runs[-1][-1].end_offset == sealed_end else []
        log.log_start_offset = log.segments[0].base_offset if log.segments else sealed_end
        for run in runs:
            lower = sealed_range(log.id, run)
            lower.lost, lower.ended_by = log.lost, log.ended_by
            self._insert(lower)
        log.notify()

    def drop(self, log: PartitionLog) -> None:
        """Forgets an empty range."""
        assert log.blank
        self._remove(log)

    def _insert(self, log: PartitionLog) -> None:
        below = [*self._below.get(log.id, ()), log]
        self._put(log.id, sorted(below, key=lambda each: each.log_start_offset))
        self._link(log.id)

    def _remove(self, log: PartitionLog) -> None:
        self._put(log.id, [each for each in self._below[log.id] if each is not log])
        self._link(log.id)

    def _put(self, partition: PartitionId, below: list[PartitionLog]) -> None:
        topic, number = partition.topic_id, partition.partition
        if below:
            self._below[partition] = below
            self._numbers.setdefault(topic, set()).add(number)
            return
        self._below.pop(partition, None)
        numbers = self._numbers.get(topic, set())
        numbers.discard(number)
        if not numbers:
            self._numbers.pop(topic, None)

    def _link(self, partition: PartitionId) -> None:
        ranges = self.of(partition)
        for log, above in pairwise(ranges):
            log.above = above


def contiguous(segments: Iterable[Segment]) -> list[list[Segment]]:
    """Segments in offset order, cut where something is missing between two."""
    runs: list[list[Segment]] = []
    for segment in segments:
        if runs and runs[-1][-1].end_offset == segment.base_offset:
            runs[-1].append(segment)
        else:
            runs.append([segment])
    return runs


def sealed_range(partition: PartitionId, run: list[Segment]) -> PartitionLog:
    """A range that has segments only."""
    log = PartitionLog(partition, run[0].base_offset)
    log.segments = run
    log.log_end_offset = log.accepted_end_offset = log.sealed_end_offset
    return log
