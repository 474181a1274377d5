"""The service's shared memory and the client's, over the real socket."""

from __future__ import annotations

import asyncio
import random
import socket

import pyarrow as pa
from pyarrow import ipc

from cachesvc.client import shared_memory as client
from cachesvc.shared_memory.filling import Payload
from cachesvc.shared_memory.place import SharedMemory
from tests.client.running import eventually, in_event_loop
from tests.support.frames import full_frame
from tests.unit.shared_memory.ends import MIB

BATCHES = 400
FRAMES = [full_frame(begin, begin + 10) for begin in range(0, 90, 10)]
PAYLOADS = [Payload(each.payload, is_file=False) for each in FRAMES]


@in_event_loop
async def test_what_clients_keep_stays_as_it_was_while_all_else_is_filled_again() -> None:
    """Three clients keep tables for a while, at random, in memory that is too little for all."""
    chance = random.Random(7)
    memory = SharedMemory(8 * MIB, asyncio.to_thread, retires=False)
    kept: list[tuple[int, pa.Table]] = []
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
        memory.open(port)
        running = asyncio.ensure_future(memory.run())
        ends = [client.SharedMemory.reach(f"127.0.0.1:{port}") for _ in range(3)]
        streams = []
        for end in ends:
            assert end is not None
            neighbour = memory.claim(end.token)
            assert neighbour is not None
            streams.append((end, neighbour))
        taken = 0
        for _ in range(BATCHES):
            number = chance.randrange(len(PAYLOADS))
            end, neighbour = chance.choice(streams)
            payloads, keep = [PAYLOADS[number]], chance.random() < 0.5
            filled = await memory.lending.fill(number % 3, number, payloads, keep=keep)
            if filled is not None and memory.lending.hand_over(neighbour, filled) is not None:
                buffer = await end.take(filled.block.number, filled.length)
                kept.append((number, ipc.open_stream(buffer).read_all()))
                del buffer
                taken += 1
            while kept and chance.random() < 0.5:
                kept.pop(chance.randrange(len(kept)))
            await asyncio.sleep(0)
            for number, table in kept:
                offsets = table.column("offset").to_pylist()
                assert offsets == list(range(10 * number, 10 * number + 10))
        assert taken > BATCHES // 4
        kept.clear()
        table = None
        await eventually(lambda: all(neighbour.loans == 0 for _, neighbour in streams))
        for end, _ in streams:
            end.close()
        await eventually(lambda: all(neighbour.closed for _, neighbour in streams))
        running.cancel()
        await asyncio.wait((running,))
        assert memory.lending.bytes == 0
