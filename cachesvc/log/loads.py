"""What was mined of each topic, and how much of late."""

import time
from dataclasses import dataclass

from cachesvc.model import TopicId
from cachesvc.policy.rates import decayed_rate

_RATE_S = 1.0


@dataclass(slots=True)
class MiningCounts:
    """What was mined of a topic since the service started, and how much of late."""

    records: int = 0
    bytes: int = 0
    rejects: int = 0
    bytes_per_s: float = 0.0
    _rated_bytes: int = 0

    def rate(self, elapsed_s: float) -> None:
        """Follows with ``bytes_per_s`` what has come since the last call."""
        self.bytes_per_s = decayed_rate(self.bytes_per_s, self.bytes - self._rated_bytes, elapsed_s)
        self._rated_bytes = self.bytes


class Loads:
    """Counts appends, and weighs topics by what came of them recently.

    Args:
        rebalance_interval_s: How often weights change, so that topics move now and then only.
    """

    def __init__(self, rebalance_interval_s: float) -> None:
        self._rebalance_interval_s = rebalance_interval_s
        self._rated_s = self._weighed_s = time.monotonic()
        self._weights: dict[TopicId, float] = {}
        self.counts: dict[TopicId, MiningCounts] = {}

    def count(self, topic: TopicId, records: int, size: int, rejects: int) -> None:
        """Adds to what was mined of a topic; sizes in bytes."""
        counts = self.counts.setdefault(topic, MiningCounts())
        counts.records += records
        counts.bytes += size
        counts.rejects += rejects

    def weigh(self) -> None:
        """Brings rates, and from time to time weights, up to date."""
        now_s = time.monotonic()
        if now_s - self._rated_s >= _RATE_S:
            for counts in self.counts.values():
                counts.rate(now_s - self._rated_s)
            self._rated_s = now_s
        if now_s - self._weighed_s >= self._rebalance_interval_s:
            self._weights = {topic: counts.bytes_per_s for topic, counts in self.counts.items()}
            self._weighed_s = now_s

    def weight(self, topic: TopicId) -> float:
        """Bytes per second by which a topic is given to a reader; 0 while nothing is known."""
        return self._weights.get(topic, 0.0)
