"""Records of a partition deleted from its begin on (KIP-107)."""

import asyncio
import time

from aiokafka.protocol.admin import DeleteRecordsRequest

from cachesvc.backoff import Backoff
from cachesvc.errors import ConnectionUnusable, SourceUnreachable
from cachesvc.mining.kafka.cluster import Cluster
from cachesvc.mining.kafka.links import Channel
from cachesvc.mining.kafka.producing.answers import NO_ERROR, TOPIC_NOT_AUTHORIZED, name_of
from cachesvc.mining.kafka.producing.reading import leader_of
from cachesvc.mining.source import SourcePartition

_REQUEST_MS = 10_000
_POLICY_VIOLATION = 44


async def delete_before(
    cluster: Cluster, partition: SourcePartition, offset: int, limit_s: float
) -> None:
    """Deletes everything before an offset; nobody can read it when this returns.

    What may pass is tried again until ``limit_s`` seconds are over.

    Raises:
        ConnectionUnusable: The user may not, or the topic is one that is compacted only.
        SourceUnreachable: The leader does not do it in time.
    """
    end_s = time.monotonic() + limit_s
    backoff = Backoff(0.02, 0.5)
    while True:
        try:
            leader = await leader_of(cluster, partition)
            deleted = [(partition.topic, [(partition.number, offset)])]
            request = DeleteRecordsRequest(deleted, _REQUEST_MS)
            answer = await cluster.send(leader, Channel.CONTROL, request)
            ((_, ((_, _, error_code, *_),), *_),) = answer.topics
            _check(partition, error_code)
            return
        except ConnectionUnusable:
            raise
        except SourceUnreachable:
            if time.monotonic() > end_s:
                raise
        await asyncio.sleep(backoff.next())


def _check(partition: SourcePartition, error_code: int) -> None:
    if error_code == NO_ERROR:
        return
    what = f"{partition}: records cannot be deleted: {name_of(error_code)}"
    if error_code == TOPIC_NOT_AUTHORIZED:
        hint = "let the user DELETE from the topic (kafka-acls --add --operation Delete --topic "
        raise ConnectionUnusable(
            f"{what}; {hint}{partition.topic})", reason="DELETE_NOT_AUTHORIZED"
        )
    if error_code == _POLICY_VIOLATION:
        hint = "the topic's cleanup.policy has to have delete in it"
        raise ConnectionUnusable(f"{what}; {hint}", reason="DELETE_NOT_ALLOWED")
    raise SourceUnreachable(what)
