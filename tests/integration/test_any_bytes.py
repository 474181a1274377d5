"""Record batches of every kind that real brokers take come out of the cache as they went in.

Whatever a broker answers to a batch decides: what it takes has to be there, byte for byte, and what
it refuses is no record. librdkafka's view is held against that where it has one.
"""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cachesvc.client import AtTimestamp, Client, Encoding, Mode, Record
from tests.faults.stage import Calls, eventually
from tests.support.kafka_broker import KafkaBroker
from tests.support.kafka_jars import kafka_versions
from tests.support.raw_batches import BatchMaker, Made, Meant
from tests.support.raw_records import message, produce_raw
from tests.support.reading import read_all
from tests.support.service import ServiceProcess
from tests.support.tasks import full, is_json_object
from tests.support.topics import create_topic

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(180)]
Name = Callable[[str], str]
BATCHES = 150
SEED = 20_261_127
# Everything is sealed soon, and read from Parquet then.
SEALED: dict[str, dict[str, object]] = {
    "store": {"segment_records_max": 100, "segment_age_s_max": 1.0, "warm_bytes_max": 0},
    "jobs.compact": {"interval_s": 86_400},
}


@pytest.fixture(scope="module")
def oldest_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaBroker]:
    """2.3.1, which takes the old formats and keeps records in them."""
    directory = tmp_path_factory.mktemp("oldest")
    options = ("-XX:TieredStopAtLevel=1",)
    broker = KafkaBroker(directory, jvm_options=options, version=kafka_versions()[0])
    with broker:
        yield broker
    broker.discard_data()


def _any_time(broker: KafkaBroker) -> dict[str, str]:
    """A topic's setting to take records from the future too, where that is not the default."""
    newest = broker.version.startswith("4.")
    return {"message.timestamp.after.max.ms": str((1 << 63) - 1)} if newest else {}


def _fill(broker: KafkaBroker, topic: str, batches: Iterator[Made]) -> tuple[list[Meant], int]:
    """Produces batches: the records of those that the broker took, and how many it refused."""
    taken: list[Meant] = []
    refused = 0
    for made in batches:
        error_code, base_offset = produce_raw(broker.bootstrap, topic, made.data, 0, made.version)
        if error_code:
            refused += 1
            continue
        assert base_offset == len(taken)
        taken += made.meant
    return taken, refused


def _seen(record: Record) -> Meant:
    headers = tuple((header.key_bytes, header.value) for header in record.headers)
    kind = int(record.timestamp_type)
    return Meant(record.timestamp_ms, kind, record.key, record.value, headers)


async def _delivered(address: str, topic: str, encoding: Encoding) -> dict[int, Meant]:
    async with (
        asyncio.timeout(60),
        Client(address) as client,
        client.subscribe(
            f"{topic}-{encoding.name}", topics=[topic], mode=Mode.FULL, encoding=encoding
        ) as stream,
    ):
        return {record.offset: _seen(record) async for record in stream.records()}


def _expect(broker: KafkaBroker, directory: Path, topic: str, taken: list[Meant]) -> None:
    """All that is JSON comes, by either encoding, from the journal and from segments."""
    wanted = {n: meant for n, meant in enumerate(taken) if is_json_object(meant.value)}
    service = ServiceProcess(directory, broker.bootstrap, SEALED)
    with service, Calls(service.address) as calls:
        for _ in ("journals", "segments"):
            for encoding in (Encoding.ARROW_IPC, Encoding.RECORDS):
                found = asyncio.run(_delivered(service.address, topic, encoding))
                assert list(found) == list(wanted)
                wrong = [n for n, meant in wanted.items() if found[n] != meant]
                assert not wrong, (
                    f"{len(wanted)} wrong, such as {found[wrong[0]]}, not {wanted[wrong[0]]}"
                )
            eventually(lambda: _sealed_end(calls, topic) == len(taken), "segments")
        rejects = sum(segment.reject_count for segment in calls.segments(topic))
        assert rejects == len(taken) - len(wanted)
        for job in ("compact", "models"):
            calls.run_job(job)


def _sealed_end(calls: Calls, topic: str) -> int:
    return max((segment.end_offset for segment in calls.segments(topic)), default=0)


def _check_format_2(broker: KafkaBroker, directory: Path, name: Name) -> None:
    wild, tame = name("wild"), name("tame")
    maker = BatchMaker(SEED)
    made = [maker.batch() for _ in range(BATCHES)]
    for topic in (wild, tame):
        create_topic(broker.bootstrap, topic, 1, _any_time(broker))
    taken, refused = _fill(broker, wild, iter(made))
    assert refused < BATCHES // 4
    _expect(broker, directory, wild, taken)

    taken, _ = _fill(broker, tame, (each for each in made if each.tame))
    by_librdkafka = [
        Meant(
            record.timestamp_ms,
            record.timestamp_type,
            record.key,
            record.value,
            tuple((key.encode(), value) for key, value in record.headers),
        )
        for record in read_all(broker.bootstrap, tame)[0]
    ]
    assert by_librdkafka == taken


def test_the_newest_kafka(kafka: KafkaBroker, topic_name: Name, tmp_path: Path) -> None:
    _check_format_2(kafka, tmp_path, topic_name)


def test_the_oldest_kafka(oldest_kafka: KafkaBroker, topic_name: Name, tmp_path: Path) -> None:
    _check_format_2(oldest_kafka, tmp_path, topic_name)


@pytest.mark.parametrize(("magic", "version"), [(0, "0.9.0"), (1, "0.10.0")])
def test_old_formats(
    oldest_kafka: KafkaBroker, topic_name: Name, tmp_path: Path, magic: int, version: str
) -> None:
    topic = topic_name(f"format-{magic}")
    create_topic(oldest_kafka.bootstrap, topic, 1, {"message.format.version": version})
    maker = BatchMaker(SEED + magic)

    taken, refused = _fill(oldest_kafka, topic, (maker.message_set(magic) for _ in range(BATCHES)))

    assert refused < BATCHES // 2
    _expect(oldest_kafka, tmp_path, topic, taken)


def test_the_smallest_messages_and_a_start_at_a_time_without_times(
    oldest_kafka: KafkaBroker, topic_name: Name, tmp_path: Path
) -> None:
    """The smallest is 26 bytes, less than the header of a record batch."""
    bootstrap, topic = oldest_kafka.bootstrap, topic_name("smallest")
    create_topic(bootstrap, topic, 1, {"message.format.version": "0.9.0"})
    for key, value in ((b"k", b"{}"), (None, b""), (b"k", None), (None, None)):
        assert produce_raw(bootstrap, topic, message(0, key, value), version=2)[0] == 0

    async def first(address: str, subscription: str) -> int:
        async with (
            asyncio.timeout(30),
            Client(address) as client,
            client.subscribe(
                subscription,
                topics=[topic],
                mode=Mode.INCREMENTAL,
                start=AtTimestamp(1_600_000_000_000),
            ) as stream,
        ):
            return await anext(record.offset async for record in stream.records())

    with ServiceProcess(tmp_path, bootstrap) as service:
        assert asyncio.run(first(service.address, "never-mined")) == 0
        seen = asyncio.run(full(service.address, "full", topic))
        assert seen.of(topic) == {0: [(0, b"{}"), (2, None), (3, None)]}
        assert asyncio.run(first(service.address, "cached")) == 0
