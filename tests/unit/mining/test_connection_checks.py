"""Checks of a connection that need no broker; tests/integration has those that do."""

import asyncio
import contextlib
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import asynccontextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

from cachesvc.errors import SourceUnreachable
from cachesvc.mining.kafka.checks import examine
from cachesvc.mining.kafka.checks.clock import DESCRIBE_QUORUM, check_clock
from cachesvc.mining.kafka.checks.tls import check_tls, speaks_tls
from cachesvc.mining.kafka.links import Channel
from cachesvc.mining.kafka.security import client_context
from cachesvc.policy.connection_checks import Check, CheckStatus, Finding
from cachesvc.settings.connection import TlsConfig, parse_connection
from tests.support.certificates import Authority, Certificate
from tests.support.ports import free_ports
from tests.support.reading import QUIET
from tests.support.sasl_stand_in import SaslStandIn

NOW_MS = 1_000
PASSED, WARNING, FAILED, SKIPPED = CheckStatus


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@asynccontextmanager
async def listening(certificate: Certificate | None) -> Any:
    """A server on 127.0.0.1 that says nothing; gives its port."""
    context = None
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate.certificate, certificate.key)

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if certificate is None:
            await reader.read(1)
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0, ssl=context)
    async with server:
        yield server.sockets[0].getsockname()[1]


def shaken(certificate: Certificate | None, ca: Path, host: str = "localhost") -> Finding:
    async def check() -> Finding:
        async with listening(certificate) as port:
            context = client_context(TlsConfig(ca_file=str(ca)))
            return await check_tls(host, port, context, NOW_MS)

    return asyncio.run(check())


def test_a_good_certificate_is_described(authority: Authority) -> None:
    found = shaken(authority.issue("good", ["localhost"]), authority.certificate)
    assert found.status is PASSED
    assert "TLSv1.3, certificate of CN=good, issued by CN=Tests, valid for" in found.detail


@pytest.mark.parametrize(
    ("hosts", "days", "reason", "shown"),
    [
        (["localhost"], -1, "CERTIFICATE_EXPIRED", "certificate of CN=bad, issued by CN=Tests"),
        (["elsewhere.test"], 9, "HOST_NAME_MISMATCH", "for elsewhere.test, valid until"),
    ],
)
def test_a_bad_certificate_is_described(
    authority: Authority, hosts: list[str], days: int, reason: str, shown: str
) -> None:
    found = shaken(authority.issue("bad", hosts, days), authority.certificate)
    assert (found.status, found.reason) == (FAILED, reason)
    assert shown in found.detail
    assert found.hint


def test_a_certificate_of_somebody_unknown_is_described(
    authority: Authority, tmp_path: Path
) -> None:
    other = Authority(tmp_path, "Other")
    found = shaken(authority.issue("good", ["localhost"]), other.certificate)
    assert (found.status, found.reason) == (FAILED, "CERTIFICATE_UNTRUSTED")
    assert "issued by CN=Tests" in found.detail
    assert "tls.ca_file" in found.hint


def test_a_port_without_tls(authority: Authority) -> None:
    found = shaken(None, authority.certificate)
    assert (found.status, found.reason) == (FAILED, "TLS_HANDSHAKE_FAILED")


@pytest.mark.parametrize("tls", [True, False])
def test_whether_a_port_speaks_tls(authority: Authority, tls: bool) -> None:
    async def ask() -> bool:
        certificate = authority.issue("any", ["nowhere"], -1) if tls else None
        async with listening(certificate) as port:
            return await speaks_tls("127.0.0.1", port)

    assert asyncio.run(ask()) is tls


def examined(settings: dict[str, Any], limit_s: float = 60.0) -> dict[Check, Finding]:
    connection = parse_connection({"name": "c", **settings}, "test")

    async def collect() -> dict[Check, Finding]:
        return {result.check: result.finding async for result in examine(connection, limit_s)}

    found = asyncio.run(collect())
    assert list(found) == list(Check)
    return found


def failures(found: dict[Check, Finding]) -> dict[str, str]:
    return {
        check.value: finding.reason for check, finding in found.items() if finding.status is FAILED
    }


def skipped(found: dict[Check, Finding]) -> dict[str, str]:
    return {
        check.value: finding.detail for check, finding in found.items() if finding.status is SKIPPED
    }


def test_a_name_that_nobody_knows() -> None:
    found = examined({"bootstrap_servers": ["no-such-host.invalid:9092"]})
    assert failures(found) == {"name": "NAME_UNKNOWN"}
    assert set(skipped(found).values()) == {"name failed"}


def test_a_port_that_nobody_has() -> None:
    found = examined({"bootstrap_servers": [f"127.0.0.1:{free_ports(1)[0]}"]})
    assert failures(found) == {"port": "PORT_CLOSED"}


@pytest.fixture
def silent_port() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(16)
        yield listener.getsockname()[1]


def test_a_port_that_says_nothing(silent_port: int) -> None:
    # Half of that is for the port; the rest is for a machine that takes its time.
    found = examined({"bootstrap_servers": [f"127.0.0.1:{silent_port}"]}, limit_s=8)
    assert failures(found) == {"authentication": "PORT_SILENT"}


def _sasl(directory: Path, password: str) -> dict[str, str]:
    file = directory / "password"
    file.write_text(password)
    return {"mechanism": "PLAIN", "username": "alice", "password_file": str(file)}


def test_a_password_right_and_wrong(tmp_path: Path) -> None:
    with SaslStandIn("right") as broker:
        servers = {"bootstrap_servers": [broker.address], "topic_expression": "orders"}
        good = examined({**servers, "sasl": _sasl(tmp_path, "right")})
        bad = examined({**servers, "sasl": _sasl(tmp_path, "guessed")})
    assert good[Check.AUTHENTICATION].status is PASSED
    assert good[Check.AUTHENTICATION].detail.endswith("signed in as alice by PLAIN")
    # It has neither topics nor the requests that mining needs.
    assert failures(good) == {"version": "BROKER_TOO_OLD", "topics": "NO_TOPIC_MATCHES"}
    assert failures(bad) == {"authentication": "AUTHENTICATION_FAILED"}
    assert "guessed" not in str(bad)


@pytest.fixture
def mock_cluster() -> Iterator[str]:
    """librdkafka's broker stand-in with a topic of four partitions and one record."""
    producer = Producer({"test.mock.num.brokers": 1, **QUIET})
    (broker,) = producer.list_topics("orders", timeout=60).brokers.values()
    producer.produce("orders", b'{"id":1}', partition=2)
    assert producer.flush(60) == 0
    yield f"{broker.host}:{broker.port}"
    producer.purge()


def test_what_works(mock_cluster: str) -> None:
    closed = f"127.0.0.1:{free_ports(1)[0]}"
    settings = {"type": "both", "bootstrap_servers": [closed, mock_cluster]}
    found = examined({**settings, "topic_expression": "ord.*"})
    assert failures(found) == {}
    assert set(skipped(found)) == {"tls", "clock"}
    assert found[Check.PORT].status is WARNING
    assert found[Check.PORT].detail.startswith(f"1 of 2 addresses work; {closed}: ")
    assert found[Check.TOPICS].detail == "1 of 1 match: orders"
    assert found[Check.READ].detail == "a record of orders/2 at offset 0"
    assert found[Check.WRITE].detail.startswith("idempotently, to 1 topics")
    # It does not tell the settings of topics.
    assert "cannot be seen" in found[Check.REPLICAS].detail


def test_a_topic_that_is_not_there(mock_cluster: str) -> None:
    settings = {"type": "both", "bootstrap_servers": [mock_cluster]}
    found = examined({**settings, "topic_expression": "customers"})
    assert failures(found) == {"topics": "NO_TOPIC_MATCHES"}
    assert skipped(found)["read"] == "topics failed"
    assert found[Check.WRITE].status is PASSED


@pytest.mark.parametrize(
    ("type_", "not_done"), [("source", {"replicas", "write"}), ("target", {"read"})]
)
def test_what_a_connection_is_not_for_is_not_tried(
    mock_cluster: str, type_: str, not_done: set[str]
) -> None:
    found = examined({"type": type_, "bootstrap_servers": [mock_cluster]})
    assert failures(found) == {}
    assert set(skipped(found)) == {"tls", "clock"} | not_done


def test_no_password_where_one_is_wanted(tmp_path: Path) -> None:
    with SaslStandIn("right") as broker:
        found = examined({"bootstrap_servers": [broker.address]})
    assert failures(found)["authentication"]


def test_a_password_file_that_is_not_there(tmp_path: Path) -> None:
    sasl = _sasl(tmp_path, "x") | {"password_file": str(tmp_path / "none")}
    with SaslStandIn("right") as broker:
        found = examined({"bootstrap_servers": [broker.address], "sasl": sasl})
    assert failures(found) == {"authentication": "SECRET_MISSING"}


class _Controller:
    """As much of a ``Cluster`` as tells the time."""

    def __init__(self, ahead_ms: int | None, error_code: int = 0) -> None:
        self._ahead_ms, self._error_code = ahead_ms, error_code

    async def send(self, node: int, channel: Channel, request: Any) -> Any:
        struct = request.prepare({DESCRIBE_QUORUM: (0, 2)})
        assert struct.encode() == b"\x02\x13__cluster_metadata\x02\0\0\0\0\0\0\0"
        if self._ahead_ms is None:
            return struct.RESPONSE_TYPE(self._error_code, [], {})
        now_ms = int(time.time() * 1000) + self._ahead_ms
        voters: list[Any] = [
            (1, 50, now_ms - 9_000, now_ms - 9_000, {}),
            (2, 50, now_ms, now_ms, {}),
        ]
        partition: tuple[Any, ...] = (0, 0, 2, 7, 50, voters, [], {})
        answer = struct.RESPONSE_TYPE(0, [("__cluster_metadata", [partition], {})], {})
        return struct.RESPONSE_TYPE.decode(BytesIO(answer.encode()))


@pytest.mark.parametrize(
    ("ahead_ms", "status", "words"),
    [
        (0, PASSED, "this one"),
        (5_000, WARNING, "ahead of this one"),
        (-5_000, WARNING, "behind this one"),
    ],
)
def test_the_clock_is_that_of_the_leading_controller(
    ahead_ms: int, status: CheckStatus, words: str
) -> None:
    cluster: Any = _Controller(ahead_ms)
    found = asyncio.run(check_clock(cluster, 1))
    assert found.status is status
    assert words in found.detail


def test_who_may_not_describe_the_cluster_is_not_told_the_time() -> None:
    cluster: Any = _Controller(None, error_code=31)
    assert asyncio.run(check_clock(cluster, 1)).status is SKIPPED


def test_a_controller_that_does_not_know_the_time() -> None:
    cluster: Any = _Controller(None, error_code=41)
    with pytest.raises(SourceUnreachable, match="41"):
        asyncio.run(check_clock(cluster, 1))
