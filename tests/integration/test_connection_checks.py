"""Testing a connection: what each check says of real brokers, good and bad."""

import asyncio
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from cachesvc.mining.kafka.checks import examine
from cachesvc.policy.connection_checks import Check, CheckStatus, Finding
from cachesvc.settings.connection import parse_connection
from cachesvc.v1 import connection_test_pb2 as pb
from cachesvc.v1.connections_pb2 import Connection
from tests.faults.stage import CALL_S, Calls, refusal
from tests.support.certificates import Authority
from tests.support.kafka_broker import KafkaBroker
from tests.support.ports import HOST, free_ports
from tests.support.secured_broker import SecuredBroker
from tests.support.service import ServiceProcess
from tests.support.tcp_proxy import TcpProxy
from tests.support.topics import create_topic, produce, watermarks
from tests.support.writing import OutRecord

pytestmark = pytest.mark.kafka
Name = Callable[[str], str]
PASSED, WARNING, FAILED, SKIPPED = CheckStatus


def examined(settings: dict[str, Any], limit_s: float = 20.0) -> dict[Check, Finding]:
    """Every check of a connection, by name."""
    connection = parse_connection(settings, "test")

    async def collect() -> dict[Check, Finding]:
        return {result.check: result.finding async for result in examine(connection, limit_s)}

    found = asyncio.run(collect())
    assert list(found) == list(Check)
    return found


def states(found: dict[Check, Finding]) -> dict[str, CheckStatus]:
    return {check.value: finding.status for check, finding in found.items()}


def expect_broken(
    found: dict[Check, Finding], check: Check, reason: str, shown: str = "", hint: str = ""
) -> None:
    """That one check failed, those before it did not, and nothing behind it was tried."""
    finding = found[check]
    assert (finding.status, finding.reason) == (FAILED, reason), found
    assert shown in finding.detail
    assert hint in finding.hint
    assert finding.hint
    order = list(Check)
    for other, result in found.items():
        if order.index(other) < order.index(check):
            assert result.status in (PASSED, WARNING, SKIPPED)
        elif other is not check:
            assert result == Finding(SKIPPED, f"{check.value} failed")


def plain(name: str, *addresses: str, **settings: Any) -> dict[str, Any]:
    return {"name": name, "bootstrap_servers": list(addresses), **settings}


@pytest.fixture
def topic(kafka: KafkaBroker, topic_name: Name) -> str:
    name = topic_name("checked")
    create_topic(kafka.bootstrap, name, 2)
    produce(kafka.bootstrap, name, [OutRecord(None, b'{"id":1}', partition=1)])
    return name


def test_everything_is_well(kafka: KafkaBroker, topic: str) -> None:
    settings = plain("good", kafka.bootstrap, type="both", topic_expression=f"{topic}|nothing")
    found = examined(settings)
    assert states(found) == {**dict.fromkeys(states(found), PASSED), "tls": SKIPPED}, found
    assert found[Check.VERSION].detail == "speaks as Kafka 4.1 or newer"
    assert found[Check.BROKERS].detail == "1 broker reached as advertised"
    assert "1 of " in found[Check.TOPICS].detail
    assert found[Check.TOPICS].detail.endswith(f": {topic}")
    assert found[Check.READ].detail == f"a record of {topic}/1 at offset 0"
    assert found[Check.WRITE].detail.startswith("idempotently, to 1 topics")
    assert found[Check.REPLICAS].detail.endswith("confirmed by the one replica there is")
    # The trial left nothing.
    assert watermarks(kafka.bootstrap, topic) == {0: (0, 0), 1: (0, 1)}
    # Controller and test share a clock.
    assert "ms" in found[Check.CLOCK].detail


def test_a_pure_target_is_not_read(kafka: KafkaBroker, topic: str) -> None:
    found = examined(plain("target", kafka.bootstrap, type="target", topic_expression=topic))
    assert found[Check.READ].status is SKIPPED
    assert found[Check.WRITE].status is PASSED
    target = {"type": "target", "topic_expression": topic, "target": {"acks": "leader"}}
    assert (
        "without idempotence" in examined(plain("t", kafka.bootstrap, **target))[Check.WRITE].detail
    )


def test_an_empty_topic_can_be_read(kafka: KafkaBroker, topic_name: Name) -> None:
    name = topic_name("empty")
    create_topic(kafka.bootstrap, name)
    found = examined(plain("empty", kafka.bootstrap, topic_expression=name))
    assert found[Check.READ].detail == "allowed; there is no record yet"
    assert found[Check.WRITE].status is SKIPPED


def test_a_name_that_does_not_resolve() -> None:
    found = examined(plain("lost", "no-such-broker.invalid:9092"))
    expect_broken(found, Check.NAME, "NAME_UNKNOWN", "no-such-broker.invalid:9092: no such name")


def test_a_port_where_nothing_listens() -> None:
    port = free_ports(1)[0]
    found = examined(plain("closed", f"{HOST}:{port}"))
    expect_broken(found, Check.PORT, "PORT_CLOSED", f"{HOST}:{port}: {HOST}: Connection refused")


def test_one_address_of_two_is_enough(kafka: KafkaBroker, topic: str) -> None:
    closed = f"{HOST}:{free_ports(1)[0]}"
    found = examined(plain("half", closed, kafka.bootstrap, topic_expression=topic))
    assert found[Check.PORT].status is WARNING
    assert found[Check.PORT].detail.startswith(f"1 of 2 addresses work; {closed}: ")
    assert found[Check.READ].status is PASSED


def test_no_topic_matches(kafka: KafkaBroker, topic: str) -> None:
    found = examined(plain("none", kafka.bootstrap, topic_expression="no-such-topic", type="both"))
    assert found[Check.TOPICS].reason == "NO_TOPIC_MATCHES"
    assert "'no-such-topic'" in found[Check.TOPICS].detail
    assert found[Check.READ] == Finding(SKIPPED, "topics failed")
    # What does not build on it is tried all the same.
    assert found[Check.WRITE].status is PASSED
    assert found[Check.CLOCK].status is PASSED


@pytest.fixture
def silent_port() -> Iterator[int]:
    """Accepts connections and says nothing."""
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        listener.listen(16)
        yield listener.getsockname()[1]


def test_a_broker_that_says_nothing_ends_the_test_in_time(silent_port: int) -> None:
    began_s = time.monotonic()
    found = examined(plain("silent", f"{HOST}:{silent_port}"), limit_s=2.0)
    assert time.monotonic() - began_s < 20  # it would say nothing for ever
    expect_broken(found, Check.AUTHENTICATION, "PORT_SILENT")


def test_a_silent_address_leaves_time_for_another(
    kafka: KafkaBroker, topic: str, silent_port: int
) -> None:
    settings = plain("mixed", f"{HOST}:{silent_port}", kafka.bootstrap, topic_expression=topic)
    found = examined(settings, limit_s=20.0)
    assert found[Check.AUTHENTICATION].status is WARNING
    assert found[Check.READ].status is PASSED, found


def test_an_advertised_address_that_cannot_be_reached(
    kafka: KafkaBroker, kafka_proxy: TcpProxy, topic: str
) -> None:
    kafka_proxy.cut()
    address = f"{HOST}:{kafka.proxied_listen_port}"
    found = examined(plain("hidden", address, topic_expression=topic))
    assert found[Check.AUTHENTICATION].status is PASSED
    assert found[Check.BROKERS].reason == "BROKER_UNREACHABLE"
    assert kafka.proxied_bootstrap in found[Check.BROKERS].detail
    assert "advertised.listeners" in found[Check.BROKERS].hint
    assert found[Check.TOPICS].status is PASSED
    assert found[Check.READ].status is FAILED


# Security


@pytest.fixture(scope="module")
def seen_topic(secured_kafka: SecuredBroker) -> str:
    name = "seen-orders"
    bootstrap = secured_kafka.broker.bootstrap
    create_topic(bootstrap, name)
    produce(bootstrap, name, [OutRecord(None, b'{"id":1}')])
    return name


def _ways(secured: SecuredBroker, user: str) -> dict[str, dict[str, Any]]:
    tls = secured.tls()
    return {
        "plain": secured.connection("c", "PASSWORD", tls=tls, sasl=secured.sasl(user, "PLAIN")),
        "scram-256": secured.connection(
            "c", "PASSWORD", tls=tls, sasl=secured.sasl(user, "SCRAM-SHA-256")
        ),
        "scram-512": secured.connection("c", "PASSWORD", tls=tls, sasl=secured.sasl(user)),
        "clear": secured.connection("c", "CLEAR", sasl=secured.sasl(user)),
        "mutual": secured.connection("c", "MUTUAL", tls=secured.tls(user)),
    }


@pytest.mark.parametrize("way", ["plain", "scram-256", "scram-512", "clear", "mutual"])
def test_every_way_of_signing_in(secured_kafka: SecuredBroker, seen_topic: str, way: str) -> None:
    settings = _ways(secured_kafka, "wendy")[way] | {"topic_expression": seen_topic, "type": "both"}
    found = examined(settings)
    expected = dict.fromkeys(states(found), PASSED)
    assert states(found) == expected | ({"tls": SKIPPED} if way == "clear" else {}), found
    assert ("client certificate" if way == "mutual" else "wendy") in (
        found[Check.AUTHENTICATION].detail
    )
    if way != "clear":
        assert "certificate of CN=broker, issued by CN=Tests" in found[Check.TLS].detail


@pytest.mark.kerberos
def test_signing_in_by_kerberos(secured_kafka: SecuredBroker, seen_topic: str) -> None:
    kerberos = secured_kafka.kerberos("wendy")
    settings = secured_kafka.connection(
        "c", "KERBEROS", tls=secured_kafka.tls(), kerberos=kerberos
    ) | {"topic_expression": seen_topic, "type": "both"}
    found = examined(settings)
    assert states(found) == dict.fromkeys(states(found), PASSED), found
    assert "by Kerberos" in found[Check.AUTHENTICATION].detail


@pytest.mark.kerberos
def test_a_missing_keytab(secured_kafka: SecuredBroker, tmp_path: Path) -> None:
    kerberos = secured_kafka.kerberos("wendy") | {"keytab_file": str(tmp_path / "none.keytab")}
    settings = secured_kafka.connection("c", "KERBEROS", tls=secured_kafka.tls(), kerberos=kerberos)
    expect_broken(examined(settings), Check.AUTHENTICATION, "KEYTAB_MISSING", "none.keytab")


def test_a_wrong_password(secured_kafka: SecuredBroker, tmp_path: Path) -> None:
    wrong = tmp_path / "password"
    wrong.write_text("guessed")
    sasl = secured_kafka.sasl("alice") | {"password_file": str(wrong)}
    found = examined(secured_kafka.connection("c", "PASSWORD", tls=secured_kafka.tls(), sasl=sasl))
    expect_broken(found, Check.AUTHENTICATION, "AUTHENTICATION_FAILED", hint="password")
    assert "guessed" not in str(found)


def test_a_missing_password_is_no_matter_of_tls(
    secured_kafka: SecuredBroker, tmp_path: Path
) -> None:
    sasl = secured_kafka.sasl("alice") | {"password_file": str(tmp_path / "none")}
    found = examined(secured_kafka.connection("c", "PASSWORD", tls=secured_kafka.tls(), sasl=sasl))
    expect_broken(found, Check.AUTHENTICATION, "SECRET_MISSING", "none")


@pytest.mark.parametrize(
    ("listener", "reason", "shown"),
    [
        ("EXPIRED", "CERTIFICATE_EXPIRED", "certificate of CN=expired, issued by CN=Tests"),
        ("STRANGE", "HOST_NAME_MISMATCH", "for elsewhere.test"),
    ],
)
def test_a_bad_certificate_is_shown(
    secured_kafka: SecuredBroker, listener: str, reason: str, shown: str
) -> None:
    found = examined(secured_kafka.connection("c", listener, tls=secured_kafka.tls()))
    expect_broken(found, Check.TLS, reason, shown)


def test_an_unknown_authority_is_shown(secured_kafka: SecuredBroker, tmp_path: Path) -> None:
    other = Authority(tmp_path / "other", "Somebody else")
    tls = {"ca_file": str(other.certificate)}
    found = examined(secured_kafka.connection("c", "PASSWORD", tls=tls))
    expect_broken(found, Check.TLS, "CERTIFICATE_UNTRUSTED", "issued by CN=Tests", "tls.ca_file")


def test_a_certificate_about_to_expire_warns(secured_kafka: SecuredBroker, seen_topic: str) -> None:
    tls, sasl = secured_kafka.tls(), secured_kafka.sasl("alice")
    found = examined(secured_kafka.connection("c", "SOON", tls=tls, sasl=sasl))
    assert (found[Check.TLS].status, found[Check.TLS].reason) == (
        WARNING,
        "CERTIFICATE_EXPIRES_SOON",
    )
    assert "valid for 4 more days" in found[Check.TLS].detail
    assert found[Check.READ].status is PASSED


def test_tls_to_a_port_without(secured_kafka: SecuredBroker) -> None:
    settings = plain("c", secured_kafka.broker.bootstrap, tls=secured_kafka.tls())
    expect_broken(examined(settings), Check.TLS, "TLS_HANDSHAKE_FAILED", hint="TLS on this port")


def test_plain_text_to_a_port_with_tls(secured_kafka: SecuredBroker) -> None:
    found = examined(secured_kafka.connection("c", "PASSWORD"))
    expect_broken(found, Check.AUTHENTICATION, "TLS_REQUIRED", hint="tls table")


def test_no_authentication_where_it_is_wanted(secured_kafka: SecuredBroker) -> None:
    found = examined(secured_kafka.connection("c", "CLEAR"))
    expect_broken(found, Check.AUTHENTICATION, "AUTHENTICATION_REQUIRED", "SCRAM-SHA-512", "sasl")


def test_no_client_certificate_where_it_is_wanted(secured_kafka: SecuredBroker) -> None:
    found = examined(secured_kafka.connection("c", "MUTUAL", tls=secured_kafka.tls()))
    expect_broken(
        found, Check.AUTHENTICATION, "CLIENT_CERTIFICATE_REFUSED", hint="tls.certificate_file"
    )


def test_a_user_who_may_only_look(secured_kafka: SecuredBroker, seen_topic: str) -> None:
    sasl = secured_kafka.sasl("mallory")
    settings = secured_kafka.connection("c", "CLEAR", sasl=sasl) | {"type": "both"}
    found = examined(settings)
    assert found[Check.TOPICS].detail == "1 of 1 match: seen-orders"
    assert found[Check.READ].reason == "TOPIC_NOT_AUTHORIZED"
    assert found[Check.READ].detail == "1 of 1 topics may not be read: seen-orders"
    assert found[Check.WRITE].reason == "WRITE_NOT_AUTHORIZED"
    assert found[Check.CLOCK].status is SKIPPED
    assert "DESCRIBE" in found[Check.CLOCK].detail


def test_a_user_who_may_read_and_not_write(secured_kafka: SecuredBroker, seen_topic: str) -> None:
    sasl = secured_kafka.sasl("alice")
    settings = secured_kafka.connection("c", "CLEAR", sasl=sasl) | {"type": "both"}
    found = examined(settings)
    assert found[Check.READ].status is PASSED
    assert found[Check.WRITE].reason == "WRITE_NOT_AUTHORIZED"


# By the service and the command line


@pytest.fixture(scope="module")
def service(kafka: KafkaBroker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    directory = tmp_path_factory.mktemp("service")
    closed = {"name": "closed", "bootstrap_servers": [f"{HOST}:{free_ports(1)[0]}"]}
    with ServiceProcess(directory, kafka.bootstrap, connections=[closed]) as process:
        yield process


def _tested(calls: Calls, **request: Any) -> dict[str, Any]:
    answers = calls.admin.TestConnection(pb.TestConnectionRequest(**request), timeout=CALL_S)
    return {answer.check.name: answer.check for answer in answers}


def test_the_service_tests_what_it_has_and_what_it_is_given(
    service: ServiceProcess, topic: str
) -> None:
    with Calls(service.address) as calls:
        good = _tested(calls, name="default")
        assert list(good) == [check.value for check in Check]
        assert good["read"].status == pb.CHECK_PASSED
        assert good["tls"].status == pb.CHECK_SKIPPED
        assert _tested(calls, name="closed")["port"].reason == "PORT_CLOSED"
        new = Connection(name="new", bootstrap_servers=["no-such-broker.invalid:1"])
        given = _tested(calls, settings=new, timeout_s=5)
        assert given["name"].reason == "NAME_UNKNOWN"
        assert given["clock"].status == pb.CHECK_SKIPPED


@pytest.mark.parametrize(
    ("request_fields", "reason"),
    [
        ({"name": "no-such"}, "UNKNOWN_CONNECTION"),
        ({}, "CONNECTION_REQUIRED"),
        ({"name": "default", "timeout_s": -1}, "INVALID_ARGUMENT"),
        ({"name": "default", "timeout_s": 301}, "INVALID_ARGUMENT"),
        ({"name": "default", "timeout_s": float("nan")}, "INVALID_ARGUMENT"),
        ({"settings": Connection()}, "INVALID_CONFIG"),
        ({"settings": Connection(name="x")}, "INVALID_CONFIG"),
        ({"settings": Connection(name="x", bootstrap_servers=["h"])}, "INVALID_CONFIG"),
    ],
)
def test_what_cannot_be_tested_is_refused(
    service: ServiceProcess, request_fields: dict[str, Any], reason: str
) -> None:
    with Calls(service.address) as calls:
        code, found, _ = refusal(lambda: _tested(calls, **request_fields))
    assert found == reason
    expected = {"UNKNOWN_CONNECTION": grpc.StatusCode.NOT_FOUND}
    assert code is expected.get(reason, grpc.StatusCode.INVALID_ARGUMENT)


def test_the_command_line(service: ServiceProcess, topic: str) -> None:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "cachesvc", "connection", "test", *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=CALL_S)

    good = run("default", "--address", service.address)
    assert good.returncode == 0, good
    assert "✓ read" in good.stdout
    without_service = run("default", "--config", str(service.config_path))
    assert without_service.returncode == 0, without_service
    assert "✓ clock" in without_service.stdout
    bad = run("closed", "--address", service.address)
    assert bad.returncode == 1
    assert "✗ port" in bad.stdout
    assert "(PORT_CLOSED)" in bad.stdout
