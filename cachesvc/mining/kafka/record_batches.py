"""What a fetch brought of one partition: Kafka's record batches, decoded into columns.

aiokafka's compiled decoder turns a record batch into records; everything around it is here, because
whole batches are cheaper to handle than single records. The rules for aborted transactions are
those of Kafka's own consumer (KIP-98).
"""

import struct
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Any

from aiokafka.record.control_record import ABORT_MARKER, ControlRecord
from aiokafka.record.memory_records import MemoryRecords

from cachesvc.errors import DataLoss
from cachesvc.mining.kafka.old_lz4 import is_old_lz4, messages_within
from cachesvc.mining.source import ProblemReason, RecordColumns, SourcePartition
from cachesvc.policy.leader_epochs import UNKNOWN_EPOCH

# Base offset, length of what follows, partition leader epoch, magic; since magic 2 also CRC,
# attributes and the last offset relative to the first one.
_HEADER = struct.Struct(">qiib")
_HEADER_V2 = struct.Struct(">qiibIhi")
_LENGTH_END = 12
# Compressed bytes after which a chunk ends, so that many small batches of much compressed records
# do not add up in memory.
_CHUNK_BYTES_MAX = 1 << 20


def next_fetch(data: bytes, fetch_offset: int) -> tuple[int, int]:
    """Where the next fetch has to begin: behind the last complete record batch in ``data``.

    Reads headers only. ``fetch_offset`` itself if there is no complete batch.

    Returns:
        The offset, and the leader epoch of that batch, as far as it has one.
    """
    position, end, epoch = 0, fetch_offset, UNKNOWN_EPOCH
    while position + _HEADER_V2.size <= len(data):
        base_offset, length, *_, magic = _HEADER.unpack_from(data, position)
        if position + _LENGTH_END + length > len(data):
            break
        epoch = _leader_epoch(data, position)
        # A compressed batch of the old formats carries the offset of its last record.
        last = _HEADER_V2.unpack_from(data, position)[-1] if magic >= 2 else 0
        end = max(end, base_offset + last + 1)
        position += _LENGTH_END + length
    return end, epoch


def _leader_epoch(data: bytes, position: int) -> int:
    """That of the record batch at ``position``. The old formats have their checksum there."""
    _, _, epoch, magic = _HEADER.unpack_from(data, position)
    return epoch if magic >= 2 else UNKNOWN_EPOCH


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
    """

    partition: SourcePartition
    base_offset: int
    end_offset: int
    data: bytes = field(repr=False)
    aborted: Sequence[tuple[int, int]] = ()
    leader_epoch: int = UNKNOWN_EPOCH

    @property
    def encoded_bytes(self) -> int:
        """See ``SourceBatch``."""
        return len(self.data)

    def chunks(self, records_max: int) -> Iterator[RecordColumns]:
        """See ``SourceBatch``."""
        position = self.base_offset
        try:
            for chunk in self._chunks(records_max):
                position = chunk.end_offset
                yield chunk
        except Exception as error:  # what damaged bytes do to a decoder is anybody's guess
            raise DataLoss(
                f"what the source sent of {self.partition} from offset {position} on cannot be"
                f" decoded: {error}",
                reason=ProblemReason.SOURCE_DAMAGED.value,
                metadata={"partition": self.partition, "offset": position},
            ) from error

    def _chunks(self, records_max: int) -> Iterator[RecordColumns]:
        transactions = _AbortedTransactions(self.aborted)
        chunk = _Chunk(self.base_offset, self.leader_epoch)
        for batch, size, epoch in self._record_batches():
            if epoch != chunk.leader_epoch and chunk.covers_something:
                yield chunk.columns()
                chunk = _Chunk(chunk.end_offset, epoch)
            chunk.leader_epoch = epoch
            if not transactions.hides(batch):
                # `chain` stands between, for the decoder can neither be taken up again by `iter`
                # nor be asked once more after its end.
                records = chain(batch)
                while part := list(islice(records, records_max - len(chunk.records))):
                    if part[0].offset < self.base_offset:
                        part = [record for record in part if record.offset >= self.base_offset]
                    chunk.add(part)
                    if len(chunk.records) >= records_max:
                        yield chunk.columns()
                        chunk = _Chunk(chunk.end_offset, epoch)
            chunk.end_offset = max(chunk.end_offset, batch.next_offset)
            chunk.compressed_bytes += size
            if chunk.compressed_bytes >= _CHUNK_BYTES_MAX and chunk.covers_something:
                yield chunk.columns()
                chunk = _Chunk(chunk.end_offset, epoch)
        chunk.end_offset = max(chunk.end_offset, self.end_offset)
        if chunk.covers_something:
            yield chunk.columns()

    def _record_batches(self) -> Iterator[tuple[Any, int, int]]:
        """Complete batches of good checksum, with the size and the leader epoch of each.

        What comes out of one compressed message has its size at the last of it.
        """
        records = MemoryRecords(self.data)
        position = 0
        while records.has_next():
            batch = records.next_batch()
            if not batch.validate_crc():
                raise ValueError(f"checksum of the batch at offset {batch.base_offset} is wrong")
            size = _LENGTH_END + _HEADER.unpack_from(self.data, position)[1]
            epoch = _leader_epoch(self.data, position)
            if is_old_lz4(self.data, position):
                within = MemoryRecords(messages_within(self.data, position))
                while within.has_next():
                    yield within.next_batch(), 0 if within.has_next() else size, epoch
            else:
                yield batch, size, epoch
            position += size


class _AbortedTransactions:
    """Which batches a reader of committed records does not get to see.

    Batches have to be shown in their order.
    """

    def __init__(self, aborted: Iterable[tuple[int, int]]) -> None:
        self._ahead = deque(sorted(aborted, key=lambda item: item[1]))
        self._open: set[int] = set()

    def hides(self, batch: Any) -> bool:
        """Whether a batch is a marker or belongs to an aborted transaction."""
        if batch.producer_id is None:
            return False
        while self._ahead and self._ahead[0][1] <= batch.base_offset:
            self._open.add(self._ahead.popleft()[0])
        if batch.is_control_batch:
            marker = next(iter(batch), None)
            if marker is not None and ControlRecord.parse(marker.key) == ABORT_MARKER:
                self._open.discard(batch.producer_id)
            return True
        return batch.is_transactional and batch.producer_id in self._open


class _Chunk:
    """Records on their way into columns."""

    def __init__(self, base_offset: int, leader_epoch: int) -> None:
        self.base_offset = base_offset
        self.end_offset = base_offset
        self.leader_epoch = leader_epoch
        self.compressed_bytes = 0
        self.records: list[Any] = []

    @property
    def covers_something(self) -> bool:
        return self.end_offset > self.base_offset

    def add(self, part: list[Any]) -> None:
        if part:
            self.records += part
            self.end_offset = part[-1].offset + 1

    def columns(self) -> RecordColumns:
        records = self.records
        headers = [record.headers for record in records]
        types = [record.timestamp_type for record in records]
        timestamps = [record.timestamp for record in records]
        if None in types:
            # The oldest record format has no timestamps.
            types = [-1 if kind is None else kind for kind in types]
            timestamps = [-1 if time is None else time for time in timestamps]
        return RecordColumns(
            self.base_offset,
            self.end_offset,
            _offsets(records),
            timestamps,
            types,
            [record.key for record in records],
            [record.value for record in records],
            headers if any(headers) else None,
            self.leader_epoch,
        )


def _offsets(records: Sequence[Any]) -> Sequence[int]:
    """Offsets of records, which rise strictly: without holes they are a range."""
    if not records:
        return ()
    dense = range(records[0].offset, records[-1].offset + 1)
    return dense if len(dense) == len(records) else [record.offset for record in records]
