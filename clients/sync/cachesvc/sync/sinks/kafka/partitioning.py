"""Which partition a record goes to: by its key, as Kafka's own producer does.

That is murmur2 of the key's bytes with the highest bit off, modulo the number of partitions; the
same as ``org.apache.kafka.common.utils.Utils.murmur2``. All keys of one length are done at once.
"""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_SEED, _MIX, _SHIFT = 0x9747B28C, 0x5BD1E995, 24
_BITS = 0xFFFF_FFFF

Numbers = np.ndarray[Any, Any]


def partitions_of(keys: pa.Array, count: int, without_key: int) -> pa.Array:
    """The partition of each key.

    Args:
        keys: Of binary type; null where a record has none.
        count: How many partitions there are.
        without_key: Where records without a key go.
    """
    if count == 1:
        return pa.array(np.zeros(len(keys), np.uint32))
    lengths = pc.binary_length(keys).fill_null(-1).to_numpy()
    found: Numbers = np.full(len(keys), without_key, np.uint32)
    for length in np.unique(lengths).tolist():
        if length < 0:
            continue
        (places,) = np.nonzero(lengths == length)
        alike = keys if len(places) == len(keys) else keys.take(pa.array(places))
        hashes = _murmur2(_matrix(alike, length))
        found[places] = (hashes & 0x7FFF_FFFF) % count
    return pa.array(found)


def _matrix(keys: pa.Array, length: int) -> Numbers:
    """Keys of one length as rows of bytes."""
    if not length:
        return np.empty((len(keys), 0), np.uint8)
    _, offsets, data = keys.buffers()
    begin = np.frombuffer(offsets, np.int32)[keys.offset]
    view = np.frombuffer(data, np.uint8, len(keys) * length, int(begin))
    return view.reshape(len(keys), length)


def _murmur2(keys: Numbers) -> Numbers:
    count, length = keys.shape
    whole = length & ~3
    words = np.ascontiguousarray(keys[:, :whole]).view("<u4")
    hashes: Numbers = np.full(count, (_SEED ^ length) & _BITS, np.uint32)
    for column in range(whole // 4):
        word = words[:, column] * np.uint32(_MIX)
        word ^= word >> np.uint32(_SHIFT)
        hashes *= np.uint32(_MIX)
        hashes ^= word * np.uint32(_MIX)
    if length > whole:
        for place in range(length - whole):
            hashes ^= keys[:, whole + place].astype(np.uint32) << np.uint32(8 * place)
        hashes *= np.uint32(_MIX)
    hashes ^= hashes >> np.uint32(13)
    hashes *= np.uint32(_MIX)
    hashes ^= hashes >> np.uint32(15)
    return hashes
