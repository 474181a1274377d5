"""Records as Python objects."""

from enum import IntEnum

import msgspec

from cachesvc.client.header_keys import header_key_bytes
from cachesvc.client.positions import Position, TopicPartition


class TimestampType(IntEnum):
    """Who set a record's timestamp."""

    CREATE_TIME = 0
    """The producer."""
    LOG_APPEND_TIME = 1
    """The broker, on append."""
    NO_TIMESTAMP_TYPE = -1
    """Nobody: the oldest record format of Kafka has no timestamps."""


class Header(msgspec.Struct, frozen=True, gc=False):
    """A header of a record.

    Attributes:
        key: Its name; one record may have several headers of one name. Where Kafka's bytes are not
            UTF-8, a text that stands for them, such as ``bytes:cl%E9``.
        value: None where Kafka has null.
    """

    key: str
    value: bytes | None

    @property
    def key_bytes(self) -> bytes:
        """The name byte for byte as in Kafka: what somebody who produces it again has to write."""
        return header_key_bytes(self.key)


class Record(msgspec.Struct, frozen=True, gc=False):
    """A Kafka record.

    Immutable, and free of reference cycles, so the garbage collector does not look at it: that is
    what makes millions of them cheap.

    Attributes:
        offset: Its identity within its partition.
        timestamp_ms: Milliseconds since the Unix epoch; -1 without one.
        key: None where Kafka has null.
        value: A JSON object in UTF-8; None for a tombstone.
        headers: In the order of the source; mostly empty.
        timestamp_type: Who set the timestamp.
        topic_partition: The partition it belongs to; one object for all records of a batch.
    """

    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: tuple[Header, ...]
    timestamp_type: TimestampType
    topic_partition: TopicPartition

    @property
    def topic(self) -> str:
        """The topic it belongs to."""
        return self.topic_partition.topic

    @property
    def partition(self) -> int:
        """The number of the partition it belongs to."""
        return self.topic_partition.partition

    @property
    def position(self) -> Position:
        """The position right behind this record: commit it once the record is dealt with."""
        of = self.topic_partition
        return Position(of.topic, of.partition, self.offset + 1, of.incarnation)
