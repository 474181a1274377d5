"""Kafka's Fetch with what aiokafka leaves out: sessions (version 7) and leader epochs (version 9).

Version 11, which brokers from 2.3 to the newest speak, is the highest that aiokafka knows. Brokers
that throttle answer versions from 8 on at once, and tell for how long they will not read from the
connection (KIP-219).
"""

from collections import defaultdict
from typing import Any

from aiokafka.protocol.fetch import FetchRequest

from cachesvc.mining.kafka.fetch_session import Naming
from cachesvc.mining.source import SourcePartition

_VERSION_WITH_SESSIONS = 7
_VERSION_WITH_EPOCHS = 9


class SessionFetchRequest(FetchRequest):
    """A fetch in a session, which only the leader of a known epoch answers.

    Args:
        naming: What it says of partitions.
        wait_ms: How long the broker may wait for records.
        bytes_max: For the whole answer, but for a single record batch.
        isolation: Kafka's isolation level.
    """

    def __init__(self, naming: Naming, wait_ms: int, bytes_max: int, isolation: int) -> None:
        by_topic: defaultdict[str, list[tuple[int, int, int]]] = defaultdict(list)
        for (topic, number), asked in naming.named:
            by_topic[topic].append((number, asked.offset, asked.bytes_max))
        super().__init__(wait_ms, 1, bytes_max, isolation, list(by_topic.items()))
        self._naming = naming

    def build(self, request_struct_class: Any) -> Any:
        """The request in a version that the broker speaks, without what that one does not have."""
        request: Any = super().build(request_struct_class)
        version = request_struct_class.API_VERSION
        if version >= _VERSION_WITH_SESSIONS:
            request.session_id = self._naming.session_id
            request.session_epoch = self._naming.session_epoch
            forgotten: defaultdict[str, list[int]] = defaultdict(list)
            for topic, number in self._naming.forgotten:
                forgotten[topic].append(number)
            request.forgotten_topics_data = list(forgotten.items())
        if version >= _VERSION_WITH_EPOCHS:
            epochs = {partition: asked.leader_epoch for partition, asked in self._naming.named}
            for topic, partitions in request.topics:
                partitions[:] = [
                    (number, epochs[SourcePartition(topic, number)], *rest)
                    for number, _, *rest in partitions
                ]
        return request
