"""Pages on which operators act, in a real browser, against a service that mines a real Kafka."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from playwright.sync_api import expect

from cachesvc.client import Batch, Client, GapPolicy, Mode, SubscriptionReset
from cachesvc.v1 import admin_pb2_grpc
from cachesvc.v1.connections_pb2 import (
    Connection,
    CreateConnectionRequest,
    DeleteConnectionRequest,
)
from cachesvc.v1.stores_pb2 import CreateStoreRequest, Store
from tests.faults.stage import objects
from tests.integration.browser.conftest import Stage
from tests.support.browser import Window
from tests.support.guarded_service import OF_FILE, GuardedService
from tests.support.kafka_broker import KafkaBroker
from tests.support.tasks import full
from tests.support.topics import OutRecord, create_topic, produce

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(300)]
ORDERS, STRICT = "depot.orders", "strict.events"
RECORDS = 900
PER_PARTITION = RECORDS // 3
_JOIN_S = 30


@pytest.fixture(scope="module")
def stage(kafka: KafkaBroker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    create_topic(kafka.bootstrap, ORDERS, 3)
    create_topic(kafka.bootstrap, STRICT, 1)
    produce(kafka.bootstrap, ORDERS, objects(0, RECORDS, 3))
    produce(kafka.bootstrap, STRICT, [OutRecord(b"k", b"{}"), OutRecord(b"bad", b"[1, 2")])
    directory = tmp_path_factory.mktemp("operating")
    mined = {"topic_expression": r"depot\..*"}
    strict = {
        "name": "strict",
        "bootstrap_servers": [kafka.bootstrap],
        "topic_expression": r"strict\..*",
        "non_json_policy": "stop",
    }
    service = GuardedService(
        directory, kafka.bootstrap, connection=mined, connections=[strict], http=True
    )
    with service:
        copy = full(
            service.address, "copy", ORDERS, connection="default", commit=True, token=OF_FILE
        )
        asyncio.run(copy)
        service.run_job("seal")
        _make_more(service, directory)
        with (
            _following(service.address, "billing", "default", ORDERS) as billing,
            _following(service.address, "audited", "strict", STRICT),
        ):
            assert billing.wait(60), "nothing was delivered"
            yield Stage(service)


def _make_more(service: GuardedService, directory: Path) -> None:
    """What was made over Admin, and can be deleted."""
    away = Connection(name="away", bootstrap_servers=["127.0.0.1:1"], topic_expression="x")
    spare = Store(name="spare", kind="directory", path=str(directory / "spare"))
    with _admin(service) as call:
        call("CreateConnection", CreateConnectionRequest(connection=away))
        call("CreateStore", CreateStoreRequest(store=spare))


@contextmanager
def _following(address: str, name: str, connection: str, topic: str) -> Iterator[threading.Event]:
    """A task that reads and commits meanwhile, again after a reset; tells its first commit."""
    committed, end = threading.Event(), threading.Event()

    async def follow() -> None:
        async with Client(address, token=OF_FILE, application=f"cachesvc-sync/{name}") as client:
            stream = client.subscribe(
                name,
                connection=connection,
                topics=[topic],
                mode=Mode.FULL_AND_INCREMENTAL,
                gap_policy=GapPolicy.GO_ON,
            )
            async with stream:
                async for event in stream.events():
                    if isinstance(event, Batch):
                        await stream.commit(event.position)
                        committed.set()

    async def until_ended() -> None:
        ending = asyncio.create_task(asyncio.to_thread(end.wait))
        while not ending.done():
            following = asyncio.create_task(follow())
            await asyncio.wait({following, ending}, return_when=asyncio.FIRST_COMPLETED)
            following.cancel()
            (outcome,) = await asyncio.gather(following, return_exceptions=True)
            if not isinstance(outcome, SubscriptionReset | asyncio.CancelledError):
                raise AssertionError(f"{name} ended: {outcome!r}")

    thread = threading.Thread(target=lambda: asyncio.run(until_ended()), name=name)
    thread.start()
    try:
        yield committed
    finally:
        end.set()
        thread.join(_JOIN_S)
        assert not thread.is_alive()


def test_subscriptions(opened: Window) -> None:
    page = opened.open("/subscriptions")
    rows = page.get_by_role("table", name="Subscriptions").locator("tbody tr")
    expect(rows).to_have_count(3)
    expect(rows.filter(has_text="billing")).to_contain_text("connected")
    expect(rows.filter(has_text="copy")).to_contain_text("nobody")
    opened.check_all("subscriptions")
    page.get_by_role("link", name="Not connected").click()
    expect(rows).to_have_count(1)
    page.get_by_role("link", name="Sync tasks").click()
    expect(rows).to_have_count(2)
    page.get_by_label("Subscriptions whose names or topics contain").fill("none such")
    opened.press("Search")
    expect(page.get_by_text("No subscriptions with “none such”")).to_be_visible()
    opened.check()


def test_a_subscription(opened: Window) -> None:
    page = opened.open("/subscriptions/billing")
    streams = page.get_by_role("table", name="Open streams").locator("tbody tr")
    expect(streams).to_have_count(1)
    expect(streams).to_contain_text("127.0.0.1")
    expect(streams).to_contain_text("ops")
    expect(streams).to_contain_text("sync task billing")
    expect(streams).to_contain_text("grpc-python")
    expect(streams).to_contain_text(f"{RECORDS} records")
    places = page.get_by_role("table", name="Positions").locator("tbody tr")
    expect(places).to_have_count(3)
    expect(places.first).to_contain_text(f"{PER_PARTITION}")
    opened.check_all("subscription")


def test_resetting_a_subscription(opened: Window) -> None:
    page = opened.open("/subscriptions/billing")
    page.get_by_role("link", name="Reset").click()
    opened.check_all("subscription-reset")
    page.get_by_label("Positions", exact=True).check()
    page.get_by_label("The positions").fill(f"{ORDERS}:0=100\n{ORDERS}:1=x")
    opened.press("Preview")
    expect(page.get_by_role("alert").filter(has_text="is no position")).to_be_visible()
    opened.expect_refused()
    page.go_back()
    page.get_by_label("Positions", exact=True).check()
    page.get_by_label("The positions").fill(f"{ORDERS}:0=100")
    opened.press("Preview")
    table = page.get_by_role("table", name="What it changes").locator("tbody tr")
    expect(table).to_have_count(3)
    expect(table.first).to_contain_text(f"{PER_PARTITION - 100} offsets are delivered again")
    expect(table.nth(1)).to_contain_text("starts as the mode says")
    expect(page.get_by_text("SUBSCRIPTION_RESET")).to_be_visible()
    opened.check_all("subscription-reset-preview")
    page.get_by_role("link", name="Leave it as it is").click()
    expect(page.get_by_role("heading", name="billing")).to_be_visible()
    page.get_by_role("link", name="Reset").click()
    page.get_by_label("The earliest offset").check()
    opened.press("Preview")
    expect(page.get_by_text(f"{RECORDS} offsets are delivered again")).to_be_visible()
    opened.press("Reset the subscription")
    opened.is_told("Subscription billing is reset.")
    # Its task has subscribed again, and has come to the end again.
    streams = page.get_by_role("table", name="Open streams").locator("tbody tr")
    expect(streams).to_contain_text(f"{RECORDS} records")
    opened.check()


def test_deleting_a_subscription(stage: Stage, opened: Window) -> None:
    copy = full(
        stage.service.address, "once", ORDERS, connection="default", commit=True, token=OF_FILE
    )
    thread = threading.Thread(target=lambda: asyncio.run(copy))
    thread.start()
    thread.join(60)
    page = opened.open("/subscriptions/once")
    opened.press("Delete")
    expect(page.get_by_text("3 stored positions are gone for good")).to_be_visible()
    opened.check_all("subscription-delete")
    opened.press("Delete the subscription")
    opened.is_told("Subscription once is deleted.")
    opened.open("/subscriptions/once")
    expect(page.get_by_text("UNKNOWN_SUBSCRIPTION")).to_be_visible()


def test_mining(opened: Window) -> None:
    page = opened.open("/mining")
    tasks = page.get_by_role("table", name="Mining tasks, one for each connection")
    expect(tasks.locator("tbody tr")).to_have_count(2)
    blocked = page.get_by_role("table", name="Partitions that have stopped at one record")
    expect(blocked).to_contain_text("MALFORMED_JSON")
    opened.check_all("mining")
    opened.press("Try again")
    opened.is_told(f"Topic {STRICT} is tried again at partition 0.")
    opened.check()


def test_a_mining_task(opened: Window) -> None:
    page = opened.open("/mining/default")
    row = page.get_by_role("table", name="Topics of the task").locator("tbody tr").first
    expect(row).to_contain_text("mining")
    page.get_by_role("button", name="Pin to").click()
    opened.is_told(f"Topic {ORDERS} is mined by reader")
    expect(row).to_contain_text("pinned to")
    opened.check_all("mining-task")
    opened.press("Unpin")
    opened.is_told(f"Topic {ORDERS} is any reader's again.")
    opened.press("Stop")
    opened.is_told(f"Topic {ORDERS} is not mined any more")
    expect(row).to_contain_text("stopped")
    opened.press("Start")
    opened.is_told(f"Topic {ORDERS} is mined again.")
    opened.press("Stop mining")
    expect(page.get_by_text("A restart of the service does not start it.")).to_be_visible()
    opened.check_all("mining-stop")
    opened.press("Stop mining")
    opened.is_told("Connection default is not mined any more.")
    opened.press("Start mining")
    opened.is_told("Connection default is mined again.")
    page.get_by_role("link", name="History").click()
    changes = page.get_by_role("table", name="Changes of state").locator("tbody tr")
    expect(changes.filter(has_text="STOPPED").first).to_be_visible()
    opened.check_all("mining-history")


def test_readers(opened: Window) -> None:
    page = opened.open("/readers")
    rows = page.get_by_role("table", name="Readers").locator("tbody tr")
    expect(rows).to_have_count(2)
    expect(rows.filter(has_text="default")).to_contain_text("reached")
    rows.filter(has_text="default").locator("summary").click()
    expect(rows.get_by_role("link", name=ORDERS)).to_be_visible()
    opened.check_all("readers")


def test_connections(opened: Window) -> None:
    page = opened.open("/connections")
    rows = page.get_by_role("table", name="Connections").locator("tbody tr")
    expect(rows.filter(has_text="default").first).to_contain_text("reachable")
    opened.check_all("connections")
    opened.press("Test connection default")
    checks = page.locator("ol.lines li")
    expect(checks.filter(has_text="cluster:")).to_contain_text("passed")
    expect(page.get_by_text("done", exact=True)).to_be_visible()
    opened.check_all("connection-test")
    page.get_by_role("link", name="Back").click()
    expect(page.get_by_role("heading", name="default")).to_be_visible()
    expect(page.get_by_role("button", name="Delete")).to_have_count(0)
    opened.check_all("connection")


def test_deleting_a_connection(opened: Window) -> None:
    page = opened.open("/connections/strict")
    expect(page.get_by_text("From the service's file")).to_be_visible()
    opened.open("/connections/away")
    expect(page.get_by_text("not reachable")).to_be_visible(timeout=30_000)
    opened.press("Test")
    expect(page.locator("ol.lines li.failed").first).to_be_visible()
    expect(page.get_by_text("done", exact=True)).to_be_visible()
    opened.check_all("connection-test-failed")
    page.get_by_role("link", name="Back").click()
    opened.press("Delete")
    expect(page.get_by_role("button", name="Delete the connection")).to_be_visible()
    opened.check_all("connection-delete")
    opened.press("Delete the connection")
    opened.is_told("Connection away is deleted.")
    opened.check()


def test_stores(opened: Window) -> None:
    page = opened.open("/stores")
    rows = page.get_by_role("table", name="Stores").locator("tbody tr")
    expect(rows).to_have_count(2)
    opened.check_all("stores")
    page.get_by_role("link", name="local").click()
    expect(page.get_by_role("table", name="Topics of which something")).to_contain_text(ORDERS)
    opened.check_all("store")
    opened.open("/stores/spare")
    opened.press("Test")
    expect(page.locator("ol.lines li").filter(has_text="write:")).to_contain_text("passed")
    expect(page.get_by_text("done", exact=True)).to_be_visible()
    page.get_by_role("link", name="Back").click()
    opened.press("Delete")
    expect(page.get_by_role("button", name="Delete the store")).to_be_visible()
    opened.check_all("store-delete")
    opened.press("Delete the store")
    opened.is_told("Store spare is forgotten.")
    opened.check()


def test_jobs(opened: Window) -> None:
    page = opened.open("/jobs")
    table = page.get_by_role("table", name="Jobs").locator("tbody tr")
    expect(table.filter(has_text="compact").first).to_be_visible()
    opened.check_all("jobs")
    opened.open("/jobs/seal")
    opened.press("Run now")
    expect(page.locator("ol.lines li.passed")).to_be_visible()
    opened.check_all("job-run")
    page.get_by_role("link", name="Back").click()
    runs = page.get_by_role("table", name="Past runs").locator("tbody tr")
    expect(runs.first).to_contain_text("succeeded")
    opened.check_all("job")
    opened.open("/jobs/scrub")
    opened.press("Pause")
    opened.is_told("The schedule of job scrub is stopped")
    opened.press("Resume")
    opened.is_told("Job scrub is back on its schedule.")
    opened.check()


def test_alarms(opened: Window) -> None:
    page = opened.open("/alarms")
    rows = page.get_by_role("table", name="Alarms").locator("tbody tr")
    expect(rows.filter(has_text="partition blocked").first).to_be_visible()
    opened.check_all("alarms")
    page.get_by_role("link", name="Past ones too").click()
    expect(rows.first).to_be_visible()
    opened.check_all("alarms-past")


def test_audit(opened: Window) -> None:
    page = opened.open("/audit")
    rows = page.get_by_role("table", name="Calls that changed").locator("tbody tr")
    expect(rows.filter(has_text="CreateConnection").first).to_contain_text("ops")
    opened.check_all("audit")
    page.get_by_label("Call", exact=True).fill("CreateStore")
    opened.press("Show")
    expect(rows).to_have_count(1)
    rows.locator("summary").click()
    expect(rows.locator("pre")).to_contain_text('"spare"')
    page.get_by_label("Since").fill("yesterday")
    opened.press("Show")
    expect(page.get_by_role("alert").filter(has_text="give a time")).to_be_visible()
    opened.check()


def test_accepting_another_cluster(
    stage: Stage, kafka: KafkaBroker, opened: Window, tmp_path: Path
) -> None:
    options = ("-XX:TieredStopAtLevel=1",)
    with (
        KafkaBroker(tmp_path / "other", heap_mb=300, jvm_options=options) as other,
        _connection(stage.service, "both", [kafka.bootstrap, other.bootstrap]),
    ):
        page = opened.open("/connections/both")
        cluster = page.get_by_role("region", name="Cluster")
        listed = cluster.get_by_role("listitem")
        expect(listed).to_contain_text(other.bootstrap, timeout=60_000)
        opened.check_all("connection-of-two-clusters")
        opened.press("Accept this cluster")
        expect(page.get_by_text("Each topic that is there begins its next")).to_be_visible()
        opened.check_all("accept-cluster")
        opened.press("Accept the other cluster")
        opened.is_told("Connection both goes on with cluster")
        expect(listed).to_contain_text(kafka.bootstrap, timeout=60_000)
        opened.check()


@contextmanager
def _connection(service: GuardedService, name: str, addresses: list[str]) -> Iterator[None]:
    """A connection more, for as long as the block."""
    made = Connection(name=name, bootstrap_servers=addresses, topic_expression="none")
    with _admin(service) as call:
        call("CreateConnection", CreateConnectionRequest(connection=made))
        try:
            yield
        finally:
            call("DeleteConnection", DeleteConnectionRequest(name=name))


@contextmanager
def _admin(service: GuardedService) -> Iterator[Callable[[str, Any], Any]]:
    """Makes calls as ``ops``."""
    as_ops = (("authorization", f"Bearer {OF_FILE}"),)
    with grpc.insecure_channel(service.address) as channel:
        stub: Any = admin_pb2_grpc.AdminStub(channel)
        yield lambda name, request: getattr(stub, name)(request, timeout=60, metadata=as_ops)
