from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from cachesvc.stop_signals import StopSignals
from tests.unit.log.running import until

BOTH = (signal.SIGTERM, signal.SIGINT)


@pytest.fixture(autouse=True)
def _handlers_put_back() -> Iterator[None]:
    before = [(number, signal.getsignal(number)) for number in BOTH]
    yield
    for number, handler in before:
        signal.signal(number, handler)


@pytest.mark.parametrize("number", BOTH)
def test_a_signal_before_anybody_listens_is_told_to_who_listens_later(
    number: signal.Signals,
) -> None:
    signals = StopSignals()
    told: list[str] = []
    signals.take()
    signals.take()
    signal.raise_signal(number)
    assert signals.asked

    async def body() -> None:
        with signals.telling(asyncio.get_running_loop(), lambda: told.append("told")):
            assert told == ["told"]
            signal.raise_signal(number)
            await until(lambda: len(told) == 2)
        signal.raise_signal(number)
        await asyncio.sleep(0)

    asyncio.run(body())
    signal.raise_signal(number)
    assert len(told) == 2, "nobody listens any more, and nothing else happens"


def test_all_is_as_before_behind_the_block() -> None:
    seen: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, frame: seen.append(number))
    signals = StopSignals()
    descriptors = os.listdir("/proc/self/fd")

    async def body() -> None:
        with signals.telling(asyncio.get_running_loop(), lambda: None):
            signal.raise_signal(signal.SIGTERM)
            assert (signals.asked, seen) == (True, [])

    asyncio.run(body())
    signal.raise_signal(signal.SIGTERM)
    assert seen == [signal.SIGTERM]
    assert signal.set_wakeup_fd(-1) == -1
    assert os.listdir("/proc/self/fd") == descriptors


def test_a_loop_that_waits_is_woken_whichever_thread_gets_the_signal() -> None:
    async def body() -> None:
        stopping = asyncio.Event()
        with StopSignals().telling(asyncio.get_running_loop(), stopping.set):
            threading.Timer(0.05, signal.raise_signal, [signal.SIGTERM]).start()
            async with asyncio.timeout(60):
                await stopping.wait()

    asyncio.run(body())


def test_in_the_end_they_change_nothing() -> None:
    signals = StopSignals()
    signals.take()
    signals.ignore()
    for number in BOTH:
        signal.raise_signal(number)
    assert not signals.asked


def test_a_thread_that_may_not_handle_signals_goes_without() -> None:
    before = signal.getsignal(signal.SIGTERM)

    async def body() -> None:
        with StopSignals().telling(asyncio.get_running_loop(), lambda: None):
            pass

    thread = threading.Thread(target=lambda: asyncio.run(body()))
    thread.start()
    thread.join()
    assert signal.getsignal(signal.SIGTERM) is before


def test_nothing_heavy_is_imported_before_the_signals_are_taken() -> None:
    program = "import sys; before = set(sys.modules); import cachesvc.__main__; "
    program += "print(*sorted(set(sys.modules) - before))"
    command = [sys.executable, "-c", program]
    loaded = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert "cachesvc.stop_signals" in loaded
    ours = {name for name in loaded if name.startswith("cachesvc.")}
    assert ours == {"cachesvc.__main__", "cachesvc.starting", "cachesvc.stop_signals"}
    assert not {"asyncio", "typer", "grpc", "pyarrow", "duckdb", "rich", "logging"} & set(loaded)
