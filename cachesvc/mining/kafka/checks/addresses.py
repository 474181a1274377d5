"""Whether an address leads anywhere: its name, and its port."""

import asyncio
import contextlib
import os
import socket
from collections.abc import Sequence

from cachesvc.policy.connection_checks import Finding, enumerated, failed, passed


async def check_name(host: str, port: int) -> tuple[Finding, Sequence[str]]:
    """Resolves a name; also returns the addresses that it stands for."""
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        detail = f"no such name ({getattr(error, 'strerror', None) or error})"
        hint = "check its spelling, and the name server of the service's machine"
        return failed(detail, hint, reason="NAME_UNKNOWN"), ()
    addresses = list(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found))
    return passed(enumerated(addresses)), addresses


async def check_port(addresses: Sequence[str], port: int, limit_s: float) -> Finding:
    """Connects to each of the addresses until one answers.

    Args:
        addresses: Of one host.
        port: Where to connect.
        limit_s: Seconds for each of them.
    """
    problems = []
    for address in addresses:
        try:
            async with asyncio.timeout(limit_s / len(addresses)):
                _, writer = await asyncio.open_connection(address, port)
        except TimeoutError:
            hint = "look for a firewall in between, and whether the address is right"
            problems.append(failed(f"{address} does not answer", hint, reason="PORT_SILENT"))
        except OSError as error:
            problem = os.strerror(error.errno) if error.errno else type(error).__name__
            hint = "check the port, and whether the broker runs and listens on that address"
            problems.append(failed(f"{address}: {problem}", hint, reason="PORT_CLOSED"))
        else:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
            return passed("open")
    joined = ", ".join(problem.detail for problem in problems)
    return failed(joined, problems[0].hint, reason=problems[0].reason)
