"""Network addresses as people write them: HOST:PORT."""

import ipaddress
import re

from cachesvc.errors import InvalidConfig


def parse_address(address: str, port_min: int = 0) -> tuple[str, int]:
    """Host and port of HOST:PORT; an IPv6 host comes in brackets and leaves without.

    Raises:
        InvalidConfig: It is no such address.
    """
    host, colon, port = address.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    host = host[1:-1] if bracketed else host
    if not colon or not host or re.search(r"[\s/\[\]@,]", host) or (":" in host) != bracketed:
        raise InvalidConfig(f"{address!r} is not HOST:PORT; write an IPv6 host as [::1]:9092")
    if not re.fullmatch(r"[0-9]{1,5}", port) or not port_min <= int(port) <= 65_535:
        raise InvalidConfig(
            f"{address!r} has no port from {port_min} to 65535 after its last colon"
        )
    return host, int(port)


def is_loopback(host: str) -> bool:
    """Whether a host is this machine by its name alone: 127.0.0.0/8, ::1 or localhost."""
    if is_address(host):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"


def is_address(host: str) -> bool:
    """Whether a host is named by its number."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
