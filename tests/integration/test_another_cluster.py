"""A log belongs to one cluster: what another one says at an address of a connection is not used.

Two clusters, one on ZooKeeper without topic ids and one with them, take turns at being the right
one. Each is reached by a proxy of its own; an address that leads elsewhere by now is a proxy that
forwards to the other cluster.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest

from cachesvc.client import GapCause, GapPolicy
from cachesvc.v1 import admin_pb2 as admin
from cachesvc.v1 import alarms_pb2 as alarms
from cachesvc.v1 import connection_test_pb2 as tests
from cachesvc.v1 import connections_pb2 as connections
from tests.faults.stage import CALL_S, Calls, HandStartedReader, eventually, refusal
from tests.faults.streams import Seen, read
from tests.support.kafka_broker import KafkaBroker
from tests.support.ports import HOST
from tests.support.service import ServiceProcess
from tests.support.tcp_proxy import TcpProxy
from tests.support.topics import create_topic, produce
from tests.support.writing import OutRecord

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(240)]

Name = Callable[[str], str]
SETTINGS: dict[str, dict[str, Any]] = {
    "server": {"progress_interval_s": 0.2},
    "mining": {"answer_timeout_s": 2},
    "alarms": {"interval_s": 0.2, "raise_after_s": 0, "clear_after_s": 0},
}
CHANGED = "SOURCE_CHANGED"
ELSEWHERE = ("tests.support.reader_elsewhere",)


@dataclass(frozen=True, slots=True)
class Cluster:
    """A cluster behind a proxy, which its brokers name as their address."""

    kafka: KafkaBroker
    proxy: TcpProxy

    @property
    def port(self) -> int:
        port = self.kafka.proxied_listen_port
        assert port is not None
        return port

    @property
    def address(self) -> str:
        return f"{HOST}:{self.proxy.port}"

    def write(self, topic: str, begin: int, end: int) -> None:
        values = [
            b'{"at":"%s","id":%d}' % (self.kafka.version.encode(), n) for n in range(begin, end)
        ]
        produce(self.kafka.bootstrap, topic, [OutRecord(b"k", value) for value in values])

    def wrote(self, values: Sequence[bytes | None]) -> bool:
        """Whether all of some records are its own."""
        mark = b'"at":"%s"' % self.kafka.version.encode()
        return all(value is not None and mark in value for value in values)


@pytest.fixture(scope="module")
def old_cluster(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Cluster]:
    with TcpProxy() as proxy:
        broker = KafkaBroker(
            tmp_path_factory.mktemp("old"),
            proxy_port=proxy.port,
            heap_mb=300,
            jvm_options=("-XX:TieredStopAtLevel=1",),
            version="2.3.1",
        )
        with broker:
            proxy.forward_to(broker.proxied_listen_port)
            yield Cluster(broker, proxy)
        broker.discard_data()


@pytest.fixture(params=["2.3.1", "newest"])
def ours_and_theirs(
    request: pytest.FixtureRequest,
    old_cluster: Cluster,
    kafka: KafkaBroker,
    kafka_proxy: TcpProxy,
) -> Iterator[tuple[Cluster, Cluster]]:
    """The right cluster and another one."""
    both = old_cluster, Cluster(kafka, kafka_proxy)
    ours, theirs = both if request.param == "2.3.1" else both[::-1]
    yield ours, theirs
    for cluster in both:
        cluster.proxy.forward_to(cluster.port)
        cluster.proxy.restore()
        cluster.proxy.drop_connections()


@pytest.fixture
def topic(ours_and_theirs: tuple[Cluster, Cluster], topic_name: Name) -> str:
    """A topic of that name at both, with more records at the other one."""
    name = topic_name("same")
    for cluster, records in zip(ours_and_theirs, (100, 150), strict=True):
        create_topic(cluster.kafka.bootstrap, name)
        cluster.write(name, 0, records)
    return name


def serving(path: Path, *addresses: str) -> ServiceProcess:
    return ServiceProcess(path, "", SETTINGS, {"bootstrap_servers": list(addresses)})


def followed(service: ServiceProcess, topic: str, count: int) -> Seen:
    """The next records of one subscription."""
    return asyncio.run(read(service.address, topic, count, commit=True))


def connection(calls: Calls, name: str = "default") -> connections.Connection:
    request = connections.GetConnectionRequest(name=name)
    found: connections.Connection = calls.admin.GetConnection(request, timeout=CALL_S).connection
    return found


def standing(calls: Calls) -> dict[int, str]:
    """Messages of alarms by kind."""
    found = calls.admin.ListAlarms(alarms.ListAlarmsRequest(), timeout=CALL_S).alarms
    return {alarm.kind: alarm.message for alarm in found}


def cluster_check(calls: Calls, **meant: Any) -> tests.ConnectionCheck:
    """What testing a connection says of its cluster."""
    answers = calls.admin.TestConnection(tests.TestConnectionRequest(**meant), timeout=CALL_S)
    found: list[tests.ConnectionCheck] = [answer.check for answer in answers]
    (check,) = (check for check in found if check.name == "cluster")
    return check


def says_changed(calls: Calls, topic: str) -> Callable[[], bool]:
    def said() -> bool:
        return CHANGED in calls.topic(topic).mining_error

    return said


def test_a_seed_of_another_cluster_is_set_aside(
    ours_and_theirs: tuple[Cluster, Cluster], topic: str, tmp_path: Path
) -> None:
    ours, theirs = ours_and_theirs
    with serving(tmp_path, ours.address, theirs.address) as service:
        with Calls(service.address) as calls:
            assert followed(service, topic, 100).offsets() == list(range(100))
            seen = eventually(lambda: connection(calls).foreign_addresses, "the wrong address")
            assert [each.address for each in seen] == [theirs.address]
            their_id, our_id = seen[0].cluster_id, connection(calls).cluster_id
            assert their_id
            assert our_id
            assert their_id != our_id
            eventually(lambda: alarms.ALARM_SOURCE_CHANGED in standing(calls), "an alarm")
            told = standing(calls)[alarms.ALARM_SOURCE_CHANGED]
            assert f"{theirs.address} leads to cluster {their_id}" in told
            assert our_id in told
            check = cluster_check(calls, name="default")
            assert (check.status, check.reason) == (tests.CHECK_WARNING, CHANGED)
            assert f"{theirs.address} leads to cluster {their_id}" in check.detail

            ours.proxy.cut()
            ours.write(topic, 100, 120)
            eventually(says_changed(calls, topic), "the other cluster to be noticed")
            # Whoever mines now learns from the service which cluster is meant.
            for pid in service.reader_pids():
                os.kill(pid, signal.SIGKILL)
        service.kill()
        service.start()
        with Calls(service.address) as calls:
            eventually(lambda: connection(calls).error_reason == CHANGED, "the other one again")
            assert connection(calls).cluster_id == our_id
            assert calls.offsets(topic)[0].log_end_offset == 100
            ours.proxy.restore()
            back = followed(service, topic, 20)
            assert (back.offsets(), back.gaps) == (list(range(100, 120)), [])
            assert ours.wrote(back.values())
            assert calls.offsets(topic)[0].log_end_offset == 120


def test_the_wrong_seed_comes_first_by_now(
    ours_and_theirs: tuple[Cluster, Cluster], topic: str, tmp_path: Path
) -> None:
    ours, theirs = ours_and_theirs
    service = serving(tmp_path, ours.address)
    with service:
        assert ours.wrote(followed(service, topic, 100).values())
    ours.write(topic, 100, 130)
    service = serving(tmp_path, theirs.address, ours.address)
    with service, Calls(service.address) as calls:
        seen = followed(service, topic, 30)
        assert (seen.offsets(), seen.gaps) == (list(range(100, 130)), [])
        assert ours.wrote(seen.values())
        seen_at = eventually(lambda: connection(calls).foreign_addresses, "the wrong address")
        assert [each.address for each in seen_at] == [theirs.address]


def test_another_cluster_at_the_same_address_waits_until_it_is_accepted(
    ours_and_theirs: tuple[Cluster, Cluster], topic: str, tmp_path: Path
) -> None:
    ours, theirs = ours_and_theirs
    with serving(tmp_path, ours.address) as service, Calls(service.address) as calls:
        first = followed(service, topic, 60)
        eventually(lambda: calls.offsets(topic)[0].log_end_offset == 100, "everything to be mined")
        our_id = connection(calls).cluster_id
        ours.proxy.forward_to(theirs.port)
        ours.proxy.drop_connections()
        eventually(says_changed(calls, topic), "the other cluster to be noticed")
        eventually(lambda: connection(calls).error_reason == CHANGED, "the service to notice")
        foreign = eventually(lambda: connection(calls).foreign_addresses, "the wrong address")
        their_id = foreign[0].cluster_id
        check = cluster_check(calls, name="default")
        assert (check.status, check.reason) == (tests.CHECK_FAILED, CHANGED)
        assert f"{ours.address} leads to cluster {their_id}" in check.detail
        assert our_id in check.detail
        wrong = connections.AcceptClusterRequest(name="default", cluster_id="another")
        code, reason, _ = refusal(lambda: calls.admin.AcceptCluster(wrong, timeout=CALL_S))
        assert (code, reason) == (grpc.StatusCode.FAILED_PRECONDITION, "CLUSTER_NOT_FOUND")
        assert calls.offsets(topic)[0].log_end_offset == 100

        request = connections.AcceptClusterRequest(name="default")
        answer = calls.admin.AcceptCluster(request, timeout=CALL_S)
        assert answer.previous_cluster_id == our_id
        assert answer.connection.cluster_id == their_id
        again = calls.admin.AcceptCluster(request, timeout=CALL_S)
        assert again.previous_cluster_id == again.connection.cluster_id == their_id

        # What was mined is still there; then the change is told.
        stopped = followed(service, topic, 10**6)
        assert first.offsets() + stopped.offsets() == list(range(100))
        assert ours.wrote(first.values() + stopped.values())
        assert stopped.failure is not None
        assert stopped.failure.reason == CHANGED
        assert [(incarnation, begin, cause) for incarnation, begin, _, cause in stopped.gaps] == [
            (1, 100, GapCause.SOURCE_CHANGED)
        ]
        went_on = asyncio.run(read(service.address, topic, 150, GapPolicy.GO_ON, commit=True))
        assert went_on.incarnations == [(2, 0)]
        assert went_on.offsets(2) == list(range(150))
        assert theirs.wrote(went_on.values(2))
        eventually(lambda: alarms.ALARM_SOURCE_CHANGED not in standing(calls), "the alarm to clear")

        # It is the one that counts from now on, also behind a restart.
        service.kill()
        theirs.write(topic, 150, 160)
        ours.proxy.forward_to(ours.port)
        ours.proxy.drop_connections()
        service.start()
        eventually(
            lambda: connection(calls).error_reason == CHANGED, "the former one to be foreign"
        )
        ours.proxy.forward_to(theirs.port)
        ours.proxy.drop_connections()
        rest = asyncio.run(read(service.address, topic, 10, GapPolicy.GO_ON))
        assert (rest.offsets(2), rest.gaps) == (list(range(150, 160)), [])
        assert theirs.wrote(rest.values(2))


@pytest.mark.parametrize("ours_and_theirs", ["newest"], indirect=True)
def test_a_reader_that_sees_another_cluster_leaves_it_alone(
    ours_and_theirs: tuple[Cluster, Cluster], topic: str, tmp_path: Path
) -> None:
    ours, theirs = ours_and_theirs
    settings = {**SETTINGS, "mining": {"readers": 0, "reader_timeout_s": 2, "answer_timeout_s": 2}}
    service = ServiceProcess(tmp_path, ours.address, settings)
    way = ["--kafka", theirs.address]
    with service, Calls(service.address) as calls:
        with HandStartedReader(service, "elsewhere", "", way, module=ELSEWHERE):
            seen = asyncio.run(_with_another_reader(service, calls, topic))
            eventually(lambda: alarms.ALARM_SOURCE_CHANGED in standing(calls), "an alarm")
        assert seen.offsets() == list(range(100))
        assert ours.wrote(seen.values())


async def _with_another_reader(service: ServiceProcess, calls: Calls, topic: str) -> Seen:
    """What a stream gets once a reader has joined that sees the right cluster."""
    reading = asyncio.ensure_future(read(service.address, topic, 100))

    def refused() -> bool:
        reader = calls.readers().get("elsewhere")
        return reader is not None and reader.source_error.startswith(CHANGED)

    await asyncio.to_thread(eventually, refused, "the reader to refuse what it sees")
    with HandStartedReader(service, "near"):
        return await reading


@pytest.mark.parametrize("ours_and_theirs", ["2.3.1"], indirect=True)
def test_settings_that_lead_to_another_cluster(
    ours_and_theirs: tuple[Cluster, Cluster], topic: str, tmp_path: Path
) -> None:
    ours, theirs = ours_and_theirs

    def to(address: str) -> connections.Connection:
        return connections.Connection(name="made", bootstrap_servers=[address])

    def update(address: str) -> None:
        request = connections.UpdateConnectionRequest(connection=to(address))
        calls.admin.UpdateConnection(request, timeout=CALL_S)

    with serving(tmp_path, ours.address) as service, Calls(service.address) as calls:
        made = connections.CreateConnectionRequest(connection=to(theirs.address))
        calls.admin.CreateConnection(made, timeout=CALL_S)
        eventually(lambda: connection(calls, "made").reachable, "a look at the cluster")
        # As long as nothing was mined, any cluster will do.
        update(ours.address)
        eventually(lambda: connection(calls, "made").reachable, "a look at the other cluster")
        seen = asyncio.run(read(service.address, topic, 100, name="task", connection="made"))
        assert ours.wrote(seen.values())
        our_id = connection(calls, "made").cluster_id

        check = cluster_check(calls, settings=to(theirs.address))
        assert (check.status, check.reason) == (tests.CHECK_FAILED, CHANGED)
        assert our_id in check.detail
        update(theirs.address)
        eventually(lambda: connection(calls, "made").error_reason == CHANGED, "it to be noticed")
        assert connection(calls, "made").cluster_id == our_id
        request = admin.ListTopicsRequest(connection="made", topic=topic)
        (found,) = calls.admin.ListTopics(request, timeout=CALL_S).topics
        assert (found.incarnation, found.partitions[0].log_end_offset) == (1, 100)
        update(ours.address)
        eventually(lambda: connection(calls, "made").reachable, "the right one again")
