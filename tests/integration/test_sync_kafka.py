"""Kafka as a target: what a real broker has after deliveries were written."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from confluent_kafka.admin import AdminClient

from cachesvc.client import Positions
from cachesvc.sync import (
    ChangesRefused,
    Check,
    Delivery,
    TargetFailed,
    TargetUnavailable,
    Task,
    TaskContext,
)
from cachesvc.sync.sinks.kafka import KAFKA
from tests.faults.stage import eventually, objects
from tests.support.deliveries import (
    Row,
    changes,
    counted,
    delivery,
    kafka_sink,
    open_when_possible,
    opened,
    row,
)
from tests.support.kafka_broker import KafkaBroker
from tests.support.reading import await_decided
from tests.support.secured_broker import SecuredBroker
from tests.support.service import ServiceProcess
from tests.support.tcp_proxy import TcpProxy
from tests.support.topics import (
    BrokerRecord,
    TransactionalWriter,
    configure_topic,
    create_topic,
    produce,
    read_all,
    watermarks,
)
from tests.support.writing import OutRecord

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(180)]
Name = Callable[[str], str]


def write(bootstrap: str, *deliveries: Delivery, **settings: Any) -> Positions | None:
    """Writes deliveries by one sink; what it said when it was opened."""

    async def run() -> Positions | None:
        sink = kafka_sink(bootstrap, **settings)
        try:
            positions = await open_when_possible(sink)
            for each in deliveries:
                await sink.write(each)
            return positions
        finally:
            await sink.close()

    return asyncio.run(run())


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


def values(bootstrap: str, topic: str) -> dict[int, list[bytes | None]]:
    """What whoever reads committed records gets."""
    await_decided(bootstrap, topic)
    return {n: [record.value for record in each] for n, each in read_all(bootstrap, topic).items()}


def expected(*ranges: tuple[int, int]) -> list[bytes]:
    return [b'{"n":%d}' % n for begin, end in ranges for n in range(begin, end)]


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


# Records that Kafka refuses


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


# Exactly once


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


# Trying a target


def checked(bootstrap: str, **settings: Any) -> dict[str, Check]:
    sink = kafka_sink(bootstrap, **settings)
    found = {check.name: check for check in asyncio.run(sink.check())}
    assert all(check.hint for check in found.values() if not check.passed)
    return found


def test_a_check_tries_everything_and_leaves_nothing(kafka: KafkaBroker, topic_name: Name) -> None:
    target, missing, positions = topic_name("there"), topic_name("missing"), topic_name("positions")
    create_topic(kafka.bootstrap, target, 3)
    found = checked(kafka.bootstrap, topic=target, exactly_once=True, positions_topic=positions)
    assert all(check.passed for check in found.values()), found
    assert {"authentication", "topics", "replicas", "write", "transactions"} <= set(found)
    assert "the one replica there is" in found["replicas"].detail
    assert watermarks(kafka.bootstrap, target) == dict.fromkeys(range(3), (0, 0))
    found = checked(kafka.bootstrap, topic=missing, partitions=5)
    assert "can be made with 5 partitions" in found["create"].detail
    assert not checked(kafka.bootstrap, topic=missing, replicas=2)["create"].passed
    topics = AdminClient({"bootstrap.servers": kafka.bootstrap}).list_topics(timeout=30).topics
    assert not {missing, positions} & set(topics)
    assert not checked("127.0.0.1:1", topic=target)["port"].passed


def test_a_target_nobody_answers_at_is_unavailable() -> None:
    async def run() -> None:
        sink = kafka_sink("127.0.0.1:1", topic="t")
        try:
            await sink.open()
        finally:
            await sink.close()

    with pytest.raises(TargetUnavailable):
        asyncio.run(run())


# Security


@pytest.mark.parametrize("way", ["PASSWORD", "CLEAR", "MUTUAL"])
def test_every_way_of_signing_in(secured_kafka: SecuredBroker, topic_name: Name, way: str) -> None:
    target, positions = topic_name("secured"), topic_name("positions")
    for name, config in ((target, {}), (positions, {"cleanup.policy": "compact"})):
        create_topic(secured_kafka.broker.bootstrap, name, 1, config)
    tables: dict[str, Any] = {
        "PASSWORD": {"tls": secured_kafka.tls(), "sasl": secured_kafka.sasl("wendy")},
        "CLEAR": {"sasl": secured_kafka.sasl("wendy", "SCRAM-SHA-256")},
        "MUTUAL": {"tls": secured_kafka.tls("wendy")},
    }[way]
    how = {"topic": target, "exactly_once": True, "positions_topic": positions, **tables}
    address = secured_kafka.address(way)
    write(address, delivery(changes("o", 0, counted(0, 5))), task=target, **how)
    assert values(secured_kafka.broker.bootstrap, target) == {0: expected((0, 5))}
    found = checked(address, **how)
    assert all(check.passed for check in found.values()), found
    assert "cannot be seen" in found["replicas"].detail


@pytest.mark.kerberos
def test_signing_in_by_kerberos(secured_kafka: SecuredBroker, topic_name: Name) -> None:
    target = topic_name("secured")
    create_topic(secured_kafka.broker.bootstrap, target)
    tables = {"tls": secured_kafka.tls(), "kerberos": secured_kafka.kerberos("wendy")}
    written = delivery(changes("o", 0, counted(0, 5)))
    write(secured_kafka.address("KERBEROS"), written, topic=target, **tables)
    assert values(secured_kafka.broker.bootstrap, target) == {0: expected((0, 5))}


def test_who_may_not_write_is_told_what_to_allow(
    secured_kafka: SecuredBroker, topic_name: Name
) -> None:
    target = topic_name("secured")
    create_topic(secured_kafka.broker.bootstrap, target)
    address, sasl = secured_kafka.address("CLEAR"), secured_kafka.sasl("alice")
    with pytest.raises(TargetFailed, match="--operation Write") as caught:
        write(address, delivery(changes("o", 0, counted(0, 5))), topic=target, sasl=sasl)
    assert caught.value.reason == "WRITE_NOT_AUTHORIZED"
    found = checked(address, topic=target, sasl=sasl)
    assert [check.name for check in found.values() if not check.passed] == ["write"]
    with pytest.raises(TargetFailed, match="--operation Create"):
        write(address, topic=topic_name("missing"), sasl=secured_kafka.sasl("wendy"))
    wrong = sasl | {"username": "nobody"}
    with pytest.raises(TargetFailed) as caught:
        write(address, topic=target, sasl=wrong)
    assert caught.value.reason == "AUTHENTICATION_FAILED"


def test_a_connection_of_the_service_is_a_target(
    kafka: KafkaBroker, topic_name: Name, tmp_path: Path
) -> None:
    target = topic_name("target")
    file = tmp_path / "cachesvc.toml"
    file.write_text(f"""
        [[connections]]
        name = "warehouse"
        type = "target"
        bootstrap_servers = ["{kafka.bootstrap}"]
        target = {{ acks = "leader", compression = "lz4" }}
    """)
    table = {"connection": "warehouse", "connection_file": str(file), "topic": target}
    sink = KAFKA.make(msgspec.convert(table, KAFKA.settings), TaskContext("t"))

    async def run() -> None:
        await sink.open()
        await sink.write(delivery(changes("o", 0, counted(0, 5))))
        found = {check.name: check for check in await sink.check()}
        assert found["replicas"].detail.startswith('acks = "leader"')
        await sink.close()

    asyncio.run(run())
    assert values(kafka.bootstrap, target) == {0: expected((0, 5))}


# By the runner


def config(address: str, bootstrap: str, source: str, target: str, **sink: Any) -> dict[str, Any]:
    """A task that copies all that a topic has now."""
    return {
        "name": target,
        "source": {"service": address, "topics": [source], "mode": "FULL"},
        "sink": {"kind": "kafka", "bootstrap_servers": [bootstrap], "topic": target, **sink},
    }


async def run_tasks(*configs: dict[str, Any]) -> None:
    """Runs tasks side by side to their ends."""

    async def one(each: dict[str, Any]) -> None:
        async with Task(each) as task:
            await task.wait()

    async with asyncio.timeout(120), asyncio.TaskGroup() as tasks:
        for each in configs:
            tasks.create_task(one(each))


@pytest.mark.parametrize("exactly_once", [False, True])
def test_a_task_carries_a_topic_of_the_cache(
    kafka: KafkaBroker, topic_name: Name, tmp_path: Path, exactly_once: bool
) -> None:
    source, target = topic_name("orders"), topic_name("copy")
    create_topic(kafka.bootstrap, source, 2)
    create_topic(kafka.bootstrap, target, 2, {"max.message.bytes": "3000"})
    large = OutRecord(b"large", b'{"x":"' + b"x" * 4_000 + b'"}', partition=1)
    others = objects(0, 3_000, 2)
    produce(kafka.bootstrap, source, [*others[:1_000], large, *others[1_000:]])
    how = {"partitioner": "keep", "exactly_once": exactly_once, "ignore_push_errors": True}
    errors = {"policy": "dead-letter", "dead_letters": str(tmp_path / "letters")}
    with ServiceProcess(tmp_path / "service", kafka.bootstrap) as service:
        task = config(service.address, kafka.bootstrap, source, target, **how)
        asyncio.run(run_tasks({**task, "errors": errors}))
    await_decided(kafka.bootstrap, target)
    truth, copy = read_all(kafka.bootstrap, source), read_all(kafka.bootstrap, target)

    def told(record: BrokerRecord) -> tuple[object, ...]:
        return record.timestamp_ms, record.key, record.value, record.headers

    for number in range(2):
        kept = [told(record) for record in truth[number] if record.key != b"large"]
        assert [told(record) for record in copy[number]] == kept
    letters = [file.read_text() for file in (tmp_path / "letters").rglob("*") if file.is_file()]
    assert "RECORD_TOO_LARGE" in "".join(letters)


def test_sixteen_tasks_have_the_broker_read_once(
    kafka: KafkaBroker, kafka_proxy: TcpProxy, topic_name: Name, tmp_path: Path
) -> None:
    source = topic_name("orders")
    targets = [topic_name("copy") for _ in range(16)]
    create_topic(kafka.bootstrap, source, 2)
    value = b'{"x":"' + b"x" * 1_000 + b'"}'
    produce(
        kafka.bootstrap, source, [OutRecord(None, value, partition=n % 2) for n in range(4_000)]
    )
    with ServiceProcess(tmp_path, kafka.proxied_bootstrap) as service:
        tasks = [config(service.address, kafka.bootstrap, source, each) for each in targets]
        asyncio.run(run_tasks(tasks[0]))
        once = kafka_proxy.bytes_to_client
        assert once > 4_000_000
        asyncio.run(run_tasks(*tasks[1:]))
        # What is looked at anew each half second is small.
        assert kafka_proxy.bytes_to_client - once < once / 10
    for target in targets:
        ((_, end),) = watermarks(kafka.bootstrap, target).values()
        assert end == 4_000
