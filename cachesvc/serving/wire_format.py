"""Protobuf's wire format, as much of it as joining ready bytes into messages takes.

A length-delimited field is a tag, a length and the bytes.
"""

_LENGTH_DELIMITED = 2


def varint(value: int) -> bytes:
    """A number as the wire has it."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def tag(field: int) -> bytes:
    """What begins a length-delimited field."""
    return varint(field << 3 | _LENGTH_DELIMITED)
