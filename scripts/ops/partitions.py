"""Partitions of a service: whose a position is, and where logs begin and end."""

from cachesvc.v1 import log_cache_pb2 as pb
from console import Service

Key = tuple[str, int, int]
"""Topic, partition, incarnation."""
Logs = dict[Key, pb.PartitionOffsets]


def whose(position: pb.Position | pb.PartitionOffsets) -> Key:
    """The partition of a position."""
    return position.topic, position.partition, position.incarnation


async def logs_of(found: Service, connection: str) -> Logs:
    """What every log of a connection has now."""
    answer = await found.log_cache.ListOffsets(pb.ListOffsetsRequest(connection=connection))
    return {whose(each): each for each in answer.partitions}
