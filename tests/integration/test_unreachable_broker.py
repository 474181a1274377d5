"""One broker of three is out of reach: what the others lead is mined and delivered all the same."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest

from cachesvc.client import (
    Batch,
    Client,
    Ended,
    Event,
    MiningState,
    Mode,
    PartitionAdded,
    Progress,
    Started,
)
from tests.faults.stage import Calls, objects
from tests.support.kafka_cluster import KafkaCluster
from tests.support.ports import HOST
from tests.support.service import ServiceProcess
from tests.support.tcp_proxy import TcpProxy
from tests.support.topics import OutRecord, RecordWriter, produce

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(240)]

Name = Callable[[str], str]
SETTINGS: dict[str, dict[str, object]] = {
    "mining": {"metadata_interval_s": 1},
    "server": {"progress_interval_s": 0.3},
}
# Far below what a broker that says nothing may take to be given up, which is 5 s each time.
SOON_S = 4.0
RECORDS = 40


@dataclass
class Cluster:
    """Three brokers, of which clients reach the second one by a proxy."""

    brokers: KafkaCluster
    proxy: TcpProxy
    servers: list[str]

    @contextmanager
    def away(self, how: str) -> Iterator[None]:
        """Clients do not reach node 2 meanwhile: they are refused, or get no answer at all."""
        self.proxy.cut()
        held: list[socket.socket] = []
        if how == "silent":
            listener = socket.socket()
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((HOST, self.proxy.port))
            listener.listen(0)
            held.append(listener)
            for _ in range(4):  # a full backlog drops what else comes
                client = socket.socket()
                client.setblocking(False)
                client.connect_ex((HOST, self.proxy.port))
                held.append(client)
        try:
            yield
        finally:
            for each in reversed(held):
                each.close()
            self.proxy.restore()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with (
        TcpProxy() as proxy,
        KafkaCluster(
            tmp_path_factory.mktemp("cluster"),
            ("-XX:TieredStopAtLevel=1",),
            advertised={2: proxy.port},
        ) as brokers,
    ):
        first, second, third = brokers.servers
        proxy.forward_to(int(second.rpartition(":")[2]))
        yield Cluster(brokers, proxy, [first, third])


@dataclass
class Stream:
    """What a stream tells, as it comes."""

    events: list[Event] = field(default_factory=list)
    started_s: float = 0.0

    def offsets(self, partition: int) -> list[int]:
        batches = [e for e in self.events if isinstance(e, Batch) and e.partition == partition]
        return [record.offset for batch in batches for record in batch]

    def of(self, kind: type[Event]) -> list[Event]:
        return [event for event in self.events if isinstance(event, kind)]

    def told(self, partition: int) -> tuple[MiningState, str] | None:
        """What the last progress said of a partition."""
        rows = [row for e in self.events if isinstance(e, Progress) for row in e.partitions]
        last = [row for row in rows if row.position.partition == partition][-1:]
        return (last[0].mining_state, last[0].mining_error) if last else None


async def follow(address: str, name: str, topics: list[str], mode: Mode, stream: Stream) -> None:
    began_s = time.monotonic()
    async with Client(address) as client, client.subscribe(name, topics=topics, mode=mode) as live:
        async for event in live.events():
            if isinstance(event, Started):
                stream.started_s = time.monotonic() - began_s
            stream.events.append(event)


async def come(what: Callable[[], object], timeout_s: float = 60) -> None:
    async with asyncio.timeout(timeout_s):
        while not what():  # noqa: ASYNC110 - the client has no event for it
            await asyncio.sleep(0.02)


def made(cluster: Cluster, topic: str, replicas: list[list[int]]) -> None:
    cluster.brokers.create_topic(topic, replicas)
    produce(cluster.brokers.bootstrap, topic, objects(0, len(replicas) * RECORDS, len(replicas)))


@pytest.mark.parametrize("how", ["refused", "silent"])
def test_what_can_be_reached_flows(
    cluster: Cluster, topic_name: Name, tmp_path: Path, how: str
) -> None:
    both = topic_name(f"both-{how}")
    made(cluster, both, [[2], [1], [3]])
    healthy = [topic_name(f"healthy-{how}") for _ in range(6)]
    for each in healthy:
        made(cluster, each, [[1]])

    async def run(service: ServiceProcess, calls: Calls) -> None:
        live, whole = Stream(), Stream()

        def reading(name: str, topics: list[str], mode: Mode, stream: Stream) -> None:
            reads.append(asyncio.create_task(follow(service.address, name, topics, mode, stream)))

        reads: list[asyncio.Task[None]] = []
        with cluster.away(how):
            reading("live", [both], Mode.FULL_AND_INCREMENTAL, live)
            reading("whole", [both], Mode.FULL, whole)
            for stream in (live, whole):
                for number in (1, 2):
                    await come(partial(_has, stream, number))
                await come(partial(_is_told_away, stream, str(cluster.proxy.port)))
            away = MiningState.SOURCE_UNREACHABLE
            await come(lambda: _state(calls, both, 0) is away)
            assert calls.offsets(both)[1].log_end_offset == RECORDS
            # Whoever comes later does not wait for the broker that does not answer. The machine may
            # stand still for seconds, but does not at every try.
            others: list[Stream] = []
            for topic in healthy:
                others.append(Stream())
                reading(f"other-{topic}", [topic], Mode.FULL, others[-1])
                await come(lambda: others[-1].of(Ended))
                if others[-1].started_s < SOON_S:
                    break
            assert others[-1].started_s < SOON_S, [other.started_s for other in others]
            assert not whole.of(Ended)
            assert not whole.offsets(0)
        for stream in (live, whole):
            await come(partial(_has, stream, 0))
            assert len(stream.of(PartitionAdded)) == 1
        await come(lambda: whole.of(Ended))
        for read in reads:
            read.cancel()
        await asyncio.gather(*reads, return_exceptions=True)

    connection = {"bootstrap_servers": cluster.servers}
    with (
        ServiceProcess(tmp_path, "", SETTINGS, connection) as service,
        Calls(service.address) as calls,
    ):
        asyncio.run(run(service, calls))


def test_one_that_goes_away_stops_what_it_leads(
    cluster: Cluster, topic_name: Name, tmp_path: Path
) -> None:
    topic = topic_name("lost")
    made(cluster, topic, [[2], [1]])

    async def run(service: ServiceProcess, calls: Calls) -> None:
        stream = Stream()
        reading = asyncio.create_task(
            follow(service.address, "live", [topic], Mode.FULL_AND_INCREMENTAL, stream)
        )
        await come(lambda: len(stream.offsets(0)) == len(stream.offsets(1)) == RECORDS)
        with cluster.away("silent"):
            await come(lambda: _state(calls, topic, 0) == MiningState.SOURCE_UNREACHABLE)
            _write(cluster.servers[0], topic, objects(0, RECORDS, 2)[1::2])
            await come(lambda: len(stream.offsets(1)) == RECORDS * 3 // 2)
            await come(lambda: _state(calls, topic, 1) == MiningState.MINING)
        await come(lambda: _state(calls, topic, 0) == MiningState.MINING)
        _write(cluster.brokers.bootstrap, topic, objects(0, RECORDS, 2)[::2])
        await come(lambda: len(stream.offsets(0)) == RECORDS * 3 // 2)
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)

    connection = {"bootstrap_servers": cluster.servers}
    with (
        ServiceProcess(tmp_path, "", SETTINGS, connection) as service,
        Calls(service.address) as calls,
    ):
        asyncio.run(run(service, calls))


def _is_told_away(stream: Stream, address: str) -> bool:
    state, error = stream.told(0) or (None, "")
    return state is MiningState.SOURCE_UNREACHABLE and address in error


def _has(stream: Stream, partition: int) -> bool:
    return len(stream.offsets(partition)) == RECORDS


def _state(calls: Calls, topic: str, partition: int) -> MiningState:
    return MiningState(calls.offsets(topic)[partition].mining_state)


def _write(bootstrap: str, topic: str, records: list[OutRecord]) -> None:
    writer = RecordWriter(bootstrap)
    for record in records:
        writer.write_record(topic, record)
    writer.flush()
