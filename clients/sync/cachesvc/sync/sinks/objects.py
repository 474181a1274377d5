"""JSON objects of a batch taken apart at once."""

import pyarrow as pa
import pyarrow.compute as pc


def as_array(objects: pa.Array) -> bytes:
    """JSON objects as one JSON array of them."""
    if not len(objects):
        return b"[]"
    joined = pc.binary_join(pa.ListArray.from_arrays([0, len(objects)], objects), ",")
    return b"".join((b"[", joined[0].as_buffer(), b"]"))
