"""G6: what a topic loses is told by range and cause; a stream ends there or goes on as asked."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cachesvc.client import Batch, Client, Gap, GapCause, GapPolicy, MiningState, Mode
from tests.faults.stage import Calls, eventually, objects
from tests.faults.streams import Seen, read
from tests.support.kafka_broker import KafkaBroker
from tests.support.service import ServiceProcess
from tests.support.tasks import Delivered, full
from tests.support.topics import (
    create_topic,
    delete_records_before,
    delete_topic,
    produce,
    read_all,
)

pytestmark = [pytest.mark.kafka, pytest.mark.faults, pytest.mark.timeout(240)]

Name = Callable[[str], str]
QUICK = {"mining": {"metadata_interval_s": 0.5}, "server": {"progress_interval_s": 0.2}}


@contextmanager
def serving(path: Path, kafka: KafkaBroker) -> Iterator[ServiceProcess]:
    service = ServiceProcess(path, kafka.bootstrap, QUICK).start()
    try:
        yield service
    finally:
        service.stop()


def _mined(calls: Calls, topic: str, end: int) -> Callable[[], bool]:
    return lambda: all(of.log_end_offset == end for of in calls.offsets(topic).values())


def test_retention_of_the_source_passes_the_reader(
    kafka: KafkaBroker, topic_name: Name, tmp_path: Path
) -> None:
    topic = topic_name("passed")
    create_topic(kafka.bootstrap, topic)
    produce(kafka.bootstrap, topic, objects(0, 100))
    lost = (1, 100, 150, GapCause.SOURCE_RETENTION)
    with serving(tmp_path, kafka) as service:
        before = asyncio.run(read(service.address, topic, 100, commit=True))
        assert before.offsets() == list(range(100))
        service.stop()
        produce(kafka.bootstrap, topic, objects(100, 200))
        delete_records_before(kafka.bootstrap, topic, {0: 150})
        service.start()

        stopped = asyncio.run(read(service.address, topic, 50))
        assert (stopped.gaps, stopped.records) == ([lost], [])
        assert stopped.failure is not None
        assert stopped.failure.reason == "SOURCE_RETENTION"
        assert stopped.failure.metadata["begin_offset"] == "100"
        assert stopped.failure.metadata["end_offset"] == "150"

        went_on = asyncio.run(read(service.address, topic, 50, GapPolicy.GO_ON, commit=True))
        assert (went_on.gaps, went_on.failure) == ([lost], None)
        assert went_on.offsets() == list(range(150, 200))
        # Committed behind the gap, it is not told again.
        produce(kafka.bootstrap, topic, objects(200, 210))
        assert asyncio.run(read(service.address, topic, 10)).gaps == []

        # It stays known, also to who comes later and after a death of the service.
        service.kill()
        service.start()
        later = asyncio.run(read(service.address, topic, 160, GapPolicy.GO_ON, "later"))
        assert later.gaps == [lost]
        assert later.offsets() == [*range(100), *range(150, 210)]
        ended = asyncio.run(read(service.address, topic, 160, name="later-still"))
        assert ended.offsets() == list(range(100))
        assert ended.failure is not None


@pytest.mark.parametrize("records", [30, 150], ids=["fewer records", "more records"])
@pytest.mark.parametrize("away", [False, True], ids=["while mined", "while away"])
def test_a_topic_is_deleted_and_created_again(
    kafka: KafkaBroker, topic_name: Name, tmp_path: Path, records: int, away: bool
) -> None:
    topic = topic_name("again")
    create_topic(kafka.bootstrap, topic)
    produce(kafka.bootstrap, topic, objects(0, 100))
    first = [record.value for record in read_all(kafka.bootstrap, topic)[0]]
    with serving(tmp_path, kafka) as service, Calls(service.address) as calls:
        committed = asyncio.run(read(service.address, topic, 40, commit=True, name="early"))
        eventually(_mined(calls, topic, 100), "everything to be mined")
        if away:
            service.stop()
        delete_topic(kafka.bootstrap, topic)
        create_topic(kafka.bootstrap, topic)
        produce(kafka.bootstrap, topic, objects(1_000, 1_000 + records))
        second = [record.value for record in read_all(kafka.bootstrap, topic)[0]]
        if away:
            service.start()
        eventually(lambda: calls.incarnation(topic) == 2, "the next incarnation to be noticed")

        # The rest of the first incarnation is still there, then the change is told and the stream
        # ends.
        stopped = asyncio.run(read(service.address, topic, 10**6, name="early"))
        assert committed.values() + stopped.values() == first
        ((incarnation, begin, _, cause),) = stopped.gaps
        assert (incarnation, begin, cause) == (1, 100, GapCause.TOPIC_RECREATED)
        assert stopped.failure is not None
        assert stopped.failure.reason == "TOPIC_RECREATED"

        went_on = asyncio.run(
            read(
                service.address,
                topic,
                100 - len(committed.records) + records,
                GapPolicy.GO_ON,
                "early",
            )
        )
        assert went_on.failure is None
        assert went_on.incarnations == [(2, 0)]
        assert went_on.values(2) == second

        # Whoever is new gets the present incarnation alone.
        fresh = asyncio.run(read(service.address, topic, records, name="fresh"))
        assert (fresh.gaps, fresh.values(2), fresh.values(1)) == ([], second, [])


def test_a_subscriber_is_there_when_its_topic_is_created_again(
    kafka: KafkaBroker, topic_name: Name, tmp_path: Path
) -> None:
    topic = topic_name("live")
    create_topic(kafka.bootstrap, topic)
    produce(kafka.bootstrap, topic, objects(0, 20))

    async def run(address: str) -> tuple[Seen, Seen]:
        stays = asyncio.create_task(read(address, topic, 35, GapPolicy.GO_ON, "stays"))
        ends = asyncio.create_task(read(address, topic, 10**6, name="ends"))
        with Calls(address) as calls:
            await asyncio.to_thread(eventually, _mined(calls, topic, 20), "the first incarnation")
            await asyncio.to_thread(delete_topic, kafka.bootstrap, topic)
            await asyncio.to_thread(create_topic, kafka.bootstrap, topic)
            await asyncio.to_thread(produce, kafka.bootstrap, topic, objects(50, 65))
        return await stays, await ends

    with serving(tmp_path, kafka) as service:
        stays, ends = asyncio.run(run(service.address))
    assert (stays.offsets(1), stays.offsets(2)) == (list(range(20)), list(range(15)))
    assert stays.incarnations == [(2, 0)]
    assert ends.offsets(1) == list(range(20))
    assert ends.failure is not None
    assert [gap[3] for gap in ends.gaps] == [GapCause.TOPIC_RECREATED]


def test_a_deleted_topic_leaves_what_is_cached_and_tells_why_it_ends(
    kafka: KafkaBroker, topic_name: Name, tmp_path: Path
) -> None:
    topic = topic_name("deleted")
    create_topic(kafka.bootstrap, topic)
    produce(kafka.bootstrap, topic, objects(0, 20))
    with serving(tmp_path, kafka) as service, Calls(service.address) as calls:
        asyncio.run(read(service.address, topic, 20))
        delete_topic(kafka.bootstrap, topic)
        state = eventually(
            lambda: [
                of
                for of in calls.offsets(topic).values()
                if of.mining_state == int(MiningState.FAILED)
            ],
            "the state to show it",
        )[0]
        assert "no such topic" in state.mining_error
        late = asyncio.run(read(service.address, topic, 20, name="late"))
        assert late.offsets() == list(range(20))


def test_a_partition_does_not_come_back_with_its_topic(
    kafka: KafkaBroker, topic_name: Name, tmp_path: Path
) -> None:
    topic = topic_name("fewer")
    create_topic(kafka.bootstrap, topic, 3)
    produce(kafka.bootstrap, topic, objects(0, 60, 3))
    truth = {1: read_all(kafka.bootstrap, topic)}

    async def follow(address: str) -> tuple[Delivered, dict[int, GapCause]]:
        """All records of both incarnations in order, and gaps by partition; the topic changes."""
        seen, gaps = Delivered(), dict[int, GapCause]()
        async with (
            asyncio.timeout(60),
            Client(address) as client,
            client.subscribe(
                "s",
                mode=Mode.FULL_AND_INCREMENTAL,
                topics=[topic],
                gap_policy=GapPolicy.GO_ON,
            ) as stream,
        ):
            async for event in stream.events():
                if isinstance(event, Batch):
                    seen.add(event)
                    assert event.incarnation == 1 + (event.partition in gaps)
                    if seen.count == 60:
                        await asyncio.to_thread(_create_again_with_two, kafka, topic)
                elif isinstance(event, Gap):
                    assert (event.begin_offset, event.incarnation) == (20, 1)
                    gaps[event.partition] = event.cause
                if seen.count == 90 and len(gaps) == 3:
                    return seen, gaps
        raise AssertionError("the stream ended")

    with serving(tmp_path, kafka) as service, Calls(service.address) as calls:
        seen, gaps = asyncio.run(follow(service.address))
        truth[2] = read_all(kafka.bootstrap, topic)
        assert sorted(calls.offsets(topic)) == [0, 1]
        fresh = asyncio.run(full(service.address, "fresh", topic)).of(topic)
    assert gaps == dict.fromkeys(range(3), GapCause.TOPIC_RECREATED)
    values = {n: [value for _, value in rows] for n, rows in seen.of(topic).items()}
    assert values == {
        n: [record.value for incarnation in (1, 2) for record in truth[incarnation].get(n, ())]
        for n in range(3)
    }
    assert {n: len(rows) for n, rows in fresh.items()} == {0: 15, 1: 15}


def _create_again_with_two(kafka: KafkaBroker, topic: str) -> None:
    delete_topic(kafka.bootstrap, topic)
    create_topic(kafka.bootstrap, topic, 2)
    produce(kafka.bootstrap, topic, objects(1_000, 1_030, 2))
