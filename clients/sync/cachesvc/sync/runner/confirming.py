"""Positions on their way to where they are stored, behind what the sink has confirmed."""

import asyncio
import logging
import time
from random import Random

from cachesvc.client import ClientError, Positions
from cachesvc.client.backoff import Backoff
from cachesvc.sync.config import RetryConfig
from cachesvc.sync.errors import SyncError
from cachesvc.sync.runner.progress import Meter
from cachesvc.sync.runner.source import Session

_log = logging.getLogger("cachesvc.sync")


class Confirming:
    """Stores the newest positions, one call at a time, while the sink writes on.

    What comes while a call is under way goes together into the next.

    Args:
        session: Where they are stored.
        retry: How often to try again.
        meter: Told what is in the way.
    """

    def __init__(self, session: Session, retry: RetryConfig, meter: Meter) -> None:
        self._session = session
        self._meter = meter
        self._backoff = Backoff(
            retry.delay_first_s, retry.delay_max_s, retry.give_up_after_s, Random()
        )
        self._waiting = Positions()
        self._news = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    def confirm(self, positions: Positions) -> None:
        """Everything before these is dealt with; each lies behind what came before."""
        self._waiting = self._waiting.moved(*positions.values())
        self._idle.clear()
        self._news.set()

    async def run(self) -> None:
        """Stores until cancelled.

        Raises:
            ClientError, SyncError: They cannot be stored.
        """
        while True:
            await self._news.wait()
            self._news.clear()
            positions, self._waiting = self._waiting, Positions()
            if positions:
                await self._store(positions)
            if not self._waiting:
                self._idle.set()

    async def settled(self) -> None:
        """Waits until everything that was confirmed is stored; ``run`` has to run."""
        await self._idle.wait()

    async def _store(self, positions: Positions) -> None:
        while True:
            try:
                await self._session.commit(positions)
            except (ClientError, SyncError) as error:
                wait_s = self._backoff.failed(time.monotonic()) if error.retriable else None
                if wait_s is None:
                    raise
                self._meter.failed(error.reason, f"positions cannot be stored: {error}")
                _log.info("positions cannot be stored (%s: %s)", error.reason, error)
                await asyncio.sleep(wait_s)
            else:
                self._backoff.succeeded()
                return
