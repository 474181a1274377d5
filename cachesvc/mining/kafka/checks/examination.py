"""All checks of a connection, in order and bounded in time."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from cachesvc.errors import CacheError, SourceUnreachable
from cachesvc.mining.kafka.checks.addresses import check_name, check_port
from cachesvc.mining.kafka.checks.clock import DESCRIBE_QUORUM, check_clock
from cachesvc.mining.kafka.checks.findings import finding_of
from cachesvc.mining.kafka.checks.signing_in import Versions, check_signing_in, hang_up
from cachesvc.mining.kafka.checks.tls import check_tls
from cachesvc.mining.kafka.checks.topics import (
    Topics,
    check_reading,
    check_topics,
)
from cachesvc.mining.kafka.checks.writing import check_replicas, check_writing
from cachesvc.mining.kafka.cluster import Cluster
from cachesvc.mining.kafka.failures import Attempt
from cachesvc.mining.kafka.security import client_context, open_broker, security_of
from cachesvc.mining.kafka.settings import KafkaSettings
from cachesvc.mining.kafka.topic_metadata import Metadata
from cachesvc.policy.addresses import parse_address
from cachesvc.policy.connection_checks import (
    Check,
    CheckResult,
    Finding,
    failed,
    join_addresses,
    judge_clusters,
    judge_versions,
    obstacle,
    passed,
    skipped,
)
from cachesvc.settings.connection import KAFKA_ACKS, ConnectionConfig, TargetConfig

_BROKERS_MAX = 100
_NO_ANSWER = failed("no answer in time", "look for a firewall in between", reason="PORT_SILENT")


@dataclass(slots=True, eq=False)
class _Address:
    """One of the connection's addresses, as long as it works."""

    host: str
    port: int
    resolved: Sequence[str] = ()

    def __str__(self) -> str:
        return Attempt(self.host, self.port).address


async def examine(
    connection: ConnectionConfig, limit_s: float, cluster_id: str = ""
) -> AsyncGenerator[CheckResult, None]:
    """Makes every check of a connection and gives each result as it is known.

    Results come in the order of ``Check``, one for each. Never raises for what is wrong with the
    connection. Reads one record batch at most; nothing of what it writes is stored.

    Args:
        connection: What to test; need not be stored anywhere.
        limit_s: Seconds after which what is left counts as failed or skipped.
        cluster_id: Of the cluster that the connection's logs are of; empty without any. Where no
            address leads there, all other checks are made with the cluster that is there instead.
    """
    examination = _Examination(connection, limit_s, cluster_id)
    try:
        async for result in examination.results():
            yield result
    finally:
        await examination.close()


class _Examination:
    """One test of one connection; what earlier checks learn is there for later ones."""

    def __init__(self, connection: ConnectionConfig, limit_s: float, cluster_id: str) -> None:
        self._connection = connection
        self._cluster_id = cluster_id
        self._security = security_of(connection)
        self._limit_s = limit_s
        self._end_s = time.monotonic() + limit_s
        addresses = map(parse_address, connection.bootstrap_servers)
        self._addresses = [_Address(host, port) for host, port in addresses]
        self._versions: Versions = {}
        self._cluster: Cluster | None = None
        self._metadata = Metadata()
        self._topics: Topics = {}

    @property
    def _left_s(self) -> float:
        return max(0.0, self._end_s - time.monotonic())

    async def results(self) -> AsyncIterator[CheckResult]:
        made: Mapping[Check, Callable[[], Awaitable[Finding]]] = {
            Check.NAME: lambda: self._each(self._name),
            Check.PORT: lambda: self._each(self._port),
            Check.TLS: self._tls,
            Check.AUTHENTICATION: lambda: self._each(self._sign_in),
            Check.VERSION: self._version,
            Check.CLUSTER: self._clusters,
            Check.BROKERS: self._brokers,
            Check.TOPICS: self._find_topics,
            Check.READ: self._read,
            Check.REPLICAS: self._replicas,
            Check.WRITE: self._write,
            Check.CLOCK: self._clock,
        }
        found: dict[Check, Finding] = {}
        for check in Check:
            began_s = time.monotonic()
            found[check] = obstacle(check, found) or await self._bounded(made[check])
            yield CheckResult(check, found[check], time.monotonic() - began_s)

    async def close(self) -> None:
        if self._cluster is not None:
            await self._cluster.close()

    async def _bounded(self, make: Callable[[], Awaitable[Finding]]) -> Finding:
        if not self._left_s:
            return skipped(f"the {self._limit_s:g} s of the test are over")
        try:
            async with asyncio.timeout(self._left_s):
                return await make()
        except TimeoutError:
            hint = "give the test more time, or see the broker's log"
            return failed(f"no answer within {self._limit_s:g} s", hint, reason="TEST_TIMED_OUT")
        except CacheError as error:
            return finding_of("", error)

    # Address by address

    async def _each(self, look: Callable[[_Address], Awaitable[Finding]]) -> Finding:
        """Looks at all addresses at once; those that do not work are left out from then on."""
        limit_s = self._left_s / 2

        async def bounded(address: _Address) -> Finding:
            try:
                async with asyncio.timeout(limit_s):
                    return await look(address)
            except TimeoutError:
                return _NO_ANSWER
            except CacheError as error:
                return finding_of(str(address), error)

        findings = await asyncio.gather(*map(bounded, self._addresses))
        by_address = dict(zip(map(str, self._addresses), findings, strict=True))
        self._addresses = [
            address
            for address, finding in zip(self._addresses, findings, strict=True)
            if finding.works
        ]
        return join_addresses(by_address)

    async def _name(self, address: _Address) -> Finding:
        finding, address.resolved = await check_name(address.host, address.port)
        return finding

    async def _port(self, address: _Address) -> Finding:
        return await check_port(address.resolved, address.port, self._left_s / 3)

    async def _tls(self) -> Finding:
        if self._security.tls is None:
            return skipped("the connection has no tls table")
        context = await asyncio.to_thread(client_context, self._security.tls)
        now_ms = int(time.time() * 1000)
        return await self._each(
            lambda address: check_tls(address.host, address.port, context, now_ms)
        )

    async def _sign_in(self, address: _Address) -> Finding:
        finding, versions = await check_signing_in(address.host, address.port, self._security)
        self._versions = versions or self._versions
        return finding

    async def _version(self) -> Finding:
        return judge_versions(self._versions)

    # The cluster

    async def _known(self) -> Cluster:
        """The cluster behind the addresses that work, with its brokers and topics known."""
        cluster = self._reached()
        if not self._metadata.brokers:
            self._metadata = await cluster.metadata(None)
        return cluster

    def _reached(self) -> Cluster:
        if self._cluster is None:
            self._cluster = Cluster(
                KafkaSettings(
                    bootstrap_servers=tuple(map(str, self._addresses)),
                    security=self._security,
                    connect_timeout_s=self._limit_s / 2,
                    request_timeout_s=self._limit_s,
                )
            )
        return self._cluster

    async def _clusters(self) -> Finding:
        cluster = self._reached()
        found = await cluster.clusters()
        told = list(found.values())
        cluster.expect(self._cluster_id if self._cluster_id in told else told[0])
        return judge_clusters(found, self._cluster_id)

    async def _brokers(self) -> Finding:
        await self._known()
        brokers = list(self._metadata.brokers.values())[:_BROKERS_MAX]
        limit_s = self._left_s / 2
        problems = await asyncio.gather(
            *(self._unreachable(host, port, limit_s) for host, port in brokers)
        )
        wrong = [problem for problem in problems if problem is not None]
        if wrong:
            hint = "correct advertised.listeners of the brokers, or the names and routes here: "
            hint += "records are read from the addresses that brokers tell"
            return failed("; ".join(map(str, wrong)), hint, reason="BROKER_UNREACHABLE")
        count = len(brokers)
        return passed(f"{count} broker{'' if count == 1 else 's'} reached as advertised")

    async def _unreachable(self, host: str, port: int, limit_s: float) -> CacheError | None:
        try:
            async with asyncio.timeout(limit_s):
                connection = await open_broker(host, port, self._security)
        except CacheError as error:
            return error
        except TimeoutError:
            return SourceUnreachable(f"{Attempt(host, port).address}: no answer in time")
        await hang_up(connection)
        return None

    async def _find_topics(self) -> Finding:
        await self._known()
        finding, self._topics = check_topics(self._metadata, self._connection.topic_expression)
        return finding

    async def _read(self) -> Finding:
        if not self._connection.is_source:
            return skipped("nothing is read from a pure target")
        return await check_reading(await self._known(), self._topics)

    async def _write(self) -> Finding:
        if self._connection.type == "source":
            return skipped("nothing is written to a pure source")
        cluster, acks = await self._known(), KAFKA_ACKS[self._target.acks]
        return await check_writing(cluster, next(iter(self._metadata.brokers)), self._topics, acks)

    async def _replicas(self) -> Finding:
        if self._connection.type == "source":
            return skipped("nothing is written to a pure source")
        cluster = await self._known()
        return await check_replicas(cluster, self._topics, self._target.acks, self._left_s)

    @property
    def _target(self) -> TargetConfig:
        return self._connection.target or TargetConfig()

    async def _clock(self) -> Finding:
        if self._versions.get(DESCRIBE_QUORUM, (0, 0))[1] < 1:
            return skipped("this cluster does not tell the time; those of Kafka 3.3 with KRaft do")
        cluster = await self._known()
        return await check_clock(cluster, next(iter(self._metadata.brokers)))
