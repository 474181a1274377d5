"""Callers who mean no good, from another address: `python -m tests.support.hostile KIND HOST:PORT`.

Frames are made by hand, so that nothing of a client holds them back, and the process gives way to
all others, so that what is measured is the service and not the machine. It goes on until its
standard input ends, and prints what it did so far now and then, and at its end, as lines of JSON.
"""

from __future__ import annotations

import asyncio
import json
import os
import struct
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

SOURCE = "127.0.0.2"
_ROOT = Path(__file__).parents[2]
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _SETTINGS, _PING, _WINDOW, _CONTINUATION = 0, 1, 4, 6, 8, 9
_END_STREAM, _ACK, _END_HEADERS = 1, 1, 4
_FRAME_BYTES = 16_384
_AT_ONCE = 50
_PAUSE_S = 0.5
"""Before a connection that was lost is made again."""
_TELLS_S = 0.5
_ENOUGH_S_MAX = 180
_METHOD = "/cachesvc.v1.LogCache/GetSubscription"


@dataclass(slots=True)
class Flow:
    """What one connection was told by its peer."""

    connection: int = 65_535
    initial: int = 65_535
    streams: dict[int, int] = field(default_factory=dict)
    changed: asyncio.Event = field(default_factory=asyncio.Event)


class Connection:
    """HTTP/2 as far as it takes to be a nuisance."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, did: Counter[str]
    ) -> None:
        self._reader = reader
        self.writer = writer
        self.flow = Flow()
        self._did = did
        self._streams = 1

    async def begin(self) -> asyncio.Task[None]:
        """Says hello; the task that answers pings ends with the connection."""
        self.writer.write(_PREFACE + _frame(_SETTINGS, 0, 0, b""))
        await self.writer.drain()
        return asyncio.ensure_future(self._listen())

    def next_stream(self) -> int:
        """A stream's number."""
        number, self._streams = self._streams, self._streams + 2
        return number

    async def _listen(self) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await self._reader.readexactly(9)
                length, kind, flags = int.from_bytes(head[:3]), head[3], head[4]
                stream = int.from_bytes(head[5:]) & 0x7FFFFFFF
                self._took(kind, flags, stream, await self._reader.readexactly(length))
        self._did["connections closed by the service"] += 1
        self.flow.changed.set()
        self.writer.close()

    def _took(self, kind: int, flags: int, stream: int, body: bytes) -> None:
        if kind == _PING and not flags & _ACK:
            self.writer.write(_frame(_PING, _ACK, 0, body))
        elif kind == _SETTINGS and not flags & _ACK:
            for at in range(0, len(body), 6):
                number, value = struct.unpack_from(">HI", body, at)
                if number == 4:
                    self.flow.initial = value
            self.writer.write(_frame(_SETTINGS, _ACK, 0, b""))
        elif kind == _WINDOW:
            more = int.from_bytes(body) & 0x7FFFFFFF
            if stream == 0:
                self.flow.connection += more
            elif stream in self.flow.streams:
                self.flow.streams[stream] += more
            self.flow.changed.set()
        elif kind == _HEADERS and flags & _END_STREAM:
            self._did["calls answered"] += 1


def _frame(kind: int, flags: int, stream: int, body: bytes) -> bytes:
    return len(body).to_bytes(3) + bytes((kind, flags)) + stream.to_bytes(4) + body


def _text(text: bytes) -> bytes:
    assert len(text) < 127
    return bytes((len(text),)) + text


def _headers(method: str = _METHOD) -> bytes:
    """HPACK of a call: names and values as they are, none of them remembered."""
    fields = {
        b":method": b"POST",
        b":scheme": b"http",
        b":path": method.encode(),
        b":authority": b"service",
        b"te": b"trailers",
        b"content-type": b"application/grpc",
    }
    return b"".join(b"\x00" + _text(name) + _text(value) for name, value in fields.items())


async def half_open(connection: Connection) -> None:
    """Says nothing at all."""
    await connection.flow.changed.wait()


async def idle(connection: Connection) -> None:
    """Says hello and then nothing, though it answers pings."""
    await connection.begin()
    await connection.flow.changed.wait()


async def flood(connection: Connection, method: str = _METHOD) -> None:
    """Begins tiny calls as fast as the network takes them."""
    listening = await connection.begin()
    headers, request = _headers(method), b"\x00\x00\x00\x00\x03\x0a\x01x"
    while not listening.done():
        frames = []
        for _ in range(_AT_ONCE):
            stream = connection.next_stream()
            frames.append(_frame(_HEADERS, _END_HEADERS, stream, headers))
            frames.append(_frame(_DATA, _END_STREAM, stream, request))
        connection.writer.write(b"".join(frames))
        await connection.writer.drain()
        connection._did["calls"] += _AT_ONCE
        await asyncio.sleep(0)


async def nowhere(connection: Connection) -> None:
    """Begins calls of a method that nobody has."""
    await flood(connection, "/tests.Nobody/Nothing")


async def large(connection: Connection) -> None:
    """Sends requests of the largest size, four at a time."""
    await connection.begin()
    async with asyncio.TaskGroup() as tasks:
        for _ in range(4):
            tasks.create_task(_send_large(connection))


async def _send_large(connection: Connection) -> None:
    size = int(os.environ.get("REQUEST_BYTES", str(1 << 20))) - 16
    varint = bytes((size >> shift & 127 | 128) for shift in (0, 7, 14)) + bytes((size >> 21,))
    message = b"\x0a" + varint + b"x" * size
    whole = b"\x00" + len(message).to_bytes(4) + message
    flow = connection.flow
    while not connection.writer.is_closing():
        stream = connection.next_stream()
        flow.streams[stream] = flow.initial
        connection.writer.write(_frame(_HEADERS, _END_HEADERS, stream, _headers()))
        at = 0
        while at < len(whole):
            room = min(_FRAME_BYTES, flow.connection, flow.streams[stream], len(whole) - at)
            if room <= 0:
                flow.changed.clear()
                await flow.changed.wait()
                if connection.writer.is_closing():
                    return
                continue
            last = at + room == len(whole)
            piece = whole[at : at + room]
            connection.writer.write(_frame(_DATA, _END_STREAM if last else 0, stream, piece))
            flow.connection -= room
            flow.streams[stream] -= room
            at += room
            await connection.writer.drain()
        del flow.streams[stream]
        connection._did["large requests"] += 1


async def endless_headers(connection: Connection) -> None:
    """Begins a call whose headers never end."""
    listening = await connection.begin()
    stream = connection.next_stream()
    connection.writer.write(_frame(_HEADERS, 0, stream, _headers()))
    more = (b"\x00" + _text(b"x-more") + _text(b"y" * 120)) * 100
    while not listening.done():
        connection.writer.write(_frame(_CONTINUATION, 0, stream, more))
        await connection.writer.drain()
        connection._did["pieces of headers"] += 1
        await asyncio.sleep(0)


KINDS: dict[str, tuple[Callable[[Connection], Awaitable[None]], int]] = {
    "half-open": (half_open, 300),
    "idle": (idle, 3_000),
    "flood": (flood, 4),
    "nowhere": (nowhere, 4),
    "large": (large, 4),
    "endless-headers": (endless_headers, 4),
}
"""What each does with a connection, and how many it has."""


async def _again_and_again(
    act: Callable[[Connection], Awaitable[None]], host: str, port: int, did: Counter[str]
) -> None:
    while True:
        with suppress(OSError):
            reader, writer = await asyncio.open_connection(host, port, local_addr=(SOURCE, 0))
            did["connections"] += 1
            connection = Connection(reader, writer, did)
            closing = asyncio.ensure_future(act(connection))
            gone = asyncio.ensure_future(_gone(reader)) if act is half_open else closing
            try:
                await asyncio.wait({closing, gone}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in (closing, gone):
                    task.cancel()
                await asyncio.gather(closing, gone, return_exceptions=True)
                writer.close()
        await asyncio.sleep(_PAUSE_S)


async def _gone(reader: asyncio.StreamReader) -> None:
    """Whoever says nothing still learns that it was thrown out."""
    with suppress(OSError):
        while await reader.read(65_536):
            pass


async def _until_told(kind: str, address: str) -> Counter[str]:
    did: Counter[str] = Counter()
    act, count = KINDS[kind]
    host, _, port = address.rpartition(":")
    loop = asyncio.get_running_loop()
    told = asyncio.Event()
    loop.add_reader(sys.stdin, told.set)
    acting = [
        asyncio.ensure_future(_again_and_again(act, host, int(port), did)) for _ in range(count)
    ]
    while not told.is_set():
        with suppress(TimeoutError):
            await asyncio.wait_for(told.wait(), _TELLS_S)
        print(json.dumps(did), flush=True)
    for task in acting:
        task.cancel()
    await asyncio.gather(*acting, return_exceptions=True)
    return did


@contextmanager
def hostile(
    kind: str, address: str, enough: Mapping[str, int] | None = None
) -> Iterator[Counter[str]]:
    """Has a process of that kind call a service within; what it did is counted behind that.

    Args:
        kind: One of ``KINDS``.
        address: Of the service.
        enough: What it has to have done before the block begins.

    Raises:
        AssertionError: It had not done that much for minutes.
    """
    command = [sys.executable, "-m", "tests.support.hostile", kind, address]
    did: Counter[str] = Counter()
    with subprocess.Popen(
        command, cwd=_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            until_s = time.monotonic() + _ENOUGH_S_MAX
            so_far: dict[str, int] = {}
            for line in process.stdout if enough else ():
                so_far = json.loads(line)
                if all(so_far.get(what, 0) >= count for what, count in (enough or {}).items()):
                    break
                assert time.monotonic() < until_s, f"{so_far}, and not {enough}"
            yield did
            out, _ = process.communicate(timeout=120)
            *_, last = out.splitlines()
            did.update(json.loads(last))
        finally:
            process.kill()


if __name__ == "__main__":
    os.nice(19)
    print(json.dumps(asyncio.run(_until_told(*sys.argv[1:]))))
