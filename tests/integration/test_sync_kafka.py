"""Kafka as a target: what a real broker has after deliveries were written."""

import asyncio

import pytest

from cachesvc.sync import (
    ChangesRefused,
    TargetFailed,
)
from tests.faults.stage import eventually
from tests.integration.kafka_target import Name, expected, values, write
from tests.support.deliveries import (
    Row,
    changes,
    counted,
    delivery,
    opened,
    row,
)
from tests.support.kafka_broker import KafkaBroker
from tests.support.topics import (
    configure_topic,
    create_topic,
    produce,
    read_all,
    watermarks,
)
from tests.support.writing import OutRecord

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(180)]


def rows_of_every_kind() -> list[Row]:
    return [
        row(0, '{"id":1}', key=b"a"),
        row(3, None, key=b"a"),
        # What is known of a row that is gone is no part of a tombstone.
        row(4, '{"id":2}', key=b"b", deleted=True),
        row(5, '{"id":3}', key=None, timestamp=-1, timestamp_type=-1),
        row(6, '{"ü":"€"}', key=b"\xff\x00", headers=[{"key": "h", "value": b"1"}]),
        row(
            7,
            '{"id":4}',
            headers=[
                {"key": "bytes:cl%C3%A9", "value": b"\xe9"},
                {"key": "bytes:bytes:x", "value": None},
                {"key": "again", "value": b""},
                {"key": "again", "value": b"2"},
            ],
        ),
        row(8, '{"long":"' + "x" * 2_000_000 + '"}', key=b"long"),
    ]


def keys_of(bootstrap: str, topic: str) -> dict[int, list[bytes | None]]:
    return {n: [record.key for record in each] for n, each in read_all(bootstrap, topic).items()}


def test_records_arrive_as_they_are(kafka: KafkaBroker, topic_name: Name) -> None:
    rows = rows_of_every_kind()
    for compression in ("none", "gzip", "snappy", "lz4", "zstd"):
        target = topic_name(compression)
        create_topic(kafka.bootstrap, target, 2, {"max.message.bytes": str(4 << 20)})
        written = delivery(changes("orders", 1, rows))
        how = {"partitioner": "keep", "compression": compression}
        write(kafka.bootstrap, written, topic=target, **how)
        found = read_all(kafka.bootstrap, target)
        assert found[0] == []
        meant = [None if each["deleted"] else each["value"].encode() for each in rows]
        assert [record.value for record in found[1]] == meant
        assert [record.key for record in found[1]] == [each["key"] for each in rows]
        assert [record.timestamp_ms for record in found[1]] == [each["timestamp"] for each in rows]
        assert found[1][4].headers == (("h", b"1"),)
        # A text that stands for bytes stands for those alone that are not UTF-8 themselves.
        assert found[1][5].headers == (
            ("bytes:cl%C3%A9", b"\xe9"),
            ("bytes:x", None),
            ("again", b""),
            ("again", b"2"),
        )


def test_keys_choose_partitions_as_kafka_does(kafka: KafkaBroker, topic_name: Name) -> None:
    keys = [b"", b"a", b"abc", b"abcd", b"order-17", bytes(range(256))]
    keys += [b"k%d" % n for n in range(200)]
    target, theirs = topic_name("ours"), topic_name("theirs")
    for name in (target, theirs):
        create_topic(kafka.bootstrap, name, 7)
    records = [OutRecord(key, b"{}") for key in keys]
    # The partitioner of Kafka's own client.
    produce(kafka.bootstrap, theirs, records, settings={"partitioner": "murmur2_random"})
    rows = [row(n, key=key) for n, key in enumerate([*keys, None])]
    write(kafka.bootstrap, delivery(changes("orders", 9, rows)), topic=target)
    ours = keys_of(kafka.bootstrap, target)
    # Without a key: the source's partition, of the seven there are.
    assert ours[2].pop() is None
    assert ours == keys_of(kafka.bootstrap, theirs)


def test_a_missing_topic_is_made_and_an_existing_one_checked(
    kafka: KafkaBroker, topic_name: Name
) -> None:
    source = topic_name("orders")
    several = delivery(changes(source, 2, counted(0, 10)))
    write(kafka.bootstrap, several, topic="copy.{topic}")
    assert len(watermarks(kafka.bootstrap, f"copy.{source}")) == 1
    write(kafka.bootstrap, several, topic="three.{topic}", partitions=3, partitioner="keep")
    assert values(kafka.bootstrap, f"three.{source}") == {0: [], 1: [], 2: expected((0, 10))}
    with pytest.raises(TargetFailed, match=r"has 1 partitions, and .* a partition 2") as caught:
        write(kafka.bootstrap, several, topic="copy.{topic}", partitioner="keep")
    assert caught.value.reason == "PARTITION_MISSING"
    with pytest.raises(TargetFailed, match="cannot be made with 1 partitions and 3 replicas"):
        write(kafka.bootstrap, several, topic=topic_name("none"), replicas=3)


@pytest.mark.parametrize("acks", ["none", "leader", "majority", "all"])
def test_every_acknowledgement(kafka: KafkaBroker, topic_name: Name, acks: str) -> None:
    target = topic_name(acks)
    each = [delivery(changes("orders", 0, counted(n, n + 3_000))) for n in range(0, 9_000, 3_000)]
    write(kafka.bootstrap, *each, topic=target, acks=acks, batch_bytes_max=8_192)
    # Nothing tells when what is not confirmed is there.
    eventually(
        lambda: values(kafka.bootstrap, target) == {0: expected((0, 9_000))}, "all to be there"
    )


MEBIBYTE = {"max.message.bytes": str(1 << 20)}


def too_large(offset: int) -> Row:
    return row(offset, '{"x":"' + "é" * 2_000_000 + '"}')


@pytest.mark.parametrize("exactly_once", [False, True])
def test_refused_records_are_named_and_the_rest_is_written(
    kafka: KafkaBroker, topic_name: Name, exactly_once: bool
) -> None:
    target = topic_name("refusing")
    settings = {"cleanup.policy": "compact", "message.timestamp.after.max.ms": "3600000"}
    create_topic(kafka.bootstrap, target, 1, MEBIBYTE | settings)
    rows = counted(0, 10)
    rows[2] = too_large(2)
    rows[5] = row(5, key=None)
    late = row(7, timestamp=4_000_000_000_000)
    how = {"exactly_once": exactly_once, "positions_topic": topic_name("positions")}

    async def run() -> None:
        async with opened(
            kafka.bootstrap, target, topic=target, ignore_push_errors=True, **how
        ) as sink:
            with pytest.raises(ChangesRefused) as caught:
                await sink.write(delivery(changes("o", 0, [row(99)]), changes("o", 1, rows)))
            told = {(each.changes, each.row): each.reason for each in caught.value.refusals}
            assert told == {(1, 2): "RECORD_TOO_LARGE", (1, 5): "INVALID_RECORD"}
            assert watermarks(kafka.bootstrap, target) == {0: (0, 0)}, "what is known is not tried"
            # What only the broker knows.
            with pytest.raises(ChangesRefused) as caught:
                await sink.write(delivery(changes("o", 1, [*counted(0, 2), late, *counted(8, 9)])))
            (refusal,) = caught.value.refusals
            assert (refusal.changes, refusal.row, refusal.reason) == (0, 2, "INVALID_TIMESTAMP")
            good = [each for n, each in enumerate(rows) if n not in (2, 5)]
            await sink.write(delivery(changes("o", 1, good)))

    asyncio.run(run())
    assert values(kafka.bootstrap, target)[0] == expected((0, 2), (3, 5), (6, 10))


def test_a_refused_record_ends_the_task_unless_told_otherwise(
    kafka: KafkaBroker, topic_name: Name
) -> None:
    target = topic_name("stops")
    create_topic(kafka.bootstrap, target, 1, MEBIBYTE)
    with pytest.raises(TargetFailed, match="o/3 at offset 41: RECORD_TOO_LARGE: ") as caught:
        write(kafka.bootstrap, delivery(changes("o", 3, [row(40), too_large(41)])), topic=target)
    assert caught.value.reason == "PUSH_REFUSED"
    assert "ignore_push_errors" in str(caught.value)
    # One that compresses well is not too large.
    written = delivery(changes("o", 0, [too_large(0)]))
    write(kafka.bootstrap, written, topic=target, compression="zstd")
    assert values(kafka.bootstrap, target)[0] == [too_large(0)["value"].encode()]


def test_batches_that_became_too_large_are_halved_in_order(
    kafka: KafkaBroker, topic_name: Name
) -> None:
    target = topic_name("halved")
    create_topic(kafka.bootstrap, target, 2)

    async def run() -> None:
        async with opened(kafka.bootstrap, topic=target, partitioner="keep") as sink:
            await sink.write(delivery(changes("o", 0, counted(0, 1))))
            configure_topic(kafka.bootstrap, target, {"max.message.bytes": "2000"})
            for begin in (1, 2_001):
                each = [changes("o", n, counted(begin, begin + 2_000)) for n in range(2)]
                await sink.write(delivery(*each))

    asyncio.run(run())
    found = values(kafka.bootstrap, target)
    assert found == {0: expected((0, 4_001)), 1: expected((1, 4_001))}
