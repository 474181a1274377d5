"""Leaders move: what was mined stays what the source has, or the difference is told by name."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from cachesvc.client import GapCause, GapPolicy
from cachesvc.v1 import mining_tasks_pb2 as pb
from cachesvc.v1.log_cache_pb2 import INCREMENTAL, SubscribeRequest
from tests.faults.stage import CALL_S, Calls, anomalies, check_manifest, eventually, objects
from tests.faults.streams import Seen, read
from tests.support.kafka_cluster import KafkaCluster
from tests.support.service import ServiceProcess
from tests.support.tasks import full, until
from tests.support.topics import RecordWriter, produce, read_all, watermarks

pytestmark = [pytest.mark.kafka, pytest.mark.faults, pytest.mark.slow, pytest.mark.timeout(300)]

Name = Callable[[str], str]
# A reader that is paused for the length of an election keeps its topics.
SETTINGS: dict[str, dict[str, object]] = {
    "mining": {"metadata_interval_s": 0.5, "reader_timeout_s": 60},
    "server": {"progress_interval_s": 0.2},
    "store": {"segment_bytes_max": 65_536},
}
UNCLEAN = {"unclean.leader.election.enable": "true", "min.insync.replicas": "1"}
EVERYTHING = 10**9


@pytest.fixture(scope="module")
def cluster(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[KafkaCluster]:
    """Three brokers, which tests leave running."""
    options = ("-XX:TieredStopAtLevel=1",)
    with KafkaCluster(tmp_path_factory.mktemp("cluster"), options) as started:
        yield started


@contextmanager
def serving(path: Path, cluster: KafkaCluster) -> Iterator[ServiceProcess]:
    """A service for the cluster; all brokers run again at the end."""
    connection = {"bootstrap_servers": cluster.servers}
    # The brokers start while the service ends.
    with (
        ThreadPoolExecutor(1) as threads,
        ServiceProcess(path, "", SETTINGS, connection) as service,
    ):
        try:
            yield service
        finally:
            started = threads.submit(cluster.start)
    started.result()


class Load:
    """Writes records into the partitions of a topic in turn, each once, until it is left."""

    def __init__(self, bootstrap: str, topic: str, partitions: int) -> None:
        self._writer = RecordWriter(bootstrap, settings={"linger.ms": 5})
        self._topic, self._partitions = topic, partitions
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._write)
        self.written = 0

    def _write(self) -> None:
        while not self._ending.wait(0.01):
            for record in objects(self.written, self.written + 20, self._partitions):
                self._writer.write_record(self._topic, record)
                self.written += 1

    def __enter__(self) -> Load:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._thread.join()
        self._writer.flush()


def test_leaders_move_under_load(cluster: KafkaCluster, topic_name: Name, tmp_path: Path) -> None:
    topic = topic_name("moves")
    cluster.create_topic(topic, [[2, 3, 1], [3, 2, 1]], {"min.insync.replicas": "2"})
    everyone = (1, 2, 3)

    def move(calls: Calls) -> None:
        def mined() -> int:
            return min(int(of.log_end_offset) for of in calls.offsets(topic).values())

        def more_is_mined() -> None:
            before = mined()
            eventually(lambda: mined() > before + 200, "mining to go on")

        with Load(cluster.bootstrap, topic, 2):
            more_is_mined()
            cluster.kill_broker(2)
            cluster.await_leader(topic, 3)
            more_is_mined()
            cluster.start_broker(2)
            cluster.await_in_sync(topic, everyone)
            cluster.elect_preferred(topic)
            cluster.await_leader(topic, 2)
            more_is_mined()
            cluster.stop_broker(3)
            cluster.await_leader(topic, 2, 1)
            more_is_mined()
            cluster.start_broker(3)
            cluster.await_in_sync(topic, everyone, 1)

    async def run(address: str, calls: Calls) -> None:
        task = asyncio.create_task(until(address, "live", topic, ends, timeout_s=200))
        await asyncio.to_thread(move, calls)
        # One record more in each, so that there is a batch that reaches the end.
        found = watermarks(cluster.bootstrap, topic)
        ends.update({number: end + 1 for number, (_, end) in found.items()})
        produce(cluster.bootstrap, topic, objects(0, 2, partitions=2))
        live = await task
        truth = await asyncio.to_thread(read_all, cluster.bootstrap, topic)
        late = await full(address, "late", topic)
        assert sum(map(len, truth.values())) > 1_500
        # One stream without a gap, which would have ended it.
        assert not anomalies(truth, live, topic)
        assert not anomalies(truth, late, topic)
        assert {of.incarnation for of in calls.offsets(topic).values()} == {1}

    ends = dict.fromkeys((0, 1), EVERYTHING)
    with serving(tmp_path, cluster) as service:
        with Calls(service.address) as calls:
            asyncio.run(run(service.address, calls))
        service.stop()
        check_manifest(service.store, topic, read_all(cluster.bootstrap, topic))


def _mined(calls: Calls, topic: str, ends: Sequence[int]) -> None:
    eventually(
        lambda: [of.log_end_offset for of in calls.offsets(topic).values()] == list(ends),
        f"mining up to {ends}",
    )


def _reaches_incarnation(calls: Calls, topic: str, incarnation: int) -> None:
    eventually(
        lambda: {of.incarnation for of in calls.offsets(topic).values()} == {incarnation},
        f"incarnation {incarnation}",
    )


@contextmanager
def _away(service: ServiceProcess, how: str) -> Iterator[None]:
    """Nobody looks at the source meanwhile."""
    if how == "killed":
        service.kill()
        yield
        service.start()
        return
    pids = service.reader_pids() if how == "paused" else []
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


@pytest.mark.parametrize(
    ("how", "instead"),
    [("looking", 0), ("paused", 20), ("paused", 120), ("killed", 120)],
)
def test_an_unclean_election_loses_what_was_mined(
    cluster: KafkaCluster, topic_name: Name, tmp_path: Path, how: str, instead: int
) -> None:
    topic = topic_name("lost")
    cluster.create_topic(topic, [[2, 3]], UNCLEAN)
    produce(cluster.bootstrap, topic, objects(0, 100))
    with serving(tmp_path, cluster) as service, Calls(service.address) as calls:
        committed = asyncio.run(read(service.address, topic, 40, commit=True, name="early"))
        cluster.stop_broker(3)
        cluster.await_in_sync(topic, [2])
        produce(cluster.bootstrap, topic, objects(100, 150))
        first = [record.value for record in read_all(cluster.bootstrap, topic)[0]]
        _mined(calls, topic, [150])

        # The other one has 100 of them, and becomes the leader.
        with _away(service, how):
            cluster.kill_broker(2)
            cluster.start_broker(3)
            cluster.await_leader(topic, 3)
            produce(cluster.bootstrap, topic, objects(1_000, 1_000 + instead))
        second = [record.value for record in read_all(cluster.bootstrap, topic)[0]]
        assert second[:100] == first[:100]
        assert len(second) == 100 + instead
        _reaches_incarnation(calls, topic, 2)

        # What was mined of the lost records is given, then the loss is told.
        stopped = asyncio.run(read(service.address, topic, EVERYTHING, name="early"))
        assert committed.values() + stopped.values() == first
        ((incarnation, begin, _, cause),) = stopped.gaps
        assert (incarnation, begin, cause) == (1, 150, GapCause.SOURCE_TRUNCATED)
        assert stopped.failure is not None
        assert stopped.failure.reason == "SOURCE_TRUNCATED"
        rest = len(first) - len(committed.records) + len(second)
        went_on = asyncio.run(read(service.address, topic, rest, GapPolicy.GO_ON, "early"))
        assert went_on.failure is None
        assert went_on.incarnations == [(2, 0)]
        assert went_on.values(2) == second
        fresh = asyncio.run(read(service.address, topic, len(second), name="fresh"))
        assert (fresh.gaps, fresh.values(1), fresh.values(2)) == ([], [], second)


@pytest.mark.parametrize("how", ["paused", "killed"])
def test_a_leader_from_before_comes_back(
    cluster: KafkaCluster, topic_name: Name, tmp_path: Path, how: str
) -> None:
    """Its log is longer than what was mined since, and all of an epoch long before."""
    topic = topic_name("back")
    cluster.create_topic(topic, [[2, 3]], UNCLEAN)
    produce(cluster.bootstrap, topic, objects(0, 100))
    cluster.stop_broker(3)
    cluster.await_in_sync(topic, [2])
    produce(cluster.bootstrap, topic, objects(100, 200))
    old = [record.value for record in read_all(cluster.bootstrap, topic)[0]]
    cluster.kill_broker(2)
    cluster.start_broker(3)
    cluster.await_leader(topic, 3)
    produce(cluster.bootstrap, topic, objects(1_000, 1_020))
    new = [record.value for record in read_all(cluster.bootstrap, topic)[0]]
    assert (len(old), len(new)) == (200, 120)
    with serving(tmp_path, cluster) as service, Calls(service.address) as calls:
        mined = asyncio.run(read(service.address, topic, 120, commit=True))
        assert mined.values() == new
        with _away(service, how):
            cluster.kill_broker(3)
            cluster.start_broker(2)
            cluster.await_leader(topic, 2)
        _reaches_incarnation(calls, topic, 2)
        seen = asyncio.run(read(service.address, topic, 200, GapPolicy.GO_ON))
        assert [(begin, cause) for _, begin, _, cause in seen.gaps] == [
            (120, GapCause.SOURCE_TRUNCATED)
        ]
        assert seen.values(2) == old


def test_an_older_range_is_not_mined_of_another_incarnation(
    cluster: KafkaCluster, topic_name: Name, tmp_path: Path
) -> None:
    """Somebody wants it while nobody has noticed yet that the source has other records there."""
    topic = topic_name("older")
    cluster.create_topic(topic, [[2, 3]], UNCLEAN)
    produce(cluster.bootstrap, topic, objects(0, 50))
    cluster.stop_broker(3)
    cluster.await_in_sync(topic, [2])
    produce(cluster.bootstrap, topic, objects(50, 150))
    with serving(tmp_path, cluster) as service, Calls(service.address) as calls:
        _mines_from_now_on(service, calls, cluster, topic_name("other"))
        needs = SubscribeRequest(subscription="tail", topics=[topic], mode=INCREMENTAL)
        tail = calls.log_cache.Subscribe(needs)
        assert next(tail).HasField("started")
        produce(cluster.bootstrap, topic, objects(150, 170))
        _mined(calls, topic, [170])
        assert [of.log_start_offset for of in calls.offsets(topic).values()] == [150]
        old = [record.value for record in read_all(cluster.bootstrap, topic)[0]]

        async def whole() -> Seen:
            with _away(service, "paused"):
                await asyncio.to_thread(cluster.kill_broker, 2)
                await asyncio.to_thread(cluster.start_broker, 3)
                await asyncio.to_thread(cluster.await_leader, topic, 3)
                await asyncio.to_thread(produce, cluster.bootstrap, topic, objects(1_000, 1_200))
                reading = asyncio.create_task(
                    read(service.address, topic, EVERYTHING, GapPolicy.GO_ON, last=(2, 249))
                )
                await asyncio.sleep(1)
                assert not reading.done()
            return await reading

        seen = asyncio.run(whole())
        tail.cancel()
        new = [record.value for record in read_all(cluster.bootstrap, topic)[0]]
        assert (len(old), len(new)) == (170, 250)
        for incarnation, truth in ((1, old), (2, new)):
            assert seen.values(incarnation) == [
                truth[offset] for offset in seen.offsets(incarnation)
            ]
        assert seen.offsets(2) == list(range(250))
        # Up to 50 both incarnations are the same, so that may have been mined of the first one.
        assert seen.offsets(1) in ([*range(50), *range(150, 170)], [*range(150, 170)])
        assert {cause for *_, cause in seen.gaps} == {GapCause.SOURCE_TRUNCATED}


def _mines_from_now_on(
    service: ServiceProcess, calls: Calls, cluster: KafkaCluster, other: str
) -> None:
    """Topics that join are mined from their end, not from their beginning."""
    cluster.create_topic(other, [[1]])
    asyncio.run(full(service.address, other, other))
    calls.admin.StopMiningTask(pb.StopMiningTaskRequest(), timeout=CALL_S)
    edit = pb.EditMiningTaskRequest(start=pb.MiningStart(now=True))
    calls.admin.EditMiningTask(edit, timeout=CALL_S)
    calls.admin.StartMiningTask(pb.StartMiningTaskRequest(), timeout=CALL_S)


def test_a_partition_that_lost_nothing_goes_on_without_a_gap(
    cluster: KafkaCluster, topic_name: Name, tmp_path: Path
) -> None:
    topic = topic_name("half")
    cluster.create_topic(topic, [[2, 3], [2, 3]], UNCLEAN)
    produce(cluster.bootstrap, topic, objects(0, 100, 2))
    with serving(tmp_path, cluster) as service, Calls(service.address) as calls:
        asyncio.run(read(service.address, topic, 50, name="of-0", commit=True))
        intact = asyncio.run(
            read(service.address, topic, 50, name="of-1", commit=True, partition=1)
        )
        cluster.stop_broker(3)
        for number in (0, 1):
            cluster.await_in_sync(topic, [2], number)
        produce(cluster.bootstrap, topic, objects(100, 150), partition=0)
        _mined(calls, topic, [100, 50])
        with _away(service, "killed"):
            cluster.kill_broker(2)
            cluster.start_broker(3)
            for number in (0, 1):
                cluster.await_leader(topic, 3, number)
            produce(cluster.bootstrap, topic, objects(1_000, 1_200, 2))
        _reaches_incarnation(calls, topic, 2)
        truth = {
            n: [r.value for r in rows] for n, rows in read_all(cluster.bootstrap, topic).items()
        }
        assert (len(truth[0]), len(truth[1])) == (150, 150)
        more = asyncio.run(read(service.address, topic, 200, GapPolicy.GO_ON, "of-0"))
        assert [(begin, cause) for _, begin, _, cause in more.gaps] == [
            (100, GapCause.SOURCE_TRUNCATED)
        ]
        assert len(more.values(1)) == 50
        assert more.values(2) == truth[0]
        more = asyncio.run(read(service.address, topic, 100, GapPolicy.GO_ON, "of-1", partition=1))
        # Its second incarnation begins behind what was mined before the other's loss was seen.
        earlier, later = more.values(1), more.values(2)
        assert more.gaps == []
        assert more.incarnations == ([(2, 50 + len(earlier))] if later else [])
        assert intact.values() + earlier + later == truth[1]
