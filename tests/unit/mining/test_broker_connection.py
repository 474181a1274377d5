"""A connection to a broker that takes its time, against a server that a test writes."""

import asyncio
import struct
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from aiokafka.protocol.admin import ApiVersionRequest_v0

from cachesvc.mining.kafka.broker_connection import BrokerConnection
from cachesvc.mining.kafka.security import PLAINTEXT, open_broker
from cachesvc.mining.kafka.topic_metadata import TopicMetadataRequest
from tests.support import virtual_time

Answer = Callable[[asyncio.StreamWriter, bytes], Awaitable[None]]
VERSIONS = struct.pack(">hi", 0, 2) + struct.pack(">hhh", 3, 7, 7) + struct.pack(">hhh", 18, 0, 0)
# No brokers, no cluster id, no controller, no topics.
METADATA = struct.pack(">i", 0) + struct.pack(">hii", -1, -1, 0)


def metadata(throttle_ms: int = 0) -> bytes:
    return struct.pack(">i", throttle_ms) + METADATA


def play(
    directory: Path, answer: Answer, scenario: Callable[[BrokerConnection], Awaitable[None]]
) -> list[float]:
    """When requests for metadata came, in seconds since the first."""
    came_s: list[float] = []
    served = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                (size,) = struct.unpack(">i", await reader.readexactly(4))
                request = await reader.readexactly(size)
                correlation = request[4:8]
                if struct.unpack_from(">h", request)[0] == ApiVersionRequest_v0.API_KEY:
                    body = correlation + VERSIONS
                    writer.write(struct.pack(">i", len(body)) + body)
                else:
                    came_s.append(time.monotonic())
                    await answer(writer, correlation)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()
            served.set()

    async def stage() -> None:
        loop = asyncio.get_running_loop()
        path = str(directory / "broker.sock")
        server = await asyncio.start_unix_server(serve, path)

        async def connect(protocol: Any, *_: object, **__: object) -> Any:
            return await loop.create_unix_connection(protocol, path)

        # What is sent through a Unix socket is there at once.
        with mock.patch.object(loop, "create_connection", connect):
            connection = await open_broker("broker", 9092, PLAINTEXT)
        try:
            await scenario(connection)
        finally:
            connection.close()
            await served.wait()
            server.close()

    virtual_time.run(stage())
    return [each - came_s[0] for each in came_s]


def framed(correlation: bytes, body: bytes) -> bytes:
    return struct.pack(">i", 4 + len(body)) + correlation + body


ASK = TopicMetadataRequest(())


def test_an_answer_may_take_long_as_long_as_it_comes(tmp_path: Path) -> None:
    async def answer(writer: asyncio.StreamWriter, correlation: bytes) -> None:
        data = framed(correlation, metadata())
        for position in range(0, len(data), 4):
            await asyncio.sleep(0.15)
            writer.write(data[position : position + 4])

    async def scenario(connection: BrokerConnection) -> None:
        began_s = time.monotonic()
        found = await connection.ask(ASK, 0.6)
        assert time.monotonic() - began_s > 0.8
        assert found.topics == []
        assert connection.muted_s == 0

    monkey = pytest.MonkeyPatch()
    with monkey.context() as patch:
        patch.setattr("cachesvc.mining.kafka.broker_connection._SLOWEST_BYTES_PER_S", 20)
        play(tmp_path, answer, scenario)


def test_silence_ends_it(tmp_path: Path) -> None:
    async def answer(writer: asyncio.StreamWriter, correlation: bytes) -> None:
        writer.write(framed(correlation, metadata())[:10])

    async def scenario(connection: BrokerConnection) -> None:
        began_s = time.monotonic()
        with pytest.raises(TimeoutError, match=r"said nothing for 0\.3 s"):
            await connection.ask(ASK, 0.3)
        assert 0.25 < time.monotonic() - began_s < 20

    play(tmp_path, answer, scenario)


def test_a_trickle_is_no_answer(tmp_path: Path) -> None:
    async def answer(writer: asyncio.StreamWriter, correlation: bytes) -> None:
        for byte in framed(correlation, metadata()):
            writer.write(bytes([byte]))
            await asyncio.sleep(0.1)

    async def scenario(connection: BrokerConnection) -> None:
        with pytest.raises(TimeoutError):
            await connection.ask(ASK, 0.3)

    play(tmp_path, answer, scenario)


def test_a_broker_that_throttles_is_asked_again_when_it_wants_to_be(tmp_path: Path) -> None:
    async def answer(writer: asyncio.StreamWriter, correlation: bytes) -> None:
        writer.write(framed(correlation, metadata(900)))

    async def scenario(connection: BrokerConnection) -> None:
        await connection.ask(ASK, 0.7)
        assert 0.2 < connection.muted_s <= 0.9
        # The time for which it wants to be left alone is none of the answer's.
        await connection.ask(ASK, 0.7)

    first, second = play(tmp_path, answer, scenario)
    assert second - first > 0.8


def test_a_connection_that_ends_ends_the_wait(tmp_path: Path) -> None:
    async def answer(writer: asyncio.StreamWriter, correlation: bytes) -> None:
        writer.close()

    async def scenario(connection: BrokerConnection) -> None:
        began_s = time.monotonic()
        with pytest.raises(Exception, match="closed"):
            await connection.ask(ASK, 30.0)
        assert time.monotonic() - began_s < 20

    play(tmp_path, answer, scenario)
