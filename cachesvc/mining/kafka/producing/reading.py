"""Everything that a small topic has, as whoever reads committed records gets it."""

import asyncio
import time
from collections.abc import AsyncGenerator, Iterator

from aiokafka.protocol.fetch import FetchRequest

from cachesvc.backoff import Backoff
from cachesvc.errors import SourceUnreachable
from cachesvc.mining.kafka.cluster import (
    EARLIEST_TIMESTAMP,
    LATEST_TIMESTAMP,
    READ_COMMITTED,
    READ_UNCOMMITTED,
    Cluster,
)
from cachesvc.mining.kafka.links import Channel
from cachesvc.mining.kafka.producing.answers import NO_ERROR, name_of
from cachesvc.mining.kafka.record_batches import KafkaBatch, next_fetch
from cachesvc.mining.source import RecordColumns, SourcePartition

_WAIT_MS = 200
_FETCH_BYTES_MAX = 4 << 20
_RECORDS_MAX = 10_000
_OUT_OF_RANGE = 1


async def read_committed(
    cluster: Cluster, partition: SourcePartition, limit_s: float
) -> dict[bytes, bytes | None]:
    """The last committed value of each key, as of a moment after the call.

    Args and errors are those of ``committed``.
    """
    found: dict[bytes, bytes | None] = {}
    async for batch in committed(cluster, partition, limit_s):
        found.update(await asyncio.to_thread(_latest, batch))
    return found


async def committed(
    cluster: Cluster, partition: SourcePartition, limit_s: float, begin: int | None = None
) -> AsyncGenerator[KafkaBatch, None]:
    """What is committed as of a moment after the call, in order; without what expires meanwhile.

    Waits for transactions of others that were open by then and hold up what lies behind them;
    without that, a record that was committed before the call might be missing.

    Args:
        cluster: Where it is.
        partition: Which one.
        limit_s: Seconds for the whole.
        begin: The first offset; where the partition has none like it, as without, the earliest.

    Raises:
        SourceUnreachable: It did not come to its end in time.
    """
    end_s = time.monotonic() + limit_s
    backoff = Backoff(0.02, 0.5)
    offset: int | None = None
    end: int | None = None
    while True:
        try:
            leader = await leader_of(cluster, partition)
            if end is None:
                end = await _offset(cluster, leader, partition, LATEST_TIMESTAMP, READ_UNCOMMITTED)
            if offset is None:
                earliest = await _offset(
                    cluster, leader, partition, EARLIEST_TIMESTAMP, READ_COMMITTED
                )
                offset = earliest
                if begin is not None and earliest <= begin <= end:
                    offset = begin
            while offset < end and time.monotonic() < end_s:
                batch = await _fetch(cluster, leader, partition, offset)
                yield batch
                offset = batch.end_offset
            if offset >= end:
                return
        except SourceUnreachable as error:
            if time.monotonic() > end_s or not error.retriable:
                raise
            await asyncio.sleep(backoff.next())
        except _Moved:
            offset = None
        if time.monotonic() > end_s:
            raise SourceUnreachable(
                f"{partition}: a transaction of somebody else holds up what lies behind offset "
                f"{offset} for more than {limit_s:g} s"
            )


class _Moved(Exception):
    """The beginning of the log did."""


async def leader_of(cluster: Cluster, partition: SourcePartition) -> int:
    """The node that leads a partition; raises ``SourceUnreachable`` where none does for now."""
    topic = (await cluster.metadata([partition.topic])).topics.get(partition.topic)
    leader = -1 if topic is None else topic.leaders.get(partition.number, -1)
    if leader < 0:
        raise SourceUnreachable(f"{partition} has no leader for now")
    return leader


async def _offset(
    cluster: Cluster, leader: int, partition: SourcePartition, timestamp: int, isolation: int
) -> int:
    answers = await cluster.offsets(leader, {partition: timestamp}, isolation)
    error_code, offset = answers[partition]
    if error_code != NO_ERROR:
        raise SourceUnreachable(f"{partition}: {name_of(error_code)}")
    return offset


async def _fetch(
    cluster: Cluster, leader: int, partition: SourcePartition, offset: int
) -> KafkaBatch:
    asked = [(partition.topic, [(partition.number, offset, _FETCH_BYTES_MAX)])]
    request = FetchRequest(_WAIT_MS, 1, _FETCH_BYTES_MAX, READ_COMMITTED, asked)
    response = await cluster.send(leader, Channel.FETCH, request)
    ((_, ((_, error_code, _, *rest),)),) = response.topics
    if error_code == _OUT_OF_RANGE:
        raise _Moved
    if error_code != NO_ERROR:
        raise SourceUnreachable(f"{partition}: {name_of(error_code)}")
    aborted, data = rest[1 if response.API_VERSION == 4 else 2], rest[-1] or b""
    end, epoch = next_fetch(data, offset)
    return KafkaBatch(partition, offset, end, data, tuple(aborted or ()), epoch)


def _latest(batch: KafkaBatch) -> dict[bytes, bytes | None]:
    return {
        key: value
        for chunk in chunks_of(batch)
        for key, value in zip(chunk.keys, chunk.values, strict=True)
        if key is not None
    }


def chunks_of(batch: KafkaBatch) -> Iterator[RecordColumns]:
    """The records of a batch; none where it has not moved on. CPU work."""
    if batch.end_offset > batch.base_offset:
        yield from batch.chunks(_RECORDS_MAX)
