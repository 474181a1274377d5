"""Addresses of brokers in Kafka's Metadata responses, replaced. No I/O.

The layout is that of Kafka's MetadataResponse.json: brokers come first, and everything behind them
is passed on as it is. Since version 9 lengths are varints and structures end with tagged fields.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

API_KEY = 3

Address = tuple[str, int]

_VERSION_WITH_RACK = 1
_VERSION_WITH_THROTTLE = 3
_FLEXIBLE_VERSION = 9
_CORRELATION_BYTES = 4


@dataclass(slots=True)
class _Cursor:
    data: bytes
    at: int = 0

    def take(self, size: int) -> bytes:
        if size < 0 or self.at + size > len(self.data):
            raise ValueError("a Metadata response ends in the middle of its brokers")
        self.at += size
        return self.data[self.at - size : self.at]

    def integer(self, layout: str) -> int:
        value: int = struct.unpack(layout, self.take(struct.calcsize(layout)))[0]
        return value

    def varint(self) -> int:
        value = shift = 0
        while True:
            byte = self.integer(">B")
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7

    def skip_tags(self) -> None:
        for _ in range(self.varint()):
            self.varint()
            self.take(self.varint())

    def text(self, flexible: bool) -> bytes:
        """A text; empty if it is null."""
        size = self.varint() - 1 if flexible else self.integer(">h")
        return self.take(max(0, size))


@dataclass(frozen=True, slots=True)
class _Broker:
    """Where a broker stands in a response.

    Attributes:
        host_at: Where its host begins, the text's length included.
        rest_at: What comes behind its port.
        address: Host and port.
    """

    host_at: int
    rest_at: int
    address: Address


def addresses(response: bytes, version: int) -> list[Address]:
    """The brokers' addresses, as `replace_addresses` finds them; raises as it does."""
    return [broker.address for broker in _brokers(response, version)]


def replace_addresses(
    response: bytes, version: int, replacements: Mapping[Address, Address]
) -> bytes:
    """A Metadata response whose brokers have other addresses.

    Args:
        response: Without its size; begins with the correlation id.
        version: Of the request that it answers.
        replacements: The address to give for each.

    Raises:
        ValueError: It is no such response.
    """
    parts, at = [], 0
    for broker in _brokers(response, version):
        host, port = replacements[broker.address]
        text = host.encode()
        flexible = version >= _FLEXIBLE_VERSION
        length = _varint(len(text) + 1) if flexible else struct.pack(">h", len(text))
        parts += [response[at : broker.host_at], length, text, struct.pack(">i", port)]
        at = broker.rest_at
    return b"".join([*parts, response[at:]])


def _brokers(response: bytes, version: int) -> Iterator[_Broker]:
    flexible = version >= _FLEXIBLE_VERSION
    cursor = _Cursor(response)
    cursor.take(_CORRELATION_BYTES)
    if flexible:
        cursor.skip_tags()
    if version >= _VERSION_WITH_THROTTLE:
        cursor.take(4)
    count = cursor.varint() - 1 if flexible else cursor.integer(">i")
    for _ in range(count):
        cursor.take(4)  # node id
        host_at = cursor.at
        host = cursor.text(flexible).decode()
        port = cursor.integer(">i")
        yield _Broker(host_at, cursor.at, (host, port))
        if version >= _VERSION_WITH_RACK:
            cursor.text(flexible)
        if flexible:
            cursor.skip_tags()


def _varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])
