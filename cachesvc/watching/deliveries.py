"""What subscribers were sent, topic by topic, and how old it was."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from cachesvc.model import PartitionId, TopicId
from cachesvc.policy.histogram import Histogram
from cachesvc.policy.throughput import Flow

_AGES_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Deliveries:
    """Counts what streams send, since the service started. Belongs to one event loop.

    Attributes:
        by_topic: Records, and bytes of the batches that carry them.
        streams: How many streams are open.
        ages: Seconds from when records were mined until they were sent, of streams that had caught
            up; one amount a batch, that of its newest record.
        on_sent: Called with the subscription, the partition and the range of each batch that was
            sent, if somebody wants to know; must not wait.
    """

    def __init__(self) -> None:
        self.on_sent: Callable[[str, PartitionId, int, int], None] | None = None
        self.by_topic: dict[TopicId, Flow] = defaultdict(Flow)
        self.streams = 0
        self.ages = Histogram(_AGES_S)

    @contextmanager
    def streaming(self) -> Iterator[None]:
        """Counts a stream that is open for as long as the block."""
        self.streams += 1
        try:
            yield
        finally:
            self.streams -= 1

    def sent(self, topic: TopicId, records: int, size: int) -> None:
        """Counts a batch."""
        self.by_topic[topic].add(records, size, time.monotonic())
