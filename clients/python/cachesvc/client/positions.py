"""Positions as values: where a partition goes on.

A position is the *next* offset to read. It covers exactly the records before it and never
changes; moving on makes a new one.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import TypeAlias

import msgspec

PartitionKey: TypeAlias = tuple[str, int]
"""Topic and partition number."""


class TopicPartition(msgspec.Struct, frozen=True, order=True):
    """One partition of one incarnation of a topic.

    Attributes:
        topic: Kafka's topic name.
        partition: Its number.
        incarnation: Which incarnation of the topic, from 1. In requests 0 means the present one.
    """

    topic: str
    partition: int
    incarnation: int = 0


class Position(msgspec.Struct, frozen=True, order=True):
    """The next offset to read of one partition.

    Attributes:
        topic: Kafka's topic name.
        partition: Its number.
        offset: The next offset to read; every record before it is covered.
        incarnation: Which incarnation of the topic, from 1. In requests 0 means the present one.
    """

    topic: str
    partition: int
    offset: int
    incarnation: int = 0

    @property
    def key(self) -> PartitionKey:
        """Topic and partition number."""
        return self.topic, self.partition

    def is_after(self, other: "Position") -> bool:
        """Whether this lies behind another position of the same partition.

        A later incarnation of a topic lies behind every earlier one; 0 stands for the same
        incarnation.
        """
        if self.incarnation != other.incarnation and self.incarnation and other.incarnation:
            return self.incarnation > other.incarnation
        return self.offset > other.offset


class Positions(Mapping[PartitionKey, Position]):
    """At most one position per partition; immutable, comparable and hashable.

    Args:
        positions: In any order; of several for one partition the last counts.

    Example:
        >>> positions = Positions([Position("orders", 0, 42)])
        >>> positions["orders", 0].offset
        42
    """

    __slots__ = ("_by_key",)

    def __init__(self, positions: Iterable[Position] = ()) -> None:
        self._by_key = {position.key: position for position in positions}

    def moved(self, *positions: Position) -> "Positions":
        """These positions, with some put in place of their partitions' former ones."""
        return Positions((*self._by_key.values(), *positions))

    def __getitem__(self, key: PartitionKey) -> Position:
        return self._by_key[key]

    def __iter__(self) -> Iterator[PartitionKey]:
        return iter(self._by_key)

    def __len__(self) -> int:
        return len(self._by_key)

    def __hash__(self) -> int:
        return hash(frozenset(self._by_key.values()))

    def __repr__(self) -> str:
        return f"Positions({sorted(self._by_key.values())!r})"


PositionsLike: TypeAlias = Position | Iterable[Position] | Mapping[PartitionKey, Position | int]
"""What callers may give: one position, several, or a mapping of partitions to offsets."""


def as_positions(given: PositionsLike) -> Positions:
    """Positions from what a caller gave.

    Raises:
        TypeError: It is something else.
    """
    if isinstance(given, Positions):
        return given
    if isinstance(given, Position):
        return Positions((given,))
    if isinstance(given, Mapping):
        return Positions(_position(key, value) for key, value in given.items())
    positions = tuple(given)
    for position in positions:
        if not isinstance(position, Position):
            raise TypeError(f"expected a Position, got {position!r}")
    return Positions(positions)


def _position(key: PartitionKey, value: Position | int) -> Position:
    topic, partition = key
    if isinstance(value, int):
        return Position(topic, partition, value)
    if not isinstance(value, Position):
        raise TypeError(f"expected an offset or a Position, got {value!r}")
    if value.key != (topic, partition):
        raise ValueError(f"{value!r} is filed under {key!r}")
    return value
