"""What probes are told."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum
from typing import TypeVar

T = TypeVar("T")


class Phase(Enum):
    """Where a service is between its start and its end."""

    RECOVERING = "the store is being opened"
    SERVING = "serving"
    STOPPING = "the service is about to end"


@dataclass(frozen=True, slots=True)
class Answer:
    """Of a probe: whether all is well, and the reason for each thing that is not."""

    well: bool
    reasons: tuple[str, ...] = ()


class Health:
    """The state of a service, for whoever asks from another thread.

    Args:
        patience_s: How long the service's event loop may take to answer.
    """

    def __init__(self, patience_s: float = 5.0) -> None:
        self._patience_s = patience_s
        self._loop: asyncio.AbstractEventLoop | None = None
        self._troubles: Callable[[], list[str]] = list
        self.phase = Phase.RECOVERING

    def serve(self, troubles: Callable[[], list[str]]) -> None:
        """The service serves from now on, on the running event loop.

        Args:
            troubles: What keeps it from its work; called on that loop.
        """
        self._loop = asyncio.get_running_loop()
        self._troubles = troubles
        self.phase = Phase.SERVING

    def stop(self) -> None:
        """The service is about to end."""
        self.phase = Phase.STOPPING

    async def ask(self, work: Callable[[], Awaitable[T]]) -> T | None:
        """What the service's event loop answers; None while it does not run, or is too slow."""
        loop = self._loop
        if loop is None or loop.is_closed():
            return None

        async def carry_out() -> T:
            return await work()

        try:
            asked = asyncio.run_coroutine_threadsafe(carry_out(), loop)
            async with asyncio.timeout(self._patience_s):
                return await asyncio.wrap_future(asked)
        except (TimeoutError, RuntimeError):
            return None

    async def alive(self) -> Answer:
        """Whether the process should go on; a service that starts or ends is alive."""
        if self.phase is not Phase.SERVING:
            return Answer(well=True)
        if await self.ask(_nothing) is None:
            return Answer(False, (f"the event loop does not answer within {self._patience_s:g} s",))
        return Answer(well=True)

    async def ready(self) -> Answer:
        """Whether tasks can be served, commits and mining included."""
        if self.phase is not Phase.SERVING:
            return Answer(False, (self.phase.value,))

        async def troubles() -> list[str]:
            return self._troubles()

        found = await self.ask(troubles)
        if found is None:
            return Answer(False, (f"the event loop does not answer within {self._patience_s:g} s",))
        return Answer(not found, tuple(found))


async def _nothing() -> bool:
    return True
