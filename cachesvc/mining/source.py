"""What mining needs of a source, as ports.

``SourceReader`` is used by a reader process, ``SourceCatalogue`` by the service. ``mining.kafka``
implements both on Kafka. A source partition is identified by topic and number; which incarnation of
a topic is meant, and which epoch mines it, is known to the reader and not to its source.
"""

from bisect import bisect_left
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple, Protocol

from cachesvc.clusters.lookup import SourceLookup
from cachesvc.policy.leader_epochs import UNKNOWN_EPOCH

EARLIEST = -1
"""Instead of an offset: the lowest one that the source still has."""

POLL_BYTES_MAX = 256 << 10
"""Up to this much, small batches of several partitions are polled at once."""

Headers = Sequence[tuple[str, bytes | None]]
"""Keys and values. Of a key that is not UTF-8, each byte that is not is a lone surrogate, as
``surrogateescape`` makes it (PEP 383)."""


class SourcePartition(NamedTuple):
    """A partition by Kafka's name for it. Equal to the plain tuple."""

    topic: str
    number: int

    def __str__(self) -> str:
        return f"{self.topic}/{self.number}"


class FetchTimes(NamedTuple):
    """When a fetch was asked for and answered, in seconds of ``time.monotonic``."""

    began_s: float
    answered_s: float


class ProblemReason(Enum):
    """Why a partition cannot be fetched."""

    SOURCE_UNREACHABLE = "SOURCE_UNREACHABLE"
    SOURCE_CHANGED = "SOURCE_CHANGED"
    UNKNOWN_TOPIC = "UNKNOWN_TOPIC"
    TOPIC_NOT_AUTHORIZED = "TOPIC_NOT_AUTHORIZED"
    SOURCE_ERROR = "SOURCE_ERROR"
    # These do not go away by themselves.
    SOURCE_RETENTION = "SOURCE_RETENTION"
    SOURCE_TRUNCATED = "SOURCE_TRUNCATED"
    SOURCE_DAMAGED = "SOURCE_DAMAGED"
    TOPIC_RECREATED = "TOPIC_RECREATED"

    @property
    def final(self) -> bool:
        """Whether the source has given the partition up until it is added anew."""
        return self in _FINAL

    @property
    def away(self) -> bool:
        """Whether it is the brokers that cannot be used, and not the partition."""
        return self in (ProblemReason.SOURCE_UNREACHABLE, ProblemReason.SOURCE_CHANGED)


_FINAL = frozenset(
    {
        ProblemReason.SOURCE_RETENTION,
        ProblemReason.SOURCE_TRUNCATED,
        ProblemReason.SOURCE_DAMAGED,
        ProblemReason.TOPIC_RECREATED,
    }
)


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a partition cannot be fetched, for programs and for people.

    Attributes:
        reason: For programs.
        detail: For people.
        resume_offset: Where it can be fetched again, if the source says; what lies before is lost.
    """

    reason: ProblemReason
    detail: str
    resume_offset: int | None = None

    def __str__(self) -> str:
        return f"{self.reason.value}: {self.detail}"


@dataclass(frozen=True, slots=True)
class PartitionStatus:
    """What a source knows of a partition that was added to it.

    Attributes:
        high_watermark: The end of what can be read, committed records only; None until told.
        problem: Why it is not being fetched; None while it is.
        throttled: How a quota of the source holds it up; empty if none does.
    """

    high_watermark: int | None = None
    problem: Problem | None = None
    throttled: str = ""


@dataclass(frozen=True, slots=True)
class RecordColumns:
    """Records of one partition as columns of equal length, and the range that they cover.

    Every record of the source in ``[base_offset, end_offset)`` is here; offsets of that range that
    are not here are holes of the source. Offsets are strictly increasing.

    Attributes:
        base_offset: Begin of the range.
        end_offset: End of the range, greater than the begin.
        offsets: Of the records; a ``range`` of step 1 is fine, and fast.
        timestamps_ms: Of the records; -1 where the source has none.
        timestamp_types: 0 create time, 1 log append time, -1 no timestamp.
        keys: None where a record has no key.
        values: None for a tombstone.
        headers: In their order; None if no record has any.
        leader_epoch: Of the source's leader that took all of them.
    """

    base_offset: int
    end_offset: int
    offsets: Sequence[int]
    timestamps_ms: Sequence[int]
    timestamp_types: Sequence[int]
    keys: Sequence[bytes | None] = field(repr=False)
    values: Sequence[bytes | None] = field(repr=False)
    headers: Sequence[Headers] | None = field(default=None, repr=False)
    leader_epoch: int = UNKNOWN_EPOCH

    def __len__(self) -> int:
        return len(self.offsets)

    def part(self, begin: int, end: int, base_offset: int, end_offset: int) -> "RecordColumns":
        """The rows ``[begin, end)`` as records of another range."""
        return RecordColumns(
            base_offset,
            end_offset,
            self.offsets[begin:end],
            self.timestamps_ms[begin:end],
            self.timestamp_types[begin:end],
            self.keys[begin:end],
            self.values[begin:end],
            None if self.headers is None else self.headers[begin:end],
            self.leader_epoch,
        )

    def since(self, base_offset: int) -> "RecordColumns":
        """What lies at ``base_offset`` and behind; it is before the end."""
        if base_offset <= self.base_offset:
            return self
        rows = bisect_left(self.offsets, base_offset)
        return self.part(rows, len(self), base_offset, self.end_offset)

    def until(self, end_offset: int) -> "RecordColumns":
        """What lies before ``end_offset``, which is not before the begin."""
        if self.end_offset <= end_offset:
            return self
        rows = bisect_left(self.offsets, end_offset)
        return self.part(0, rows, self.base_offset, end_offset)


class SourceBatch(Protocol):
    """What one fetch brought of one partition, not yet decoded."""

    @property
    def partition(self) -> SourcePartition:
        """Whose records these are."""

    @property
    def base_offset(self) -> int:
        """Where the covered range begins."""

    @property
    def end_offset(self) -> int:
        """Where the next one begins, or an offset behind that."""

    @property
    def encoded_bytes(self) -> int:
        """Its size as fetched."""

    @property
    def fetched(self) -> FetchTimes | None:
        """When it was fetched; None where that is not known."""

    def chunks(self, records_max: int) -> Iterator[RecordColumns]:
        """Decodes: ranges that follow one another without a gap, each of at most so many records.

        Costs CPU time at every step, so is meant for a worker thread. Ranges without records
        occur, where the source has transaction markers or aborted records.

        Raises:
            DataLoss: The bytes are damaged (``SOURCE_DAMAGED``); earlier chunks are good.
        """


@dataclass(frozen=True, slots=True)
class BatchPart:
    """A ``SourceBatch`` within bounds; what lies before them is decoded and left out.

    Attributes:
        batch: The whole.
        base_offset: In its range.
        end_offset: Not before its begin; behind its end it changes nothing.
    """

    batch: SourceBatch
    base_offset: int
    end_offset: int

    @classmethod
    def until(cls, batch: SourceBatch, end_offset: int) -> "BatchPart":
        """A batch up to an offset, which is not before its begin."""
        return cls(batch, batch.base_offset, end_offset)

    @classmethod
    def since(cls, batch: SourceBatch, base_offset: int) -> "BatchPart":
        """A batch from an offset on, which lies in its range and not at the end."""
        return cls(batch, base_offset, batch.end_offset)

    @property
    def partition(self) -> SourcePartition:
        """See ``SourceBatch``, here and below."""
        return self.batch.partition

    @property
    def encoded_bytes(self) -> int:
        return self.batch.encoded_bytes

    @property
    def fetched(self) -> FetchTimes | None:
        return self.batch.fetched

    def chunks(self, records_max: int) -> Iterator[RecordColumns]:
        for chunk in self.batch.chunks(records_max):
            if self.base_offset < chunk.end_offset and chunk.base_offset < self.end_offset:
                yield chunk.since(self.base_offset).until(self.end_offset)
            if chunk.end_offset >= self.end_offset:
                return


@dataclass(slots=True)
class FetchCounts:
    """What a source has fetched since it was made.

    Attributes:
        answered: Fetches that were answered.
        failed: Fetches that were not.
        bytes: Of record batches that they brought.
    """

    answered: int = 0
    failed: int = 0
    bytes: int = 0

    def __add__(self, other: "FetchCounts") -> "FetchCounts":
        return FetchCounts(
            self.answered + other.answered, self.failed + other.failed, self.bytes + other.bytes
        )


class SourceReader(Protocol):
    """Fetches partitions. Belongs to one event loop; nothing is fetched unless ``run`` runs.

    Partitions come and go without a pause for the others. Trouble with the source is state, not
    an exception: ``error`` and ``status`` tell, and it goes on by itself where it left off.
    """

    @property
    def error(self) -> str:
        """Why the source as a whole cannot be reached; empty while it can."""

    @property
    def throttled_s(self) -> float:
        """For how long quotas have held fetches up since it was made, all brokers together."""

    @property
    def fetches(self) -> FetchCounts:
        """How often it has fetched, and how much, all brokers together."""

    async def run(self) -> None:
        """Fetches until cancelled, then closes what it opened."""

    def expect(self, cluster_id: str) -> None:
        """Fetches from brokers of this cluster alone from now on; from any with an empty id."""

    def add(
        self,
        partition: SourcePartition,
        offset: int,
        topic_id: str = "",
        leader_epoch: int = UNKNOWN_EPOCH,
    ) -> None:
        """Fetches a partition from ``offset`` or ``EARLIEST`` on; moves one that is there already.

        With ``topic_id`` only from the topic that has this id at the cluster; else from the one
        that it has when the partition is added. With ``leader_epoch``, that of the record batch
        before ``offset``, only from a source that still has that batch.

        The first batch begins exactly at ``offset``. An offset that the source does not have any
        more, or not yet, ends in a final ``Problem``; it never jumps. So does a source that turns
        out to have other records before the next offset than those that came from it.
        """

    def remove(self, partition: SourcePartition) -> None:
        """Stops fetching a partition and forgets it. Idempotent."""

    def pause(self, partition: SourcePartition) -> None:
        """Stops fetching a partition, but keeps its high watermark up to date. Idempotent."""

    def space(self, spacing_s: float) -> None:
        """Lets at least so much time lie between the begins of two fetches that bring little."""

    async def poll(self) -> Sequence[SourceBatch]:
        """Waits for the next batches, of one partition each. Cancel-safe.

        There is more than one only if together they have ``POLL_BYTES_MAX`` at most. Batches of
        one partition follow one another without a gap. At most a configured number of bytes is
        fetched ahead; whoever does not poll stops the source.
        """

    def status(self, partition: SourcePartition) -> PartitionStatus:
        """What is known of a partition that was added."""

    def news(self) -> Collection[SourcePartition]:
        """Those that are there whose status may have changed since the last call."""


class SourceCatalogue(SourceLookup, Protocol):
    """Questions of the service to a cluster; see ``SourceLookup``."""

    async def close(self) -> None:
        """Ends the connections. Idempotent."""
