"""A running reader between a source in memory and a service in memory, with real gRPC between."""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from cachesvc.mining.reader import MakeSources, ReaderSettings, run_reader
from tests.unit.mining.fake_service import FakeService, serving
from tests.unit.mining.fake_source import FakeSource

Scenario = Callable[[FakeService, FakeSource, "asyncio.Task[None]"], Awaitable[None]]


# Small batches and large ones take different ways.
of_both_sizes = pytest.mark.parametrize("large", [False, True], ids=["small", "large"])


def values(begin: int, end: int) -> list[bytes]:
    return [b'{"id":%d}' % number for number in range(begin, end)]


def texts(begin: int, end: int) -> list[str]:
    return [value.decode() for value in values(begin, end)]


def play(
    tmp_path: Path,
    scenario: Scenario,
    *,
    service: Callable[[], FakeService] = FakeService,
    large: bool = False,
    expected: bool = False,
    **settings: Any,
) -> None:
    """Runs a scenario against a running reader, and ends the reader if the scenario did not.

    The reader must not end with an error, unless the scenario has seen to it and says `expected`.
    """

    async def stage() -> None:
        fake, source = service(), FakeSource(large=large)
        source.older = FakeSource(large=large)
        async with serving(fake, tmp_path) as address:
            reader = asyncio.ensure_future(
                run_reader(
                    ReaderSettings(
                        service=address,
                        name="reader-1",
                        connection="default",
                        **{"report_interval_s": 0.02, "flush_timeout_s": 0.3, **settings},
                    ),
                    MakeSources(
                        lambda connection: source.begin_again(),
                        lambda connection: (source.older or source).begin_again(),
                    ),
                )
            )
            try:
                await scenario(fake, source, reader)
                if reader.done():
                    assert reader.exception() is None or expected
                else:
                    os.kill(os.getpid(), signal.SIGTERM)
                    async with asyncio.timeout(30):
                        await reader
            finally:
                reader.cancel()
                await asyncio.gather(reader, return_exceptions=True)

    asyncio.run(stage())
