"""Record batches and messages as brokers store them: where they lie, and what their headers say.

Record batches (format 2) and messages (formats 0 and 1) have their length and their format at the
same places. A compressed message has a set of messages as its value.
"""

import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

from crc32c import crc32c

from cachesvc.mining.kafka.compression import NONE
from cachesvc.policy.leader_epochs import UNKNOWN_EPOCH

# Offset and length of what follows; then, behind epoch or checksum, the format.
_PLACE = struct.Struct(">qi4xb")
LENGTH_END = 12
# Magic, CRC, attributes, last offset delta, first and max timestamp, producer, its epoch and
# sequence, number of records; behind the leader's epoch.
_HEADER_V2 = struct.Struct(">ibIhiqqqhii")
HEADER_V2_BYTES = LENGTH_END + _HEADER_V2.size
_CHECKED_V2_AT = 21
# CRC, magic, attributes; since format 1 the timestamp.
_HEADER_OLD = struct.Struct(">Ibb")
_CHECKED_OLD_AT = 16
_TIMESTAMP_AT = 18
_TIMESTAMP = struct.Struct(">q")
_OLD_BYTES_MIN = 26

_CODEC_MASK, _LOG_APPEND, _TRANSACTIONAL, _CONTROL = 0x07, 0x08, 0x10, 0x20
NO_PRODUCER, UNKNOWN_COUNT = -1, -1
NO_TIMESTAMP_TYPE = -1


class StoredBatch(NamedTuple):
    """One record batch, or one message of an old format with all that it holds.

    Attributes:
        data: Its bytes, complete.
        magic: Its format.
        base_offset: Of a batch; a message has that of its last record.
        next_offset: The one behind its last record, also where that was compacted away.
        leader_epoch: Of the leader that took it; the old formats do not tell.
        checksum: As it stands there.
        attributes: Kafka's flags.
        first_timestamp: What timestamps of records are relative to; of a message, its own or -1.
        max_timestamp: Of all records, where the broker set them.
        producer_id: Of an idempotent or transactional producer, or -1.
        record_count: Of its records; -1 for a compressed message, which does not tell.
    """

    data: memoryview
    magic: int
    base_offset: int
    next_offset: int
    leader_epoch: int
    checksum: int
    attributes: int
    first_timestamp: int
    max_timestamp: int
    producer_id: int = NO_PRODUCER
    record_count: int = UNKNOWN_COUNT

    @property
    def codec(self) -> int:
        """How its records are compressed."""
        return self.attributes & _CODEC_MASK

    @property
    def is_compressed(self) -> bool:
        """Whether they are."""
        return self.codec != NONE

    @property
    def timestamp_type(self) -> int:
        """Who set the timestamps of all its records: 0 the producer, 1 the broker, -1 nobody."""
        if not self.magic:
            return NO_TIMESTAMP_TYPE
        return int(bool(self.attributes & _LOG_APPEND))

    @property
    def is_transactional(self) -> bool:
        """Whether its records count only once their transaction is committed."""
        return self.magic >= 2 and bool(self.attributes & _TRANSACTIONAL)

    @property
    def is_control(self) -> bool:
        """Whether it holds a marker of Kafka's own and no record."""
        return self.magic >= 2 and bool(self.attributes & _CONTROL)

    @property
    def is_dense(self) -> bool:
        """Whether each offset of its range is known to have its record."""
        return self.magic >= 2 and self.record_count == self.next_offset - self.base_offset

    @property
    def is_sound(self) -> bool:
        """Whether its checksum holds."""
        if self.magic >= 2:
            return self.checksum == crc32c(self.data[_CHECKED_V2_AT:])
        return self.checksum == zlib.crc32(self.data[_CHECKED_OLD_AT:])


def stored_batches(data: bytes) -> Iterator[StoredBatch]:
    """The complete ones, in order. The last of a fetch may be cut off.

    Raises:
        ValueError: Something says that it is shorter than the shortest can be.
    """
    view, position = memoryview(data), 0
    while position + _PLACE.size <= len(data):
        offset, length, magic = _PLACE.unpack_from(data, position)
        end = position + LENGTH_END + length
        if end - position < (HEADER_V2_BYTES if magic >= 2 else _OLD_BYTES_MIN):
            raise ValueError(f"{length} bytes cannot be a batch, at offset {offset}")
        if end > len(data):
            return
        yield (_batch if magic >= 2 else _message)(view[position:end], offset)
        position = end


def _batch(data: memoryview, offset: int) -> StoredBatch:
    epoch, magic, checksum, attributes, last, first_ms, max_ms, producer, _, _, count = (
        _HEADER_V2.unpack_from(data, LENGTH_END)
    )
    return StoredBatch(
        data,
        magic,
        offset,
        offset + last + 1,
        epoch,
        checksum,
        attributes,
        first_ms,
        max_ms,
        producer,
        count,
    )


def _message(data: memoryview, offset: int) -> StoredBatch:
    checksum, magic, attributes = _HEADER_OLD.unpack_from(data, LENGTH_END)
    timestamp = _TIMESTAMP.unpack_from(data, _TIMESTAMP_AT)[0] if magic else -1
    return StoredBatch(
        data,
        magic,
        offset,
        offset + 1,
        UNKNOWN_EPOCH,
        checksum,
        attributes,
        timestamp,
        timestamp,
        record_count=UNKNOWN_COUNT if attributes & _CODEC_MASK else 1,
    )
