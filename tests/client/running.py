"""Asynchronous tests, each in an event loop of its own and within a bounded time."""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, ParamSpec

import pytest

from cachesvc.client import Client, StreamSettings
from tests.client.fake_server import FakeLogCache, serving

P = ParamSpec("P")

_TIMEOUT_S = 120.0
_PATIENCE_S = 60.0

QUICK = StreamSettings(
    reconnect_delay_first_s=0.005,
    reconnect_delay_max_s=0.05,
    give_up_after_s=20.0,
    commit_timeout_s=20.0,
)
"""Settings for tests that lose connections on purpose."""


def in_event_loop(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Make an ordinary test of an asynchronous one."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        asyncio.run(asyncio.wait_for(test(*args, **kwargs), _TIMEOUT_S))

    return run


async def eventually(condition: Callable[[], bool]) -> None:
    """Wait until a condition holds; fail if it never does."""
    deadline_s = time.monotonic() + _PATIENCE_S
    while not condition():
        if time.monotonic() > deadline_s:
            pytest.fail("what was waited for did not happen")
        await asyncio.sleep(0.01)


@asynccontextmanager
async def connected(cache: FakeLogCache) -> AsyncIterator[Client]:
    """Run the service, and give a client of it."""
    async with serving(cache) as target, Client(target) as client:
        yield client
