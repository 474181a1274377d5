"""Every partition's top log, found by partition, incarnation, topic and connection.

Invariant: each look-up answers what a pass over a plain list of all logs would, ordered by
partition; it costs what it answers, and not what else there is.
"""

from collections.abc import Collection, Iterator, Mapping

from cachesvc.log.partition_log import PartitionLog
from cachesvc.model import PartitionId, TopicId

_Incarnations = dict[int, dict[int, PartitionLog]]


class LogRegistry(Mapping[PartitionId, PartitionLog]):
    """The logs by partition, in no order; the other look-ups are methods. No log ever leaves."""

    def __init__(self) -> None:
        self._all: dict[PartitionId, PartitionLog] = {}
        # By connection, topic, incarnation and partition number.
        self._topics: dict[str, dict[str, _Incarnations]] = {}

    def __getitem__(self, partition: PartitionId) -> PartitionLog:
        return self._all[partition]

    def __iter__(self) -> Iterator[PartitionId]:
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._all)

    def add(self, log: PartitionLog) -> None:
        """Enters a log; its partition has none yet."""
        known, topic = log.id, log.id.topic
        assert known not in self._all, "a partition has one top log"
        self._all[known] = log
        incarnations = self._topics.setdefault(known.connection, {}).setdefault(topic, {})
        incarnations.setdefault(known.incarnation, {})[known.partition] = log

    def connections(self) -> list[str]:
        """The connections of which there is a log, in order."""
        return sorted(self._topics)

    def topics(self, connection: str) -> list[str]:
        """The topics of a connection of which there is a log, in order."""
        return sorted(self._topics.get(connection, ()))

    def has_topic(self, connection: str, topic: str) -> bool:
        """Whether there is a log of any incarnation of a topic."""
        return topic in self._topics.get(connection, ())

    def of_topic(self, topic: TopicId) -> list[PartitionLog]:
        """The logs of one incarnation of a topic."""
        incarnations = self._topics.get(topic.connection, {}).get(topic.topic, {})
        return _ordered(incarnations.get(topic.incarnation, {}))

    def numbers(self, topic: TopicId) -> Collection[int]:
        """The partition numbers of one incarnation of a topic that have a log, in no order."""
        incarnations = self._topics.get(topic.connection, {}).get(topic.topic, {})
        return incarnations.get(topic.incarnation, {}).keys()

    def of_name(self, connection: str, topic: str) -> list[PartitionLog]:
        """The logs of all incarnations of a topic."""
        incarnations = self._topics.get(connection, {}).get(topic, {})
        return [
            log
            for incarnation in sorted(incarnations)
            for log in _ordered(incarnations[incarnation])
        ]

    def of_connection(self, connection: str) -> list[PartitionLog]:
        """The logs of a connection."""
        return [log for topic in self.topics(connection) for log in self.of_name(connection, topic)]

    def in_order(self, connection: str = "", topic: str = "") -> list[PartitionLog]:
        """All logs; of one connection, or of one topic of it, where they are named."""
        if connection and topic:
            return self.of_name(connection, topic)
        names = [connection] if connection else self.connections()
        logs = (log for name in names for log in self.of_connection(name))
        return [log for log in logs if topic in ("", log.id.topic)]


def _ordered(logs: Mapping[int, PartitionLog]) -> list[PartitionLog]:
    return [logs[number] for number in sorted(logs)]
