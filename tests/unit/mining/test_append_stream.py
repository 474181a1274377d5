"""What becomes of an append whose sender gives up."""

import asyncio
import gc
from typing import Any

import grpc
import pytest

from cachesvc.mining.append_stream import AppendStream, ServiceLost
from cachesvc.mining.encode import EncodedAppend
from cachesvc.mining.holdings import HeldPartition
from cachesvc.mining.source import SourcePartition
from tests.unit.mining.fake_service import until


class Call:
    """Takes a message when it is told to, or has ended by then."""

    def __init__(self) -> None:
        self.goes_on = asyncio.Event()
        self.ended = False
        self.taken: list[Any] = []

    async def write(self, message: Any) -> None:
        await self.goes_on.wait()
        if self.ended:
            raise asyncio.InvalidStateError("RPC already finished.")
        self.taken.append(message)

    async def code(self) -> grpc.StatusCode:
        return grpc.StatusCode.CANCELLED

    async def details(self) -> str:
        return "gone"

    async def trailing_metadata(self) -> tuple[()]:
        return ()


def play(scenario: Any) -> list[str]:
    """What the event loop has to say of a scenario with a call and an append that waits for it."""
    said: list[str] = []

    async def run() -> None:
        asyncio.get_running_loop().set_exception_handler(
            lambda _, what: said.append(what["message"])
        )
        call = Call()
        stream = AppendStream(call, backfill=False)
        held = HeldPartition(SourcePartition("orders", 0), 1, 1, 0)
        appending = asyncio.ensure_future(stream.append("main", held, EncodedAppend(0, 5)))
        await asyncio.sleep(0)
        await scenario(call, appending)
        for _ in range(5):
            await asyncio.sleep(0)
        gc.collect()

    asyncio.run(run())
    return said


def test_an_append_goes_on_though_its_sender_gives_up() -> None:
    async def scenario(call: Call, appending: "asyncio.Task[None]") -> None:
        appending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await appending
        call.goes_on.set()
        await until(lambda: bool(call.taken))
        assert call.taken[0].end_offset == 5

    assert play(scenario) == []


def test_what_becomes_of_it_then_concerns_nobody() -> None:
    async def scenario(call: Call, appending: "asyncio.Task[None]") -> None:
        appending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await appending
        call.ended = True
        call.goes_on.set()

    assert play(scenario) == []


def test_whoever_waits_is_told_of_the_end_of_the_call() -> None:
    async def scenario(call: Call, appending: "asyncio.Task[None]") -> None:
        call.ended = True
        call.goes_on.set()
        with pytest.raises(ServiceLost, match="CANCELLED: gone"):
            await appending

    assert play(scenario) == []
