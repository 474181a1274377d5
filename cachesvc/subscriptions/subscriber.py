"""A live stream on a subscription: what it was given, and when it has to end."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

from cachesvc.errors import CacheError, InvalidRequest
from cachesvc.model import PartitionId


@dataclass(frozen=True, slots=True)
class Origin:
    """Who opened a stream, and from where.

    Attributes:
        principal: Who subscribed.
        address: Where the call comes from, as gRPC names a peer.
        client: What the client calls itself.
        connected_ms: When the stream was opened.
    """

    principal: str
    address: str
    client: str
    connected_ms: int


@dataclass(slots=True, eq=False)
class Subscriber:
    """A live stream on a subscription.

    Attributes:
        epoch: Of this stream.
        full_start: Where a full sync began; empty for other modes.
        full_end: Where a full sync is complete; empty for other modes.
        full_end_open: Whether partitions are missing there: the source could not be asked yet.
        delivered: The position after the last record sent, per partition of the stream.
        before: What the stream before it read; it may too, until it says what it reads.
        origin: Who opened it; None where nobody has said so.
        records: How many were sent.
        bytes: Of the batches that carried them.
        ended: Holds the error with which the stream has to end, once it has to.
    """

    epoch: int
    full_start: dict[PartitionId, int] = field(default_factory=dict)
    full_end: dict[PartitionId, int] = field(default_factory=dict)
    full_end_open: bool = False
    delivered: dict[PartitionId, int] = field(default_factory=dict)
    before: tuple[PartitionId, ...] = ()
    origin: Origin | None = None
    records: int = 0
    bytes: int = 0
    ended: "asyncio.Future[CacheError]" = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )

    @property
    def reads(self) -> tuple[PartitionId, ...]:
        """Which partitions, as far as that is known."""
        return tuple(self.delivered) or self.before

    def sent(self, records: int, size: int) -> None:
        """Counts a batch."""
        self.records += records
        self.bytes += size

    def full_sync_done(self, stored: Mapping[PartitionId, int]) -> bool:
        """Whether a full sync is stored to its end; a partition without records needs no commit."""
        known = bool(self.full_end) and not self.full_end_open
        return known and all(
            stored.get(partition, self.full_start.get(partition, -1)) >= end
            for partition, end in self.full_end.items()
        )

    def check_delivered(self, name: str, positions: Mapping[PartitionId, int]) -> None:
        """Accepts positions that cover nothing but what was delivered.

        Raises:
            InvalidRequest: One covers more (``POSITION_NOT_DELIVERED``); ``name`` is in the text.
        """
        for partition, offset in positions.items():
            delivered = self.delivered.get(partition)
            if delivered is not None and offset <= delivered:
                continue
            where = f"{partition.topic}/{partition.partition}"
            has = "does not read it" if delivered is None else f"has delivered up to {delivered}"
            raise InvalidRequest(
                f"subscription {name!r}: cannot commit {where} at offset {offset}: the stream "
                f"{has}; commit the position of a batch that was received",
                reason="POSITION_NOT_DELIVERED",
                metadata={"topic": partition.topic, "partition": partition.partition},
            )

    def end(self, error: CacheError) -> None:
        """Makes the stream end; the first call counts."""
        if not self.ended.done():
            self.ended.set_result(error)
