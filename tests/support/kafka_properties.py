"""The properties of the tests' Kafka broker: one node, small, quick to react."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.ports import HOST
from tests.support.zookeeper import SESSION_TIMEOUT_MS

RECORD_BYTES_MAX = 16 * 1024 * 1024


ADVERTISED_HOST = "localhost"
"""What secured listeners tell their clients, because certificates and principals name hosts."""


@dataclass(frozen=True, slots=True)
class SecuredListener:
    """A listener that wants something of its clients, told as `localhost`.

    Attributes:
        name: In capitals.
        protocol: SSL, SASL_PLAINTEXT or SASL_SSL.
        port: Where it listens.
        properties: Its own, without the prefix `listener.name.<name>.`.
    """

    name: str
    protocol: str
    port: int
    properties: Mapping[str, str]

    @property
    def bootstrap(self) -> str:
        """Address for clients."""
        return f"{ADVERTISED_HOST}:{self.port}"


@dataclass(frozen=True, slots=True)
class Security:
    """Everything about a broker that is there for the sake of security.

    Attributes:
        listeners: Beside the plain ones.
        scram_users: User name to password, for SCRAM.
        config: Further properties of the broker, such as its authorizer.
        jvm_options: Such as where its Kerberos configuration is.
    """

    listeners: Sequence[SecuredListener]
    scram_users: Mapping[str, str] = field(default_factory=dict)
    config: Mapping[str, str] = field(default_factory=dict)
    jvm_options: Sequence[str] = ()

    def properties(self) -> dict[str, str]:
        """Return what its listeners add to `server.properties`, beside their addresses."""
        own = {
            f"listener.name.{listener.name.lower()}.{name}": value
            for listener in self.listeners
            for name, value in listener.properties.items()
        }
        return {**own, **self.config}

    def format_options(self) -> list[str]:
        """Return what formatting the storage needs, so that users are there from the start."""
        return [
            option
            for name, password in self.scram_users.items()
            for mechanism in ("SCRAM-SHA-256", "SCRAM-SHA-512")
            for option in ("--add-scram", f"{mechanism}=[name={name},password={password}]")
        ]


@dataclass(frozen=True, slots=True)
class Listeners:
    """The ports of one broker, all on 127.0.0.1.

    Attributes:
        direct: Where clients connect.
        controller: Where the broker talks to its own controller.
        proxied: Where connections come in that a TCP proxy forwards.
        proxy: The proxy's own port, told to the clients of `proxied`; None for no proxy.
        zookeeper: Where ZooKeeper listens, which then is there instead of a controller.
        secured: Further listeners.
    """

    direct: int
    controller: int
    proxied: int
    proxy: int | None = None
    zookeeper: int | None = None
    secured: Sequence[SecuredListener] = ()

    def bound(self) -> dict[str, int]:
        """Return listener name to the port that the broker listens on."""
        ports = {"DIRECT": self.direct}
        if self.zookeeper is None:
            ports["CONTROLLER"] = self.controller
        if self.proxy is not None:
            ports["PROXIED"] = self.proxied
        return ports | {listener.name: listener.port for listener in self.secured}

    def advertised(self) -> dict[str, str]:
        """Return listener name to the address that clients are told."""
        addresses = {"DIRECT": f"{HOST}:{self.direct}"}
        if self.proxy is not None:
            addresses["PROXIED"] = f"{HOST}:{self.proxy}"
        return addresses | {listener.name: listener.bootstrap for listener in self.secured}

    def protocols(self) -> dict[str, str]:
        """Return listener name to security protocol."""
        protocols = dict.fromkeys(self.bound(), "PLAINTEXT")
        return protocols | {listener.name: listener.protocol for listener in self.secured}


def broker_properties(listeners: Listeners, data: Path) -> dict[str, str]:
    """Return the content of `server.properties`: controller and broker, or a ZooKeeper's client."""
    bound = listeners.bound()
    return {
        **_cluster(listeners),
        "inter.broker.listener.name": "DIRECT",
        "listeners": _joined("://", {name: f"{HOST}:{port}" for name, port in bound.items()}),
        "advertised.listeners": _joined("://", listeners.advertised()),
        "listener.security.protocol.map": _joined(":", listeners.protocols()),
        "log.dirs": str(data),
        **_ONE_NODE,
        **_SMALL,
        **_QUICK,
    }


def _cluster(listeners: Listeners) -> dict[str, str]:
    if listeners.zookeeper is not None:
        return {
            "broker.id": "1",
            "zookeeper.connect": f"{HOST}:{listeners.zookeeper}",
            "zookeeper.session.timeout.ms": str(SESSION_TIMEOUT_MS),
        }
    return {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.voters": f"1@{HOST}:{listeners.controller}",
        "controller.listener.names": "CONTROLLER",
    }


def _joined(between: str, pairs: Mapping[str, str]) -> str:
    return ",".join(f"{name}{between}{value}" for name, value in pairs.items())


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
    # Quotas are counted over three seconds, not ten.
    "quota.window.num": "4",
    # After SIGKILL the controller keeps the broker out until its old session has ended.
    "broker.session.timeout.ms": "3000",
    "broker.heartbeat.interval.ms": "500",
    # Retention and compaction act within about a second of becoming due.
    "log.cleaner.backoff.ms": "500",
    "log.retention.check.interval.ms": "500",
    "log.initial.task.delay.ms": "500",
    "log.segment.delete.delay.ms": "500",
}
