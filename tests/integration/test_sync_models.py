"""A table made after the model of its topic: a real service, Kafka and PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cachesvc.client import Client, JsonType, Mode
from cachesvc.sync import Check, TargetFailed, run_task
from cachesvc.sync.checking import check_task
from cachesvc.sync.parts import parts_of
from tests.faults.stage import Calls
from tests.support.kafka_broker import KafkaBroker
from tests.support.postgres import PASSWORD, PostgresServer
from tests.support.service import ServiceProcess
from tests.support.topics import OutRecord, create_topic, produce

pytestmark = [pytest.mark.kafka, pytest.mark.postgres, pytest.mark.timeout(180)]
_ROWS = [
    '{"id":1,"name":"a","price":1.5,"big":9223372036854775808,"tags":["x"],"paid":true,"odd":1}',
    '{"id":2,"name":null,"price":2,"big":18446744073709551615,"odd":"one"}',
]
_COLUMNS = """
select attname, format_type(atttypid, atttypmod) from pg_attribute
where attrelid = '{}'::regclass and attnum > 0 order by attnum
"""


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with PostgresServer({"fsync": "off"}) as server:
        yield server


@pytest.fixture(scope="module")
def service(
    kafka: KafkaBroker, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServiceProcess]:
    with ServiceProcess(tmp_path_factory.mktemp("service"), kafka.bootstrap) as running:
        yield running


def _checks(task: dict[str, Any]) -> list[Check]:
    async def live() -> list[Check]:
        return [each async for each in check_task(parts_of(task))]

    return asyncio.run(live())


def test_a_table_gets_the_columns_and_types_of_the_topics_model(
    kafka: KafkaBroker,
    topic_name: Callable[[str], str],
    service: ServiceProcess,
    server: PostgresServer,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("WAREHOUSE_PASSWORD", PASSWORD)
    topic = topic_name("modelled")
    create_topic(kafka.bootstrap, topic, 1)
    values = [f'{{"op":"c","before":null,"after":{row}}}' for row in _ROWS]
    produce(
        kafka.bootstrap, topic, [OutRecord(None, each.encode(), partition=0) for each in values]
    )
    task: dict[str, Any] = {
        "name": topic,
        "source": {"service": service.address, "topics": [topic], "mode": "FULL"},
        "transforms": [{"kind": "debezium"}],
        "sink": {
            "kind": "postgres",
            "conninfo": server.dsn,
            "password_env": "WAREHOUSE_PASSWORD",
            "table": "modelled",
            "key": ["id"],
            "create": "model",
            "create_from": "after",
            "create_types": {"name": "varchar(20)"},
        },
    }
    _mine(service, topic)
    with pytest.raises(TargetFailed, match="cachesvc jobs run models") as missing:
        asyncio.run(run_task(task))
    assert missing.value.reason == "MODEL_MISSING"
    failed = _checks(task)[-1]
    assert (failed.name, failed.passed) == ("sink: table", False)
    assert "cachesvc jobs run models" in failed.detail

    with Calls(service.address) as calls:
        calls.run_job("models")
    assert all(check.passed for check in _checks(task))
    assert server.run("select to_regclass('modelled')") == [(None,)]
    asyncio.run(run_task(task))
    assert dict(server.run(_COLUMNS.format("modelled"))) == {
        "id": "bigint",
        "big": "numeric",
        "name": "character varying(20)",
        "odd": "jsonb",
        "paid": "boolean",
        "price": "double precision",
        "tags": "jsonb",
    }
    assert server.run("select id, name, price, big, tags, paid, odd from modelled order by id") == [
        (1, "a", 1.5, 2**63, ["x"], True, 1),
        (2, None, 2.0, 2**64 - 1, None, None, "one"),
    ]


def _mine(service: ServiceProcess, topic: str) -> None:
    """Has the cache read a topic to its end."""

    async def live() -> None:
        async with (
            Client(service.address) as client,
            client.subscribe(f"{topic}-first", topics=topic, mode=Mode.FULL) as stream,
        ):
            async for batch in stream:
                await stream.commit(batch.position)

    asyncio.run(live())


def test_the_client_tells_the_model_as_a_tree(
    kafka: KafkaBroker, topic_name: Callable[[str], str], service: ServiceProcess
) -> None:
    topic = topic_name("tree")
    create_topic(kafka.bootstrap, topic, 1)
    value = b'{"after":{"a.b":1,"[*]":[{"c":null}]}}'
    produce(kafka.bootstrap, topic, [OutRecord(None, value, partition=0)])
    _mine(service, topic)
    with Calls(service.address) as calls:
        calls.run_job("models")

    async def live() -> None:
        async with Client(service.address) as client:
            model = await client.describe_model(topic)
        assert (model.topic, model.records_seen, model.truncated) == (topic, 1, False)
        assert [field.name for field in model.members()] == ["after"]
        found = {field.name: set(field.types) for field in model.members(["after"])}
        assert found == {"a.b": {JsonType.INTEGER}, "[*]": {JsonType.ARRAY}}
        # Elements of an array are no members, nor are members of them reached by names.
        assert model.members(["after", "[*]"]) == []
        assert model.members(["after", "[*]", "[*]"]) == []

    asyncio.run(live())
