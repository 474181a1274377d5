"""Reading the broker itself, while the service is asked now and then whether it is back."""

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import AsyncExitStack

from cachesvc.client import (
    Batch,
    Client,
    NotFound,
    Positions,
    Subscription,
    SubscriptionDeleted,
    SubscriptionTakenOver,
    Unavailable,
)
from cachesvc.sync.runner.source import Broker

_log = logging.getLogger("cachesvc.sync")

_ASK_EVERY_S_FIRST_MAX = 1.0
_ASK_EVERY_S_MAX = 60.0
_TELL_EVERY_S = 300.0


class Outside:
    """The way around the service. Belongs to one event loop; one task reads.

    Args:
        task: The task's name, for the log.
        subscription: What the service is asked about.
        client: Open.
        broker: Makes a reader of the broker.
        after_s: How long the service was away before; it is asked about as often.
    """

    def __init__(
        self,
        task: str,
        subscription: str,
        client: Client,
        broker: Callable[[], Broker],
        after_s: float,
    ) -> None:
        self._task = task
        self._subscription = subscription
        self._client = client
        self._make_broker = broker
        self._broker: Broker | None = None
        self._stack = AsyncExitStack()
        self._getting: asyncio.Task[Batch] | None = None
        self._asking: asyncio.Task[None] | None = None
        self._ask_every_s_first = min(after_s, _ASK_EVERY_S_FIRST_MAX)
        self._ask_every_s = self._ask_every_s_first
        self._epoch = 0
        # The subscription as the service had it last.
        self.found: Subscription | None = None
        self._since_s: float | None = None
        self._before_s = 0.0

    @property
    def used(self) -> bool:
        """Whether the broker is read now."""
        return self._since_s is not None

    @property
    def seconds(self) -> float:
        """For how long it was read, all together."""
        now_s = 0.0 if self._since_s is None else time.monotonic() - self._since_s
        return self._before_s + now_s

    async def begin(
        self, positions: Positions, end: Positions, epoch: int, *, patient: bool
    ) -> None:
        """Reads from positions on.

        Args:
            positions: Where.
            end: Where to end, as for ``Broker.read``.
            epoch: Of the task's last stream; 0 if there was none.
            patient: Whether the service is to be asked less often than the time before.
        """
        self._since_s = time.monotonic()
        self._epoch = epoch
        self._ask_every_s = self._longer() if patient else self._ask_every_s_first
        broker = await self._stack.enter_async_context(self._make_broker())
        broker.read(positions, end)
        self._broker = broker
        self._getting = asyncio.create_task(broker.next())
        self._asking = asyncio.create_task(self._until_it_answers())

    async def next(self) -> Batch | None:
        """The next batch of the broker; None once the service answers.

        Raises:
            DataLoss: The broker lacks the range as well.
            Superseded: The subscription belongs to somebody else by now, or to nobody.
        """
        assert self._broker is not None
        assert self._getting is not None
        assert self._asking is not None
        await asyncio.wait({self._getting, self._asking}, return_when=asyncio.FIRST_COMPLETED)
        # First, for the broker may have the next batch ready each time.
        if self._asking.done():
            self._asking.result()
            return None
        batch = self._getting.result()
        self._getting = asyncio.create_task(self._broker.next())
        return batch

    def stay(self) -> None:
        """Goes on outside, although the service has answered."""
        self._ask_every_s = self._longer()
        self._asking = asyncio.create_task(self._until_it_answers())

    async def end(self) -> None:
        """Reads no more; a batch that was not given yet is lost. Idempotent."""
        for task in (self._getting, self._asking):
            if task is not None:
                task.cancel()
                await asyncio.wait({task})
                if not task.cancelled():
                    task.exception()
        self._getting = self._asking = self._broker = None
        await self._stack.aclose()
        self._before_s, self._since_s = self.seconds, None

    async def _until_it_answers(self) -> None:
        told_s = time.monotonic()
        taken = False
        while True:
            await asyncio.sleep(self._ask_every_s)
            if time.monotonic() > told_s + _TELL_EVERY_S:
                told_s = time.monotonic()
                _log.warning(
                    "task %s: still reads the broker itself, %.0f s in all",
                    self._task,
                    self.seconds,
                )
            try:
                found = await self._client.get_subscription(self._subscription)
            except Unavailable:
                continue
            except NotFound as error:
                raise SubscriptionDeleted(
                    f"subscription {self._subscription!r} is no more"
                ) from error
            self.found = found
            if not (self._epoch and found.connected and found.epoch > self._epoch):
                return
            # An attempt of the task's own that got no answer may hold the place for a moment.
            if taken:
                raise SubscriptionTakenOver(
                    f"a newer subscriber has taken subscription {self._subscription!r}"
                )
            taken = True

    def _longer(self) -> float:
        return min(2 * self._ask_every_s, _ASK_EVERY_S_MAX)
