"""Whether the topics can be written to, with the acks that are wanted. Nothing of it is stored."""

import asyncio
from collections import defaultdict

from aiokafka.protocol.transaction import InitProducerIdRequest

from cachesvc.errors import SourceUnreachable
from cachesvc.mining.kafka.checks.topics import Topics
from cachesvc.mining.kafka.cluster import Cluster
from cachesvc.mining.kafka.links import Channel
from cachesvc.mining.kafka.producing.answers import (
    CLUSTER_NOT_AUTHORIZED,
    NOT_ENOUGH_REPLICAS,
    TOPIC_NOT_AUTHORIZED,
    Answer,
    name_of,
)
from cachesvc.mining.kafka.producing.target_topics import TargetTopics
from cachesvc.mining.kafka.producing.trial import try_writing
from cachesvc.policy.connection_checks import Finding, enumerated, failed, judge_acks, passed

_ACLS = "(kafka-acls --add --operation Write --topic …"
_PARTITIONS_MAX = 1_000
# A coordinator that is loading, or not available.
_NOT_YET = frozenset({14, 15})
_AGAIN_S = 0.1
_ALL_IN_SYNC = -1


async def check_replicas(cluster: Cluster, topics: Topics, acks: str, limit_s: float) -> Finding:
    """Holds the acknowledgement that is wanted against the topics' replicas.

    Raises:
        SourceUnreachable: The broker does not answer, or a topic has no leader.
    """
    found = await TargetTopics(cluster, limit_s).find(list(topics))
    return judge_acks(
        acks, {name: (topic.replicas, topic.min_in_sync) for name, topic in found.items()}
    )


async def check_writing(cluster: Cluster, node: int, topics: Topics, acks: int) -> Finding:
    """Writes to every partition what each leader checks as any record, and does not store.

    With all in-sync replicas as acks, also asks for a producer id, as an idempotent producer does
    first; again while the broker is not ready for it. The caller limits the time.

    Args:
        cluster: Whom to ask.
        node: Any of its nodes.
        topics: Where to write.
        acks: Kafka's number.

    Raises:
        SourceUnreachable: A broker does not answer.
    """
    if acks == _ALL_IN_SYNC and not await _gives_producer_id(cluster, node):
        hint = f"let the user WRITE to the topics {_ACLS}; before Kafka 2.8 also IdempotentWrite)"
        return failed("the user may not write idempotently", hint, reason="WRITE_NOT_AUTHORIZED")
    by_leader: defaultdict[tuple[int, str], list[int]] = defaultdict(list)
    partitions = [
        (leader, name, number)
        for name, topic in topics.items()
        for number, leader in sorted(topic.leaders.items())
    ]
    for leader, name, number in partitions[:_PARTITIONS_MAX]:
        by_leader[leader, name].append(number)
    refused: dict[str, Answer] = {}
    for (leader, name), numbers in by_leader.items():
        if leader < 0:
            raise SourceUnreachable(f"{name}/{numbers[0]} has no leader for now")
        answers = await try_writing(cluster, leader, name, numbers, acks)
        refused |= {f"{name}/{n}": answer for n, answer in answers.items() if answer.error_code}
    if refused:
        return _refused(refused, len(partitions))
    how = "idempotently" if acks == _ALL_IN_SYNC else "without idempotence"
    if not topics:
        return passed(f"{how}; no topic to try it with")
    return passed(
        f"{how}, to {len(topics)} topics: each leader took a trial as far as its checksum, "
        "nothing was stored"
    )


async def _gives_producer_id(cluster: Cluster, node: int) -> bool:
    """Whether the user may write idempotently at all."""
    request = InitProducerIdRequest(None, 1_000)
    answer = await cluster.send(node, Channel.CONTROL, request)
    while answer.error_code in _NOT_YET:
        # A broker that was not asked before has to get ids from its controller first.
        await asyncio.sleep(_AGAIN_S)
        answer = await cluster.send(node, Channel.CONTROL, request)
    if answer.error_code and answer.error_code != CLUSTER_NOT_AUTHORIZED:
        raise SourceUnreachable(f"node {node}: the broker answers {name_of(answer.error_code)}")
    return not answer.error_code


def _refused(refused: dict[str, Answer], count: int) -> Finding:
    answer = next(iter(refused.values()))
    detail = f"{len(refused)} of {count} partitions may not be written: {enumerated(list(refused))}"
    if answer.error_code == TOPIC_NOT_AUTHORIZED:
        return failed(detail, f"let the user WRITE to them {_ACLS})", reason="WRITE_NOT_AUTHORIZED")
    if answer.error_code == NOT_ENOUGH_REPLICAS:
        hint = "start the brokers that are away, or lower min.insync.replicas of the topic"
        detail = f"{enumerated(list(refused))}: fewer replicas in sync than min.insync.replicas"
        return failed(detail, hint, reason="NOT_ENOUGH_REPLICAS")
    return failed(f"{detail} ({answer})", "see the broker's log", reason="WRITE_REFUSED")
