"""What was mined of each topic, and how much of late."""

import time
from dataclasses import dataclass, field

from cachesvc.model import TopicId
from cachesvc.policy.throughput import Rate

_WINDOW_S = 60.0


@dataclass(slots=True)
class MiningCounts:
    """What was mined of a topic since the service started, and how much of late."""

    records: int = 0
    bytes: int = 0
    rejects: int = 0
    rate: Rate = field(default_factory=lambda: Rate(_WINDOW_S))


class Loads:
    """Counts appends, and weighs topics by what came of them recently.

    Args:
        rebalance_interval_s: How often weights change, so that topics move now and then only.
    """

    def __init__(self, rebalance_interval_s: float) -> None:
        self._rebalance_interval_s = rebalance_interval_s
        self._weighed_s = time.monotonic()
        self._weights: dict[TopicId, int] = {}
        self.counts: dict[TopicId, MiningCounts] = {}

    def count(self, topic: TopicId, records: int, size: int, rejects: int) -> None:
        """Adds to what was mined of a topic; sizes in bytes."""
        counts = self.counts.setdefault(topic, MiningCounts())
        counts.records += records
        counts.bytes += size
        counts.rejects += rejects
        counts.rate.add(size, time.monotonic())

    def bytes_per_s(self, topic: TopicId) -> float:
        """What comes of a topic now; 0 where nothing has come yet."""
        counts = self.counts.get(topic)
        return 0.0 if counts is None else counts.rate.per_s(time.monotonic())

    def weigh(self) -> bool:
        """Brings weights up to date from time to time; whether they are others than before."""
        now_s = time.monotonic()
        if now_s - self._weighed_s < self._rebalance_interval_s:
            return False
        before = self._weights
        self._weights = {topic: round(self.bytes_per_s(topic)) for topic in self.counts}
        self._weighed_s = now_s
        return self._weights != before

    def weight(self, topic: TopicId) -> float:
        """Bytes per second by which a topic is given to a reader; 0 while nothing is known."""
        return self._weights.get(topic, 0.0)
