"""G17 with Kafka as the target: brokers and the writing process die, and nothing is lost.

CACHESVC_SYNC_ROUNDS makes the rounds of kill -9 more, and the records with them.
"""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cachesvc.sync import Check, TargetFailed, TargetUnavailable
from cachesvc.sync.sinks.kafka import KafkaSink
from tests.faults.killing import rounds
from tests.support.alongside import seeded
from tests.support.deliveries import changes, counted, delivery, kafka_sink, open_when_possible
from tests.support.kafka_cluster import KafkaCluster
from tests.support.reading import await_decided
from tests.support.topics import read_all

ROUNDS = rounds(3)
pytestmark = [
    pytest.mark.kafka,
    pytest.mark.faults,
    pytest.mark.slow,
    pytest.mark.timeout(240 + 20 * ROUNDS),
]

Name = Callable[[str], str]
PARTITIONS = 3
SIZE = 200
END = 12_000
END_S = 120.0


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaCluster]:
    """Three brokers, which tests leave running."""
    options = ("-XX:TieredStopAtLevel=1",)
    with KafkaCluster(tmp_path_factory.mktemp("cluster"), options) as started:
        yield started


def values(cluster: KafkaCluster, topic: str) -> dict[int, list[int]]:
    """The numbers that whoever reads committed records gets."""
    await_decided(cluster.bootstrap, topic)
    return {
        number: [int((record.value or b"").removeprefix(b'{"n":')[:-1]) for record in each]
        for number, each in read_all(cluster.bootstrap, topic).items()
    }


@pytest.mark.parametrize("exactly_once", [False, True])
def test_a_leader_dies_while_it_is_written_to(
    cluster: KafkaCluster, topic_name: Name, exactly_once: bool
) -> None:
    target = topic_name("target")
    cluster.create_topic(target, [[2, 3, 1], [3, 2, 1], [1, 2, 3]], {"min.insync.replicas": "2"})
    repeated = 0

    async def run() -> None:
        sink = kafka_sink(
            cluster.bootstrap,
            target,
            topic=target,
            partitioner="keep",
            exactly_once=exactly_once,
            positions_topic=topic_name("positions"),
            replicas=3,
        )
        try:
            await write_all(sink)
        finally:
            await sink.close()

    async def write_all(sink: KafkaSink) -> None:
        nonlocal repeated
        await open_when_possible(sink)
        begin, killed = 0, None
        while begin < END:
            rows = counted(begin, begin + SIZE)
            each = delivery(*(changes("o", number, rows) for number in range(PARTITIONS)))
            try:
                await sink.write(each)
            except TargetUnavailable:
                repeated += 1
                found = await open_when_possible(sink)
                if found is not None:
                    begin = found["o", 0].offset
                continue
            begin += SIZE
            if killed is None and begin > END // 4:
                killed = asyncio.ensure_future(asyncio.to_thread(cluster.kill_broker, 2))
        assert killed is not None
        await killed

    try:
        asyncio.run(run())
    finally:
        cluster.start()
    found = values(cluster, target)
    for number in range(PARTITIONS):
        first = list(dict.fromkeys(found[number]))
        assert first == list(range(END)), "each is there, and the first time in order"
        if exactly_once or not repeated:
            assert found[number] == first, "none is there twice"


def _tested(cluster: KafkaCluster, topic: str, file: Path) -> tuple[int, dict[str, Any]]:
    """Exit code of a test of a connection to one topic, and its check that did not pass."""
    file.write_text(f"""
        [store]
        path = "{file.with_suffix(".store")}"
        [[connections]]
        name = "warehouse"
        type = "target"
        bootstrap_servers = {json.dumps(list(cluster.servers))}
        topic_expression = "{topic}"
        target = {{ acks = "majority" }}
    """)
    words = ["connection", "test", "warehouse", "--config", str(file), "--timeout", "60", "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "cachesvc", *words], capture_output=True, text=True, timeout=90
    )
    failed = (each for each in json.loads(done.stdout) if each["status"] == "CHECK_FAILED")
    return done.returncode, next(failed, {})


def test_most_of_the_replicas_are_held_against_the_topic(
    cluster: KafkaCluster, topic_name: Name, tmp_path: Path
) -> None:
    few, enough, made = topic_name("few"), topic_name("enough"), topic_name("made")
    for name, number in ((few, 1), (enough, 2)):
        cluster.create_topic(name, [[1, 2, 3]], {"min.insync.replicas": str(number)})

    async def tried(topic: str, acks: str = "majority") -> dict[str, Check]:
        sink = kafka_sink(cluster.bootstrap, topic=topic, acks=acks, replicas=3)
        found = {check.name: check for check in await sink.check()}
        try:
            await sink.open()
        finally:
            await sink.close()
        assert found["replicas"].passed
        return found

    with pytest.raises(TargetFailed, match="is 1 of 3 replicas") as caught:
        asyncio.run(tried(few))
    assert caught.value.reason == "ACKS_NOT_MET"
    code, failed = _tested(cluster, few, tmp_path / "few.toml")
    assert (code, failed["reason"]) == (1, "ACKS_NOT_MET")
    assert f"{few}: min.insync.replicas is 1 of 3 replicas" in failed["detail"]
    assert _tested(cluster, enough, tmp_path / "enough.toml") == (0, {})
    # What it lets be lost, one may choose.
    assert "at least 1 of 3" in asyncio.run(tried(few, "all"))["replicas"].detail
    assert "the leader alone" in asyncio.run(tried(few, "leader"))["replicas"].detail
    assert "at least 2 of 3" in asyncio.run(tried(enough))["replicas"].detail
    asyncio.run(tried(made))
    assert "at least 2 of 3" in asyncio.run(tried(made))["replicas"].detail


def test_a_broker_too_few_is_waited_for(cluster: KafkaCluster, topic_name: Name) -> None:
    target = topic_name("target")
    cluster.create_topic(target, [[1, 2]], {"min.insync.replicas": "2"})

    async def run() -> None:
        sink = kafka_sink(cluster.bootstrap, target, topic=target, delivery_timeout_s=6)
        await open_when_possible(sink)
        await sink.write(delivery(changes("o", 0, counted(0, 5))))
        await asyncio.to_thread(cluster.stop_broker, 2)
        with pytest.raises(TargetUnavailable, match="NotEnoughReplicas"):
            await sink.write(delivery(changes("o", 0, counted(5, 10))))
        failed = {check.name for check in await sink.check() if not check.passed}
        assert failed == {"write"}
        await asyncio.to_thread(cluster.start)
        end_s = time.monotonic() + END_S
        while True:
            try:
                await sink.open()
                await sink.write(delivery(changes("o", 0, counted(5, 10))))
                break
            except TargetUnavailable:
                assert time.monotonic() < end_s
        await sink.close()

    try:
        asyncio.run(run())
    finally:
        cluster.start()
    assert values(cluster, target) == {0: list(range(10))}


def test_a_task_that_is_killed_at_any_moment_writes_each_record_once(
    cluster: KafkaCluster, topic_name: Name
) -> None:
    target = topic_name("target")
    places = [[1, 2, 3], [2, 3, 1], [3, 1, 2]]
    cluster.create_topic(target, places, {"min.insync.replicas": "2"})
    chance, end = seeded(), END // 3 * ROUNDS
    command = [sys.executable, "-m", "tests.support.deliveries", cluster.bootstrap, target]
    command += ["orders", target, str(PARTITIONS), str(SIZE), str(end)]
    killed = 0
    for number in range(ROUNDS + 1):
        with subprocess.Popen(command) as process:
            last = number == ROUNDS
            try:
                code = process.wait(END_S if last else chance.uniform(0.8, 2.5))
                assert code == 0
            except subprocess.TimeoutExpired:
                process.kill()
                killed += 1
    assert killed >= ROUNDS // 2
    print(f"{killed} kills, {PARTITIONS * end} records")
    everything = list(range(end))
    assert values(cluster, target) == dict.fromkeys(range(PARTITIONS), everything)
