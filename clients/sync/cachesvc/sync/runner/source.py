"""Where a task's batches come from and its positions go, as a port."""

from contextlib import AbstractAsyncContextManager
from typing import Protocol

from cachesvc.client import Event, Positions, Started


class Session(Protocol):
    """An open subscription. One task reads; any may commit. Per partition in offset order."""

    @property
    def started(self) -> Started:
        """Where it began and, for a full sync, where it ends."""

    @property
    def position(self) -> Positions:
        """Behind everything that ``next`` has given."""

    @property
    def outside_since_s(self) -> float | None:
        """Since when, by the monotonic clock, the broker is read instead of the cache."""

    async def next(self) -> Event | None:
        """The next event; None once the subscription is complete.

        Raises:
            ClientError: It has failed.
        """

    async def commit(self, positions: Positions) -> None:
        """Stores positions; when this returns, they survive whatever happens.

        Raises:
            ClientError: They are not stored, or perhaps; the same may be tried again where
                ``retriable`` says so.
        """


class Source(Protocol):
    """Opens subscriptions."""

    def session(self, start: Positions | None) -> AbstractAsyncContextManager[Session]:
        """A session from positions on; without them from the stored ones, else as the task says.

        Entering waits for the service as long as the task's settings say.

        Raises:
            ClientError: On entering: it is refused, or the service is away for too long.
        """
