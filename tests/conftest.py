"""The Kafka broker that integration tests share, and what happens where none can run.

Tests marked `kafka` are left out on a machine without Java or Maven, those marked `kerberos` on one
without a KDC, those marked `postgres` on one without PostgreSQL, and the summary says how many;
those with an S3 server on one without Go.
Where CI or CACHESVC_REQUIRE_KAFKA is set they fail instead.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import hypothesis
import pytest

from cachesvc.logs import NEVER_DEBUG
from tests.support.kafka_broker import KafkaBroker
from tests.support.kafka_jars import (
    KafkaUnavailable,
    kafka_version,
    kafka_versions,
    missing_requirements,
)
from tests.support.kafka_preparing import prepare
from tests.support.kdc import missing_kdc
from tests.support.left_out import leave_out
from tests.support.postgres import missing_postgres
from tests.support.s3_server import S3Server, S3Unavailable, server_binary
from tests.support.secured_broker import SecuredBroker
from tests.support.tcp_proxy import TcpProxy

_LEFT_OUT = "needs a Kafka broker"
_KERBEROS_LEFT_OUT = "needs a KDC"
_POSTGRES_LEFT_OUT = "needs PostgreSQL"
_S3_LEFT_OUT = "needs an S3 server"
# Tests are over before the JVM's optimising compiler would have paid for itself.
_JVM_OPTIONS = ("-XX:TieredStopAtLevel=1",)
_WEIGHTS = {"slow": 2, "kafka": 1, "postgres": 1, "kerberos": 1}
_ENVIRONMENTS = Path(__file__).parent / "environments"
_LACKING = pytest.StashKey[str]()
_BROKER_LOGS = pytest.StashKey[list[Path]]()


def pytest_configure(config: pytest.Config) -> None:
    # How long an example takes, and is made, says more about the machine than about the code.
    hypothesis.settings.register_profile(
        "default", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
    )
    hypothesis.settings.load_profile("default")
    # Records are kept here, and this one must not be: see the names there.
    for name in NEVER_DEBUG:
        logging.getLogger(name).setLevel(logging.INFO)
    config.stash[_BROKER_LOGS] = []


@pytest.hookimpl(tryfirst=True)  # before marks are looked at that tests are chosen by
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests first, so that at the end there is something short for everybody."""
    weights: dict[Path, int] = {}
    for item in items:
        if _is_of_others(item):
            item.add_marker("environments")
            if item.get_closest_marker("xdist_group") is None:
                item.add_marker(pytest.mark.xdist_group(item.path.stem))
        weight = max(n if item.get_closest_marker(name) else 0 for name, n in _WEIGHTS.items())
        weights[item.path] = max(weight, weights.get(item.path, 0))
    items.sort(key=lambda item: -weights[item.path])


def pytest_collection_finish(session: pytest.Session) -> None:
    """Prepare brokers now: the first download is no part of any test's time."""
    if session.config.option.collectonly:
        return
    if any("s3_server" in getattr(item, "fixturenames", ()) for item in session.items):
        with suppress(S3Unavailable):  # the fixture says it again
            server_binary()
    if not any(item.get_closest_marker("kafka") for item in session.items):
        return
    lacking = missing_requirements()
    if lacking is None:
        try:
            prepare(kafka_version())
            for version in set(filter(None, map(_version_of, session.items))):
                prepare(version)
        except KafkaUnavailable as error:
            lacking = str(error)
    if lacking is not None:
        session.config.stash[_LACKING] = lacking


def _is_of_others(item: pytest.Item) -> bool:
    """Whether a test is about what other people have: it runs with `scripts/test-environments`."""
    call = getattr(item, "callspec", None)
    older = call is not None and not set(kafka_versions()[:-1]).isdisjoint(
        each for each in call.params.values() if isinstance(each, str)
    )
    return older or _ENVIRONMENTS in item.path.parents


def _version_of(item: pytest.Item) -> str | None:
    """The version of Kafka that a test wants, if not the newest."""
    call = getattr(item, "callspec", None)
    return None if call is None else call.params.get("old_kafka")


def pytest_runtest_setup(item: pytest.Item) -> None:
    lacking = item.config.stash.get(_LACKING, None)
    if lacking is not None and item.get_closest_marker("kafka") is not None:
        leave_out(f"{_LEFT_OUT}: {lacking}")
    if item.get_closest_marker("kerberos") is not None and (lacking := missing_kdc()):
        leave_out(f"{_KERBEROS_LEFT_OUT}: {lacking}")
    if item.get_closest_marker("postgres") is not None and (lacking := missing_postgres()):
        leave_out(f"{_POSTGRES_LEFT_OUT}: {lacking}")


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, exitstatus: int, config: pytest.Config
) -> None:
    skipped = terminalreporter.getreports("skipped")
    left_out = sum(_LEFT_OUT in str(report.longrepr) for report in skipped)
    if left_out:
        lacking = config.stash.get(_LACKING, "no broker can run here")
        terminalreporter.write_line(f"{left_out} tests left out for lack of Kafka: {lacking}")
    left_out = sum(_KERBEROS_LEFT_OUT in str(report.longrepr) for report in skipped)
    if left_out:
        terminalreporter.write_line(f"{left_out} tests of Kerberos left out: {missing_kdc()}")
    left_out = sum(_POSTGRES_LEFT_OUT in str(report.longrepr) for report in skipped)
    if left_out:
        terminalreporter.write_line(f"{left_out} tests left out: {missing_postgres()}")
    if exitstatus == pytest.ExitCode.TESTS_FAILED:
        for log in config.stash[_BROKER_LOGS]:
            terminalreporter.write_line(f"Kafka broker log: {log}")


@pytest.fixture(scope="session")
def _session_proxy() -> Iterator[TcpProxy]:
    with TcpProxy() as proxy:
        yield proxy


@pytest.fixture(scope="session")
def kafka(
    _session_proxy: TcpProxy, tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config
) -> Iterator[KafkaBroker]:
    """The session's broker. Shared: use topics of your own, and leave it running.

    `proxied_bootstrap` leads through the proxy that `kafka_proxy` hands out.
    """
    broker = KafkaBroker(
        tmp_path_factory.mktemp("kafka"),
        proxy_port=_session_proxy.port,
        jvm_options=_JVM_OPTIONS,
    )
    pytestconfig.stash[_BROKER_LOGS].append(broker.log_path)
    with broker:
        _session_proxy.forward_to(broker.proxied_listen_port)
        yield broker
    broker.discard_data()


@pytest.fixture
def kafka_proxy(kafka: KafkaBroker, _session_proxy: TcpProxy) -> Iterator[TcpProxy]:
    """The proxy before `kafka.proxied_bootstrap`: open, without delay, counting from zero."""
    _heal(_session_proxy)
    yield _session_proxy
    _heal(_session_proxy)


@pytest.fixture
def fresh_kafka(tmp_path: Path, pytestconfig: pytest.Config) -> Iterator[KafkaBroker]:
    """A started broker for one test alone, which may stop, kill and start it."""
    broker = KafkaBroker(tmp_path / "kafka", jvm_options=_JVM_OPTIONS)
    pytestconfig.stash[_BROKER_LOGS].append(broker.log_path)
    with broker:
        yield broker
    broker.discard_data()


@pytest.fixture(scope="module", params=kafka_versions()[:-1])
def old_kafka(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    pytestconfig: pytest.Config,
) -> Iterator[KafkaBroker]:
    """A started broker of each version before the newest, shared by the tests of a module.

    Tests may stop and start it.
    """
    version: str = request.param
    directory = tmp_path_factory.mktemp(f"kafka-{version}")
    broker = KafkaBroker(directory, jvm_options=_JVM_OPTIONS, version=version)
    pytestconfig.stash[_BROKER_LOGS].append(broker.log_path)
    with broker:
        yield broker
    broker.discard_data()


@pytest.fixture(scope="session")
def secured_kafka(
    tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config
) -> Iterator[SecuredBroker]:
    """A broker with passwords, certificates, rights and, where a KDC can run, Kerberos. Shared."""
    with SecuredBroker(tmp_path_factory.mktemp("secured"), jvm_options=_JVM_OPTIONS) as secured:
        pytestconfig.stash[_BROKER_LOGS].append(secured.broker.log_path)
        yield secured
    secured.broker.discard_data()


@pytest.fixture
def topic_name() -> Callable[[str], str]:
    """Make names of topics that no other test uses: `topic_name("orders")`."""

    def make(label: str = "topic") -> str:
        return f"{label}-{uuid.uuid4().hex[:12]}"

    return make


def _heal(proxy: TcpProxy) -> None:
    proxy.restore()
    proxy.delay(0)
    proxy.limit_to_client(0)
    proxy.drop_connections()
    proxy.reset_counts()


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A server that tests share, each with a prefix of its own; none ends it."""
    server = S3Server(tmp_path_factory.mktemp("s3"))
    try:
        server.start()
    except S3Unavailable as error:
        leave_out(f"{_S3_LEFT_OUT}: {error}")
    yield server
    server.kill()
