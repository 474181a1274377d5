"""How long a stream goes on trying."""

from __future__ import annotations

import logging
from dataclasses import replace

import pytest

from cachesvc.client import (
    Mode,
    Unavailable,
)
from tests.client.fake_log import Key, Logs
from tests.client.fake_server import BEFORE_STARTED, FakeLogCache, Fault
from tests.client.running import QUICK, connected, in_event_loop

KEY: Key = ("orders", 0)
OFFSETS = list(range(0, 60, 2))


@in_event_loop
async def test_a_stream_gives_up_in_the_end(caplog: pytest.LogCaptureFixture) -> None:
    cache = FakeLogCache(Logs({KEY: OFFSETS}))
    cache.faults.extend([Fault(1), *[Fault(BEFORE_STARTED)] * 1_000])
    settings = replace(QUICK, give_up_after_s=0.5)
    async with (
        connected(cache) as client,
        client.subscribe("billing", topics="orders", mode=Mode.FULL, settings=settings) as stream,
    ):
        assert (await anext(aiter(stream))).base_offset == 0
        with pytest.raises(Unavailable):
            await anext(aiter(stream))
    assert 1 < len(cache.requests) < 1_000, "as often as it gets to, and once for sure"
    warnings = [each for each in caplog.records if each.levelno == logging.WARNING]
    assert len(warnings) == 1
    assert "no connection for subscription billing (UNAVAILABLE" in warnings[0].getMessage()


@in_event_loop
async def test_a_stream_that_starts_and_fails_for_ever_gives_up_too() -> None:
    cache = FakeLogCache(Logs({KEY: OFFSETS}))
    cache.faults.extend([Fault(0)] * 1_000)
    settings = replace(QUICK, give_up_after_s=0.2)
    async with (
        connected(cache) as client,
        client.subscribe("billing", topics="orders", mode=Mode.FULL, settings=settings) as stream,
    ):
        with pytest.raises(Unavailable):
            await anext(aiter(stream))


@in_event_loop
async def test_every_loss_has_its_own_time_to_give_up() -> None:
    offsets = list(range(120))
    cache = FakeLogCache(Logs({KEY: offsets}))
    cache.faults.extend([Fault(1)] * 39)
    settings = replace(QUICK, reconnect_delay_max_s=1.0, give_up_after_s=60.0)
    async with (
        connected(cache) as client,
        client.subscribe("billing", topics="orders", mode=Mode.FULL, settings=settings) as stream,
    ):
        assert [record.offset async for record in stream.records()] == offsets
    assert len(cache.requests) == 40


@in_event_loop
async def test_silence_is_a_lost_connection() -> None:
    cache = FakeLogCache(Logs({KEY: OFFSETS}))
    cache.faults.extend([Fault(2, None), Fault(BEFORE_STARTED, None)])
    settings = replace(QUICK, silence_max_s=0.5)
    async with (
        connected(cache) as client,
        client.subscribe("billing", topics="orders", mode=Mode.FULL, settings=settings) as stream,
    ):
        assert [record.offset async for record in stream.records()] == OFFSETS
    assert len(cache.requests) >= 3
