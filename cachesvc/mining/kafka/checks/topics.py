"""What can be done with the topics: found and read."""

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence

from aiokafka import errors
from aiokafka.protocol.fetch import FetchRequest

from cachesvc.errors import SourceUnreachable
from cachesvc.mining.kafka.cluster import EARLIEST_TIMESTAMP, READ_COMMITTED, Cluster
from cachesvc.mining.kafka.links import Channel
from cachesvc.mining.kafka.record_batches import KafkaBatch, next_fetch
from cachesvc.mining.kafka.topic_metadata import Metadata, TopicMetadata
from cachesvc.mining.source import SourcePartition
from cachesvc.policy.connection_checks import Finding, enumerated, failed, passed
from cachesvc.policy.topics import topic_matcher

Topics = Mapping[str, TopicMetadata]
_TOPIC_AUTHORIZATION_FAILED = 29
_PARTITIONS_MAX = 1_000
_READ_WAIT_MS = 0


def check_topics(metadata: Metadata, expression: str) -> tuple[Finding, Topics]:
    """Which topics an expression means; also returns them."""
    matches = topic_matcher(expression)
    seen = {
        name: topic
        for name, topic in metadata.topics.items()
        if not topic.is_internal and not topic.error_code
    }
    found = {name: seen[name] for name in sorted(seen) if matches(name)}
    if found:
        return passed(f"{len(found)} of {len(seen)} match: {enumerated(list(found))}"), found
    if seen:
        detail = f"none of {len(seen)} topics matches {expression!r}: {enumerated(sorted(seen))}"
        hint = "correct topic_expression, which has to match a topic's whole name"
    else:
        detail = "the cluster shows no topic"
        hint = "create one, or let this user DESCRIBE them: brokers hide what one may not see"
    return failed(detail, hint, reason="NO_TOPIC_MATCHES"), {}


async def check_reading(cluster: Cluster, topics: Topics) -> Finding:
    """Fetches from every topic, and decodes one record.

    Raises:
        SourceUnreachable: A broker does not answer.
    """
    by_leader: defaultdict[int, list[SourcePartition]] = defaultdict(list)
    partitions = [
        (leader, SourcePartition(name, number))
        for name, topic in topics.items()
        for number, leader in sorted(topic.leaders.items())
        if leader >= 0
    ]
    for leader, partition in partitions[:_PARTITIONS_MAX]:
        by_leader[leader].append(partition)
    refused: set[str] = set()
    record: str | None = None
    for leader, led in by_leader.items():
        asked = await _begins(cluster, leader, led, refused)
        record = await _fetch(cluster, leader, asked, refused) or record
    if refused:
        detail = f"{len(refused)} of {len(topics)} topics may not be read: "
        detail += enumerated(sorted(refused))
        hint = "let the user READ and DESCRIBE them (kafka-acls --add --operation Read --topic …)"
        return failed(detail, hint, reason="TOPIC_NOT_AUTHORIZED")
    return passed(record or "allowed; there is no record yet")


async def _begins(
    cluster: Cluster, leader: int, partitions: Sequence[SourcePartition], refused: set[str]
) -> dict[SourcePartition, int]:
    answers = await cluster.offsets(leader, dict.fromkeys(partitions, EARLIEST_TIMESTAMP))
    begins = {}
    for partition, (error_code, offset) in answers.items():
        if error_code == _TOPIC_AUTHORIZATION_FAILED:
            refused.add(partition.topic)
        elif error_code:
            raise _answered(str(partition), error_code)
        else:
            begins[partition] = offset
    return begins


async def _fetch(
    cluster: Cluster, leader: int, begins: Mapping[SourcePartition, int], refused: set[str]
) -> str | None:
    """Asks for as little as there is: brokers give one record batch, however small the limit."""
    by_topic: defaultdict[str, list[tuple[int, int, int]]] = defaultdict(list)
    for (topic, number), offset in begins.items():
        by_topic[topic].append((number, offset, 1))
    if not by_topic:
        return None
    request = FetchRequest(_READ_WAIT_MS, 0, 1, READ_COMMITTED, list(by_topic.items()))
    response = await cluster.send(leader, Channel.FETCH, request)
    record: str | None = None
    for topic, partitions in response.topics:
        for number, error_code, _, *rest in partitions:
            partition = SourcePartition(topic, number)
            if error_code == _TOPIC_AUTHORIZATION_FAILED:
                refused.add(topic)
            elif error_code:
                raise _answered(str(partition), error_code)
            elif record is None and rest[-1]:
                record = await asyncio.to_thread(_first, partition, begins[partition], rest[-1])
    return record


def _first(partition: SourcePartition, offset: int, data: bytes) -> str | None:
    batch = KafkaBatch(partition, offset, next_fetch(data, offset)[0], data)
    for chunk in batch.chunks(1):
        if len(chunk):
            return f"a record of {partition} at offset {chunk.offsets[0]}"
    return None


def _answered(place: str, error_code: int) -> SourceUnreachable:
    return SourceUnreachable(f"{place}: the broker answers {errors.for_code(error_code).__name__}")
