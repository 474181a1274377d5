"""Answers to addresses from which many call whom nobody knows."""

from __future__ import annotations

import asyncio
import logging

import pytest

from cachesvc.policy.caller_bounds import HOLD_S_MAX
from cachesvc.serving import strangers
from cachesvc.serving.floods import Floods
from cachesvc.serving.strangers import Strangers, address_of
from cachesvc.watching.calls import Calls

FLOODS = Floods(100, Calls())
PEER, OTHER = "ipv4:10.0.0.7:4711", "ipv4:10.0.0.8:4711"


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What is waited for, instead of waiting."""
    found: list[float] = []

    async def note(seconds: float) -> None:
        found.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", note)
    return found


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        ("ipv4:10.0.0.7:4711", "ipv4:10.0.0.7"),
        ("ipv6:%5B::1%5D:4711", "ipv6:::/64"),
        ("ipv6:[2001:db8:1:2:aaaa::5]:80", "ipv6:2001:db8:1:2::/64"),
        ("ipv6:[2001:db8:1:2:bbbb::6]:81", "ipv6:2001:db8:1:2::/64"),
        ("ipv6:[fe80::1%25eth0]:81", "ipv6:fe80::/64"),
        ("ipv6:[no address]:1", "ipv6:[no address]:1"),
        ("unix:", "unix:"),
        ("", ""),
    ],
)
def test_all_ports_of_a_host_are_one_address(peer: str, address: str) -> None:
    assert address_of(peer) == address


def test_answers_leave_at_a_rate(clock: Clock, waits: list[float]) -> None:
    calls = Calls()
    bounded = Strangers(10, calls, FLOODS, clock)

    async def body() -> None:
        for _ in range(10):  # a second's worth
            await bounded.hold(PEER)
        assert waits == []
        for _ in range(3):
            await bounded.hold("ipv4:10.0.0.7:9")
        assert waits == pytest.approx([0.1, 0.2, 0.3])
        await bounded.hold(OTHER)
        assert len(waits) == 3
        clock.now_s += 2
        for _ in range(10):
            await bounded.hold(PEER)
        assert len(waits) == 3
        for _ in range(1_000):
            await bounded.hold(PEER)
        assert max(waits) == HOLD_S_MAX

    asyncio.run(body())
    assert calls.unknown_callers == {"at_once": 21, "kept_back": 1_003, "too_many": 0}


def test_too_many_are_not_kept_back(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strangers, "HELD_MAX", 5)
    calls = Calls()

    async def body() -> None:
        bounded = Strangers(1, calls, FLOODS, clock)
        holding = [asyncio.ensure_future(bounded.hold(PEER)) for _ in range(20)]
        done, held = await asyncio.wait(holding, timeout=0.1)
        assert (len(done), len(held)) == (15, 5)
        for each in held:
            each.cancel()
        await asyncio.gather(*held, return_exceptions=True)
        again = [asyncio.ensure_future(bounded.hold(PEER)) for _ in range(5)]
        done, held = await asyncio.wait(again, timeout=0.1)
        assert len(held) == 5  # those that went have left room
        for each in held:
            each.cancel()

    asyncio.run(body())
    assert calls.unknown_callers == {"at_once": 1, "kept_back": 10, "too_many": 14}


def test_remembers_a_bounded_number_of_addresses(
    clock: Clock, waits: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(strangers, "ADDRESSES_MAX", 10)
    bounded = Strangers(1, Calls(), FLOODS, clock)

    async def body() -> None:
        for number in range(1_000):
            await bounded.hold(f"ipv4:10.0.{number // 250}.{number % 250}:1")
        assert len(bounded._told) <= 20
        for number in range(50):
            clock.now_s += 2
            await bounded.hold(f"ipv4:10.1.0.{number}:1")
        assert len(bounded._told) <= 10

    asyncio.run(body())


def test_the_log_tells_of_an_address_once_a_minute(
    clock: Clock, waits: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    bounded = Strangers(1, Calls(), FLOODS, clock)

    async def flood() -> None:
        for _ in range(5):
            await bounded.hold(PEER)

    with caplog.at_level(logging.WARNING, strangers.__name__):
        asyncio.run(flood())
        asyncio.run(flood())
        assert [(each.event, each.address) for each in caplog.records] == [  # type: ignore[attr-defined]
            ("unknown_callers", "ipv4:10.0.0.7")
        ]
        clock.now_s += 61
        asyncio.run(flood())
    assert len(caplog.records) == 2
