"""A proxy before all brokers of a cluster that counts what they send.

Kafka's clients connect to the addresses that the brokers tell them, so a proxy that only passes
bytes on would be left out after the first answer. This one puts addresses of its own in their
place, and listens there.
"""

from __future__ import annotations

import asyncio
import struct
from types import TracebackType
from typing import Self

from tests.demo.metadata import API_KEY, Address, addresses, replace_addresses
from tests.support.ports import HOST

_SIZE = struct.Struct(">i")
_REQUEST = struct.Struct(">hhi")  # API key, version, correlation id
_CONNECT_TIMEOUT_S = 5.0


class BrokerProxy:
    """Lets clients reach a cluster by way of 127.0.0.1. Belongs to one event loop.

    Used in ``async with``, which drops all connections at its end.

    Attributes:
        bytes_received: What the brokers have sent.
        bytes_sent: What was sent to them.
    """

    def __init__(self) -> None:
        self.bytes_received = 0
        self.bytes_sent = 0
        self._listeners: dict[Address, asyncio.Server] = {}
        self._ports: dict[Address, int] = {}
        self._connections: set[asyncio.Task[None]] = set()

    async def open(self, broker: Address) -> Address:
        """Where to reach a broker from now on. Idempotent."""
        if broker not in self._ports:

            async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                await self._serve(broker, reader, writer)

            listener = await asyncio.start_server(serve, HOST)
            self._listeners[broker] = listener
            self._ports[broker] = listener.sockets[0].getsockname()[1]
        return HOST, self._ports[broker]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Listens no more and drops all connections."""
        for listener in self._listeners.values():
            listener.close()
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _serve(
        self, broker: Address, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        this = asyncio.current_task()
        assert this is not None
        self._connections.add(this)
        try:
            async with asyncio.timeout(_CONNECT_TIMEOUT_S):
                broker_reader, broker_writer = await asyncio.open_connection(*broker)
            try:
                versions: dict[int, int] = {}
                pumps = (
                    asyncio.ensure_future(self._pass_requests(reader, broker_writer, versions)),
                    asyncio.ensure_future(self._pass_responses(broker_reader, writer, versions)),
                )
                try:
                    await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    for pump in pumps:
                        pump.cancel()
                    await asyncio.gather(*pumps, return_exceptions=True)
            finally:
                broker_writer.close()
        except (OSError, TimeoutError):
            pass  # the client sees that its connection ends, as it would without us
        except asyncio.CancelledError:
            pass  # only `__aexit__` does that, and asyncio would report it as an error
        finally:
            self._connections.discard(this)
            writer.close()

    async def _pass_requests(
        self,
        client: asyncio.StreamReader,
        broker: asyncio.StreamWriter,
        versions: dict[int, int],
    ) -> None:
        """Passes requests on; notes the version of those for metadata by correlation id."""
        while True:
            frame = await _read_frame(client)
            self.bytes_sent += _SIZE.size + len(frame)
            key, version, correlation_id = _REQUEST.unpack_from(frame)
            if key == API_KEY:
                versions[correlation_id] = version
            await _write_frame(broker, frame)

    async def _pass_responses(
        self,
        broker: asyncio.StreamReader,
        client: asyncio.StreamWriter,
        versions: dict[int, int],
    ) -> None:
        while True:
            frame = await _read_frame(broker)
            self.bytes_received += _SIZE.size + len(frame)
            version = versions.pop(_SIZE.unpack_from(frame)[0], None)
            if version is not None:
                frame = await self._lead_here(frame, version)
            await _write_frame(client, frame)

    async def _lead_here(self, response: bytes, version: int) -> bytes:
        for broker in addresses(response, version):
            await self.open(broker)
        return replace_addresses(
            response, version, {broker: (HOST, port) for broker, port in self._ports.items()}
        )


async def _read_frame(stream: asyncio.StreamReader) -> bytes:
    (size,) = _SIZE.unpack(await stream.readexactly(_SIZE.size))
    return await stream.readexactly(size)


async def _write_frame(stream: asyncio.StreamWriter, frame: bytes) -> None:
    stream.write(_SIZE.pack(len(frame)))
    stream.write(frame)
    await stream.drain()
