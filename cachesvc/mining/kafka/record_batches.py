"""What a fetch brought of one partition: Kafka's record batches, decoded into columns.

`BatchRecords` turns a record batch into records; everything around it is here, because whole
batches are cheaper to handle than single records. The rules for aborted transactions are those of
Kafka's own consumer (KIP-98).
"""

import struct
from bisect import bisect_left
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import repeat
from operator import attrgetter
from typing import Any

from cachesvc.errors import DataLoss
from cachesvc.mining.kafka.batch_records import BatchRecords, Part, all_records
from cachesvc.mining.kafka.stored_batch import LENGTH_END, StoredBatch, stored_batches
from cachesvc.mining.source import FetchTimes, ProblemReason, RecordColumns, SourcePartition
from cachesvc.policy.leader_epochs import UNKNOWN_EPOCH

# Base offset, length of what follows, partition leader epoch, magic; since magic 2 also CRC,
# attributes and the last offset relative to the first one.
_HEADER = struct.Struct(">qiib")
_LAST_DELTA = struct.Struct(">i")
_LAST_DELTA_AT = 23
# Of the key of a transaction's marker: its version, and what it says.
_MARKER = struct.Struct(">hh")
_ABORT = 0
# Compressed bytes after which a chunk ends, so that many small batches of much compressed records
# do not add up in memory.
_CHUNK_BYTES_MAX = 1 << 20
# Faster than a comprehension.
_KEY, _VALUE, _HEADERS = attrgetter("key"), attrgetter("value"), attrgetter("headers")


def next_fetch(data: bytes, fetch_offset: int) -> tuple[int, int]:
    """Where the next fetch has to begin: behind the last complete record batch in ``data``.

    Reads headers only. ``fetch_offset`` itself if there is no complete batch.

    Returns:
        The offset, and the leader epoch of that batch, as far as it has one.
    """
    position, end, epoch = 0, fetch_offset, UNKNOWN_EPOCH
    while position + _HEADER.size <= len(data):
        offset, length, leader_epoch, magic = _HEADER.unpack_from(data, position)
        following = position + LENGTH_END + length
        if following > len(data):
            break
        if following <= position + _LAST_DELTA_AT:
            # Decoding says what is wrong with it, and for that it has to be tried.
            return max(end, fetch_offset + 1), epoch
        # A message of the old formats has its checksum where the epoch would be, and, if it is
        # compressed, the offset of its last record.
        epoch, last = UNKNOWN_EPOCH, 0
        if magic >= 2:
            epoch = leader_epoch
            (last,) = _LAST_DELTA.unpack_from(data, position + _LAST_DELTA_AT)
        end = max(end, offset + last + 1)
        position = following
    return end, epoch


@dataclass(frozen=True, slots=True)
class KafkaBatch:
    """A ``SourceBatch``: the bytes that one fetch brought of one partition.

    Attributes:
        partition: Whose records these are.
        base_offset: Where the fetch began.
        end_offset: Where the next one begins.
        data: Record batches; the first may begin before ``base_offset``, the last be cut off.
        aborted: Producer id and first offset of the aborted transactions that reach into it.
        leader_epoch: Of its last complete record batch.
        fetched: When.
    """

    partition: SourcePartition
    base_offset: int
    end_offset: int
    data: bytes = field(repr=False)
    aborted: Sequence[tuple[int, int]] = ()
    leader_epoch: int = UNKNOWN_EPOCH
    fetched: FetchTimes | None = None

    @property
    def encoded_bytes(self) -> int:
        """See ``SourceBatch``."""
        return len(self.data)

    def chunks(self, records_max: int) -> Iterator[RecordColumns]:
        """See ``SourceBatch``.

        Of a record batch that cannot be decoded to its end, the records before that place come as
        well. The error tells the first ``offset`` that did not come, where the batch ends
        (``end_offset``), and its size (``bytes``).
        """
        chunk = _Chunk(self.base_offset, self.leader_epoch)
        at: StoredBatch | None = None
        try:
            transactions = _AbortedTransactions(self.aborted)
            for at in stored_batches(self.data):
                if at.leader_epoch != chunk.leader_epoch:
                    if chunk.covers_something:
                        yield chunk.flush()
                    chunk.leader_epoch = at.leader_epoch
                if not at.is_sound:
                    raise ValueError(f"checksum of the batch at offset {at.base_offset} is wrong")
                if not transactions.hides(at) and not chunk.add_whole(at, records_max):
                    yield from _parts(at, chunk, records_max)
                chunk.cover(at.next_offset)
                chunk.compressed_bytes += len(at.data)
                if chunk.compressed_bytes >= _CHUNK_BYTES_MAX and chunk.covers_something:
                    yield chunk.flush()
            chunk.cover(self.end_offset)
        except Exception as error:  # what damaged bytes do to a decoder is anybody's guess
            if chunk.covers_something:
                yield chunk.flush()
            raise self._damaged(chunk.end_offset, at, error) from error
        if chunk.covers_something:
            yield chunk.flush()

    def _damaged(self, offset: int, at: StoredBatch | None, error: Exception) -> DataLoss:
        return DataLoss(
            f"what the source sent of {self.partition} from offset {offset} on cannot be"
            f" decoded: {error}",
            reason=ProblemReason.SOURCE_DAMAGED.value,
            metadata={
                "partition": self.partition,
                "offset": offset,
                "end_offset": self.end_offset if at is None else max(offset, at.next_offset),
                "bytes": len(self.data) if at is None else len(at.data),
            },
        )


class _AbortedTransactions:
    """Which batches a reader of committed records does not get to see.

    Batches have to be shown in their order.
    """

    def __init__(self, aborted: Iterable[tuple[int, int]]) -> None:
        self._ahead = deque(sorted(aborted, key=lambda item: item[1]))
        self._open: set[int] = set()

    def hides(self, batch: StoredBatch) -> bool:
        """Whether a batch is a marker or belongs to an aborted transaction."""
        if batch.magic < 2:
            return False
        while self._ahead and self._ahead[0][1] <= batch.base_offset:
            self._open.add(self._ahead.popleft()[0])
        if batch.is_control:
            if _is_abort(batch):
                self._open.discard(batch.producer_id)
            return True
        return batch.is_transactional and batch.producer_id in self._open


def _is_abort(batch: StoredBatch) -> bool:
    """Whether a control batch ends a transaction for nothing; other kinds have no meaning here."""
    markers, *_ = BatchRecords(batch).take(1)
    key = markers[0].key if markers else None
    return key is not None and len(key) >= _MARKER.size and _MARKER.unpack_from(key)[1] == _ABORT


def _parts(batch: StoredBatch, chunk: "_Chunk", records_max: int) -> Iterator[RecordColumns]:
    """Adds a batch to a chunk, and gives that away each time it is full."""
    records = BatchRecords(batch)
    while not records.ended:
        chunk.add(records.take(records_max - len(chunk)), batch.timestamp_type)
        if len(chunk) >= records_max:
            yield chunk.flush()


class _Chunk:
    """Records on their way into columns: those behind ``base_offset``, what lies before is not."""

    def __init__(self, base_offset: int, leader_epoch: int) -> None:
        self.leader_epoch = leader_epoch
        self.end_offset = base_offset
        self._begin()

    def _begin(self) -> None:
        self.base_offset = self.end_offset
        self.compressed_bytes = 0
        self._records: list[Any] = []
        self._offsets: list[int] = []
        self._timestamps: list[int] = []
        self._types: list[int] = []

    def __len__(self) -> int:
        return len(self._records)

    @property
    def covers_something(self) -> bool:
        return self.end_offset > self.base_offset

    def cover(self, end_offset: int) -> None:
        self.end_offset = max(self.end_offset, end_offset)

    def add_whole(self, batch: StoredBatch, records_max: int) -> bool:
        """Takes the records of a batch, if they are few enough, and nothing special."""
        if not 0 <= batch.record_count < records_max - len(self._records):
            return False
        part = all_records(batch)
        if part is not None:
            self.add(part, batch.timestamp_type)
        return part is not None

    def add(self, part: Part, timestamp_type: int) -> None:
        """Takes those records that lie behind what is there."""
        records, offsets, timestamps = part
        if offsets and offsets[0] < self.end_offset:
            behind = bisect_left(offsets, self.end_offset)
            records, offsets, timestamps = records[behind:], offsets[behind:], timestamps[behind:]
        self._records += records
        self._offsets += offsets
        self._timestamps += timestamps
        self._types += repeat(timestamp_type, len(records))
        if offsets:
            self.end_offset = offsets[-1] + 1

    def flush(self) -> RecordColumns:
        """What has gathered; what comes from now on is the next chunk."""
        records = self._records
        headers = list(map(_HEADERS, records))
        columns = RecordColumns(
            self.base_offset,
            self.end_offset,
            _dense(self._offsets),
            self._timestamps,
            self._types,
            list(map(_KEY, records)),
            list(map(_VALUE, records)),
            headers if any(headers) else None,
            self.leader_epoch,
        )
        self._begin()
        return columns


def _dense(offsets: Sequence[int]) -> Sequence[int]:
    """Offsets, which rise strictly: without holes they are a range."""
    if not offsets:
        return ()
    dense = range(offsets[0], offsets[-1] + 1)
    return dense if len(dense) == len(offsets) else offsets
