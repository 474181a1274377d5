"""A whole reader against a real broker."""

import asyncio
import json
from collections.abc import Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from cachesvc.mining.reader import ReaderSettings, run_reader
from cachesvc.model import MiningState
from tests.integration.sources import in_thread, objects
from tests.support.kafka_broker import KafkaBroker
from tests.support.reading import read_all
from tests.support.tcp_proxy import TcpProxy
from tests.support.topics import create_mixed_topics, create_topic
from tests.support.writing import produce
from tests.unit.mining.fake_service import FakeService, serving, until

pytestmark = pytest.mark.kafka

Name = Callable[[str], str]


@asynccontextmanager
async def reading(tmp_path: Path, bootstrap: str, **settings: Any) -> Any:
    service = FakeService([bootstrap], **settings)
    async with serving(service, tmp_path) as address, asyncio.TaskGroup() as tasks:
        reader = tasks.create_task(
            run_reader(
                ReaderSettings(service=address, name="r", connection="c", report_interval_s=0.1)
            )
        )
        try:
            yield service
        finally:
            reader.cancel()


def is_object(value: bytes | None) -> bool:
    try:
        return value is None or isinstance(json.loads(value), dict)
    except ValueError:
        return False


def test_a_reader_mines_every_kind_of_record_as_it_is(
    kafka: KafkaBroker, topic_name: Name, tmp_path: Path
) -> None:
    specs = create_mixed_topics(kafka.bootstrap, topic_name("mixed"))

    async def scenario() -> None:
        async with reading(tmp_path, kafka.bootstrap) as service:
            service.assign({spec.name: (1, range(spec.partitions)) for spec in specs})
            for spec in specs:
                truth = await in_thread(read_all, kafka.bootstrap, spec.name)
                for number, records in truth.items():
                    log = service.logs[spec.name, number]
                    end = records[-1].offset + 1 if records else -1
                    await until(lambda log=log, end=end: log.end_offset == end)  # type: ignore[misc]
                    good = [record for record in records if is_object(record.value)]
                    bad = [record for record in records if not is_object(record.value)]
                    assert [mined(row) for row in log.rows()] == [plain(r) for r in good]
                    assert [mined(row) for row in log.rejects()] == [plain(r) for r in bad]

    asyncio.run(scenario())


def mined(row: dict[str, Any]) -> tuple[Any, ...]:
    value = row["value"].encode() if isinstance(row["value"], str) else row["value"]
    headers = tuple((header["key"], header["value"]) for header in row["headers"] or ())
    timestamp_ms = round(row["timestamp"].timestamp() * 1000)
    return (row["offset"], timestamp_ms, row["timestamp_type"], row["key"], value, headers)


def plain(record: Any) -> tuple[Any, ...]:
    return (
        record.offset,
        record.timestamp_ms,
        record.timestamp_type,
        record.key,
        record.value,
        tuple(record.headers),
    )


@pytest.mark.faults
def test_a_reader_reports_that_the_broker_is_away_and_goes_on(
    kafka: KafkaBroker, kafka_proxy: TcpProxy, topic_name: Name, tmp_path: Path
) -> None:
    topic = topic_name("away")
    create_topic(kafka.bootstrap, topic)
    produce(kafka.bootstrap, topic, objects(0, 100))

    async def scenario() -> None:
        async with reading(tmp_path, kafka.proxied_bootstrap) as service:
            service.assign({topic: (1, [0])})
            await until(lambda: service.logs[topic, 0].end_offset == 100)
            await until(lambda: service.state(topic, 0) is MiningState.MINING)
            assert service.reports[topic, 0].source_high_watermark == 100

            await in_thread(kafka_proxy.cut)
            await until(lambda: service.state(topic, 0) is MiningState.SOURCE_UNREACHABLE)
            await until(lambda: service.source_error != "")
            await in_thread(produce, kafka.bootstrap, topic, objects(100, 200))
            await in_thread(kafka_proxy.restore)

            await until(lambda: service.logs[topic, 0].end_offset == 200)
            await until(lambda: service.state(topic, 0) is MiningState.MINING)
            assert service.source_error == ""
            assert service.logs[topic, 0].offsets == list(range(200))

    asyncio.run(scenario())
