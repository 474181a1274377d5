"""Partitions that can have no log yet, because nobody says where they begin.

Their leader is away, or there is none at the moment. They have no log; everything else of their
topic goes on without them, and whoever reads the topic is told of them.
"""

from collections.abc import Collection, Mapping

from cachesvc.errors import SourceUnreachable
from cachesvc.model import PartitionId, TopicId

_NOTHING: Mapping[int, str] = {}


def why_it_waits(error: SourceUnreachable) -> str:
    """The reason for programs and people, in the manner of a reader's report."""
    plain = error.reason == SourceUnreachable.default_reason
    detail = str(error) if plain else f"{error.reason}: {error}"
    return f"{SourceUnreachable.default_reason}: {detail}"


class WaitingPartitions:
    """The partitions that wait, each with the reason. Belongs to one event loop.

    Invariant: none of them has a log.
    """

    def __init__(self) -> None:
        self._topics: dict[TopicId, dict[int, str]] = {}

    def __bool__(self) -> bool:
        return bool(self._topics)

    def __contains__(self, partition: PartitionId) -> bool:
        return partition.partition in self._topics.get(partition.topic_id, _NOTHING)

    def of_topic(self, topic: TopicId) -> Mapping[int, str]:
        """The partitions of an incarnation that wait, ascending, with the reasons."""
        return self._topics.get(topic, _NOTHING)

    def why(self, partition: PartitionId) -> str:
        """Why a partition waits; empty if it does not."""
        return self.of_topic(partition.topic_id).get(partition.partition, "")

    def topics(self, connection: str = "") -> list[TopicId]:
        """The incarnations of topics of which some wait; of one connection, where it is named."""
        return [topic for topic in self._topics if connection in ("", topic.connection)]

    def put(self, topic: TopicId, waiting: Mapping[int, str]) -> bool:
        """Replaces what of a topic waits; whether these are others than before."""
        before = self._topics.get(topic, _NOTHING)
        if waiting:
            self._topics[topic] = {number: waiting[number] for number in sorted(waiting)}
        else:
            self._topics.pop(topic, None)
        return before.keys() != waiting.keys()

    def keep(self, connection: str, topics: Collection[str]) -> None:
        """Forgets those of a connection whose topics are none of these: nobody needs them."""
        for topic in [each for each in self._topics if each.connection == connection]:
            if topic.topic not in topics:
                del self._topics[topic]
