"""Whether two sides delivered the same records: cheap sums for timed passes, checksums for others.

The checksums do not depend on how the records were cut into batches or whether they came as
objects or as Arrow columns, only on the records of each partition and their order.
"""

from __future__ import annotations

import zlib
from array import array
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

Json = dict[str, Any]
_NO_VALUE = -1


@dataclass(slots=True)
class Tally:
    """What is added up inside a timed section, the same on all sides.

    Attributes:
        records: How many.
        offsets: Sum of their offsets.
        value_bytes: Sum of the sizes of their values.
    """

    records: int = 0
    offsets: int = 0
    value_bytes: int = 0

    def to_json(self) -> Json:
        """Return it for another process."""
        return asdict(self)

    def add_batch(self, batch: pa.RecordBatch) -> None:
        """Add an Arrow batch, vectorised."""
        self.records += batch.num_rows
        self.offsets += pc.sum(batch.column("offset")).as_py()
        self.value_bytes += len(_value_buffer(batch.column("value")))


@dataclass(slots=True)
class _Partition:
    records: int = 0
    offsets: int = 0
    sizes: int = 0
    values: int = 0

    def add(self, count: int, offsets: bytes, sizes: bytes, values: bytes | memoryview) -> None:
        self.records += count
        self.offsets = zlib.crc32(offsets, self.offsets)
        self.sizes = zlib.crc32(sizes, self.sizes)
        self.values = zlib.crc32(values, self.values)


@dataclass(slots=True)
class Digest:
    """Checksums over offsets, sizes and values of every partition, in the order of arrival."""

    tally: Tally = field(default_factory=Tally)
    _partitions: dict[int, _Partition] = field(default_factory=dict)

    def add_records(
        self, partition: int, offsets: Sequence[int], values: Sequence[bytes | None]
    ) -> None:
        """Add records that follow those added before."""
        sizes = array("q", (_NO_VALUE if value is None else len(value) for value in values))
        joined = b"".join(value for value in values if value is not None)
        self._add(partition, array("q", offsets).tobytes(), sizes.tobytes(), joined)
        self._count(len(offsets), sum(offsets), len(joined))

    def add_batch(self, partition: int, batch: pa.RecordBatch) -> None:
        """Add an Arrow batch that follows what was added before."""
        values = batch.column("value")
        sizes = pc.fill_null(pc.binary_length(values).cast(pa.int64()), _NO_VALUE)
        offsets = batch.column("offset").to_numpy()
        joined = _value_buffer(values)
        self._add(partition, offsets.tobytes(), sizes.to_numpy().tobytes(), joined)
        self._count(len(offsets), int(offsets.sum()), len(joined))

    def to_json(self) -> Json:
        """Return tally and checksums for another process; equal for equal records."""
        partitions = {
            str(number): asdict(self._partitions[number]) for number in sorted(self._partitions)
        }
        return {"tally": self.tally.to_json(), "partitions": partitions}

    def _add(
        self, partition: int, offsets: bytes, sizes: bytes, values: bytes | memoryview
    ) -> None:
        known = self._partitions.setdefault(partition, _Partition())
        known.add(len(offsets) // 8, offsets, sizes, values)

    def _count(self, records: int, offsets: int, value_bytes: int) -> None:
        self.tally.records += records
        self.tally.offsets += offsets
        self.tally.value_bytes += value_bytes


def _value_buffer(values: pa.StringArray) -> memoryview:
    """Return the bytes of all values of a column, one after the other, without a copy."""
    _, bounds, data = values.buffers()
    if not len(values) or data is None:
        return memoryview(b"")
    ends = np.frombuffer(bounds, np.int32)
    first, last = ends[values.offset], ends[values.offset + len(values)]
    return memoryview(data)[first:last]
