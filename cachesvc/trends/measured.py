"""What is measured."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from typing import TypeVar

from cachesvc.assignment.assignments import Assignments
from cachesvc.clusters.sources import Sources
from cachesvc.log.log_store import LogStore
from cachesvc.subscriptions.subscriptions import Subscriptions
from cachesvc.watching.deliveries import Deliveries
from cachesvc.watching.mining_watch import MiningWatch

T = TypeVar("T")
_TURN = 200
"""So many things are looked at before others have their turn."""


@dataclass(frozen=True, slots=True)
class Measured:
    """Whatever can be summed up. Belongs to the service's event loop.

    Attributes:
        store: The logs.
        sources: The connections.
        assignments: What is to be mined.
        subscriptions: Who has read how far.
        watch: What is mined.
        deliveries: What is sent.
    """

    store: LogStore
    sources: Sources
    assignments: Assignments
    subscriptions: Subscriptions
    watch: MiningWatch
    deliveries: Deliveries


async def in_turns(things: Iterable[T]) -> AsyncIterator[T]:
    """Each of them; others have their turn in between."""
    for number, each in enumerate(list(things), 1):
        if number % _TURN == 0:
            await asyncio.sleep(0)
        yield each
