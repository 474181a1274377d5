"""The Kafka adapter as a source of records, against a real broker."""

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from cachesvc.errors import SourceUnreachable
from cachesvc.mining.kafka import KafkaCatalogue, KafkaSettings
from cachesvc.mining.source import ProblemReason
from tests.integration.sources import broker, collecting, in_thread, objects
from tests.support.kafka_broker import KafkaBroker
from tests.support.reading import read_all
from tests.support.tcp_proxy import TcpProxy
from tests.support.topics import (
    COMPACT_EAGERLY,
    add_partitions,
    create_topic,
    delete_records_before,
    delete_topic,
)
from tests.support.writing import OutRecord, TransactionalWriter, produce
from tests.unit.mining.fake_service import until

pytestmark = pytest.mark.kafka

Name = Callable[[str], str]


def test_reads_from_the_earliest_offset_and_from_a_given_one(
    kafka: KafkaBroker, topic_name: Name
) -> None:
    topic = topic_name("reads")
    create_topic(kafka.bootstrap, topic, 2)
    produce(kafka.bootstrap, topic, objects(0, 100, 0), compression="zstd")
    produce(kafka.bootstrap, topic, objects(0, 100, 1), compression="lz4")
    delete_records_before(kafka.bootstrap, topic, {0: 20})

    async def scenario() -> None:
        async with collecting(kafka.bootstrap) as (source, collected):
            first, second = collected.add(topic, 0), collected.add(topic, 1, 37)
            await collected.reached(first, 100)
            await collected.reached(second, 100)

            assert collected.offsets(first) == list(range(20, 100))
            assert collected.begins[first] == 20
            assert collected.offsets(second) == list(range(37, 100))
            assert source.status(first).high_watermark == 100
            assert source.error == ""

    asyncio.run(scenario())


def test_what_a_transaction_leaves_behind_is_covered_at_once(
    kafka: KafkaBroker, topic_name: Name
) -> None:
    topic = topic_name("transactions")
    create_topic(kafka.bootstrap, topic)

    async def scenario() -> None:
        async with collecting(kafka.bootstrap) as (source, collected):
            partition = collected.add(topic, 0)
            with TransactionalWriter(kafka.bootstrap) as writer:
                await in_thread(writer.commit, topic, objects(0, 3))
                await collected.reached(partition, 4)
                await in_thread(writer.abort, topic, objects(0, 5))
                began_s = time.monotonic()
                await collected.reached(partition, 10)
                assert time.monotonic() - began_s < 20, "it waits for records behind it"
                await in_thread(writer.leave_open, topic, objects(0, 2))
                await asyncio.sleep(0.5)
                assert collected.ends[partition] == 10
                assert source.status(partition).high_watermark == 10
            await collected.reached(partition, 13)

            assert collected.offsets(partition) == [0, 1, 2]

    asyncio.run(scenario())


def test_holes_of_compaction_are_covered(kafka: KafkaBroker, topic_name: Name) -> None:
    topic = topic_name("compacted")
    create_topic(kafka.bootstrap, topic, config=COMPACT_EAGERLY)

    async def scenario() -> None:
        async with collecting(kafka.bootstrap) as (_, collected):
            for turn in range(150):
                record = OutRecord(b"same", b'{"turn":%d}' % turn)
                await in_thread(produce, kafka.bootstrap, topic, [record])
                truth = (await in_thread(read_all, kafka.bootstrap, topic))[0]
                if len(truth) < truth[-1].offset:
                    break
            else:
                pytest.fail("nothing was compacted")
            partition = collected.add(topic, 0, 0)
            await collected.reached(partition, truth[-1].offset + 1)

            assert collected.begins[partition] == 0
            assert collected.offsets(partition)[-1] == truth[-1].offset
            assert len(collected.offsets(partition)) <= len(truth)

    asyncio.run(scenario())


def test_records_that_are_larger_than_a_fetch_pass(kafka: KafkaBroker, topic_name: Name) -> None:
    topic = topic_name("large")
    create_topic(kafka.bootstrap, topic, 3, {"max.message.bytes": str(16 << 20)})
    large = os.urandom(12 << 20)
    for number in range(3):
        for value in (b"{}", large, b"{}"):
            produce(kafka.bootstrap, topic, [OutRecord(None, value, partition=number)])
    settings = KafkaSettings(
        bootstrap_servers=(kafka.bootstrap,), partition_bytes_max=1 << 20, fetch_bytes_max=4 << 20
    )

    async def scenario() -> None:
        async with collecting(settings) as (_, collected):
            for partition in [collected.add(topic, number) for number in range(3)]:
                await collected.reached(partition, 3)
                assert collected.values(partition) == [b"{}", large, b"{}"]

    asyncio.run(scenario())


def test_a_range_that_the_source_deleted_is_named_and_others_go_on(
    kafka: KafkaBroker, topic_name: Name
) -> None:
    topic = topic_name("retention")
    create_topic(kafka.bootstrap, topic, 3)
    for number in range(3):
        produce(kafka.bootstrap, topic, objects(0, 20, number))
    delete_records_before(kafka.bootstrap, topic, {0: 15})

    async def scenario() -> None:
        async with collecting(kafka.bootstrap) as (_, collected):
            late = collected.add(topic, 0, 10)
            ahead = collected.add(topic, 1, 25)
            fine = collected.add(topic, 2, 0)
            assert "[10, 15)" in await collected.failed(late, ProblemReason.SOURCE_RETENTION)
            assert "25" in await collected.failed(ahead, ProblemReason.SOURCE_TRUNCATED)
            await in_thread(produce, kafka.bootstrap, topic, objects(20, 40, 2))
            await collected.reached(fine, 40)
            assert late not in collected.ends
            assert ahead not in collected.ends

            # Adding it anew, where the source still is, ends the trouble.
            collected.add(topic, 0, 15)
            await collected.reached(late, 20)

    asyncio.run(scenario())


def test_a_topic_that_was_made_anew_is_not_taken_for_the_old_one(
    kafka: KafkaBroker, topic_name: Name
) -> None:
    topic, other = topic_name("recreated"), topic_name("other")
    for name in (topic, other):
        create_topic(kafka.bootstrap, name)
        produce(kafka.bootstrap, name, objects(0, 10))

    async def scenario() -> None:
        async with collecting(kafka.bootstrap) as (_, collected):
            old, fine = collected.add(topic, 0), collected.add(other, 0)
            await collected.reached(old, 10)
            await in_thread(delete_topic, kafka.bootstrap, topic)
            await collected.failed(old, ProblemReason.UNKNOWN_TOPIC)
            await in_thread(create_topic, kafka.bootstrap, topic)
            await in_thread(produce, kafka.bootstrap, topic, objects(0, 30))
            await collected.failed(old, ProblemReason.TOPIC_RECREATED)
            await in_thread(produce, kafka.bootstrap, other, objects(10, 20))
            await collected.reached(fine, 20)
            assert collected.ends[old] == 10

    asyncio.run(scenario())


def test_asking_for_a_topic_does_not_make_it(tmp_path: Path, topic_name: Name) -> None:
    topic = topic_name("missing")
    config = {"auto.create.topics.enable": "true"}
    with broker(tmp_path, config) as kafka:

        async def scenario() -> None:
            async with collecting(kafka.bootstrap) as (_, collected):
                catalogue = KafkaCatalogue(KafkaSettings(bootstrap_servers=(kafka.bootstrap,)))
                missing = collected.add(topic, 0)
                await collected.failed(missing, ProblemReason.UNKNOWN_TOPIC)
                with pytest.raises(SourceUnreachable, match="does not exist"):
                    (await catalogue.end_offsets([(topic, 0)])).all()
                assert topic not in await catalogue.list_topics()

                await in_thread(create_topic, kafka.bootstrap, topic)
                await in_thread(produce, kafka.bootstrap, topic, objects(0, 5))
                await collected.reached(missing, 5)
                await catalogue.close()

        asyncio.run(scenario())


def test_partitions_come_and_go_while_others_flow(kafka: KafkaBroker, topic_name: Name) -> None:
    steady, guest = topic_name("steady"), topic_name("guest")
    create_topic(kafka.bootstrap, steady)
    create_topic(kafka.bootstrap, guest)
    produce(kafka.bootstrap, guest, objects(0, 50))

    async def scenario() -> None:
        async with collecting(kafka.bootstrap) as (source, collected):
            flowing = collected.add(steady, 0)
            for round_ in range(5):
                writing = asyncio.ensure_future(
                    in_thread(
                        produce,
                        kafka.bootstrap,
                        steady,
                        objects(1_000 * round_, 1_000 * (round_ + 1)),
                    )
                )
                visiting = collected.add(guest, 0, 10 * round_)
                await collected.reached(visiting, 50)
                source.remove(visiting)
                del collected.ends[visiting]
                await writing
            await in_thread(add_partitions, kafka.bootstrap, steady, 2)
            grown = collected.add(steady, 1)
            await in_thread(produce, kafka.bootstrap, steady, objects(0, 10, 1))
            await collected.reached(grown, 10)
            await collected.reached(flowing, 5_000)

            assert collected.offsets(flowing) == list(range(5_000))
            paused = collected.add(guest, 0, 0)
            source.pause(paused)
            await in_thread(produce, kafka.bootstrap, guest, objects(50, 60))
            await until(lambda: source.status(paused).high_watermark == 60)
            assert paused not in collected.ends

    asyncio.run(scenario())


def test_nothing_is_fetched_twice(
    kafka: KafkaBroker, kafka_proxy: TcpProxy, topic_name: Name
) -> None:
    topic, guest = topic_name("once"), topic_name("guest")
    create_topic(kafka.bootstrap, topic, 4)
    create_topic(kafka.bootstrap, guest)
    total = 40 << 20
    for number in range(4):
        values = [os.urandom(10_000) for _ in range(total // 4 // 10_000)]
        records = [OutRecord(None, value, partition=number) for value in values]
        # A batch that is cut off where an answer ends comes again: how much that is depends on how
        # large they are, which otherwise the producer's timing decides.
        produce(kafka.bootstrap, topic, records, settings={"batch.num.messages": 1})
    settings = KafkaSettings(
        bootstrap_servers=(kafka.proxied_bootstrap,), partition_bytes_max=1 << 20
    )

    async def scenario() -> None:
        async with collecting(settings) as (_, collected):
            partitions = [collected.add(topic, number) for number in range(4)]
            collected.add(guest, 0)
            for partition in partitions:
                await collected.reached(partition, total // 4 // 10_000)

    asyncio.run(scenario())
    assert 1 <= kafka_proxy.bytes_to_client / total <= 1.02


@pytest.mark.faults
def test_goes_on_after_broken_connections(
    kafka: KafkaBroker, kafka_proxy: TcpProxy, topic_name: Name
) -> None:
    topic = topic_name("broken")
    create_topic(kafka.bootstrap, topic, 2)

    async def scenario() -> None:
        async with collecting(kafka.proxied_bootstrap) as (source, collected):
            partitions = [collected.add(topic, number) for number in range(2)]
            for round_ in range(6):
                begin, end = 500 * round_, 500 * (round_ + 1)
                for number in range(2):
                    await in_thread(produce, kafka.bootstrap, topic, objects(begin, end, number))
                await in_thread(kafka_proxy.drop_connections)
                for partition in partitions:
                    await collected.reached(partition, end)
            await in_thread(kafka_proxy.cut)
            await until(lambda: source.error != "")
            await in_thread(produce, kafka.bootstrap, topic, objects(3_000, 3_010, 0))
            assert collected.ends[partitions[0]] == 3_000
            await in_thread(kafka_proxy.restore)
            await collected.reached(partitions[0], 3_010)
            await until(lambda: source.error == "")
            assert source.status(partitions[0]).problem is None

            for partition in partitions:
                assert collected.offsets(partition) == list(range(collected.ends[partition]))

    asyncio.run(scenario())


@pytest.mark.faults
def test_waits_for_a_broker_and_goes_on_after_its_restart(tmp_path: Path, topic_name: Name) -> None:
    topic = topic_name("restart")
    with broker(tmp_path, start=False) as kafka:

        async def scenario() -> None:
            async with collecting(kafka.bootstrap) as (source, collected):
                partition = collected.add(topic, 0)
                await until(lambda: source.error != "")
                await in_thread(kafka.start)
                await in_thread(create_topic, kafka.bootstrap, topic)
                await in_thread(produce, kafka.bootstrap, topic, objects(0, 10))
                await collected.reached(partition, 10)
                await in_thread(kafka.kill)
                await until(lambda: source.error != "")
                await in_thread(kafka.start)
                await in_thread(produce, kafka.bootstrap, topic, objects(10, 20))
                await collected.reached(partition, 20)
                assert collected.offsets(partition) == list(range(20))
                await until(lambda: source.error == "")

        asyncio.run(scenario())
