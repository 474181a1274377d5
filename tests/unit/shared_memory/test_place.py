"""Shared memory as a whole: who ends, what is given back then, and when."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from cachesvc.serving.subscribing import _taken
from cachesvc.shared_memory import place
from cachesvc.shared_memory.door import socket_name
from cachesvc.shared_memory.filling import Filled, Payload
from cachesvc.shared_memory.neighbours import Neighbour
from cachesvc.shared_memory.place import SharedMemory
from tests.client.running import eventually, in_event_loop
from tests.support.frames import full_frame
from tests.unit.shared_memory.ends import MIB, End, about, turns

PORT = 200_000 + os.getpid()
TOKEN = bytes(range(16))


async def at_once(work: Callable[[], Any], /) -> Any:
    return work()


@asynccontextmanager
async def memory_that_runs(
    *, retires: bool = False
) -> AsyncIterator[tuple[SharedMemory, Neighbour, End, asyncio.Task[None]]]:
    """Shared memory with one stream, and the task that gives it back."""
    memory = SharedMemory(4 * MIB, at_once, retires=retires)
    memory.open(PORT)
    running = asyncio.ensure_future(memory.run())
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
        connection.connect(socket_name(PORT))
        connection.setblocking(False)
        connection.send(TOKEN)
        neighbour = memory.claim(TOKEN)
        assert neighbour is not None
        try:
            yield memory, neighbour, End(connection), running
        finally:
            running.cancel()
            await asyncio.wait((running,))


async def handed_over(
    memory: SharedMemory, neighbour: Neighbour, number: int = 0, owner: str = "orders"
) -> Filled:
    payloads = [Payload(full_frame(number, number + 5).payload, is_file=False)]
    filled = await memory.lending.fill(owner, number, payloads, keep=True)
    assert filled is not None
    assert memory.lending.hand_over(neighbour, filled) is filled
    return filled


@in_event_loop
async def test_what_nobody_uses_for_a_while_is_given_back_and_its_readers_are_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(place, "_IDLE_S_MAX", 0.01)
    async with memory_that_runs() as (memory, neighbour, end, _):
        kept, given_back = [await handed_over(memory, neighbour, number) for number in range(2)]
        end.maps()
        end.maps()
        end.says(b"d", given_back.block.number)
        await eventually(lambda: memory.lending.bytes == MIB)
        await turns()
        assert kept.block.holders == 1
        heard = asyncio.get_running_loop().run_in_executor(None, _next_packet, end)
        assert await heard == about(b"f", given_back.block.number)
        end.says(b"d", kept.block.number)
        await eventually(lambda: memory.lending.bytes == 0)


def _next_packet(end: End) -> bytes:
    end.connection.settimeout(30)
    return end.connection.recv(64)


@in_event_loop
async def test_readers_are_told_at_once_what_made_room_for_others() -> None:
    async with memory_that_runs() as (memory, neighbour, end, _):
        for number in range(20):
            filled = await handed_over(memory, neighbour, number, owner=str(number))
            if number >= 4:
                assert end.hears() == (about(b"f", number - 3), [])
            assert end.maps()[0] == filled.block.number == number + 1
            end.says(b"d", filled.block.number)
            await turns()
        assert memory.lending.bytes == 4 * MIB


@in_event_loop
async def test_everything_is_given_back_at_the_end() -> None:
    async with memory_that_runs() as (memory, neighbour, end, running):
        await handed_over(memory, neighbour)
        end.maps()
        running.cancel()
        await asyncio.wait((running,))
        assert memory.lending.bytes == 0
        assert neighbour.closed
        assert end.is_hung_up_on()
        assert memory.claim(TOKEN) is None
        memory.end(neighbour)


@pytest.mark.parametrize("retires", [False, True])
@pytest.mark.parametrize("client_closes_first", [False, True])
@in_event_loop
async def test_what_a_stream_has_seen_is_used_again_only_where_nobody_may_be_refused(
    retires: bool, client_closes_first: bool
) -> None:
    async with memory_that_runs(retires=retires) as (memory, neighbour, end, _):
        filled = await handed_over(memory, neighbour)
        _, seen = end.maps()
        end.says(b"d", filled.block.number)
        await turns()
        if client_closes_first:
            end.connection.close()
            await eventually(lambda: neighbour.closed)
        assert memory.lending.bytes == MIB
        memory.end(neighbour)
        memory.end(neighbour)
        assert memory.lending.bytes == (0 if retires else MIB)
        seen.close()


@in_event_loop
async def test_a_write_is_over_when_the_client_has_taken_most_of_what_it_told() -> None:
    sent: list[bytes] = []

    async def write(data: bytes) -> None:
        sent.append(data)

    async with memory_that_runs() as (memory, neighbour, end, _):
        written = _taken(write, neighbour)
        first = await handed_over(memory, neighbour)
        await written(b"little")
        assert memory._blocks.hold(first.block, first.block.content)
        neighbour.lend(first.block, 16 * MIB)
        writing = asyncio.ensure_future(written(b"much"))
        await turns()
        assert sent == [b"little", b"much"]
        assert not writing.done()
        end.says(b"t", first.block.number)
        await writing
