"""The main job on a real broker: mined once, delivered to many, exactly what the broker has."""

import asyncio
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from cachesvc.client import (
    Batch,
    CaughtUp,
    Client,
    Ended,
    Latest,
    Mode,
    NotFound,
    Position,
    Progress,
    Stream,
    SubscriptionTakenOver,
)
from tests.support.checker import Observation, check
from tests.support.kafka_broker import KafkaBroker
from tests.support.service import ServiceProcess
from tests.support.tasks import Delivered, expect_same, full, until
from tests.support.tcp_proxy import TcpProxy
from tests.support.topics import (
    BrokerRecord,
    OutRecord,
    TransactionalWriter,
    add_partitions,
    create_mixed_topics,
    create_topic,
    produce,
    read_all,
)

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(180)]
Name = Callable[[str], str]


@pytest.fixture(scope="module")
def service(
    kafka: KafkaBroker, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServiceProcess]:
    """Shared by the tests that leave it running: topics and subscriptions of one's own."""
    with ServiceProcess(tmp_path_factory.mktemp("service"), kafka.bootstrap) as service:
        yield service


def _values(first: int, count: int, partition: int | None = None) -> list[OutRecord]:
    return [
        OutRecord(
            key=f"k{n}".encode(),
            value=json.dumps({"id": n, "pad": "x" * 300}).encode(),
            partition=n % 2 if partition is None else partition,
        )
        for n in range(first, first + count)
    ]


def _topic(kafka: KafkaBroker, name: str, records: int = 0, partitions: int = 2) -> str:
    create_topic(kafka.bootstrap, name, partitions)
    if records:
        produce(kafka.bootstrap, name, _values(0, records))
    return name


def _anomalies(truth: Mapping[int, Sequence[BrokerRecord]], seen: Delivered, topic: str) -> object:
    rows = seen.of(topic)
    return check(truth, [Observation("task", n, rows.get(n, [])) for n in truth])


def test_every_kind_of_record_arrives_as_the_broker_has_it(
    kafka: KafkaBroker, service: ServiceProcess, topic_name: Name
) -> None:
    specs = create_mixed_topics(kafka.bootstrap, topic_name("mixed"))
    for spec in specs:
        asyncio.run(expect_same(service.address, kafka.bootstrap, spec.name))


def test_broker_bytes_do_not_depend_on_the_number_of_subscribers(
    kafka: KafkaBroker, kafka_proxy: TcpProxy, topic_name: Name, tmp_path: Path
) -> None:
    """G1, half of the subscribers joining late."""
    topic = _topic(kafka, topic_name("once"), 30_000)

    async def run(address: str, first: int, late: int) -> None:
        seen = await asyncio.gather(*(full(address, f"a{n}", topic) for n in range(first)))
        seen += await asyncio.gather(*(full(address, f"b{n}", topic) for n in range(late)))
        assert {delivered.count for delivered in seen} == {30_000}

    bytes_out = {}
    for label, first, late in (("one", 1, 0), ("sixteen", 8, 8)):
        kafka_proxy.reset_counts()
        with ServiceProcess(tmp_path / label, kafka.proxied_bootstrap) as service:
            asyncio.run(run(service.address, first, late))
        bytes_out[label] = kafka_proxy.bytes_to_client
    # Metadata and empty fetches go on while subscribers read: a few hundred bytes each.
    assert bytes_out["sixteen"] <= bytes_out["one"] * 1.05, bytes_out


def test_aborted_records_are_never_delivered(
    kafka: KafkaBroker, service: ServiceProcess, topic_name: Name
) -> None:
    topic = _topic(kafka, topic_name("tx"), partitions=1)
    with TransactionalWriter(kafka.bootstrap) as writer:
        writer.commit(topic, _values(0, 100, 0))
        writer.abort(topic, _values(100, 100, 0))
        writer.commit(topic, _values(200, 100, 0))
        writer.abort(topic, _values(300, 50, 0))
    truth = read_all(kafka.bootstrap, topic)
    seen = asyncio.run(full(service.address, topic, topic))
    assert not _anomalies(truth, seen, topic)
    assert seen.count == 200
    # The end lies behind the marker of the last, aborted transaction.
    assert seen.ended is not None
    assert seen.ended.positions[topic, 0].offset > 350


def test_modes_start_where_they_promise(
    kafka: KafkaBroker, service: ServiceProcess, topic_name: Name
) -> None:
    topic = _topic(kafka, topic_name("modes"), 1_000)
    address = service.address

    async def first_of(name: str, mode: Mode, **options: object) -> dict[int, int]:
        async with (
            Client(address) as client,
            client.subscribe(name, topics=[topic], mode=mode, **options) as stream,  # type: ignore[arg-type]
        ):
            return {key[1]: at.offset for key, at in stream.started.positions.items()}

    async def run() -> None:
        earliest, latest = {0: 0, 1: 0}, {0: 500, 1: 500}
        assert await first_of("inc", Mode.INCREMENTAL) == latest
        assert await first_of("both", Mode.FULL_AND_INCREMENTAL) == earliest
        delivered = await full(address, "full", topic, commit=True)
        assert delivered.count == 1_000
        # A stored position wins over the mode.
        assert await first_of("full", Mode.FULL_AND_INCREMENTAL) == latest
        async with Client(address) as client:
            found = await client.reset_subscription("full")
            assert found.full_sync_done
            # None stored, a full sync done: the latest.
            assert await first_of("full", Mode.FULL_AND_INCREMENTAL) == latest
            await client.reset_subscription("full", forget_full_sync=True)
            assert await first_of("full", Mode.FULL_AND_INCREMENTAL) == earliest
        # An increment that was never committed goes on where it began.
        await asyncio.to_thread(produce, kafka.bootstrap, topic, _values(1_000, 10))
        assert await first_of("inc", Mode.INCREMENTAL) == latest
        assert await first_of("new", Mode.FULL, start=Latest()) == {0: 505, 1: 505}
        at = [Position(topic, 0, 7), Position(topic, 1, 9)]
        assert await first_of("at", Mode.INCREMENTAL, start=at) == {0: 7, 1: 9}

    asyncio.run(asyncio.wait_for(run(), 90))


def test_a_subscription_goes_on_at_its_committed_position_after_a_restart(
    kafka: KafkaBroker, topic_name: Name, tmp_path: Path
) -> None:
    """G3, G5: the commit's answer is the promise; the service dies right after it."""
    topic = _topic(kafka, topic_name("resume"), 4_000)
    service = ServiceProcess(tmp_path, kafka.bootstrap).start()

    async def commit_some() -> Position:
        async with (
            Client(service.address) as client,
            client.subscribe("s", topics=[topic], mode=Mode.FULL_AND_INCREMENTAL) as stream,
        ):
            async for batch in stream:
                await stream.commit(batch.position)
                service.kill()
                return batch.position
        raise AssertionError("no batch")

    try:
        committed = asyncio.run(asyncio.wait_for(commit_some(), 60))
        service.start()

        async def go_on() -> int:
            async with (
                Client(service.address) as client,
                client.subscribe("s", topics=[topic], mode=Mode.INCREMENTAL) as stream,
            ):
                return stream.started.positions[topic, committed.partition].offset

        assert asyncio.run(asyncio.wait_for(go_on(), 60)) == committed.offset
        service.stop()
    finally:
        service.kill()


def test_the_newest_subscriber_takes_over(
    kafka: KafkaBroker, service: ServiceProcess, topic_name: Name
) -> None:
    topic = _topic(kafka, topic_name("takeover"), 100)

    async def run() -> None:
        async with Client(service.address) as client:
            older = client.subscribe(topic, topics=[topic], mode=Mode.FULL_AND_INCREMENTAL)
            async with older:
                batch = await anext(aiter(older))
                newer = client.subscribe(topic, topics=[topic], mode=Mode.FULL_AND_INCREMENTAL)
                async with newer:
                    with pytest.raises(SubscriptionTakenOver):
                        await _drain(older)
                    with pytest.raises(SubscriptionTakenOver):
                        await older.commit(batch.position)
                    assert (await anext(aiter(newer))).record_count

    asyncio.run(asyncio.wait_for(run(), 60))


async def _drain(stream: Stream) -> None:
    async for _ in stream:
        pass


def test_new_topics_and_partitions_join_a_running_stream(
    kafka: KafkaBroker, topic_name: Name, tmp_path: Path
) -> None:
    prefix = topic_name("expr")
    _topic(kafka, f"{prefix}.a", 10, partitions=2)
    with ServiceProcess(tmp_path, kafka.bootstrap) as service:

        async def run() -> None:
            seen: dict[tuple[str, int], int] = {}
            async with (
                Client(service.address) as client,
                client.subscribe(
                    "s", topic_expression=f"{prefix}\\..*", mode=Mode.INCREMENTAL
                ) as stream,
            ):
                await asyncio.to_thread(_topic, kafka, f"{prefix}.b", 10)
                await asyncio.to_thread(add_partitions, kafka.bootstrap, f"{prefix}.a", 3)
                await asyncio.to_thread(
                    produce, kafka.bootstrap, f"{prefix}.a", _values(0, 5, partition=2)
                )
                async for batch in stream:
                    key = (batch.topic, batch.partition)
                    seen[key] = seen.get(key, 0) + batch.record_count
                    if sum(seen.values()) == 15:
                        break
            assert seen == {(f"{prefix}.b", 0): 5, (f"{prefix}.b", 1): 5, (f"{prefix}.a", 2): 5}

        asyncio.run(asyncio.wait_for(run(), 60))


def test_a_topic_is_mined_only_once_somebody_needs_it(
    kafka: KafkaBroker, kafka_proxy: TcpProxy, topic_name: Name, tmp_path: Path
) -> None:
    topic = _topic(kafka, topic_name("lazy"), 20_000)
    with ServiceProcess(tmp_path, kafka.proxied_bootstrap) as service:

        async def run() -> None:
            async with Client(service.address) as client:
                offsets = await client.list_offsets(topic)
                assert [(o.log_start_offset, o.log_end_offset) for o in offsets] == [(0, 0)] * 2
                assert [o.source_high_watermark for o in offsets] == [10_000] * 2
                before = kafka_proxy.bytes_to_client
                await full(service.address, "s", topic)
                assert kafka_proxy.bytes_to_client > before + 20_000
                offsets = await client.list_offsets(topic)
                assert [o.log_end_offset for o in offsets] == [10_000] * 2
                with pytest.raises(NotFound):
                    await client.list_offsets("no-such-topic")

        asyncio.run(asyncio.wait_for(run(), 60))


def test_the_tail_is_followed_and_quiet_streams_tell_their_progress(
    kafka: KafkaBroker, service: ServiceProcess, topic_name: Name
) -> None:
    topic = _topic(kafka, topic_name("tail"), 100)

    async def run() -> None:
        caught_up = progressed = False
        async with (
            Client(service.address) as client,
            client.subscribe(topic, topics=[topic], mode=Mode.FULL_AND_INCREMENTAL) as stream,
        ):
            async for event in stream.events():
                caught_up = caught_up or isinstance(event, CaughtUp)
                if caught_up and isinstance(event, Progress):
                    progressed = True
                    assert {p.position.offset for p in event.partitions} == {50}
                    assert {p.source_high_watermark for p in event.partitions} == {50}
                    break
        assert caught_up
        assert progressed
        await asyncio.to_thread(produce, kafka.bootstrap, topic, _values(100, 100))
        seen = await until(service.address, f"late-{topic}", topic, {0: 100, 1: 100})
        truth = await asyncio.to_thread(read_all, kafka.bootstrap, topic)
        assert not _anomalies(truth, seen, topic)

    asyncio.run(asyncio.wait_for(run(), 60))


def test_an_end_position_ends_the_stream_exactly_there(
    kafka: KafkaBroker, service: ServiceProcess, topic_name: Name
) -> None:
    topic = _topic(kafka, topic_name("end"), 2_000)

    async def run() -> None:
        offsets: list[int] = []
        ended = None
        async with (
            Client(service.address) as client,
            client.subscribe(
                topic,
                topics=[topic],
                mode=Mode.FULL_AND_INCREMENTAL,
                start=[Position(topic, 0, 100)],
                end=[Position(topic, 0, 333)],
            ) as stream,
        ):
            async for event in stream.events():
                if isinstance(event, Ended):
                    ended = event
                elif isinstance(event, Batch):
                    offsets += [record.offset for record in event]
        assert offsets == list(range(100, 333))
        assert ended is not None
        assert ended.positions[topic, 0].offset == 333

    asyncio.run(asyncio.wait_for(run(), 60))
