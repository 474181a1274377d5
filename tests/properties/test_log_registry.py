"""The registry of logs against a plain list of them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cachesvc.log.log_registry import LogRegistry
from cachesvc.log.partition_log import PartitionLog
from cachesvc.model import PartitionId, TopicId

NAMES = st.sampled_from(["a", "b", "ab"])
PARTITIONS = st.builds(PartitionId, NAMES, NAMES, st.integers(1, 3), st.integers(0, 12))
TOPICS = st.builds(TopicId, NAMES, NAMES, st.integers(1, 4))


@given(st.lists(PARTITIONS, unique=True), TOPICS)
def test_every_look_up_is_a_pass_over_all(partitions: list[PartitionId], topic: TopicId) -> None:
    registry = LogRegistry()
    logs = [PartitionLog(partition, 0) for partition in partitions]
    for log in logs:
        registry.add(log)
    logs.sort(key=lambda log: log.id)
    connection, name = topic.connection, topic.topic
    of_connection = [log for log in logs if log.id.connection == connection]
    of_name = [log for log in of_connection if log.id.topic == name]
    of_topic = [log for log in logs if log.id.topic_id == topic]

    assert registry.in_order() == logs
    assert registry.in_order(connection) == of_connection
    assert registry.in_order(connection, name) == of_name
    assert registry.in_order("", name) == [log for log in logs if log.id.topic == name]
    assert len(registry) == len(logs)
    assert {each: registry[each] for each in registry} == {log.id: log for log in logs}
    assert registry.connections() == sorted({log.id.connection for log in logs})
    assert registry.topics(connection) == sorted({log.id.topic for log in of_connection})
    assert registry.has_topic(connection, name) == bool(of_name)
    assert registry.of_connection(connection) == of_connection
    assert registry.of_name(connection, name) == of_name
    assert registry.of_topic(topic) == of_topic
    assert sorted(registry.numbers(topic)) == [log.id.partition for log in of_topic]
    assert registry.get(topic.partition(99)) is None
