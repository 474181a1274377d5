"""Brokers of older releases: 2.3.1, which runs on ZooKeeper and knows no topic ids, and 3.9."""

import asyncio
import json
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from confluent_kafka import KafkaError, KafkaException

from cachesvc.client import Batch, CaughtUp, Client, DataLoss, Mode
from cachesvc.mining.kafka import KafkaCatalogue, KafkaSettings
from cachesvc.mining.kafka.checks import examine
from cachesvc.mining.kafka.cluster import Cluster
from cachesvc.mining.kafka.producing import GroupOffset, delete_before
from cachesvc.mining.source import SourcePartition
from cachesvc.policy.connection_checks import Check, CheckStatus, Finding
from cachesvc.settings.connection import parse_connection
from cachesvc.v1.log_cache_pb2 import MINING
from tests.faults.stage import Calls, eventually
from tests.support.deliveries import changes, counted, delivery, opened
from tests.support.kafka_broker import KafkaBroker
from tests.support.service import ServiceProcess
from tests.support.tasks import Delivered, expect_same, full, until
from tests.support.topics import (
    TransactionalWriter,
    add_partitions,
    configure_topic,
    create_mixed_topics,
    create_topic,
    delete_topic,
    produce,
    read_all,
    watermarks,
)
from tests.support.writing import Compression, OutRecord

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(180)]
Name = Callable[[str], str]
WAIT_S = 60.0
# What a topic's records are stored as from then on, and the magic byte of that format.
FORMATS = (("2.3", 2), ("0.10.0", 1), ("0.9.0", 0), ("2.3", 2), ("0.10.0", 1))
COMPRESSIONS: tuple[Compression, ...] = ("none", "gzip", "snappy", "lz4")  # zstd needs format 2


def _objects(begin: int, end: int, partition: int = 0) -> list[OutRecord]:
    return [OutRecord(b"k", b'{"id":%d}' % n, partition=partition) for n in range(begin, end)]


def _has_ids(broker: KafkaBroker) -> bool:
    return not broker.version.startswith("2.")


def test_every_compression_and_kind_of_record(
    old_kafka: KafkaBroker, topic_name: Name, tmp_path: Path
) -> None:
    bootstrap = old_kafka.bootstrap
    specs = create_mixed_topics(bootstrap, topic_name("mixed"))
    transactions = topic_name("transactions")
    create_topic(bootstrap, transactions)
    with TransactionalWriter(bootstrap) as writer:
        writer.commit(transactions, _objects(0, 50))
        writer.abort(transactions, _objects(50, 100))
        writer.commit(transactions, _objects(100, 150))
        writer.abort(transactions, _objects(150, 160))
    with ServiceProcess(tmp_path, bootstrap) as service:
        for name in (*(spec.name for spec in specs), transactions):
            asyncio.run(expect_same(service.address, bootstrap, name))
        seen = asyncio.run(full(service.address, "ids", transactions)).of(transactions)[0]
    ids = [json.loads(value or b"")["id"] for _, value in seen]
    assert ids == [*range(50), *range(100, 150)]


def test_a_stream_goes_on_over_a_restart_and_new_partitions(
    old_kafka: KafkaBroker, topic_name: Name, tmp_path: Path
) -> None:
    bootstrap, topic = old_kafka.bootstrap, topic_name("incarnations")
    create_topic(bootstrap, topic)
    produce(bootstrap, topic, _objects(0, 100))

    async def follow(address: str) -> dict[int, list[int]]:
        seen: dict[int, list[int]] = {0: [], 1: []}
        restarted = False
        async with (
            asyncio.timeout(WAIT_S),
            Client(address) as client,
            client.subscribe("s", topics=[topic], mode=Mode.FULL_AND_INCREMENTAL) as stream,
        ):
            async for event in stream.events():
                if isinstance(event, Batch):
                    seen[event.partition] += [record.offset for record in event]
                if isinstance(event, CaughtUp) and not restarted and len(seen[0]) == 100:
                    restarted = True
                    await asyncio.to_thread(_restart_and_grow, old_kafka, topic)
                if (len(seen[0]), len(seen[1])) == (200, 50):
                    break
        return seen

    with ServiceProcess(tmp_path, bootstrap) as service:
        seen = asyncio.run(follow(service.address))
    assert seen == {0: list(range(200)), 1: list(range(50))}


@pytest.mark.parametrize("old_kafka", ["2.3.1"], indirect=True)
def test_the_message_format_changes_in_mid_topic(
    old_kafka: KafkaBroker, topic_name: Name, tmp_path: Path
) -> None:
    """Records without a leader epoch, and without a timestamp, between those that have both."""
    bootstrap, topic = old_kafka.bootstrap, topic_name("formats")
    create_topic(bootstrap, topic)

    def stored_as() -> int:
        """The format of the newest record batch on the broker's disk."""
        segment = old_kafka.data_directory / f"{topic}-0" / f"{0:020}.log"
        return _formats(segment.read_bytes())[-1]

    async def follow(address: str) -> Delivered:
        end = {0: sum(1 for _ in read_all(bootstrap, topic)[0])}
        return await until(address, "live", topic, end)

    with ServiceProcess(tmp_path, bootstrap) as service:
        for version, magic in FORMATS:
            configure_topic(bootstrap, topic, {"message.format.version": version})

            def written(magic: int = magic) -> bool:
                produce(bootstrap, topic, _objects(0, 1))
                return stored_as() == magic

            eventually(written, f"format {magic}")
            for compression in COMPRESSIONS:
                produce(bootstrap, topic, _objects(0, 30), compression=compression)
                assert stored_as() == magic
            asyncio.run(follow(service.address))
            service.kill()
            service.start()
        asyncio.run(expect_same(service.address, bootstrap, topic))
        with Calls(service.address) as calls:
            eventually(lambda: calls.topic(topic).mining_state == MINING, "it to be mined on")
            assert calls.topic(topic).incarnation == 1


def _formats(segment: bytes) -> list[int]:
    """The magic byte of each record batch."""
    found, position = [], 0
    while position < len(segment):
        _, length, _, magic = struct.unpack_from(">qiib", segment, position)
        found.append(magic)
        position += 12 + length
    return found


def _restart_and_grow(broker: KafkaBroker, topic: str) -> None:
    broker.kill()
    broker.start()
    produce(broker.bootstrap, topic, _objects(100, 200))
    add_partitions(broker.bootstrap, topic, 2)
    produce(broker.bootstrap, topic, _objects(0, 50, partition=1))


def _created(bootstrap: str, topic: str) -> bool:
    """Makes a topic; False while ZooKeeper, other than the broker, still knows one of that name."""
    try:
        create_topic(bootstrap, topic)
    except KafkaException as error:
        if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
            raise
        return False
    return True


def test_a_topic_that_comes_back_with_fewer_records_is_never_mixed_up(
    old_kafka: KafkaBroker, topic_name: Name, tmp_path: Path
) -> None:
    """Without topic ids, that it ends before where mining has to go on tells."""
    bootstrap, topic = old_kafka.bootstrap, topic_name("reborn")
    create_topic(bootstrap, topic)
    produce(bootstrap, topic, _objects(0, 100))
    with ServiceProcess(tmp_path, bootstrap) as service, Calls(service.address) as calls:
        assert asyncio.run(full(service.address, "s", topic, commit=True)).count == 100
        delete_topic(bootstrap, topic)
        eventually(lambda: _created(bootstrap, topic), "the name to be free")
        produce(bootstrap, topic, _objects(1_000, 1_010))

        eventually(lambda: calls.incarnation(topic) == 2, "the change to be noticed")
        fresh = asyncio.run(full(service.address, "fresh", topic))
        with pytest.raises(DataLoss) as caught:
            asyncio.run(until(service.address, "s", topic, {0: 1_000}))
        assert caught.value.reason == "TOPIC_RECREATED"
    truth = read_all(bootstrap, topic)[0]
    assert [value for _, value in fresh.of(topic)[0]] == [record.value for record in truth]


def test_the_catalogue_of_an_older_broker(old_kafka: KafkaBroker, topic_name: Name) -> None:
    topic = topic_name("asked")
    create_topic(old_kafka.bootstrap, topic, 2)
    timed = [
        OutRecord(None, b"{}", partition=0, timestamp_ms=1_700_000_000_000 + 10 * n)
        for n in range(10)
    ]
    produce(old_kafka.bootstrap, topic, timed)

    async def ask() -> None:
        catalogue = KafkaCatalogue(KafkaSettings(bootstrap_servers=(old_kafka.bootstrap,)))
        both = [(topic, 0), (topic, 1)]
        found = (await catalogue.list_topics())[topic]
        assert (found.partitions, bool(found.id)) == ((0, 1), _has_ids(old_kafka))
        assert (await catalogue.earliest_offsets(both)).all() == dict.fromkeys(both, 0)
        assert (await catalogue.end_offsets(both)).all() == {both[0]: 10, both[1]: 0}
        at = (await catalogue.offsets_at(both, 1_700_000_000_035)).all()
        assert at == {both[0]: 4, both[1]: None}
        await catalogue.close()

    asyncio.run(ask())


def test_the_connection_test_of_an_older_broker(old_kafka: KafkaBroker, topic_name: Name) -> None:
    topic = topic_name("checked")
    create_topic(old_kafka.bootstrap, topic)
    produce(old_kafka.bootstrap, topic, _objects(0, 1))
    settings = {
        "name": "old",
        "type": "both",
        "bootstrap_servers": [old_kafka.bootstrap],
        "topic_expression": topic,
    }

    async def collect() -> dict[Check, Finding]:
        results = examine(parse_connection(settings, "test"), 20.0)
        return {result.check: result.finding async for result in results}

    found = asyncio.run(collect())
    release = ".".join(old_kafka.version.split(".")[:2])
    assert found[Check.VERSION].detail == f"speaks as Kafka {release}"
    for check in (Check.AUTHENTICATION, Check.BROKERS, Check.TOPICS, Check.READ, Check.WRITE):
        assert found[check].status is CheckStatus.PASSED, found
    clock = CheckStatus.PASSED if _has_ids(old_kafka) else CheckStatus.SKIPPED
    assert found[Check.CLOCK].status is clock, found


def test_an_older_broker_as_a_target(old_kafka: KafkaBroker, topic_name: Name) -> None:
    topic = topic_name("target")
    rows = counted(0, 3_000)
    how = {"topic": topic, "partitions": 2, "partitioner": "keep", "compression": "zstd"}

    async def run() -> None:
        async with opened(old_kafka.bootstrap, topic, **how) as sink:
            assert all(check.passed for check in await sink.check())
            await sink.write(delivery(changes("o", 0, rows)))
        async with opened(old_kafka.bootstrap, topic, exactly_once=True, **how) as sink:
            assert all(check.passed for check in await sink.check())
            await sink.write(delivery(changes("o", 1, rows)))
            found = await sink.open()
            assert found is not None
            assert found["o", 1].offset == 3_000

    asyncio.run(run())
    meant = [each["value"].encode() for each in rows]
    found = read_all(old_kafka.bootstrap, topic)
    assert {n: [record.value for record in each] for n, each in found.items()} == {
        0: meant,
        1: meant,
    }
    # The trial of a check is nowhere, and each transaction has a marker.
    assert watermarks(old_kafka.bootstrap, topic) == {0: (0, 3_000), 1: (0, 3_001)}


def test_leader_epochs_of_an_older_broker(
    old_kafka: KafkaBroker, topic_name: Name, tmp_path: Path
) -> None:
    topic = topic_name("epochs")
    create_topic(old_kafka.bootstrap, topic)
    produce(old_kafka.bootstrap, topic, _objects(0, 10))

    async def ask(epoch: int | None = None) -> tuple[int, tuple[int, int, int]]:
        """The leader's epoch, and what it says about one."""
        cluster = Cluster(KafkaSettings(bootstrap_servers=(old_kafka.bootstrap,)))
        try:
            found = (await cluster.metadata([topic])).topics[topic]
            own, partition = found.leader_epochs[0], SourcePartition(topic, 0)
            asked = {partition: (own, own if epoch is None else epoch)}
            return own, (await cluster.epoch_ends(found.leaders[0], asked))[partition]
        finally:
            await cluster.close()

    with ServiceProcess(tmp_path, old_kafka.bootstrap) as service, Calls(service.address) as calls:
        assert asyncio.run(full(service.address, "s", topic)).count == 10
        first, end = asyncio.run(ask())
        assert end == (0, first, 10)
        old_kafka.stop()
        old_kafka.start()
        produce(old_kafka.bootstrap, topic, _objects(10, 30))
        second, end = asyncio.run(ask(first))
        # Without KRaft a broker that is alone stays the leader that it was.
        assert (second > first) == _has_ids(old_kafka)
        assert end == (0, first, 10 if second > first else 30)
        eventually(lambda: calls.offsets(topic)[0].log_end_offset == 30, "mining to go on")
        assert calls.offsets(topic)[0].incarnation == 1


def test_a_group_keeps_an_offset_and_records_before_it_are_deleted(
    old_kafka: KafkaBroker, topic_name: Name
) -> None:
    """What dead letters in a topic need."""
    place, group = SourcePartition(topic_name("letters"), 0), topic_name("group")
    create_topic(old_kafka.bootstrap, place.topic)
    produce(old_kafka.bootstrap, place.topic, _objects(0, 5))

    async def run() -> tuple[int | None, int | None]:
        cluster = Cluster(KafkaSettings(bootstrap_servers=(old_kafka.bootstrap,)))
        try:
            before = await GroupOffset(cluster, group, place, WAIT_S).read()
            await GroupOffset(cluster, group, place, WAIT_S).move(3)
            await delete_before(cluster, place, 3, WAIT_S)
            return before, await GroupOffset(cluster, group, place, WAIT_S).read()
        finally:
            await cluster.close()

    assert asyncio.run(run()) == (None, 3)
    assert watermarks(old_kafka.bootstrap, place.topic)[0] == (3, 5)
