"""Records that are refused for good, as dead letters, and what a task does with them."""

import base64
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import msgspec
import pyarrow as pa

from cachesvc.client import TopicPartition
from cachesvc.sync.errors import SyncError
from cachesvc.sync.runner.pieces import Piece, row_at
from cachesvc.sync.sink import Check


class LetterHeader(msgspec.Struct, frozen=True):
    """A header of a record; its value is null where Kafka has null."""

    key: str
    value_base64: str | None = None

    @property
    def value(self) -> bytes | None:
        """Its value."""
        return None if self.value_base64 is None else base64.b64decode(self.value_base64)


class Letter(msgspec.Struct, frozen=True, kw_only=True):
    """A record that was refused, as the source had it.

    Attributes:
        topic: Kafka's topic name.
        partition: Its number.
        incarnation: Which incarnation of the topic.
        offset: The record's.
        stage: Who refused it: ``transform`` or ``sink``.
        reason: Word in capitals.
        detail: For people.
        refused_ms: When, in milliseconds since the epoch.
        timestamp_ms: The record's; -1 without one.
        timestamp_type: 0 create time, 1 log append time, -1 none.
        key_base64: Null where Kafka has null.
        value: A JSON object as text; null for a tombstone.
        headers: In their order.
        tries: How often it was refused, by the task and by those who tried again.
    """

    topic: str
    partition: int
    incarnation: int
    offset: int
    stage: str
    reason: str
    detail: str
    refused_ms: int
    timestamp_ms: int
    timestamp_type: int = 0
    key_base64: str | None = None
    value: str | None = None
    headers: tuple[LetterHeader, ...] = ()
    tries: int = 1

    @property
    def identity(self) -> tuple[str, int, int, int]:
        """What tells it from the letters of other records."""
        return self.topic, self.partition, self.incarnation, self.offset

    @property
    def key(self) -> bytes | None:
        """The record's."""
        return None if self.key_base64 is None else base64.b64decode(self.key_base64)


class Keeper(Protocol):
    """What becomes of records that are refused. Belongs to one event loop, one call at a time."""

    async def open(self) -> None:
        """Gets ready.

        Raises:
            SyncError: It cannot; ``TargetUnavailable`` where that may pass.
        """

    async def close(self) -> None:
        """Lets go of everything. Idempotent."""

    async def keep(self, letters: Sequence[Letter]) -> None:
        """When this returns, the task may go on without them.

        Raises:
            SyncError: It may not; ``TargetUnavailable`` where that may pass.
        """

    def count(self, records: int) -> None:
        """Takes note of records of the source that are about to be written or refused."""


@runtime_checkable
class CheckedKeeper(Protocol):
    """A keeper whose place is more than a directory, and can be tried."""

    async def check(self) -> Check:
        """Whether letters can be kept; leaves nothing behind."""


@dataclass(frozen=True, slots=True)
class Due:
    """Letters that stand, of a range of the place that keeps them.

    Attributes:
        wanted: Those to be tried.
        rest: The others.
        end: Behind which offset of the place others follow.
    """

    wanted: Sequence[Letter]
    rest: Sequence[Letter]
    end: int


@dataclass(frozen=True, slots=True)
class Exported:
    """What a place has, and would lose.

    Attributes:
        letters: Those of the task that stand, by topic, partition and offset.
        end: Behind which offset of the place there is nothing yet.
        foreign: The first offset with something else, such as a letter of another task; None
            where there is nothing else.
    """

    letters: Sequence[Letter]
    end: int
    foreign: int | None


@runtime_checkable
class LetterQueue(Protocol):
    """A keeper whose place is a topic: out of it nothing is taken, but a position moves on.

    All raise as ``Keeper.open`` does; ``Keeper.close`` is called at the end.
    """

    async def read(self) -> list[Letter]:
        """The task's letters behind the position, by topic, partition and offset."""

    def due(self, wanted: Callable[[Letter], bool]) -> AsyncGenerator[Due, None]:
        """The same in ranges, in their order in the place; nothing where none is wanted."""

    async def settle(self, offset: int, again: Sequence[Letter]) -> None:
        """Moves the position to an offset, once what is still to stand is kept again."""

    async def export(self) -> Exported:
        """What ``remove`` at the end would take away."""

    async def remove(self, end: int) -> None:
        """Deletes everything before an offset."""


class RecordRefused(SyncError):
    """A record was refused, and the task is to stop there."""

    default_reason = "RECORD_REFUSED"


class StopAtRefused:
    """Ends the task at the first record that is refused."""

    async def open(self) -> None:
        pass

    async def close(self) -> None:
        pass

    async def keep(self, letters: Sequence[Letter]) -> None:
        first = letters[0]
        raise RecordRefused(
            f"the {first.stage} refuses {first.topic}/{first.partition} at offset {first.offset}: "
            f"{first.reason}: {first.detail}; mend it, or set errors.policy to dead-letter",
            reason=first.reason,
            metadata={
                "topic": first.topic,
                "partition": str(first.partition),
                "offset": str(first.offset),
            },
        )

    def count(self, records: int) -> None:
        pass


class Refused(msgspec.Struct, frozen=True):
    """Why a record of a piece is refused: by whom, at which offset, and why."""

    stage: str
    offset: int
    reason: str
    detail: str


def letter(piece: Piece, refused: Refused, now_ms: int) -> Letter:
    """The letter of a record of a piece."""
    return _letter(piece.changes.source, row_at(piece.original, refused.offset), refused, now_ms)


def _letter(source: TopicPartition, row: pa.RecordBatch, refused: Refused, now_ms: int) -> Letter:
    found: dict[str, Any] = _values(row) if row.num_rows else {"timestamp_ms": -1}
    return Letter(
        topic=source.topic,
        partition=source.partition,
        incarnation=source.incarnation,
        offset=refused.offset,
        stage=refused.stage,
        reason=refused.reason,
        detail=refused.detail,
        refused_ms=now_ms,
        **found,
    )


def _values(row: pa.RecordBatch) -> dict[str, Any]:
    key = row.column("key")[0].as_py()
    headers = row.column("headers")[0].as_py() or ()
    return {
        "timestamp_ms": row.column("timestamp").cast(pa.int64())[0].as_py(),
        "timestamp_type": row.column("timestamp_type")[0].as_py(),
        "key_base64": _base64(key),
        "value": row.column("value")[0].as_py(),
        "headers": tuple(LetterHeader(h["key"], _base64(h["value"])) for h in headers),
    }


def _base64(content: bytes | None) -> str | None:
    return None if content is None else base64.b64encode(content).decode()
