"""What subscribers were sent, topic by topic, and how old it was."""

from collections import defaultdict

from cachesvc.model import TopicId
from cachesvc.policy.histogram import Histogram
from cachesvc.policy.throughput import Tally

_AGES_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Deliveries:
    """Counts what streams send, since the service started. Belongs to one event loop.

    Attributes:
        by_topic: Records, and bytes of the batches that carry them.
        ages: Seconds from when records were mined until they were sent, of streams that had caught
            up; one amount a batch, that of its newest record.
    """

    def __init__(self) -> None:
        self.by_topic: dict[TopicId, Tally] = defaultdict(Tally)
        self.ages = Histogram(_AGES_S)

    def sent(self, topic: TopicId, records: int, size: int) -> None:
        """Counts a batch."""
        self.by_topic[topic] += Tally(records, size)
