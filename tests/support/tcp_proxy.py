"""A TCP proxy between clients and a server on 127.0.0.1 that counts, delays, slows and cuts.

It runs on an event loop in a thread of its own, so tests with and without asyncio use it
alike: every method may be called from any thread, blocks for milliseconds, and has taken
effect when it returns.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections import deque
from collections.abc import Coroutine
from typing import Any, Self, TypeVar, cast

from tests.support.ports import HOST, free_ports

T = TypeVar("T")

_CALL_TIMEOUT_S = 10.0
_CONNECT_TIMEOUT_S = 10.0
_HELD_BYTES_MAX = 8 * 1024 * 1024
_WRITE_BUFFER_BYTES = 1024 * 1024
_BACKLOG = 1024
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class TcpProxy:
    """Forwards every connection on `port` to a port of 127.0.0.1.

    Bytes arrive complete and in order as long as a connection lives. At most 8 MiB are held
    back per connection and direction; beyond that the sender is not read from.

    Args:
        target_port: Where to forward to; can be given later with `forward_to`.

    Attributes:
        port: Where clients connect. Chosen once, the same after `cut` and `restore`.
        bytes_to_server: Bytes read from clients since the start or `reset_counts`.
        bytes_to_client: Bytes read from the server since then.
        connections_accepted: Connections accepted since then.
    """

    def __init__(self, target_port: int | None = None) -> None:
        self.port = free_ports(1)[0]
        self.bytes_to_server = 0
        self.bytes_to_client = 0
        self.connections_accepted = 0
        self._target_port = target_port
        self._delay_s = 0.0
        self._client_bytes_per_s = 0.0
        self._client_free_s = 0.0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="tcp-proxy")
        self._thread.daemon = True
        self._listener: socket.socket | None = None
        self._opening: dict[asyncio.Task[None], socket.socket] = {}
        self._ends: set[_End] = set()

    def start(self) -> Self:
        """Start the thread and accept connections.

        Raises:
            OSError: another process took the port in the meantime.
        """
        self._thread.start()
        try:
            self.restore()
        except OSError:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Drop all connections and end the thread; the proxy is of no use afterwards."""
        if self._thread.is_alive():
            self.cut()
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(_CALL_TIMEOUT_S)
        self._loop.close()

    def forward_to(self, port: int) -> None:
        """Forward new connections to this port of 127.0.0.1."""
        self._target_port = port

    def cut(self) -> None:
        """Drop all connections and refuse new ones until `restore`. Idempotent."""
        self._call(self._cut())

    def restore(self) -> None:
        """Accept connections again. Idempotent."""
        self._call(self._restore())

    def drop_connections(self) -> int:
        """Reset the connections that are open, return how many; new ones are welcome."""
        return self._call(self._drop())

    def delay(self, seconds: float) -> None:
        """Let every chunk wait this long, in either direction; 0 ends that.

        Applies to what is being held back already: a long delay hangs the network, and
        `delay(0)` lets everything through at once.
        """
        self._call(self._set_delay(seconds))

    def limit_to_client(self, bytes_per_s: float) -> None:
        """Let all connections together bring clients so many bytes a second; 0 ends that.

        Applies to what arrives from then on.
        """
        self._call(self._set_rate(bytes_per_s))

    def reset_counts(self) -> None:
        """Count bytes and connections from zero again."""
        self._call(self._reset_counts())

    @property
    def connections_open(self) -> int:
        """Number of clients connected now."""
        return self._call(self._count_clients())

    def __enter__(self) -> Self:
        """Start the proxy."""
        return self.start()

    def __exit__(self, *_: object) -> None:
        """Stop the proxy."""
        self.stop()

    # From here on everything runs on the loop's thread.

    def _call(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(_CALL_TIMEOUT_S)

    async def _restore(self) -> None:
        # Not an asyncio.Server: one that is closed loses the connections it is about to accept
        # without closing them, and their clients hang.
        if self._listener is None:
            self._listener = socket.create_server((HOST, self.port), backlog=_BACKLOG)
            self._listener.setblocking(False)
            self._loop.add_reader(self._listener, self._accept, self._listener)

    async def _cut(self) -> None:
        if self._listener is not None:
            self._loop.remove_reader(self._listener)
            self._listener.close()
            self._listener = None
        await self._drop()

    async def _drop(self) -> int:
        clients = await self._count_clients()
        opening = dict(self._opening)
        for task, sock in opening.items():
            _reset_on_close(sock)
            task.cancel()
        await asyncio.gather(*opening, return_exceptions=True)
        ends = tuple(self._ends)
        for end in ends:
            end.reset()
        for end in ends:
            await end.gone.wait()
        for sock in opening.values():
            sock.close()
        return clients

    async def _set_delay(self, seconds: float) -> None:
        self._delay_s = seconds
        for end in tuple(self._ends):
            end.release_due()

    async def _set_rate(self, bytes_per_s: float) -> None:
        self._client_bytes_per_s, self._client_free_s = bytes_per_s, self._loop.time()

    async def _reset_counts(self) -> None:
        self.bytes_to_server = self.bytes_to_client = self.connections_accepted = 0

    async def _count_clients(self) -> int:
        return sum(end.is_client for end in self._ends)

    def delay_s(self) -> float:
        """Return the delay in force."""
        return self._delay_s

    def passes_at(self, to_client: bool, size: int) -> float:
        """Return when a link of the rate in force is through with so many bytes."""
        now = self._loop.time()
        if not to_client or self._client_bytes_per_s <= 0:
            return now
        self._client_free_s = max(self._client_free_s, now) + size / self._client_bytes_per_s
        return self._client_free_s

    def opened(self, end: _End) -> None:
        """Take note of an end whose connection is open."""
        self._ends.add(end)

    def closed(self, end: _End) -> None:
        """Forget an end whose connection is gone."""
        self._ends.discard(end)

    def count(self, from_client: bool, size: int) -> None:
        """Count bytes that came in."""
        if from_client:
            self.bytes_to_server += size
        else:
            self.bytes_to_client += size

    def _accept(self, listener: socket.socket) -> None:
        try:
            sock, _ = listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        sock.setblocking(False)
        self.connections_accepted += 1
        task = self._loop.create_task(self._open(sock))
        self._opening[task] = sock
        task.add_done_callback(self._opening.pop)

    async def _open(self, sock: socket.socket) -> None:
        """Connect an accepted client to the server; reset it if that fails."""
        client: _End | None = None
        try:
            async with asyncio.timeout(_CONNECT_TIMEOUT_S):
                _, client = await self._loop.connect_accepted_socket(
                    lambda: _End(self, is_client=True), sock
                )
                if self._target_port is None:
                    raise ConnectionRefusedError("nowhere to forward to")
                _, server = await self._loop.create_connection(
                    lambda: _End(self, is_client=False), HOST, self._target_port
                )
        except OSError:
            if client is not None:
                client.reset()
        else:
            client.join(server)


def _reset_on_close(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)


class _End(asyncio.Protocol):
    """One of the two connections that the proxy holds for a client."""

    def __init__(self, proxy: TcpProxy, *, is_client: bool) -> None:
        self.is_client = is_client
        self.gone = asyncio.Event()
        self._proxy = proxy
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._peer: _End | None = None
        self._early: list[bytes] = []  # what came before the peer did; empty data is EOF
        self._held: deque[tuple[float, bytes]] = (
            deque()
        )  # when it passed and data; empty data is EOF
        self._held_bytes = 0
        self._timer: asyncio.TimerHandle | None = None
        self._write_paused = False
        self._ended = [False, False]  # no more bytes from this end, to this end

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait, without reading, for `join`."""
        self._transport = cast(asyncio.Transport, transport)
        self._transport.pause_reading()
        self._transport.set_write_buffer_limits(_WRITE_BUFFER_BYTES)
        self._proxy.opened(self)

    def join(self, peer: _End) -> None:
        """Let bytes flow between this end and its peer; if one is gone, reset the other."""
        for one, other in ((self, peer), (peer, self)):
            one._peer = other
            if other._transport is None:
                one.reset()
        for one, other in ((self, peer), (peer, self)):
            for data in one._early:
                other._send(data)
            one._early.clear()
            if one._transport is not None:
                one._transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        """Count the bytes and send them to the peer."""
        self._proxy.count(self.is_client, len(data))
        self._pass_on(data)

    def _pass_on(self, data: bytes) -> None:
        # Before Python 3.11.4 a transport that was paused at once may read all the same.
        if self._peer is None:
            self._early.append(data)
        else:
            self._peer._send(data)

    def eof_received(self) -> bool:
        """Pass the end of this direction on; the other one may go on."""
        self._ended[0] = True
        self._pass_on(b"")
        self._close_if_ended()
        return True

    def pause_writing(self) -> None:
        """Stop reading from the peer."""
        self._write_paused = True
        self._limit_peer()

    def resume_writing(self) -> None:
        """Read from the peer again."""
        self._write_paused = False
        self._limit_peer()

    def connection_lost(self, exc: Exception | None) -> None:
        """Reset the peer, unless both directions had ended before."""
        self._transport = None
        self.gone.set()
        if self._timer is not None:
            self._timer.cancel()
        self._proxy.closed(self)
        if self._peer is not None and (exc is not None or not all(self._ended)):
            self._peer.reset()

    def reset(self) -> None:
        """Close the connection with a reset, losing what is held back. Idempotent."""
        if self._transport is not None:
            _reset_on_close(self._transport.get_extra_info("socket"))
            self._transport.abort()

    def release_due(self) -> None:
        """Write what has waited long enough, and come back for the rest."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        delay_s = self._proxy.delay_s()
        now = self._loop.time()
        while self._held and self._held[0][0] + delay_s <= now:
            data = self._held.popleft()[1]
            self._held_bytes -= len(data)
            self._write(data)
        if self._held:
            self._timer = self._loop.call_at(self._held[0][0] + delay_s, self.release_due)
        self._limit_peer()

    def _send(self, data: bytes) -> None:
        passes_at = self._proxy.passes_at(self.is_client, len(data))
        if not self._held and passes_at <= self._loop.time() and self._proxy.delay_s() <= 0:
            self._write(data)
            return
        self._held.append((passes_at, data))
        self._held_bytes += len(data)
        if self._timer is None:
            self.release_due()
        else:
            self._limit_peer()

    def _write(self, data: bytes) -> None:
        if self._transport is None:
            return
        if data:
            self._transport.write(data)
        else:
            self._ended[1] = True
            with contextlib.suppress(OSError):  # the peer was killed meanwhile
                self._transport.write_eof()
            self._close_if_ended()

    def _close_if_ended(self) -> None:
        if self._transport is not None and all(self._ended):
            self._transport.close()

    def _limit_peer(self) -> None:
        if self._peer is None or self._peer._transport is None:
            return
        if self._write_paused or self._held_bytes > _HELD_BYTES_MAX:
            self._peer._transport.pause_reading()
        else:
            self._peer._transport.resume_reading()
