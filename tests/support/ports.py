"""Ports for test servers on 127.0.0.1."""

from __future__ import annotations

import random
import socket
from pathlib import Path

HOST = "127.0.0.1"
_LOWEST = 15_000
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

    Raises:
        OSError: no free port after many draws.
    """
    below = max(_ephemeral_start(), _LOWEST + 1_000)
    chosen: set[int] = set()
    for _ in range(1_000):
        if len(chosen) == count:
            return tuple(sorted(chosen))
        port = _RANDOM.randrange(_LOWEST, below)
        if is_free(port):
            chosen.add(port)
    raise OSError(f"no {count} free ports on {HOST} between {_LOWEST} and {below}")


def _ephemeral_start() -> int:
    try:
        return int(_EPHEMERAL_RANGE.read_text().split()[0])
    except OSError:
        return 32_768
