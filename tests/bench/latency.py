"""How old records are when they arrive. The producer writes its clock into the key."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

BUCKET_NS = 50_000
_NS_PER_MS = 1_000_000


@dataclass(slots=True)
class Latencies:
    """Ages in buckets of 0.05 ms, so that those of many processes can be added up.

    Attributes:
        warm_offset: Records of lower offsets do not count: everything warms up first.
    """

    warm_offset: int
    _ages_ns: list[npt.NDArray[np.int64]] = field(default_factory=list)

    def add(self, now_ns: int, offsets: Sequence[int], keys: Sequence[bytes | None]) -> None:
        """Note the ages of records that are in the task's hands at `now_ns`."""
        counted = [
            int(key or 0)
            for offset, key in zip(offsets, keys, strict=True)
            if offset >= self.warm_offset
        ]
        if counted:
            self._ages_ns.append(now_ns - np.array(counted, np.int64))

    def to_json(self) -> dict[str, int]:
        """Return bucket to number of records, for another process."""
        if not self._ages_ns:
            return {}
        buckets = np.concatenate(self._ages_ns) // BUCKET_NS
        numbers, counts = np.unique(buckets, return_counts=True)
        return dict(zip(map(str, numbers.tolist()), counts.tolist(), strict=True))


def percentile_ms(measured: Iterable[Mapping[str, int]], share: float) -> float:
    """Return the age in milliseconds that `share` of all records do not exceed.

    Args:
        measured: What several processes returned from `Latencies.to_json`.
        share: In (0, 1].

    Raises:
        ValueError: there is no record.
    """
    counts: Counter[int] = Counter()
    for buckets in measured:
        for bucket, count in buckets.items():
            counts[int(bucket)] += count
    if not counts:
        raise ValueError("no record was measured")
    left = share * counts.total()
    for age in sorted(counts):
        left -= counts[age]
        if left <= 0:
            return (age + 1) * BUCKET_NS / _NS_PER_MS
    return (max(counts) + 1) * BUCKET_NS / _NS_PER_MS
