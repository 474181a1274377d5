"""Trying a Kafka target, signing in at it, and what is said where that fails."""

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest
from confluent_kafka.admin import AdminClient

from cachesvc.sync import (
    Check,
    TargetFailed,
    TargetUnavailable,
    TaskContext,
)
from cachesvc.sync.sink import SourceView
from cachesvc.sync.sinks.kafka import KAFKA
from tests.integration.kafka_target import Name, checked, expected, values, write
from tests.support.deliveries import (
    changes,
    counted,
    delivery,
    kafka_sink,
)
from tests.support.kafka_broker import KafkaBroker
from tests.support.secured_broker import SecuredBroker
from tests.support.topics import (
    create_topic,
    watermarks,
)

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(180)]


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
    assert "is off" in found["refusals"].detail
    topics = AdminClient({"bootstrap.servers": kafka.bootstrap}).list_topics(timeout=30).topics
    assert not {missing, positions} & set(topics)
    assert not checked("127.0.0.1:1", topic=target)["port"].passed


def test_a_check_tries_to_make_every_topic_whose_name_is_known(
    kafka: KafkaBroker, topic_name: Name
) -> None:
    there, missing = topic_name("there"), topic_name("missing")
    create_topic(kafka.bootstrap, f"copy.{there}", 1)

    async def nobody() -> str:
        return ""

    async def found(**more: Any) -> dict[str, Check]:
        settings = {"bootstrap_servers": [kafka.bootstrap], "topic": "copy.{topic}", **more}
        source = SourceView((there, missing), "", nobody)
        sink = KAFKA.make(
            msgspec.convert(settings, KAFKA.settings), TaskContext("t", source=source)
        )
        return {check.name: check for check in await sink.check()}

    checks = asyncio.run(found(partitions=2, ignore_push_errors=True))
    assert checks["create"].detail.startswith(f"missing: copy.{missing}; can be made with 2")
    assert "is on" in checks["refusals"].detail
    assert not asyncio.run(found(replicas=2))["create"].passed
    create_topic(kafka.bootstrap, f"copy.{missing}", 1)
    assert "create" not in asyncio.run(found())


def test_a_target_nobody_answers_at_is_unavailable() -> None:
    async def run() -> None:
        sink = kafka_sink("127.0.0.1:1", topic="t")
        try:
            await sink.open()
        finally:
            await sink.close()

    with pytest.raises(TargetUnavailable):
        asyncio.run(run())


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
