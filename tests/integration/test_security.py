"""One service with connections of every kind of security, right ones and wrong ones."""

import asyncio
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest

from cachesvc.v1 import connections_pb2
from cachesvc.v1 import log_cache_pb2 as log_cache
from tests.faults.stage import CALL_S, Calls, eventually, refusal
from tests.support.certificates import Authority
from tests.support.ports import HOST, free_ports
from tests.support.secured_broker import SecuredBroker
from tests.support.service import ServiceProcess
from tests.support.tasks import full
from tests.support.topics import create_topic, produce
from tests.support.writing import OutRecord

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(180)]

TOPIC = "secured-orders"
RECORDS = 200
WAYS = ("plain", "scram-256", "scram-512", "clear-plain", "clear-scram", "mutual")
# What is wrong, the reason, and words that a person needs.
WRONG = {
    "wrong-password": ("AUTHENTICATION_FAILED", "check user name, password"),
    "unknown-user": ("AUTHENTICATION_FAILED", "check user name, password"),
    "missing-password": ("SECRET_MISSING", "sasl.password"),
    "expired": ("CERTIFICATE_EXPIRED", "renew it"),
    "wrong-host": ("HOST_NAME_MISMATCH", "not for localhost"),
    "unknown-authority": ("CERTIFICATE_UNTRUSTED", "tls.ca_file"),
    "tls-to-plain": ("TLS_HANDSHAKE_FAILED", "does it speak TLS on this port"),
    "plain-to-tls": ("TLS_REQUIRED", "tls table"),
    "no-certificate": ("CLIENT_CERTIFICATE_REFUSED", "tls.certificate_file"),
    "mechanism": ("SASL_MECHANISM_UNSUPPORTED", "choose a mechanism that it offers"),
}
WRONG_TICKETS = {
    "missing-keytab": ("KEYTAB_MISSING", "kerberos.keytab_file"),
    "other-keytab": ("KEYTAB_MISSING", "keys of exactly this principal"),
    "stale-keytab": ("AUTHENTICATION_FAILED", "keytab"),
    "no-kdc": ("KDC_UNREACHABLE", "KDC"),
}
# Those that tests of their own mend.
MENDED = ("wrong-password", "unknown-authority")


def _mined(secured: SecuredBroker, directory: Path) -> Iterator[dict[str, Any]]:
    """Connections that work, and those that are going to."""
    tls, sasl, at = secured.tls(), secured.sasl, secured.connection
    for way, mechanism in (
        ("plain", "PLAIN"),
        ("scram-256", "SCRAM-SHA-256"),
        ("scram-512", "SCRAM-SHA-512"),
    ):
        yield at(way, "PASSWORD", tls=tls, sasl=sasl("alice", mechanism))
    yield at("clear-plain", "CLEAR", sasl=sasl("alice", "PLAIN"))
    yield at("clear-scram", "CLEAR", sasl=sasl("alice"))
    yield at("mutual", "MUTUAL", tls=secured.tls("alice"))

    bad = directory / "bad.password"
    bad.write_text("guessed")
    guessed = sasl("alice") | {"password_file": str(bad)}
    untrusted = {"ca_file": str(Authority(directory / "other", "Other").certificate)}
    yield at("wrong-password", "PASSWORD", tls=tls, sasl=guessed)
    yield at("unknown-authority", "PASSWORD", tls=untrusted, sasl=sasl("alice"))
    if secured.kdc is not None:
        kerberos = secured.kerberos("alice")
        lost = kerberos | {"keytab_file": str(directory / "none.keytab")}
        yield at("kerberos", "KERBEROS", tls=tls, kerberos=kerberos)
        yield at("missing-keytab", "KERBEROS", tls=tls, kerberos=lost)


def _wrong(secured: SecuredBroker, directory: Path) -> Iterator[dict[str, Any]]:
    """Connections that never work."""
    tls, sasl, at = secured.tls(), secured.sasl, secured.connection
    none = sasl("alice") | {"password_file": str(directory / "none.password")}
    nobody = sasl("alice") | {"username": "nobody"}
    yield at("unknown-user", "CLEAR", sasl=nobody)
    yield at("missing-password", "CLEAR", sasl=none)
    yield at("expired", "EXPIRED", tls=tls)
    yield at("wrong-host", "STRANGE", tls=tls)
    yield at("tls-to-plain", "CLEAR", tls=tls, sasl=sasl("alice"))
    yield at("plain-to-tls", "PASSWORD", sasl=sasl("alice"))
    yield at("no-certificate", "MUTUAL", tls=tls)
    if secured.kdc is not None:
        kerberos = secured.kerberos("alice")
        yield at("mechanism", "KERBEROS", tls=tls, sasl=sasl("alice"))
        stale = secured.kdc.keytab("olga", "stale")
        secured.kdc.keytab("olga", "fresh")
        other = kerberos | {"principal": secured.principal("olga")}
        yield at("other-keytab", "KERBEROS", tls=tls, kerberos=other)
        old = other | {"keytab_file": str(stale)}
        yield at("stale-keytab", "KERBEROS", tls=tls, kerberos=old)
        krb5 = directory / "nobody.conf"
        at_nobody = f"kdc = {HOST}:{free_ports(1)[0]}"
        lines = secured.kdc.krb5_file.read_text().splitlines()
        krb5.write_text("\n".join(at_nobody if "kdc =" in line else line for line in lines))
        yield at("no-kdc", "KERBEROS", tls=tls, kerberos=kerberos | {"krb5_file": str(krb5)})


@dataclass
class Stage:
    service: ServiceProcess
    connections: dict[str, dict[str, Any]] = field(default_factory=dict)


@pytest.fixture(scope="module")
def stage(
    secured_kafka: SecuredBroker, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stage]:
    """A service that mines."""
    directory = tmp_path_factory.mktemp("security")
    bootstrap = secured_kafka.broker.bootstrap
    create_topic(bootstrap, TOPIC)
    records = [OutRecord(b"k", b'{"id":%d}' % number) for number in range(RECORDS)]
    produce(bootstrap, TOPIC, records)
    connections = list(_mined(secured_kafka, directory))
    with _serving(directory, bootstrap, connections, readers=1) as made:
        yield made


@pytest.fixture(scope="module")
def wrong_stage(
    secured_kafka: SecuredBroker, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stage]:
    """A service that has nothing to mine, so no readers either."""
    directory = tmp_path_factory.mktemp("wrong")
    connections = list(_wrong(secured_kafka, directory))
    with _serving(directory, secured_kafka.broker.bootstrap, connections, readers=0) as made:
        yield made


@contextmanager
def _serving(
    directory: Path, bootstrap: str, connections: list[dict[str, Any]], readers: int
) -> Iterator[Stage]:
    whole = [{"topic_expression": TOPIC, **made} for made in connections]
    # What is wrong with some is seen only where no answer comes.
    mining = {"mining": {"readers": readers, "answer_timeout_s": 3}}
    with ServiceProcess(directory / "s", bootstrap, mining, connections=whole) as service:
        yield Stage(service, {made["name"]: made for made in connections})


def _shown(calls: Calls, name: str) -> Any:
    request = connections_pb2.GetConnectionRequest(name=name)
    return calls.admin.GetConnection(request, timeout=CALL_S).connection


def _delivers(stage: Stage, name: str) -> None:
    delivered = asyncio.run(full(stage.service.address, f"s-{name}", TOPIC, connection=name))
    rows = delivered.of(TOPIC)[0]
    assert [json.loads(value or b"")["id"] for _, value in rows] == list(range(RECORDS))


@pytest.mark.parametrize("way", WAYS)
def test_records_arrive(stage: Stage, way: str) -> None:
    _delivers(stage, way)


@pytest.mark.kerberos
def test_records_arrive_by_kerberos(stage: Stage) -> None:
    _delivers(stage, "kerberos")


def _expect_wrong(stage: Stage, name: str, reason: str, words: str) -> None:
    """That the service shows what is wrong, and tells it to whoever wants to subscribe."""
    request = log_cache.SubscribeRequest(
        subscription="s", connection=name, topics=[TOPIC], mode=log_cache.FULL
    )
    with Calls(stage.service.address) as calls:

        def shown() -> Any:
            found = _shown(calls, name)
            # A machine that is slow may see no answer at first.
            return found if found.error_reason == reason else None

        def refused() -> grpc.StatusCode | None:
            code, found, _ = refusal(
                lambda: list(calls.log_cache.Subscribe(request, timeout=CALL_S))
            )
            return code if found == reason else None

        found = eventually(shown, f"{name} to show {reason}")
        assert not found.reachable
        assert words in found.error
        code = eventually(refused, f"{name} to refuse with {reason}")
    # These may pass by themselves.
    passing = name in ("no-kdc", "tls-to-plain")
    assert code is grpc.StatusCode["UNAVAILABLE" if passing else "FAILED_PRECONDITION"]


@pytest.mark.parametrize("name", [name for name in WRONG if name not in (*MENDED, "mechanism")])
def test_what_is_wrong_is_said(wrong_stage: Stage, name: str) -> None:
    _expect_wrong(wrong_stage, name, *WRONG[name])


@pytest.mark.kerberos
@pytest.mark.parametrize("name", ["mechanism", "other-keytab", "stale-keytab", "no-kdc"])
def test_what_is_wrong_with_kerberos_is_said(wrong_stage: Stage, name: str) -> None:
    _expect_wrong(wrong_stage, name, *{**WRONG, **WRONG_TICKETS}[name])


def _mended(stage: Stage, name: str, mend: Callable[[dict[str, Any]], None]) -> None:
    """That a connection works once its files do, without a restart."""
    mend(stage.connections[name])
    with Calls(stage.service.address) as calls:
        eventually(lambda: _shown(calls, name).reachable, f"{name} to work")
        assert _shown(calls, name).error == ""
    _delivers(stage, name)


def test_a_corrected_password_counts_without_a_restart(
    stage: Stage, secured_kafka: SecuredBroker
) -> None:
    _expect_wrong(stage, "wrong-password", *WRONG["wrong-password"])

    def mend(connection: dict[str, Any]) -> None:
        Path(connection["sasl"]["password_file"]).write_text(secured_kafka.password_of("alice"))

    _mended(stage, "wrong-password", mend)


def test_a_corrected_authority_counts_without_a_restart(
    stage: Stage, secured_kafka: SecuredBroker
) -> None:
    _expect_wrong(stage, "unknown-authority", *WRONG["unknown-authority"])
    _mended(
        stage,
        "unknown-authority",
        lambda made: _copy(secured_kafka.authority.certificate, made["tls"]["ca_file"]),
    )


@pytest.mark.kerberos
def test_a_keytab_that_appears_counts_without_a_restart(
    stage: Stage, secured_kafka: SecuredBroker
) -> None:
    _expect_wrong(stage, "missing-keytab", *WRONG_TICKETS["missing-keytab"])
    keytab = secured_kafka.kerberos("alice")["keytab_file"]
    _mended(
        stage,
        "missing-keytab",
        lambda made: _copy(Path(keytab), made["kerberos"]["keytab_file"]),
    )


def _copy(source: Path, target: str) -> None:
    shutil.copyfile(source, target)


def test_no_secret_is_in_the_log_or_the_configuration(stage: Stage) -> None:
    """G13. The passwords, and what was guessed, are nowhere but in their files."""
    for path in stage.service.store.parent.rglob("*"):
        content = path.read_bytes() if path.is_file() else b""
        for secret in (b"alice-secret", b"guessed"):
            assert secret not in content, path
