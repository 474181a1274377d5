"""Holds what subscribers saw against what the broker has, in the manner of Jepsen's checker.

Pure: the truth and the observations come in, anomalies come out. The source of the anomalies'
names is the Kafka workload of Jepsen (`jepsen.tests.kafka`), cut to streams of one partition
that begin at a known position.

Offsets that the broker itself does not give (compaction, transaction markers, aborted records)
are not in the truth, so stepping over them is no anomaly. A new stream may repeat what an
earlier one delivered: delivery is at least once.
"""

from __future__ import annotations

import enum
from bisect import bisect_left
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Protocol

Delivery = tuple[int, bytes | None]


class AnomalyKind(enum.Enum):
    """What can be wrong with a delivery. Every kind breaks a promise to subscribers."""

    LOST = "lost"
    """The task got it in no stream although its streams went by or should have reached it."""
    SKIPPED = "skipped"
    """One stream went from below it to above it and never delivered it."""
    DUPLICATED = "duplicated"
    """One stream delivered it more than once."""
    REORDERED = "reordered"
    """One stream delivered it after a record with a higher offset."""
    WENT_BACK = "went back"
    """A stream delivered an offset below the position at which it was opened."""
    VALUE_MISMATCH = "value mismatch"
    """It was delivered with another value than the broker's."""
    ABORTED_READ = "aborted read"
    """It belongs to a transaction that was aborted or not decided."""
    PHANTOM = "phantom"
    """The broker has no record at this offset."""


class HasOffsetAndValue(Protocol):
    """A record of the truth, for example a `BrokerRecord`."""

    @property
    def offset(self) -> int:
        """The record's identity in its partition."""

    @property
    def value(self) -> bytes | None:
        """None for a tombstone."""


@dataclass(frozen=True, slots=True)
class Restart:
    """Marks the beginning of a new stream in what a task saw.

    Attributes:
        position: The next offset to read, at which the stream was opened.
    """

    position: int


@dataclass(frozen=True, slots=True)
class Observation:
    """What one task saw of one partition, over all its streams.

    Attributes:
        events: Deliveries `(offset, value)` in the order of arrival, with a `Restart` before
            the first delivery of each stream but the first.
        begin: Position at which the first stream was opened.
        end: The task was to get every record below it; None means up to the truth's end.
    """

    task: str
    partition: int
    events: Sequence[Delivery | Restart]
    begin: int = 0
    end: int | None = None


@dataclass(frozen=True, slots=True)
class Anomaly:
    """One thing that is wrong.

    Attributes:
        stream: Counts the task's streams of this partition from 0; None for `LOST`.
        begin: First offset concerned.
        end: Behind the last offset concerned.
        records: How many records of the truth (or deliveries outside it) lie in the range.
    """

    kind: AnomalyKind
    task: str
    partition: int
    stream: int | None
    begin: int
    end: int
    records: int = 1

    def __str__(self) -> str:
        """Return one line for a person."""
        where = f"task {self.task}, partition {self.partition}"
        if self.stream is not None:
            where += f", stream {self.stream}"
        count = f"{self.records} record" + "s" * (self.records != 1)
        return f"{self.kind.value}: {where}, offsets [{self.begin}, {self.end}), {count}"


def check(
    truth: Mapping[int, Sequence[HasOffsetAndValue]],
    observations: Iterable[Observation],
    uncommitted: Mapping[int, Iterable[HasOffsetAndValue]] | None = None,
) -> list[Anomaly]:
    """Return everything wrong with the observations; an empty list means nothing is.

    A record that a stream stepped over and no later one delivered counts twice, as `SKIPPED`
    and as `LOST`. Neighbouring records of one such anomaly are one range.

    Args:
        truth: Per partition, what the broker gives with `read_committed`, by growing offset.
        observations: In any order; several tasks may share a name.
        uncommitted: Per partition, what the broker gives with `read_uncommitted`. With it,
            aborted reads are told from phantoms.

    Raises:
        KeyError: an observation is of a partition that the truth does not know.
        ValueError: the truth's offsets do not grow.
    """
    partitions = {number: _Partition.of(records) for number, records in truth.items()}
    hidden = {
        number: {record.offset for record in records}
        for number, records in (uncommitted or {}).items()
    }
    anomalies: list[Anomaly] = []
    for observation in observations:
        partition = partitions[observation.partition]
        undecided: Container[int] = hidden.get(observation.partition, ())
        anomalies += _check_observation(observation, partition, undecided)
    return anomalies


@dataclass(frozen=True, slots=True)
class _Partition:
    """The truth of one partition; `index` leads from an offset to its place in the lists."""

    offsets: list[int]
    values: list[bytes | None]
    index: dict[int, int]

    @classmethod
    def of(cls, records: Sequence[HasOffsetAndValue]) -> _Partition:
        offsets = [record.offset for record in records]
        if any(one >= other for one, other in pairwise(offsets)):
            raise ValueError("the offsets of the truth do not grow")
        values = [record.value for record in records]
        return cls(offsets, values, {offset: place for place, offset in enumerate(offsets)})

    def runs(self, places: Iterable[int]) -> Iterator[tuple[int, int, int]]:
        """Yield `(begin, end, records)` per run of neighbouring places."""
        run: list[int] = []
        for place in places:
            if run and place != run[-1] + 1:
                yield self._range(run)
                run = []
            run.append(place)
        if run:
            yield self._range(run)

    def _range(self, run: list[int]) -> tuple[int, int, int]:
        return self.offsets[run[0]], self.offsets[run[-1]] + 1, len(run)


@dataclass(slots=True)
class _Stream:
    """One stream: where it was opened and what it delivered."""

    number: int
    position: int
    deliveries: list[Delivery] = field(default_factory=list)


def _check_observation(
    observation: Observation, partition: _Partition, undecided: Container[int]
) -> Iterator[Anomaly]:
    task, number = observation.task, observation.partition
    delivered: set[int] = set()
    for stream in _streams(observation):
        for kind, begin, end, records in _check_stream(stream, partition, undecided, delivered):
            yield Anomaly(kind, task, number, stream.number, begin, end, records)
    first = bisect_left(partition.offsets, observation.begin)
    behind = len(partition.offsets)
    if observation.end is not None:
        behind = bisect_left(partition.offsets, observation.end)
    lost = (place for place in range(first, behind) if place not in delivered)
    for begin, end, records in partition.runs(lost):
        yield Anomaly(AnomalyKind.LOST, task, number, None, begin, end, records)


def _streams(observation: Observation) -> list[_Stream]:
    streams = [_Stream(0, observation.begin)]
    for event in observation.events:
        if isinstance(event, Restart):
            streams.append(_Stream(len(streams), event.position))
        else:
            streams[-1].deliveries.append(event)
    return streams


def _check_stream(
    stream: _Stream, partition: _Partition, undecided: Container[int], delivered: set[int]
) -> Iterator[tuple[AnomalyKind, int, int, int]]:
    """Yield `(kind, begin, end, records)`, and add the places that were delivered."""
    first = expected = bisect_left(partition.offsets, stream.position)
    here: set[int] = set()
    stepped_over: list[int] = []
    for offset, value in stream.deliveries:
        place = partition.index.get(offset)
        if place is None:
            aborted = offset in undecided
            kind = AnomalyKind.ABORTED_READ if aborted else AnomalyKind.PHANTOM
            yield kind, offset, offset + 1, 1
            continue
        if value != partition.values[place]:
            yield AnomalyKind.VALUE_MISMATCH, offset, offset + 1, 1
        if place in here:
            yield AnomalyKind.DUPLICATED, offset, offset + 1, 1
        elif place < first:
            yield AnomalyKind.WENT_BACK, offset, offset + 1, 1
        elif place < expected:
            yield AnomalyKind.REORDERED, offset, offset + 1, 1
        else:
            stepped_over.extend(range(expected, place))
            expected = place + 1
        here.add(place)
    skipped = (place for place in stepped_over if place not in here)
    for begin, end, records in partition.runs(skipped):
        yield AnomalyKind.SKIPPED, begin, end, records
    delivered |= here
