"""Whether two sides got the same records: one checksum over all partitions of all topics."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Sequence

import pyarrow as pa

from tests.bench.digest import Digest


class Checksum:
    """Over offsets and values of each partition, in order.

    Equal for equal records, however they were cut into batches, and whether they came as objects
    or as Arrow columns.
    """

    def __init__(self) -> None:
        self._by_topic: defaultdict[str, Digest] = defaultdict(Digest)

    @property
    def records(self) -> int:
        """How many there were."""
        return sum(digest.tally.records for digest in self._by_topic.values())

    def add_records(
        self, topic: str, partition: int, offsets: Sequence[int], values: Sequence[bytes | None]
    ) -> None:
        """Adds records that follow those added before."""
        self._by_topic[topic].add_records(partition, offsets, values)

    def add_batch(self, topic: str, partition: int, batch: pa.RecordBatch) -> None:
        """Adds an Arrow batch that follows what was added before."""
        self._by_topic[topic].add_batch(partition, batch)

    def hex(self) -> str:
        """Twelve hexadecimal digits."""
        parts = {topic: digest.to_json() for topic, digest in self._by_topic.items()}
        text = json.dumps(parts, sort_keys=True)
        return hashlib.blake2b(text.encode(), digest_size=6).hexdigest()
