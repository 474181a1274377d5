"""A write that a broker checks as any other, and of which nothing is stored.

A record batch with a wrong checksum. A leader looks, in this order, whether the user may write,
whether it leads the partition, whether enough replicas are in sync for the acks that are wanted,
and then at the batch, which it turns away as corrupt. So that very answer says that all before it
is in order. It was tried against Kafka 2.3.1, 3.9.2 and 4.4.0.

A record in a transaction that is aborted would go further, to the disk, but stays in the log: every
consumer that reads uncommitted records, as consumers do by default, would get it.
"""

from collections.abc import Iterable

from cachesvc.mining.kafka.cluster import Cluster
from cachesvc.mining.kafka.links import Channel
from cachesvc.mining.kafka.producing.answers import (
    CORRUPT,
    INVALID_RECORD,
    NO_ERROR,
    Answer,
)
from cachesvc.mining.kafka.producing.encoding import Columns, encode
from cachesvc.mining.kafka.producing.form import CODECS, Form
from cachesvc.mining.kafka.producing.requests import BatchesRequest, parse_answers

_WAIT_MS = 5_000
_CHECKSUM_AT, _CHECKSUM_END = 17, 21
_ALL_IN_SYNC = -1


async def try_writing(
    cluster: Cluster, node: int, topic: str, numbers: Iterable[int], acks: int
) -> dict[int, Answer]:
    """What the leader of some partitions of a topic says to a write, without an error if it would.

    Args:
        cluster: Where they are.
        node: Their leader.
        topic: Their topic.
        numbers: Which partitions.
        acks: As it is going to be written with; for 0, which has no answer, 1 is tried.

    Raises:
        SourceUnreachable: It does not answer.
    """
    batch = _corrupt()
    data = [(topic, [(number, batch) for number in numbers])]
    request = BatchesRequest(acks if acks == _ALL_IN_SYNC else 1, _WAIT_MS, data)
    response = await cluster.send(node, Channel.CONTROL, request)
    return {
        number: Answer(NO_ERROR) if answer.error_code in (CORRUPT, INVALID_RECORD) else answer
        for (_, number), answer in parse_answers(response).items()
    }


def _corrupt() -> bytes:
    data, _ = encode(Columns([b"check"], [b"{}"], [0]), 0, 1, Form(CODECS["none"], 1 << 10))
    checksum = bytes(byte ^ 0xFF for byte in data[_CHECKSUM_AT:_CHECKSUM_END])
    return data[:_CHECKSUM_AT] + checksum + data[_CHECKSUM_END:]
