"""The harness itself against a real broker: what other tests take for granted."""

from __future__ import annotations

import os
import socket
import time
from collections import Counter
from collections.abc import Callable

import pytest
from confluent_kafka import KafkaException

from tests.support import flights
from tests.support.checker import Observation, check
from tests.support.kafka_broker import KafkaBroker
from tests.support.tcp_proxy import TcpProxy
from tests.support.topics import (
    COMPACT_EAGERLY,
    BrokerRecord,
    DeliveryError,
    OutRecord,
    RecordWriter,
    TransactionalWriter,
    add_partitions,
    create_mixed_topics,
    create_topic,
    delete_records_before,
    delete_topic,
    produce,
    read_all,
    watermarks,
)

pytestmark = pytest.mark.kafka

MakeName = Callable[[str], str]


def numbered(count: int, partition: int = 0) -> list[OutRecord]:
    return [OutRecord(b"k%d" % n, b'{"n":%d}' % n, partition=partition) for n in range(count)]


def offsets(truth: dict[int, list[BrokerRecord]]) -> list[int]:
    return [record.offset for record in truth[0]]


def test_mixed_topics_come_back_as_written(kafka: KafkaBroker, topic_name: MakeName) -> None:
    for spec in create_mixed_topics(kafka.bootstrap, topic_name("mixed")):
        truth = read_all(kafka.bootstrap, spec.name)
        assert set(truth) == {0, 1, 2}
        assert truth[2] == []
        for partition, records in truth.items():
            assert records == [
                BrokerRecord(offset, out.timestamp_ms or 0, 0, out.key, out.value, out.headers)
                for offset, out in enumerate(spec.of_partition(partition))
            ]


def test_mixed_topics_have_every_kind_of_record(kafka: KafkaBroker, topic_name: MakeName) -> None:
    spec = create_mixed_topics(kafka.bootstrap, topic_name("mixed"))[0]
    kinds = Counter(
        kind
        for record in spec.records
        for kind, holds in {
            "key": record.key is not None,
            "no key": record.key is None,
            "empty key": record.key == b"",
            "headers": bool(record.headers),
            "no headers": not record.headers,
            "null header": ("null", None) in record.headers,
            "tombstone": record.value is None,
            "empty value": record.value == b"",
            "large": len(record.value or b"") >= 1_000_000,
        }.items()
        if holds
    )
    assert min(kinds.values()) >= 2
    assert len(kinds) == 9


def test_flights_are_loaded_in_order(kafka: KafkaBroker, topic_name: MakeName) -> None:
    try:
        flights.data_version()
    except flights.DataMissingError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))
    name = topic_name("flights")
    seen: list[int] = []
    flights.load_flights(kafka.bootstrap, name, 10_000, progress=seen.append)
    truth = read_all(kafka.bootstrap, name)
    events = list(flights.flights(10_000))
    for partition in range(4):
        expected = events[partition::4]
        assert [(record.key, record.value) for record in truth[partition]] == expected
    assert seen[-1] == 10_000
    assert list(flights.flights(5, first_id=9_000)) == events[9_000:9_005]
    assert 470 <= sum(len(value) for _, value in events) / len(events) <= 480


def test_largest_values_fit(kafka: KafkaBroker, topic_name: MakeName) -> None:
    name = topic_name("large")
    create_topic(kafka.bootstrap, name)
    value = b'{"text":"' + b"x" * 12_000_000 + b'"}'
    produce(kafka.bootstrap, name, [OutRecord(None, value)])
    assert [record.value for record in read_all(kafka.bootstrap, name)[0]] == [value]


def test_unknown_topic_is_an_error(kafka: KafkaBroker, topic_name: MakeName) -> None:
    name = topic_name("unknown")
    with pytest.raises(KafkaException):
        read_all(kafka.bootstrap, name)
    with pytest.raises(KafkaException):
        watermarks(kafka.bootstrap, name)
    writer = RecordWriter(kafka.bootstrap)
    writer.write(name, b"{}")
    with pytest.raises(DeliveryError, match="1 pending of 1"):
        writer.flush(0.5)
    writer.producer.purge()


def test_aborted_records_are_hidden(kafka: KafkaBroker, topic_name: MakeName) -> None:
    name = topic_name("transactions")
    create_topic(kafka.bootstrap, name)
    with TransactionalWriter(kafka.bootstrap) as writer:
        assert writer.commit(name, numbered(3)) == 3  # 0 to 2, the marker is 3
        assert writer.abort(name, numbered(2)) == 2  # 4 and 5, the marker is 6
        assert writer.commit(name, numbered(1)) == 1  # 7, the marker is 8
        assert writer.leave_open(name, numbered(1)) == 1  # 9
        produce(kafka.bootstrap, name, numbered(1))  # 10, behind the last stable offset
        committed = read_all(kafka.bootstrap, name)
        everything = read_all(kafka.bootstrap, name, "read_uncommitted")
        assert watermarks(kafka.bootstrap, name) == {0: (0, 11)}
    assert offsets(committed) == [0, 1, 2, 7]
    assert offsets(everything) == [0, 1, 2, 4, 5, 7, 9, 10]
    assert offsets(read_all(kafka.bootstrap, name)) == [0, 1, 2, 7, 10]

    seen = Observation("task", 0, [(r.offset, r.value) for r in everything[0]])
    anomalies = check(committed, [seen], uncommitted=everything)
    assert [anomaly.kind.value for anomaly in anomalies] == ["aborted read"] * 4


def test_topics_grow_shrink_and_come_again(kafka: KafkaBroker, topic_name: MakeName) -> None:
    name = topic_name("incarnation")
    create_topic(kafka.bootstrap, name, 2)
    produce(kafka.bootstrap, name, numbered(10), partition=1)
    add_partitions(kafka.bootstrap, name, 3)
    delete_records_before(kafka.bootstrap, name, {1: 4})
    assert watermarks(kafka.bootstrap, name) == {0: (0, 0), 1: (4, 10), 2: (0, 0)}
    delete_topic(kafka.bootstrap, name)
    create_topic(kafka.bootstrap, name)
    assert watermarks(kafka.bootstrap, name) == {0: (0, 0)}


def test_compaction_leaves_holes(kafka: KafkaBroker, topic_name: MakeName) -> None:
    name = topic_name("compacted")
    create_topic(kafka.bootstrap, name, config=COMPACT_EAGERLY)
    deadline = time.monotonic() + 150
    while len(read_all(kafka.bootstrap, name)[0]) == watermarks(kafka.bootstrap, name)[0][1]:
        assert time.monotonic() < deadline, "nothing was compacted"
        produce(kafka.bootstrap, name, [OutRecord(b"same", b'{"n":1}')])
        time.sleep(0.2)


def test_proxy_counts_what_passes(
    kafka: KafkaBroker, kafka_proxy: TcpProxy, topic_name: MakeName
) -> None:
    name = topic_name("counted")
    create_topic(kafka.bootstrap, name)
    value = b"x" * 1_000_000
    produce(kafka.bootstrap, name, [OutRecord(None, value)] * 4)
    # A client that an earlier test left may still be asking for it.
    assert kafka_proxy.bytes_to_client < 100_000

    assert len(read_all(kafka.proxied_bootstrap, name)[0]) == 4
    assert 4_000_000 < kafka_proxy.bytes_to_client < 4_100_000
    produce(kafka.proxied_bootstrap, name, [OutRecord(None, value)])
    assert 1_000_000 < kafka_proxy.bytes_to_server < 1_100_000
    assert kafka_proxy.connections_accepted >= 2


def test_proxy_cuts_delays_and_restores(
    kafka: KafkaBroker, kafka_proxy: TcpProxy, topic_name: MakeName
) -> None:
    name = topic_name("cut")
    create_topic(kafka.bootstrap, name)
    produce(kafka.proxied_bootstrap, name, numbered(5))

    with socket.create_connection(("127.0.0.1", kafka_proxy.port), 5) as connection:
        connection.settimeout(5)
        kafka_proxy.cut()
        with pytest.raises(ConnectionResetError):
            connection.recv(1)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", kafka_proxy.port), 5)
    with pytest.raises(KafkaException):
        read_all(kafka.proxied_bootstrap, name, timeout_s=0.5)
    assert len(read_all(kafka.bootstrap, name)[0]) == 5

    kafka_proxy.restore()
    kafka_proxy.delay(0.1)
    began = time.monotonic()
    assert len(read_all(kafka.proxied_bootstrap, name)[0]) == 5
    assert time.monotonic() - began >= 0.4  # at least two requests, there and back


def test_killed_and_stopped_broker_keeps_its_data(
    fresh_kafka: KafkaBroker, topic_name: MakeName
) -> None:
    name = topic_name("kept")
    address, pid = fresh_kafka.bootstrap, fresh_kafka.pid
    create_topic(address, name)
    produce(address, name, numbered(1_000), compression="zstd")
    before = read_all(address, name)

    fresh_kafka.kill()
    assert not fresh_kafka.is_running
    assert fresh_kafka.start().bootstrap == address
    assert fresh_kafka.pid not in (pid, None)
    assert read_all(address, name) == before

    fresh_kafka.stop()
    fresh_kafka.start()
    produce(address, name, numbered(1))
    assert offsets(read_all(address, name)) == list(range(1_001))
