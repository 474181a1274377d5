"""Records as Python objects."""

from bisect import bisect_left
from collections.abc import Callable, Sequence
from enum import IntEnum
from functools import cached_property

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


class Facts:
    """What records that came together have besides key and value; made when somebody asks.

    Of one batch at a time, for all its records at once.

    Args:
        topic_partition: The partition they belong to.
        offsets: Their offsets, strictly increasing.
        timestamps_ms: Gives their timestamps in that order, as do the others.
        headers: Gives their headers.
        timestamp_types: Gives who set the timestamps.
    """

    def __init__(
        self,
        topic_partition: TopicPartition,
        offsets: range | list[int],
        timestamps_ms: Callable[[], Sequence[int]],
        headers: Callable[[], Sequence[tuple[Header, ...]]],
        timestamp_types: Callable[[], Sequence[TimestampType]],
    ) -> None:
        self.topic_partition = topic_partition
        self._offsets = offsets
        self._give = (timestamps_ms, headers, timestamp_types)

    def timestamp_ms(self, offset: int) -> int:
        """The timestamp of the record at an offset."""
        return self._timestamps_ms[self._row(offset)]

    def headers(self, offset: int) -> tuple[Header, ...]:
        """The headers of the record at an offset."""
        return self._headers[self._row(offset)]

    def timestamp_type(self, offset: int) -> TimestampType:
        """Who set the timestamp of the record at an offset."""
        return self._timestamp_types[self._row(offset)]

    def _row(self, offset: int) -> int:
        offsets = self._offsets
        if isinstance(offsets, range):
            return offset - offsets.start
        return bisect_left(offsets, offset)

    @cached_property
    def _timestamps_ms(self) -> Sequence[int]:
        return self._give[0]()

    @cached_property
    def _headers(self) -> Sequence[tuple[Header, ...]]:
        return self._give[1]()

    @cached_property
    def _timestamp_types(self) -> Sequence[TimestampType]:
        return self._give[2]()


class Record(msgspec.Struct, frozen=True, gc=False, eq=False):
    """A Kafka record.

    Immutable, and free of reference cycles, so the garbage collector does not look at it: that is
    what makes millions of them cheap. Offset, key and value are there at once; the rest is made of
    the batch's columns when it is asked for, so a record that is kept keeps those columns of its
    neighbours too, but not their keys and values. Records are equal if all that they have is.

    Attributes:
        offset: Its identity within its partition.
        key: None where Kafka has null.
        value: A JSON object in UTF-8; None for a tombstone.
        facts: Everything else, of this record and those that it came with.
    """

    offset: int
    key: bytes | None
    value: bytes | None
    facts: Facts

    @classmethod
    def of(
        cls,
        topic_partition: TopicPartition,
        offset: int,
        key: bytes | None,
        value: bytes | None,
        timestamp_ms: int = -1,
        headers: tuple[Header, ...] = (),
        timestamp_type: TimestampType = TimestampType.CREATE_TIME,
    ) -> "Record":
        """A record by itself, for tests."""
        facts = Facts(
            topic_partition,
            range(offset, offset + 1),
            lambda: (timestamp_ms,),
            lambda: (headers,),
            lambda: (timestamp_type,),
        )
        return cls(offset, key, value, facts)

    @property
    def timestamp_ms(self) -> int:
        """Milliseconds since the Unix epoch; -1 without one."""
        return self.facts.timestamp_ms(self.offset)

    @property
    def headers(self) -> tuple[Header, ...]:
        """In the order of the source; mostly empty."""
        return self.facts.headers(self.offset)

    @property
    def timestamp_type(self) -> TimestampType:
        """Who set the timestamp."""
        return self.facts.timestamp_type(self.offset)

    @property
    def topic_partition(self) -> TopicPartition:
        """The partition it belongs to; one object for all records of a batch."""
        return self.facts.topic_partition

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

    def __eq__(self, other: object) -> bool:
        return self._all() == other._all() if isinstance(other, Record) else NotImplemented

    def __hash__(self) -> int:
        return hash((self.topic_partition, self.offset))

    def __repr__(self) -> str:
        return (
            f"Record(topic_partition={self.topic_partition!r}, offset={self.offset!r}, "
            f"key={self.key!r}, value={self.value!r}, timestamp_ms={self.timestamp_ms!r}, "
            f"headers={self.headers!r}, timestamp_type={self.timestamp_type!r})"
        )

    def __reduce__(self) -> tuple[Callable[..., "Record"], tuple[object, ...]]:
        return Record.of, self._all()

    def _all(self) -> tuple[object, ...]:
        """What `of` takes."""
        return (
            self.topic_partition,
            self.offset,
            self.key,
            self.value,
            self.timestamp_ms,
            self.headers,
            self.timestamp_type,
        )
