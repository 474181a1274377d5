"""The TCP proxy before a plain socket server, where every byte can be watched."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from tests.support.ports import HOST
from tests.support.tcp_proxy import TcpProxy

CHUNK = 256 * 1024


@pytest.fixture
def echo_port() -> Iterator[int]:
    """A server that sends everything back, and ends when the client does."""
    with socket.create_server((HOST, 0)) as listener:
        threading.Thread(target=_serve, args=(listener,), daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def proxy(echo_port: int) -> Iterator[TcpProxy]:
    with TcpProxy(echo_port) as started:
        yield started


def _serve(listener: socket.socket) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        threading.Thread(target=_echo, args=(connection,), daemon=True).start()


def _echo(connection: socket.socket) -> None:
    with connection:
        try:
            while data := connection.recv(CHUNK):
                connection.sendall(data)
        except ConnectionError:
            return


def connect(proxy: TcpProxy) -> socket.socket:
    return socket.create_connection((HOST, proxy.port), timeout=5)


def exchange(connection: socket.socket, data: bytes) -> bytes:
    """Send while receiving, until as much has come back."""
    sender = threading.Thread(target=connection.sendall, args=(data,))
    sender.start()
    received = bytearray()
    while len(received) < len(data):
        received += connection.recv(CHUNK)
    sender.join()
    return bytes(received)


@pytest.mark.parametrize("delay_s", [0, 0.01])
def test_bytes_pass_whole_and_in_order(proxy: TcpProxy, delay_s: float) -> None:
    data = bytes(range(256)) * 80_000  # more than may be held back
    proxy.delay(delay_s)
    with connect(proxy) as connection:
        assert exchange(connection, data) == data
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(1) == b""
    assert proxy.bytes_to_server == proxy.bytes_to_client == len(data)
    proxy.reset_counts()
    assert (proxy.bytes_to_server, proxy.bytes_to_client, proxy.connections_accepted) == (0, 0, 0)


def test_delay_applies_to_both_directions(proxy: TcpProxy) -> None:
    with connect(proxy) as connection:
        proxy.delay(0.05)
        began = time.monotonic()
        assert exchange(connection, b"slow") == b"slow"
        assert time.monotonic() - began >= 0.1


def test_held_bytes_are_let_through_when_the_delay_ends(proxy: TcpProxy) -> None:
    with connect(proxy) as connection:
        proxy.delay(3_600)
        connection.sendall(b"held")
        connection.settimeout(0.1)
        with pytest.raises(TimeoutError):
            connection.recv(4)
        connection.settimeout(5)
        proxy.delay(0)
        assert connection.recv(4) == b"held"


@pytest.mark.parametrize("age_s", [0, 0.001, 0.05])
def test_cut_resets_connections_of_any_age(proxy: TcpProxy, age_s: float) -> None:
    for _ in range(20):
        with connect(proxy) as connection:
            time.sleep(age_s)
            proxy.cut()
            with pytest.raises(ConnectionResetError):
                connection.recv(1)
            assert proxy.connections_open == 0
        with pytest.raises(ConnectionRefusedError):
            connect(proxy)
        proxy.restore()
    with connect(proxy) as connection:
        assert exchange(connection, b"back") == b"back"


def test_dropped_connections_may_come_again(proxy: TcpProxy) -> None:
    with connect(proxy) as connection:
        assert exchange(connection, b"one") == b"one"
        assert proxy.drop_connections() == 1
        with pytest.raises(ConnectionResetError):
            connection.recv(1)
    with connect(proxy) as connection:
        assert exchange(connection, b"two") == b"two"


def test_clients_are_reset_while_there_is_no_server(proxy: TcpProxy, echo_port: int) -> None:
    with socket.socket() as silent:
        silent.bind((HOST, 0))  # so that nobody else listens there
        proxy.forward_to(silent.getsockname()[1])
        with pytest.raises(ConnectionResetError), connect(proxy) as connection:
            connection.recv(1)
    proxy.forward_to(echo_port)
    with connect(proxy) as connection:
        assert exchange(connection, b"again") == b"again"


def test_a_link_of_a_rate_lets_bytes_through_as_they_come(proxy: TcpProxy) -> None:
    data = bytes(CHUNK)
    with connect(proxy) as connection:
        proxy.limit_to_client(2 * CHUNK)
        began_s = time.monotonic()
        assert exchange(connection, data) == data
        assert time.monotonic() - began_s > 0.4
        proxy.limit_to_client(0)
        began_s = time.monotonic()
        assert exchange(connection, 120 * data) == 120 * data
        assert time.monotonic() - began_s < 30, "a minute is what the rate would make of it"
