"""Where a task's batches come from and its positions go, as a port."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from cachesvc.client import Batch, Event, Positions, Started
from cachesvc.client.positions import PartitionKey
from cachesvc.sync.sink import Check


class Session(Protocol):
    """An open subscription. One task reads; any may commit. Per partition in offset order."""

    @property
    def started(self) -> Started:
        """Where it began and, for a full sync, where it ends."""

    @property
    def position(self) -> Positions:
        """Behind everything that ``next`` has given."""

    @property
    def outside(self) -> bool:
        """Whether the broker is read instead of the cache now."""

    @property
    def outside_s(self) -> float:
        """Seconds that it was, all together."""

    async def next(self) -> Event | None:
        """The next event; None once the subscription is complete.

        Raises:
            ClientError: It has failed.
        """

    async def source_ends(self) -> Mapping[PartitionKey, int]:
        """Asks where the source ends now; of partitions with a stored position.

        Raises:
            ClientError: It is not known.
        """

    async def commit(self, positions: Positions) -> None:
        """Stores positions; when this returns, they survive whatever happens.

        Raises:
            ClientError, SyncError: They are not stored, or perhaps; the same may be tried again
                where ``retriable`` says so.
        """


class Source(Protocol):
    """Opens subscriptions."""

    def session(self, start: Positions | None) -> AbstractAsyncContextManager[Session]:
        """A session from positions on; without them from the stored ones, else as the task says.

        Where tasks share a subscription, what is stored goes back to them first, for all of these.

        Entering waits for the service as long as the task's settings say.

        Raises:
            ClientError: On entering: it is refused, or the service is away for too long.
        """


class Brokers(Protocol):
    """How the broker of one task is reached."""

    def open(self) -> "Broker":
        """A reader of it, to be entered."""

    async def check(self, topics: Sequence[str]) -> Check:
        """Whether it answers and has the topics; reads no record."""


class Broker(Protocol):
    """Reads partitions past the service, under the same JSON rule. One task reads."""

    async def __aenter__(self) -> "Broker": ...

    async def __aexit__(self, *error: object) -> None: ...

    def read(self, positions: Positions, end: Positions) -> None:
        """Reads these partitions from their positions on; those that ``end`` names, up to there."""

    async def next(self) -> Batch:
        """The next batch; per partition they follow one another without a gap.

        Cancelled, it may have taken one that is lost.

        Raises:
            DataLoss: The broker does not have a position, or other records before it.
            SyncError: Its settings are wrong.
        """
