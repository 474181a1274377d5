"""Ports for test servers on 127.0.0.1."""

from __future__ import annotations

import fcntl
import os
import random
import socket
import tempfile
from collections.abc import Iterator
from functools import cache
from itertools import cycle
from pathlib import Path

HOST = "127.0.0.1"
_LOWEST = 15_000
_BLOCK = 500
_EPHEMERAL_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
# Not the module-level generator: a test runner that seeds that one would make two runs
# that go on side by side draw the same ports.
_RANDOM = random.SystemRandom()


def is_free(port: int) -> bool:
    """Say whether a server could listen on this port of 127.0.0.1 now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def free_ports(count: int) -> tuple[int, ...]:
    """Return `count` distinct ports of 127.0.0.1 on which nothing listens.

    They lie below the range from which the kernel gives ports to outgoing connections. A
    server that restarts on such a port finds it free; a client that keeps calling a port of
    that range while the server is down can end up connected to itself and occupy it.

    Between the answer and the moment at which a server listens, and while one is down, nobody
    else is given them: a process has a block of ports to itself for as long as it lives, and
    goes through all of it before it gives one again.

    Raises:
        OSError: no free port in the whole block, or no block.
    """
    chosen: list[int] = []
    for port in _mine():
        if port not in chosen and is_free(port):
            chosen.append(port)
        if len(chosen) == count:
            return tuple(sorted(chosen))
    raise OSError(f"no {count} free ports on {HOST} among {_BLOCK}")


def _mine() -> Iterator[int]:
    """Every port of the block of this process once, behind those that were given last."""
    ports = _block(os.getpid())
    return (next(ports) for _ in range(_BLOCK))


@cache
def _block(pid: int) -> Iterator[int]:
    """The ports of a block, again and again; its lock lasts as long as the process `pid`."""
    below = max(_ephemeral_start(), _LOWEST + 2 * _BLOCK)
    begins = list(range(_LOWEST, below - _BLOCK + 1, _BLOCK))
    _RANDOM.shuffle(begins)
    directory = Path(tempfile.gettempdir()) / "cachesvc-test-ports"
    directory.mkdir(exist_ok=True)
    for begin in begins:
        lock = os.open(directory / str(begin), os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            continue
        return cycle(range(begin, begin + _BLOCK))
    raise OSError(f"every block of ports in {directory} is taken by another process")


def _ephemeral_start() -> int:
    try:
        return int(_EPHEMERAL_RANGE.read_text().split()[0])
    except OSError:
        return 32_768
