"""Under which epoch each topic is mined: it rises with every change of hands, durably."""

import time
from collections.abc import Collection, Sequence

from cachesvc.errors import Superseded
from cachesvc.log.log_store import LogStore
from cachesvc.model import TopicId


class TopicEpochs:
    """The epochs of topics that some reader has. Belongs to one event loop.

    Args:
        store: Where they are durable, and which incarnation each topic is in.
    """

    def __init__(self, store: LogStore) -> None:
        self._store = store
        self._epochs: dict[TopicId, int] = {}

    def of(self, topic: TopicId) -> int | None:
        """The epoch of a topic; None where nobody has it."""
        return self._epochs.get(topic)

    def check(self, topic: TopicId, epoch: int) -> None:
        """Lets only the reader that has the topic now append.

        Raises:
            Superseded: ``epoch`` is not the topic's newest (``STALE_EPOCH``).
        """
        newest = self._epochs.get(topic)
        if epoch != newest:
            raise Superseded(
                f"{topic.topic}: epoch {epoch} is not the newest, {newest}", reason="STALE_EPOCH"
            )

    async def rise(self, topics: Sequence[TopicId]) -> None:
        """Gives topics that change hands new epochs, in one transaction; durable on return.

        One whose incarnation is over meanwhile stays without.
        """
        if not topics:
            return
        now_ms = time.time_ns() // 1_000_000
        raised = await self._store.catalogue.call(lambda port: port.raise_epochs(topics, now_ms))
        for topic, epoch in raised.items():
            if self._store.topic_id(topic.connection, topic.topic) == topic:
                self._epochs[topic] = epoch

    def over(self, topic: TopicId) -> None:
        """Nothing is appended to an incarnation of a topic that is over. Idempotent."""
        self._epochs.pop(topic, None)

    def keep(self, connection: str, topics: Collection[TopicId]) -> None:
        """Nothing is appended to other topics of a connection than these."""
        for topic in [each for each in self._epochs if each.connection == connection]:
            if topic not in topics:
                del self._epochs[topic]
