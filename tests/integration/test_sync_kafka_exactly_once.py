"""Exactly once on a real broker: positions and records are written together."""

import asyncio

import pytest

from cachesvc.client import Positions
from cachesvc.sync import (
    TargetFailed,
)
from tests.integration.kafka_target import Name, expected, values, write
from tests.support.deliveries import (
    changes,
    counted,
    delivery,
    open_when_possible,
    opened,
)
from tests.support.kafka_broker import KafkaBroker
from tests.support.topics import (
    TransactionalWriter,
    read_all,
)
from tests.support.writing import OutRecord

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(180)]


def test_positions_are_written_with_the_records(kafka: KafkaBroker, topic_name: Name) -> None:
    target, positions, source = topic_name("target"), topic_name("positions"), topic_name("orders")
    how = {"topic": target, "positions_topic": positions, "exactly_once": True, "partitions": 2}
    first = delivery(
        changes(source, 0, counted(0, 10), 15), changes(source, 1, []), changes("b", 0, [], 7)
    )
    assert write(kafka.bootstrap, first, task="mine", **how) == Positions()
    assert write(kafka.bootstrap, task="other", **how) == Positions()
    found = write(kafka.bootstrap, task="mine", **how)
    assert found is not None
    assert {key: (at.offset, at.incarnation) for key, at in found.items()} == {
        (source, 0): (15, 1),
        (source, 1): (0, 1),
        ("b", 0): (7, 1),
    }
    written = [value for each in values(kafka.bootstrap, target).values() for value in each]
    assert set(written) == set(expected((0, 10)))
    assert len(written) == 10
    config = [record.key for record in read_all(kafka.bootstrap, positions)[0]]
    assert len(config) == 3


def test_the_newest_process_of_a_task_has_it(kafka: KafkaBroker, topic_name: Name) -> None:
    target, positions = topic_name("target"), topic_name("positions")
    how = {"topic": target, "positions_topic": positions, "exactly_once": True}

    async def run() -> None:
        async with opened(kafka.bootstrap, target, **how) as old:
            await old.write(delivery(changes("o", 0, counted(0, 5))))
            async with opened(kafka.bootstrap, target, **how) as new:
                with pytest.raises(TargetFailed, match="another producer") as caught:
                    await old.write(delivery(changes("o", 0, counted(5, 10))))
                assert caught.value.reason == "SUPERSEDED"
                await new.write(delivery(changes("o", 0, counted(5, 10))))

    asyncio.run(run())
    assert values(kafka.bootstrap, target) == {0: expected((0, 10))}


def test_positions_behind_somebody_elses_transaction_are_waited_for(
    kafka: KafkaBroker, topic_name: Name
) -> None:
    target, positions = topic_name("target"), topic_name("positions")
    how = {"topic": target, "positions_topic": positions, "exactly_once": True}

    async def run(other: TransactionalWriter) -> Positions | None:
        async with opened(kafka.bootstrap, target, **how) as sink:
            await sink.write(delivery(changes("o", 0, counted(0, 3))))
            await asyncio.to_thread(other.leave_open, positions, [OutRecord(b"x", b"{}")])
            await sink.write(delivery(changes("o", 0, counted(3, 6))))
            opening = asyncio.ensure_future(sink.open())
            done, _ = await asyncio.wait([opening], timeout=2.0)
            assert not done, "the last position cannot be seen yet"
            await asyncio.to_thread(other.commit, positions, [])
            return await opening

    with TransactionalWriter(kafka.bootstrap) as other:
        found = asyncio.run(run(other))
    assert found is not None
    assert found["o", 0].offset == 6


def test_a_cancelled_write_leaves_nothing_half(kafka: KafkaBroker, topic_name: Name) -> None:
    target, positions = topic_name("target"), topic_name("positions")
    how = {"topic": target, "positions_topic": positions, "exactly_once": True}

    async def run() -> None:
        async with opened(kafka.bootstrap, target, batch_bytes_max=4_096, **how) as sink:
            for pause_s in (0.0, 0.005, 0.02, 0.05):
                each = delivery(changes("o", 0, counted(0, 20_000)))
                writing = asyncio.ensure_future(sink.write(each))
                await asyncio.sleep(pause_s)
                writing.cancel()
                await asyncio.wait([writing])
            found = await open_when_possible(sink)
            assert found is not None
            begin = found["o", 0].offset if ("o", 0) in found else 0
            assert begin in (0, 20_000)
            await sink.write(delivery(changes("o", 0, counted(begin, 30_000))))

    asyncio.run(run())
    assert values(kafka.bootstrap, target) == {0: expected((0, 30_000))}
