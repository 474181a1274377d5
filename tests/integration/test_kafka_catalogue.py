"""The Kafka adapter as a catalogue of topics, against a real broker."""

import asyncio
import time
from collections.abc import Callable

import pytest

from cachesvc.errors import SourceUnreachable
from cachesvc.mining.kafka import KafkaCatalogue, KafkaSettings
from tests.integration.sources import in_thread, objects
from tests.support.kafka_broker import KafkaBroker
from tests.support.ports import free_ports
from tests.support.tcp_proxy import TcpProxy
from tests.support.topics import (
    create_topic,
    delete_records_before,
    delete_topic,
)
from tests.support.writing import OutRecord, TransactionalWriter, produce

pytestmark = pytest.mark.kafka

Name = Callable[[str], str]


def test_the_catalogue_answers(kafka: KafkaBroker, topic_name: Name) -> None:
    topic = topic_name("catalogue")
    create_topic(kafka.bootstrap, topic, 3)
    timed = [
        OutRecord(None, b"{}", partition=0, timestamp_ms=1_700_000_000_000 + 10 * number)
        for number in range(10)
    ]
    produce(kafka.bootstrap, topic, timed)
    delete_records_before(kafka.bootstrap, topic, {0: 2})

    async def scenario() -> None:
        catalogue = KafkaCatalogue(KafkaSettings(bootstrap_servers=(kafka.bootstrap,)))
        partitions = [(topic, number) for number in range(3)]
        with TransactionalWriter(kafka.bootstrap) as writer:
            await in_thread(writer.leave_open, topic, objects(0, 3, 1))

            topics = await catalogue.list_topics()
            assert topics[topic].partitions == (0, 1, 2)
            assert not [name for name in topics if name.startswith("__")]
            assert (await catalogue.earliest_offsets(partitions)).all() == dict(
                zip(partitions, (2, 0, 0), strict=True)
            )
            # What is not committed yet is not there yet.
            assert (await catalogue.end_offsets(partitions)).all() == dict(
                zip(partitions, (10, 0, 0), strict=True)
            )
            at = (await catalogue.offsets_at(partitions[:1], 1_700_000_000_035)).all()
            assert at == {partitions[0]: 4}
            for timestamp_ms, offset in ((0, 2), (-5, 2), (1_800_000_000_000, None)):
                found = (
                    await catalogue.offsets_at([partitions[0], partitions[2]], timestamp_ms)
                ).all()
                assert found == {partitions[0]: offset, partitions[2]: None}
            assert (await catalogue.end_offsets([])).all() == {}
            before = (await catalogue.list_topics())[topic].id
        await in_thread(delete_topic, kafka.bootstrap, topic)
        await in_thread(create_topic, kafka.bootstrap, topic)
        after = (await catalogue.list_topics())[topic].id
        assert before
        assert after not in ("", before)
        await catalogue.close()
        await catalogue.close()

    asyncio.run(scenario())


def test_the_catalogue_gives_up_in_bounded_time(kafka: KafkaBroker, kafka_proxy: TcpProxy) -> None:
    nobody = f"127.0.0.1:{free_ports(1)[0]}"

    async def scenario() -> None:
        for server in (nobody, kafka.proxied_bootstrap):
            catalogue = KafkaCatalogue(
                KafkaSettings(bootstrap_servers=(server,), answer_timeout_s=0.5)
            )
            began_s = time.monotonic()
            with pytest.raises(SourceUnreachable) as raised:
                await catalogue.list_topics()
            assert time.monotonic() - began_s < 20
            assert raised.value.retriable
            await catalogue.close()

    kafka_proxy.delay(120)  # far beyond the bound, which leaves room for a busy machine
    asyncio.run(scenario())
