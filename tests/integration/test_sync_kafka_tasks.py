"""Tasks that write into Kafka, run by the runner."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from cachesvc.sync import (
    Task,
    TooManyRefused,
)
from cachesvc.sync.parts import TaskParts
from cachesvc.sync.runner.letters import LetterQueue
from cachesvc.sync.task_file import parse_task
from tests.faults.copies import of_lines, of_parquet
from tests.faults.stage import objects
from tests.integration.kafka_target import Name
from tests.support.kafka_broker import KafkaBroker
from tests.support.reading import await_decided
from tests.support.service import ServiceProcess
from tests.support.tcp_proxy import TcpProxy
from tests.support.topics import (
    BrokerRecord,
    create_topic,
    produce,
    read_all,
    watermarks,
)
from tests.support.writing import OutRecord

_MAPS_HEADERS = """
import pyarrow as pa
from cachesvc.sync import CHANGE_SCHEMA

def headers(batch):
    mapped = [
        [{**h, "key": "x-" + h["key"]} for h in each or () if h["key"] == "trace"]
        + [{"key": "by", "value": b"sync"}]
        for each in batch.column("headers").to_pylist()
    ]
    kind = CHANGE_SCHEMA.field("headers").type
    return pa.table({"offset": batch.column("offset"), "headers": pa.array(mapped, kind)})
"""
pytestmark = [pytest.mark.kafka, pytest.mark.timeout(180)]


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


async def run_one(each: dict[str, Any]) -> None:
    """Runs a task to its end."""
    async with asyncio.timeout(60), Task(each) as task:
        await task.wait()


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


def test_headers_that_a_function_on_batches_makes_reach_the_target(
    kafka: KafkaBroker, topic_name: Name, tmp_path: Path
) -> None:
    source, target = topic_name("orders"), topic_name("copy")
    create_topic(kafka.bootstrap, source, 1)
    with_headers = OutRecord(b"k", b'{"n":1}', headers=(("trace", b"\xff1"), ("drop", None)))
    produce(kafka.bootstrap, source, [with_headers, OutRecord(b"k", b'{"n":2}')])
    (tmp_path / "mapping.py").write_text(_MAPS_HEADERS)
    function = {"kind": "python", "function": "mapping:headers", "on": "batches"}
    with ServiceProcess(tmp_path, kafka.bootstrap) as service:
        task = config(service.address, kafka.bootstrap, source, target)
        task["transforms"] = [{**function, "directory": str(tmp_path)}]
        asyncio.run(run_one(task))
    (copy,) = read_all(kafka.bootstrap, target).values()
    assert [(each.value, each.headers) for each in copy] == [
        (b'{"n":1}', (("x-trace", b"\xff1"), ("by", b"sync"))),
        (b'{"n":2}', (("by", b"sync"),)),
    ]


def test_dead_letters_are_records_of_a_topic(
    kafka: KafkaBroker, topic_name: Name, tmp_path: Path
) -> None:
    source, target, letters = (topic_name(each) for each in ("orders", "copy", "letters"))
    create_topic(kafka.bootstrap, source, 1, {"max.message.bytes": str(4 << 20)})
    create_topic(kafka.bootstrap, target, 1, {"max.message.bytes": "3000"})
    value = b'{"x":"' + b"x" * 2_000_000 + b'"}'
    large = OutRecord(b"large", value, headers=(("h", b"1"),))
    others = objects(0, 20, 1)
    produce(kafka.bootstrap, source, [*others[:10], large, *others[10:]])
    errors = {"policy": "dead-letter", "dead_letter_topic": letters}
    with ServiceProcess(tmp_path, kafka.bootstrap) as service:
        task = config(service.address, kafka.bootstrap, source, target, ignore_push_errors=True)
        asyncio.run(run_tasks({**task, "errors": errors}))
        again = {**task, "name": topic_name("again"), "errors": {**errors, "refused_max": 0}}
        with pytest.raises(TooManyRefused, match=f"they are kept in topic {letters}"):
            asyncio.run(run_one(again))
    keeper = TaskParts(parse_task({**task, "errors": errors})).keeper
    assert isinstance(keeper, LetterQueue)
    (letter,) = asyncio.run(keeper.read())
    assert (letter.key, letter.value, letter.offset) == (b"large", value.decode(), 10)
    assert [(each.key, each.value) for each in letter.headers] == [("h", b"1")]
    ((kept,),) = read_all(kafka.bootstrap, letters).values()
    ((*_, sent),) = (each for each in read_all(kafka.bootstrap, target).values())
    assert sent.value == others[-1].value
    assert (kept.key, kept.value) == (b"large", value)
    assert kept.headers[0] == ("h", b"1")
    told = dict(kept.headers[1:])
    assert told["cachesvc.topic"] == source.encode()
    assert (told["cachesvc.partition"], told["cachesvc.offset"]) == (b"0", b"10")
    assert told["cachesvc.reason"] == b"RECORD_TOO_LARGE"
    assert b"max.message.bytes" in (told["cachesvc.error"] or b"")


def test_sixteen_tasks_that_start_at_once_have_the_broker_read_once(
    kafka: KafkaBroker, kafka_proxy: TcpProxy, topic_name: Name, tmp_path: Path
) -> None:
    """Nothing is cached before, so all of them wait for the same records."""
    records = 10_000
    source = topic_name("orders")
    targets = [topic_name("copy") for _ in range(8)]
    files = [tmp_path / f"files-{number}" for number in range(8)]
    create_topic(kafka.bootstrap, source, 2)
    value = b'{"x":"' + b"x" * 1_000 + b'"}'
    # Of large batches the broker would send some twice, where they are cut off by an answer's end.
    rows = [OutRecord(None, value, partition=n % 2) for n in range(records)]
    produce(kafka.bootstrap, source, rows, settings={"batch.size": 16_384})
    logs = kafka.data_directory.glob(f"{source}-*/*.log")
    topic_bytes = sum(path.stat().st_size for path in logs)
    with ServiceProcess(tmp_path / "service", kafka.proxied_bootstrap) as service:
        tasks = [config(service.address, kafka.bootstrap, source, each) for each in targets]
        for path, kind in zip(files, ("parquet", "jsonl") * 4, strict=True):
            task = config(service.address, kafka.bootstrap, source, path.name)
            tasks.append({**task, "sink": {"kind": kind, "path": str(path)}})
        asyncio.run(run_tasks(*tasks))
        share = kafka_proxy.bytes_to_client / topic_bytes
    print(f"{len(tasks)} tasks: {share:.3f} times the {topic_bytes} bytes of the topic")
    # What is asked anew each half second, such as which topics there are, is small.
    assert topic_bytes > records * len(value)
    assert 1 <= share < 1.1
    for target in targets:
        ((_, end),) = watermarks(kafka.bootstrap, target).values()
        assert end == records
    for path, of in zip(files, (of_parquet, of_lines) * 4, strict=True):
        assert {number: len(rows) for number, rows in of(path).items()} == {
            0: records // 2,
            1: records // 2,
        }
