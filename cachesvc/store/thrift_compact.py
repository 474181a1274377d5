"""Thrift's compact protocol, as much of it as the metadata of a Parquet file takes.

A struct is what it has: the fields with their numbers and types, whatever they mean. So what is
read and written again is the same, with fields that nobody here knows as well.
https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md
"""

from dataclasses import dataclass, field
from typing import Any

from cachesvc.errors import DamagedFile

TRUE, FALSE, BYTE, I16, I32, I64, DOUBLE, BINARY, LIST, SET, MAP, STRUCT = range(1, 13)
_INTEGERS = (I16, I32, I64)
_DEPTH_MAX = 16
_VARINT_BITS_MAX = 70


@dataclass(slots=True)
class Items:
    """A list: the type of its items, and they."""

    type: int
    values: list[Any]


@dataclass(slots=True)
class Struct:
    """A struct: per number of a field its type and its value, in the order in which they came."""

    fields: dict[int, tuple[int, Any]] = field(default_factory=dict)

    def get(self, number: int, default: Any = None) -> Any:
        """The value of a field, or ``default`` where it is not there."""
        return self.fields[number][1] if number in self.fields else default

    def put(self, number: int, value: Any) -> None:
        """Gives a field that is there another value."""
        self.fields[number] = (self.fields[number][0], value)


def read_struct(data: bytes | memoryview, at: int = 0) -> tuple[Struct, int]:
    """A struct, and where what follows it begins.

    Raises:
        DamagedFile: There is none.
    """
    try:
        return _Reader(data, at).struct(0)
    except IndexError as error:
        raise DamagedFile("a struct of Thrift is cut off") from error


def write_struct(struct: Struct) -> bytes:
    """The bytes of a struct; fields have to be in the order of their numbers."""
    out = bytearray()
    _write_struct(out, struct)
    return bytes(out)


class _Reader:
    def __init__(self, data: bytes | memoryview, at: int) -> None:
        self._data = data
        self._at = at

    def struct(self, depth: int) -> tuple[Struct, int]:
        if depth > _DEPTH_MAX:
            raise DamagedFile("a struct of Thrift is nested too deep")
        found, number = Struct(), 0
        while head := self._byte():
            kind, delta = head & 0x0F, head >> 4
            number = number + delta if delta else self._zigzag()
            if number in found.fields:
                raise DamagedFile("a struct of Thrift has a field twice")
            found.fields[number] = (kind, self._value(kind, depth))
        return found, self._at

    def _value(self, kind: int, depth: int) -> Any:
        if kind in (TRUE, FALSE):
            return kind == TRUE
        if kind in _INTEGERS:
            return self._zigzag()
        if kind == BYTE:
            return self._byte()
        if kind == DOUBLE:
            return self._bytes(8)
        if kind == BINARY:
            return self._bytes(self._varint())
        if kind == LIST:
            return self._list(depth)
        if kind == STRUCT:
            return self.struct(depth + 1)[0]
        raise DamagedFile(f"a struct of Thrift has a field of type {kind}")

    def _list(self, depth: int) -> Items:
        head = self._byte()
        kind, count = head & 0x0F, head >> 4
        count = self._varint() if count == 15 else count
        if count > len(self._data) - self._at:
            raise IndexError
        if kind in (TRUE, FALSE):
            return Items(kind, [self._byte() == TRUE for _ in range(count)])
        return Items(kind, [self._value(kind, depth) for _ in range(count)])

    def _byte(self) -> int:
        value = self._data[self._at]
        self._at += 1
        return value

    def _bytes(self, length: int) -> bytes:
        begin, self._at = self._at, self._at + length
        if self._at > len(self._data):
            raise IndexError
        return bytes(self._data[begin : self._at])

    def _varint(self) -> int:
        value = shift = 0
        while True:
            byte = self._byte()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7
            if shift >= _VARINT_BITS_MAX:
                raise DamagedFile("a number of Thrift has no end")

    def _zigzag(self) -> int:
        value = self._varint()
        return (value >> 1) ^ -(value & 1)


def _write_struct(out: bytearray, struct: Struct) -> None:
    before = 0
    for number, (kind, value) in struct.fields.items():
        delta = number - before
        before = number
        if 0 < delta < 16:
            out.append(delta << 4 | kind)
        else:
            out.append(kind)
            _write_zigzag(out, number)
        if kind not in (TRUE, FALSE):
            _write_value(out, kind, value)
    out.append(0)


def _write_value(out: bytearray, kind: int, value: Any) -> None:
    if kind in _INTEGERS:
        _write_zigzag(out, value)
    elif kind == BYTE:
        out.append(value)
    elif kind == DOUBLE:
        out += value
    elif kind == BINARY:
        _write_varint(out, len(value))
        out += value
    elif kind == LIST:
        _write_list(out, value)
    else:
        _write_struct(out, value)


def _write_list(out: bytearray, items: Items) -> None:
    count = len(items.values)
    if count < 15:
        out.append(count << 4 | items.type)
    else:
        out.append(0xF0 | items.type)
        _write_varint(out, count)
    for value in items.values:
        if items.type in (TRUE, FALSE):
            out.append(TRUE if value else FALSE)
        else:
            _write_value(out, items.type, value)


def _write_zigzag(out: bytearray, value: int) -> None:
    _write_varint(out, value << 1 if value >= 0 else (-value << 1) - 1)


def _write_varint(out: bytearray, value: int) -> None:
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
