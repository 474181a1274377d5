"""The properties of the tests' Kafka broker: one node, small, quick to react."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.support.ports import HOST

RECORD_BYTES_MAX = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Listeners:
    """The ports of one broker, all on 127.0.0.1.

    Attributes:
        direct: Where clients connect.
        controller: Where the broker talks to its own controller.
        proxied: Where connections come in that a TCP proxy forwards.
        proxy: The proxy's own port, told to the clients of `proxied`; None for no proxy.
    """

    direct: int
    controller: int
    proxied: int
    proxy: int | None = None

    def bound(self) -> dict[str, int]:
        """Return listener name to the port that the broker listens on."""
        ports = {"DIRECT": self.direct, "CONTROLLER": self.controller}
        return ports if self.proxy is None else {**ports, "PROXIED": self.proxied}

    def advertised(self) -> dict[str, int]:
        """Return listener name to the port that clients are told."""
        ports = {"DIRECT": self.direct}
        return ports if self.proxy is None else {**ports, "PROXIED": self.proxy}


def broker_properties(listeners: Listeners, data: Path) -> dict[str, str]:
    """Return the content of `server.properties` for a combined controller and broker."""
    bound = listeners.bound()
    return {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.voters": f"1@{HOST}:{listeners.controller}",
        "controller.listener.names": "CONTROLLER",
        "inter.broker.listener.name": "DIRECT",
        "listeners": _addresses(bound),
        "advertised.listeners": _addresses(listeners.advertised()),
        "listener.security.protocol.map": ",".join(f"{name}:PLAINTEXT" for name in bound),
        "log.dirs": str(data),
        **_ONE_NODE,
        **_SMALL,
        **_QUICK,
    }


def _addresses(ports: Mapping[str, int]) -> str:
    return ",".join(f"{name}://{HOST}:{port}" for name, port in ports.items())


_ONE_NODE = {
    "auto.create.topics.enable": "false",
    "message.max.bytes": str(RECORD_BYTES_MAX),
    "replica.fetch.max.bytes": str(RECORD_BYTES_MAX),
    "offsets.topic.replication.factor": "1",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    # Test data may carry old timestamps; a topic that is to lose records says so itself.
    "log.retention.ms": "-1",
}

_SMALL = {
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.num.partitions": "4",
    "num.network.threads": "2",
    "num.io.threads": "4",
    "background.threads": "2",
    "log.cleaner.dedupe.buffer.size": str(16 * 1024 * 1024),
}

_QUICK = {
    "group.initial.rebalance.delay.ms": "0",
    # After SIGKILL the controller keeps the broker out until its old session has ended.
    "broker.session.timeout.ms": "3000",
    "broker.heartbeat.interval.ms": "500",
    # Retention and compaction act within about a second of becoming due.
    "log.cleaner.backoff.ms": "500",
    "log.retention.check.interval.ms": "500",
    "log.initial.task.delay.ms": "500",
    "log.segment.delete.delay.ms": "500",
}
