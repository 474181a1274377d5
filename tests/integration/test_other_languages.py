"""The examples in Node.js, Go and Java, each as somebody would run it, against a real service."""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import pytest

from cachesvc.v1 import log_cache_pb2 as pb
from tests.faults.stage import Calls, eventually
from tests.support.kafka_broker import KafkaBroker
from tests.support.left_out import leave_out
from tests.support.other_languages import (
    ARROW_IN_GO,
    ARROW_IN_NODE,
    GRPCURL,
    LANGUAGES,
    Language,
)
from tests.support.reading import read_all
from tests.support.service import ServiceProcess
from tests.support.topics import create_topic
from tests.support.writing import OutRecord, produce

pytestmark = [pytest.mark.kafka, pytest.mark.environments, pytest.mark.timeout(900)]
PARTITIONS = 2
END_S = 20
# More than a message of gRPC holds unless its receiver says so.
LARGE = OutRecord(b"large", b'{"text":"%s"}' % (b"x" * (5 << 20)))


@pytest.fixture(scope="module")
def service(
    kafka: KafkaBroker, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServiceProcess]:
    """Tests stop and start it."""
    directory = tmp_path_factory.mktemp("languages")
    connection = {"topic_expression": "followed-.*"}
    with ServiceProcess(directory, kafka.bootstrap, connection=connection) as found:
        yield found


@pytest.fixture(params=LANGUAGES, ids=lambda language: language.name)
def language(request: pytest.FixtureRequest) -> Language:
    found: Language = request.param
    return required(found)


def required(language: Language) -> Language:
    if language.missing:
        leave_out(f"needs {', '.join(language.missing)}")
    return language


@dataclass(frozen=True, slots=True)
class Example:
    """A program that follows a topic, and what it has printed."""

    process: subprocess.Popen[bytes]
    output: Path
    errors: Path

    @classmethod
    def start(cls, command: list[str], directory: Path, name: str) -> Example:
        output, errors = directory / f"{name}.out", directory / f"{name}.err"
        with output.open("wb") as out, errors.open("wb") as err:
            return cls(subprocess.Popen(command, stdout=out, stderr=err), output, errors)

    def lines(self) -> list[str]:
        """The whole lines that it has printed."""
        *whole, _ = self.output.read_text(encoding="utf-8").split("\n")
        return whole

    def told(self) -> str:
        """What it has said of trouble; languages write names of codes in cases of their own."""
        return self.errors.read_text(encoding="utf-8").lower()

    def wait_for(self, lines: list[str]) -> None:
        """Until it has printed that many; then they are these, partition by partition in order."""

        def enough() -> bool:
            assert self.process.poll() is None, self.told()
            return len(self.lines()) >= len(lines)

        eventually(enough, f"{len(lines)} lines of {self.output.name}")
        assert sorted(self.lines(), key=place) == lines

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait(END_S)


def place(line: str) -> tuple[int, int]:
    _, partition, offset = line.split("\t", maxsplit=1)[0].rsplit("/", 2)
    return int(partition), int(offset)


def values(count: int) -> list[OutRecord]:
    return [
        OutRecord(b"%d" % n, None if n % 10 == 7 else b'{"n":%d,"text":"\xc3\xa4\xe2\x82\xac"}' % n)
        for n in range(count)
    ]


def expected(kafka: KafkaBroker, topic: str) -> list[str]:
    """What an example has to have printed of all that the broker has, by place."""
    return [
        f"{topic}/{number}/{record.offset}\t{(record.value or b'(tombstone)').decode()}"
        for number, records in sorted(read_all(kafka.bootstrap, topic).items())
        for record in records
    ]


def committed(calls: Calls, subscription: str) -> int:
    """How many offsets its positions cover, for partitions that begin at 0."""
    request = pb.GetSubscriptionRequest(subscription=subscription)
    found = calls.log_cache.GetSubscription(request).subscription
    return sum(part.position.offset for part in found.partitions)


def test_follows_a_topic_over_a_restart_of_the_service(
    language: Language,
    service: ServiceProcess,
    kafka: KafkaBroker,
    tmp_path: Path,
    topic_name: Callable[[str], str],
) -> None:
    """Prints every record once, commits, goes on after the hint to reconnect, tells a reason."""
    topic, subscription = topic_name("followed"), f"{language.name}-example"
    create_topic(kafka.bootstrap, topic, PARTITIONS)
    produce(kafka.bootstrap, topic, values(500))
    command = language.command(service.address, topic, subscription)
    with Example.start(command, tmp_path, "first") as example:
        example.wait_for(expected(kafka, topic))
        with Calls(service.address) as calls:
            eventually(lambda: committed(calls, subscription) == 500, "all to be committed")
        service.stop()
        produce(kafka.bootstrap, topic, [*values(299), LARGE])
        service.start()
        example.wait_for(expected(kafka, topic))
        assert "unavailable shutting_down" in example.told()
        with Calls(service.address) as calls:
            eventually(lambda: committed(calls, subscription) == 800, "all to be committed")
            other = calls.log_cache.Subscribe(
                pb.SubscribeRequest(
                    subscription=subscription, topics=[topic], mode=pb.FULL_AND_INCREMENTAL
                )
            )
            assert example.process.wait(END_S) == 1
            assert "aborted subscription_taken_over" in example.told()
            other.cancel()
    before = expected(kafka, topic)
    produce(kafka.bootstrap, topic, values(50))
    with Example.start(command, tmp_path, "again") as again:
        again.wait_for([line for line in expected(kafka, topic) if line not in before])


def test_arrow_for_javascript_reads_what_is_not_compressed(
    service: ServiceProcess, kafka: KafkaBroker, topic_name: Callable[[str], str]
) -> None:
    """And nothing else, as long as nobody gives it a codec."""
    topic = topic_name("followed")
    create_topic(kafka.bootstrap, topic, 1)
    produce(kafka.bootstrap, topic, [OutRecord(None, b'{"n":%d}' % n) for n in range(200)])

    def count(compression: str) -> subprocess.CompletedProcess[str]:
        command = required(ARROW_IN_NODE).command(service.address, topic, compression)
        return subprocess.run(command, capture_output=True, text=True, timeout=60)

    assert count("NONE").stdout == "200\n"
    for compression in ("LZ4", "ZSTD"):
        failed = count(compression)
        assert failed.returncode != 0
        assert "codec" in failed.stderr.lower()


def test_arrow_for_go_reads_every_compression(
    service: ServiceProcess, kafka: KafkaBroker, tmp_path: Path, topic_name: Callable[[str], str]
) -> None:
    topic = topic_name("followed")
    create_topic(kafka.bootstrap, topic, 1)
    produce(kafka.bootstrap, topic, [OutRecord(None, b'{"n":%d}' % n) for n in range(200)])
    command = required(ARROW_IN_GO).command()
    sizes = {}
    with Calls(service.address) as calls:
        for compression in ("LZ4", "ZSTD", "NONE"):
            request = pb.SubscribeRequest(
                subscription=f"go-{compression.lower()}",
                topics=[topic],
                mode=pb.FULL,
                encoding=pb.ARROW_IPC,
                arrow_compression=f"ARROW_COMPRESSION_{compression}",
            )
            events = calls.log_cache.Subscribe(request, timeout=60)
            streams = [event.batch.arrow_ipc for event in events if event.HasField("batch")]
            files = [tmp_path / f"{compression}-{n}.arrows" for n in range(len(streams))]
            for file, stream in zip(files, streams, strict=True):
                file.write_bytes(stream)
            done = subprocess.run(
                [*command, *map(str, files)], capture_output=True, text=True, timeout=60
            )
            assert done.stdout == f"200 {sum(range(200))}\n", done.stderr
            sizes[compression] = sum(map(len, streams))
    assert sizes["NONE"] > max(sizes["LZ4"], sizes["ZSTD"])


def test_grpcurl_needs_no_files(
    service: ServiceProcess, kafka: KafkaBroker, topic_name: Callable[[str], str]
) -> None:
    topic = topic_name("followed")
    create_topic(kafka.bootstrap, topic, 1)
    produce(
        kafka.bootstrap, topic, [OutRecord(b"k", b'{"op":"c"}'), OutRecord(b"k", b'{"op":"d"}')]
    )
    command = [*required(GRPCURL).command(), "-plaintext"]

    def grpcurl(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*command, *words], capture_output=True, text=True, timeout=60)

    assert "cachesvc.v1.LogCache" in grpcurl(service.address, "list").stdout.split()
    subscribe = [service.address, "cachesvc.v1.LogCache/Subscribe"]
    wanted = {"subscription": "look", "topics": [topic], "mode": "FULL", "encoding": "RECORDS"}
    wanted |= {"filter_text": 'value.op == "c"'}
    seen = grpcurl("-d", json.dumps(wanted), *subscribe)
    assert seen.returncode == 0, seen.stderr
    values = [line for line in seen.stdout.splitlines() if '"value"' in line]
    assert [json.loads(f"{{{line.strip().rstrip(',')}}}") for line in values] == [
        {"value": base64.b64encode(b'{"op":"c"}').decode()}
    ]
    found = grpcurl(service.address, "cachesvc.v1.LogCache/ListSubscriptions")
    assert "look" in [each["name"] for each in json.loads(found.stdout)["subscriptions"]]
    refused = grpcurl("-d", json.dumps({**wanted, "filter_text": "value.op =="}), *subscribe)
    assert refused.returncode != 0
    assert "Details" in refused.stderr and '"reason"' in refused.stderr
