"""Three real Kafka brokers for tests: leaders move, brokers die and come back with their data.

Node 1 is the controller too and has to live; nodes 2 and 3 may be stopped, killed and started. All
listen on 127.0.0.1.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from confluent_kafka import ElectionType, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from tests.support.kafka_broker import KafkaBroker
from tests.support.kafka_properties import RECORD_BYTES_MAX
from tests.support.ports import HOST, free_ports
from tests.support.reading import QUIET

CONTROLLER = 1
NODES = (CONTROLLER, 2, 3)
_WAIT_S = 60.0
_ASK_S = 10.0
_HEAP_MB = 192
_SMALL = {
    # One fetcher per leader is enough, and a follower that is back is in sync again soon.
    "replica.fetch.wait.max.ms": "100",
    "replica.fetch.max.bytes": str(RECORD_BYTES_MAX),
    "num.io.threads": "2",
    # A broker that ends by itself hands over first; not for long where there is nobody.
    "controlled.shutdown.max.retries": "1",
    # Any broker but the first may be gone: on one alone a transaction would wait for its return.
    "transaction.state.log.replication.factor": "3",
    "transaction.state.log.min.isr": "2",
}


class KafkaCluster:
    """Brokers 1, 2 and 3 in directories of their own; used in ``with``.

    Args:
        directory: Created if missing.
        jvm_options: Further options of each JVM.
        advertised: Ports that nodes 2 and 3 tell clients instead of their own.
    """

    def __init__(
        self,
        directory: Path,
        jvm_options: Sequence[str] = (),
        advertised: Mapping[int, int] | None = None,
    ) -> None:
        self._advertised = advertised or {}
        self._directory = directory.absolute()
        first = KafkaBroker(
            self._directory / "1", heap_mb=_HEAP_MB, config=_SMALL, jvm_options=jvm_options
        )
        self._jvm_options = jvm_options
        self._brokers = {CONTROLLER: first}

    @property
    def servers(self) -> list[str]:
        """Where the brokers listen, whatever they tell clients, in the order of their numbers."""
        return [broker.bootstrap for broker in self._brokers.values()]

    @property
    def bootstrap(self) -> str:
        """The bootstrap addresses for librdkafka."""
        return ",".join(self.servers)

    def start(self) -> Self:
        """Starts all that do not run and returns once each takes part.

        Raises:
            KafkaUnavailable: As for ``KafkaBroker.start``.
            BrokerError: Likewise.
        """
        self._brokers[CONTROLLER].start()
        for node in NODES[1:]:
            if node not in self._brokers:
                self._brokers[node] = self._join(node)
        with ThreadPoolExecutor(len(NODES)) as threads:
            list(threads.map(self.start_broker, NODES))
        return self

    def _join(self, node: int) -> KafkaBroker:
        """A broker of the first one's cluster. Formatted by hand, which takes no JVM."""
        first = (self._directory / "1" / "server.properties").read_text()
        voters = _property(first, "controller.quorum.voters")
        meta = (self._brokers[CONTROLLER].data_directory / "meta.properties").read_text()
        (port,) = free_ports(1)
        config = {
            "process.roles": "broker",
            "node.id": str(node),
            "controller.quorum.voters": voters,
            "listeners": f"DIRECT://{HOST}:{port}",
            **_SMALL,
        }
        if node in self._advertised:
            config["advertised.listeners"] = f"DIRECT://{HOST}:{self._advertised[node]}"
        broker = KafkaBroker(
            self._directory / str(node),
            port=port,
            heap_mb=_HEAP_MB,
            config=config,
            jvm_options=self._jvm_options,
        )
        broker.data_directory.mkdir(parents=True, exist_ok=True)
        (broker.data_directory / "meta.properties").write_text(
            f"version=1\ncluster.id={_property(meta, 'cluster.id')}\nnode.id={node}\n"
        )
        return broker

    def start_broker(self, node: int) -> None:
        """Starts a broker on the data that it has, and returns once it takes part."""
        broker = self._brokers[node].start()
        admin = _admin(broker.bootstrap)
        _until(lambda: node in admin.list_topics(timeout=_ASK_S).brokers, f"broker {node}")

    def stop_broker(self, node: int) -> None:
        """Ends a broker with SIGTERM; it hands its leaderships over and leaves the in-sync sets."""
        assert node != CONTROLLER, "nobody would elect leaders"
        self._brokers[node].stop()

    def kill_broker(self, node: int) -> None:
        """Ends a broker with SIGKILL; the controller notices once its session has ended."""
        assert node != CONTROLLER, "nobody would elect leaders"
        self._brokers[node].kill()

    def close(self) -> None:
        """Ends everything, and deletes the data. Idempotent."""
        for node in reversed(self._brokers):
            self._brokers[node].kill()
            self._brokers[node].discard_data()

    # Topics

    def create_topic(
        self, name: str, replicas: Sequence[Sequence[int]], config: Mapping[str, str] | None = None
    ) -> None:
        """Creates a topic whose partitions lie on these nodes, each led by its first one.

        Returns once every broker that runs knows it: whichever is asked first answers rightly.
        """
        admin = _admin(self.bootstrap)
        assignment = [list(nodes) for nodes in replicas]
        topic = NewTopic(
            name, len(assignment), replica_assignment=assignment, config=dict(config or {})
        )
        admin.create_topics([topic])[name].result(_WAIT_S)
        for number, nodes in enumerate(assignment):
            self.await_leader(name, nodes[0], number)
            self.await_in_sync(name, nodes, number)
        for broker in self._brokers.values():
            if broker.is_running:
                _until(partial(_knows, _admin(broker.bootstrap), name), f"{name} to be known")

    def leader(self, topic: str, number: int = 0) -> int:
        """The node that leads a partition; -1 while none does."""
        found = self._partition(topic, number)
        return -1 if found is None else int(found.leader)

    def await_leader(self, topic: str, node: int, number: int = 0) -> None:
        """Waits until a node leads a partition."""
        _until(lambda: self.leader(topic, number) == node, f"{node} to lead {topic}/{number}")

    def await_in_sync(self, topic: str, nodes: Sequence[int], number: int = 0) -> None:
        """Waits until these nodes, and no others, are in sync."""

        def holds() -> bool:
            found = self._partition(topic, number)
            return found is not None and sorted(found.isrs) == sorted(nodes)

        _until(holds, f"{nodes} to be in sync for {topic}/{number}")

    def elect_preferred(self, topic: str, number: int = 0) -> None:
        """Makes the first replica of a partition its leader."""
        partitions = [TopicPartition(topic, number)]
        admin = _admin(self.bootstrap)
        admin.elect_leaders(ElectionType.PREFERRED, partitions).result(_WAIT_S)

    def _partition(self, topic: str, number: int) -> Any:
        """None while that broker does not know of it yet."""
        # The controller's own broker lives, and learns of every change.
        admin = _admin(self._brokers[CONTROLLER].bootstrap)
        return admin.list_topics(topic, _ASK_S).topics[topic].partitions.get(number)

    def __enter__(self) -> Self:
        """Start the brokers."""
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End everything."""
        self.close()


def _property(text: str, name: str) -> str:
    (value,) = [line.split("=", 1)[1] for line in text.splitlines() if line.startswith(f"{name}=")]
    return value


def _admin(bootstrap: str) -> AdminClient:
    return AdminClient({"bootstrap.servers": bootstrap, **QUIET})


def _knows(admin: AdminClient, topic: str) -> bool:
    return admin.list_topics(topic, _ASK_S).topics[topic].error is None


def _until(holds: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + _WAIT_S
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {_WAIT_S:.0f} s for {what}")
        time.sleep(0.05)
