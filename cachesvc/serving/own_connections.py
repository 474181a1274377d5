"""TCP connections of this process as the system knows them; gRPC tells nothing of its own."""

import contextlib
import ipaddress
import os
import socket
import sys
from collections.abc import Iterable, Iterator
from urllib.parse import unquote

Address = tuple[str, int]
"""A host, in the one form that each has, and a port."""
_DESCRIPTORS = "/proc/self/fd"
_BYTES_RECEIVED = slice(128, 136)
"""Of ``struct tcp_info``: ``tcpi_bytes_received``, since Linux 4.1."""


def address_of_peer(peer: str) -> Address | None:
    """Of what gRPC calls a peer: ``ipv4:10.0.0.7:4711``; None of one that is no TCP connection."""
    kind, _, rest = unquote(peer).partition(":")
    host, _, port = rest.rpartition(":")
    if kind not in ("ipv4", "ipv6") or not port.isdecimal():
        return None
    return _address(host.strip("[]"), int(port))


def find_connections(peers: Iterable[Address]) -> dict[Address, int]:
    """The descriptors of connections to these; looks at every descriptor, so for a thread.

    Elsewhere than on Linux, none.
    """
    wanted, found = set(peers), dict[Address, int]()
    if sys.platform != "linux":
        return found
    with contextlib.suppress(OSError):  # of the listing itself: none left for it
        for name in os.listdir(_DESCRIPTORS):
            peer = _peer(int(name))
            if peer in wanted:
                found[peer] = int(name)
    return found


def bytes_received(descriptor: int, peer: Address) -> int | None:
    """All that came over a connection; None if the descriptor is that connection's no more."""
    with _connection(descriptor) as connection:
        if connection is None or _peer_of(connection) != peer:
            return None
        told = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _BYTES_RECEIVED.stop)
        return int.from_bytes(told[_BYTES_RECEIVED], sys.byteorder)


def hang_up(descriptor: int, peer: Address) -> bool:
    """Ends a connection, for both sides; false if the descriptor is that connection's no more."""
    with _connection(descriptor) as connection:
        if connection is None or _peer_of(connection) != peer:
            return False
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)
        return True


def _peer(descriptor: int) -> Address | None:
    with _connection(descriptor) as connection:
        return None if connection is None else _peer_of(connection)


@contextlib.contextmanager
def _connection(descriptor: int) -> Iterator[socket.socket | None]:
    """The socket of a descriptor, by one of our own: the number may be another's any moment."""
    try:
        mine = os.dup(descriptor)
    except OSError:
        yield None
        return
    try:
        found = socket.socket(fileno=mine)
    except OSError:  # no socket
        os.close(mine)
        yield None
        return
    with found:
        yield found


def _peer_of(connection: socket.socket) -> Address | None:
    if connection.family not in (socket.AF_INET, socket.AF_INET6):
        return None
    try:
        host, port = connection.getpeername()[:2]
    except OSError:  # a listener, or one that has ended
        return None
    return _address(host, port)


def _address(host: str, port: int) -> Address | None:
    try:
        plain = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
    mapped = plain.ipv4_mapped if isinstance(plain, ipaddress.IPv6Address) else None
    return str(mapped or plain), port
