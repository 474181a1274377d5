"""The record batch that does not fit into an answer any more."""

import struct

_OFFSET_AND_LENGTH = struct.Struct(">qi")


def cut_batch_bytes(data: bytes) -> int:
    """The whole size of the record batch that is cut off at the end of ``data``.

    Brokers fill answers up to what was asked for, and what they cut off comes again with the next
    fetch. 0 if nothing is cut off, or too little is there to tell.
    """
    position = 0
    while position + _OFFSET_AND_LENGTH.size <= len(data):
        _, length = _OFFSET_AND_LENGTH.unpack_from(data, position)
        size: int = _OFFSET_AND_LENGTH.size + length
        if position + size > len(data):
            return size
        position += size
    return 0
