"""Connections of this very process, which are looked at from outside of whoever has them."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest

from cachesvc.serving.own_connections import (
    Address,
    address_of_peer,
    bytes_received,
    find_connections,
    hang_up,
)


@pytest.fixture(params=["127.0.0.1", "::1", "::"])
def pair(request: pytest.FixtureRequest) -> Iterator[tuple[socket.socket, socket.socket, Address]]:
    """A service's side, a caller's, and the caller's address; `::` listens for both families."""
    family = socket.AF_INET6 if ":" in request.param else socket.AF_INET
    with socket.create_server(
        (request.param, 0), family=family, dualstack_ipv6=request.param == "::"
    ) as listener:
        host = "127.0.0.1" if request.param == "::" else request.param
        with socket.create_connection((host, listener.getsockname()[1])) as caller:
            service, _ = listener.accept()
            with service:
                yield service, caller, (host, caller.getsockname()[1])


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        ("ipv4:10.0.0.7:4711", ("10.0.0.7", 4711)),
        ("ipv6:%5B::1%5D:80", ("::1", 80)),
        ("ipv6:[2001:0db8::0:5]:80", ("2001:db8::5", 80)),
        ("ipv6:[fe80::1%25eth0]:81", ("fe80::1", 81)),
        ("ipv6:[::ffff:10.0.0.7]:81", ("10.0.0.7", 81)),
        ("unix:/run/cachesvc.sock", None),
        ("unix:", None),
        ("ipv4:no address:1", None),
        ("ipv4:10.0.0.7:", None),
        ("", None),
    ],
)
def test_a_peer_has_one_address_however_it_is_written(peer: str, address: Address | None) -> None:
    assert address_of_peer(peer) == address


def test_a_connection_is_found_among_all_descriptors_by_its_other_end(
    pair: tuple[socket.socket, socket.socket, Address],
) -> None:
    service, caller, address = pair
    nobody = ("127.0.0.1", 1)
    assert find_connections({address, nobody}) == {address: service.fileno()}
    assert caller.fileno() != service.fileno()


def test_what_came_over_it_is_counted_whether_it_is_read_or_not(
    pair: tuple[socket.socket, socket.socket, Address],
) -> None:
    service, caller, address = pair
    assert bytes_received(service.fileno(), address) == 0
    caller.sendall(b"x" * 1_000)
    service.recv(10)
    assert bytes_received(service.fileno(), address) == 1_000


def test_both_sides_learn_that_it_was_hung_up(
    pair: tuple[socket.socket, socket.socket, Address],
) -> None:
    service, caller, address = pair
    assert hang_up(service.fileno(), address)
    assert service.recv(1) == b""
    assert caller.recv(1) == b""


def test_a_descriptor_that_is_another_one_by_now_is_left_alone(
    pair: tuple[socket.socket, socket.socket, Address],
) -> None:
    service, caller, (host, port) = pair
    another = (host, port - 1)
    assert bytes_received(service.fileno(), another) is None
    assert not hang_up(service.fileno(), another)
    service.sendall(b"!")
    assert caller.recv(1) == b"!"


def test_whatever_else_a_descriptor_may_be_is_no_connection() -> None:
    reading, writing = os.pipe()
    listener = socket.create_server(("127.0.0.1", 0))
    try:
        for descriptor in (reading, listener.fileno(), 1_000_000):
            assert bytes_received(descriptor, ("127.0.0.1", 1)) is None
            assert not hang_up(descriptor, ("127.0.0.1", 1))
    finally:
        listener.close()
        os.close(reading)
        os.close(writing)


def test_looking_leaves_no_descriptor_open(
    pair: tuple[socket.socket, socket.socket, Address],
) -> None:
    service, _, address = pair
    before = len(os.listdir("/proc/self/fd"))
    find_connections({address})
    bytes_received(service.fileno(), address)
    hang_up(service.fileno(), address)
    assert len(os.listdir("/proc/self/fd")) == before
