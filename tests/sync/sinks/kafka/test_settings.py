"""Settings of a Kafka target: what goes together and what does not."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from cachesvc.sync import InvalidTask, TargetFailed, TaskContext
from cachesvc.sync.sinks.kafka import KAFKA, KafkaSettings
from cachesvc.sync.sinks.kafka.naming import TopicNames
from cachesvc.sync.sinks.kafka.target import check_settings, target_of


def settings(**table: Any) -> KafkaSettings:
    given = {"bootstrap_servers": ["h:9092"], **table}
    return msgspec.convert({k: v for k, v in given.items() if v is not None}, KafkaSettings)


def test_the_defaults_are_those_of_the_document() -> None:
    target = target_of(settings())
    assert (target.acks, target.kafka_acks) == ("majority", -1)
    assert (target.compression, target.ignore_push_errors) == ("none", False)
    assert target.idempotent
    assert (settings().partitions, settings().replicas) == (1, 1)
    assert not target_of(settings(acks="leader")).idempotent


@pytest.mark.parametrize(
    ("table", "shown"),
    [
        ({"bootstrap_servers": None}, "sink.bootstrap_servers: is missing"),
        ({"bootstrap_servers": ["h"]}, "sink.bootstrap_servers[0]"),
        ({"sasl": {"mechanism": "PLAIN", "username": "u"}}, "sink.sasl.password_env"),
        ({"acks": "none", "exactly_once": True}, "sink.exactly_once"),
        ({"acks": "leader", "idempotent": True}, "sink.idempotent"),
        ({"exactly_once": True, "idempotent": False}, "sink.idempotent"),
        ({"connection": "c", "connection_file": "f"}, "sink.bootstrap_servers: contradicts"),
        ({"bootstrap_servers": None, "connection": "c"}, "sink.connection_file: is missing"),
        ({"connection_file": "f"}, "sink.connection: is missing"),
    ],
)
def test_what_does_not_go_together_is_refused_without_io(table: dict[str, Any], shown: str) -> None:
    with pytest.raises(InvalidTask) as caught:
        KAFKA.make(settings(**table), TaskContext("t"))
    assert shown in str(caught.value)


@pytest.mark.parametrize("template", ["", "a b", "{partition}", "x{topic", "a" * 250])
def test_templates_have_two_places_only(template: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        settings(topic=template)


def test_a_connection_of_the_service_and_what_the_task_says_instead(tmp_path: Path) -> None:
    file = tmp_path / "cachesvc.toml"
    file.write_text("""
        [[connections]]
        name = "in"
        bootstrap_servers = ["h:1"]
        [[connections]]
        name = "out"
        type = "both"
        bootstrap_servers = ["h:2"]
        tls = { ca_file = "ca.pem" }
        target = { acks = "all", compression = "zstd", ignore_push_errors = true }
    """)

    def named(name: str, **more: Any) -> KafkaSettings:
        table = {"connection": name, "connection_file": str(file), **more}
        return settings(bootstrap_servers=None, **table)

    target = target_of(named("out", compression="lz4"))
    assert (target.acks, target.compression, target.ignore_push_errors) == ("all", "lz4", True)
    assert target.connection.tls is not None
    assert target.connection.tls.ca_file == str(tmp_path / "ca.pem")
    for name, problem in (("in", "pure source"), ("none", "there is no 'none'")):
        with pytest.raises(InvalidTask, match=problem):
            target_of(named(name))
    check_settings(named("none"))
    file.unlink()
    with pytest.raises(InvalidTask, match="cannot be read"):
        target_of(named("out"))


def test_names_of_topics() -> None:
    names = TopicNames("{connection}.{topic}.copy", "local")
    assert names.only is None
    assert names.of("orders") == "local.orders.copy"
    assert names.expression() == r"local\..*\.copy"
    assert TopicNames("all", "").only == "all"
    with pytest.raises(TargetFailed):
        names.of("x" * 249)
    with pytest.raises(TargetFailed):
        TopicNames("{topic}", "").of("..")


def test_exactly_once_has_one_owner_of_all_positions() -> None:
    shared = TaskContext("t", shared=True)
    KAFKA.make(settings(), shared)
    with pytest.raises(InvalidTask, match="keeps the positions of all partitions for one task"):
        KAFKA.make(settings(exactly_once=True), shared)
