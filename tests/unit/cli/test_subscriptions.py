from __future__ import annotations

import json

import pytest

from cachesvc.v1 import log_cache_pb2 as log_cache
from tests.unit.cli.conftest import Run
from tests.unit.cli.fake_service import FakeService
from tests.unit.cli.messages import TIME, TIME_MS, subscription

RESET = log_cache.ResetSubscriptionResponse(subscription=subscription())


def test_list(run: Run, service: FakeService) -> None:
    found = log_cache.ListSubscriptionsResponse(subscriptions=[subscription()])
    service.answer("ListSubscriptions", found)
    row = run("subscriptions", "--connection", "main").stdout.splitlines()[1]
    assert " ".join(row.split()) == (
        "billing main orders FULL_AND_INCREMENTAL yes 60 2.0 KiB 7.5 s -"
    )
    assert service.requests == [log_cache.ListSubscriptionsRequest(connection="main")]
    (as_json,) = json.loads(run("subscriptions", "--json").stdout)
    assert as_json["committed_ms"] is None
    assert as_json["created_ms"] == TIME_MS


def test_show(run: Run, service: FakeService) -> None:
    found = log_cache.GetSubscriptionResponse(subscription=subscription())
    service.answer("GetSubscription", found)
    result = run("subscriptions", "show", "billing")
    assert result.exit_code == 0, result.output
    assert f"created:        {TIME}" in result.stdout
    assert "lag:            60 records, 2.0 KiB, 7.5 s" in result.stdout
    assert service.requests == [log_cache.GetSubscriptionRequest(subscription="billing")]
    as_json = json.loads(run("subscriptions", "show", "billing", "--json").stdout)
    assert as_json["partitions"][0]["position"]["offset"] == 50


def test_show_lists_members(run: Run, service: FakeService) -> None:
    def reads(*numbers: int, topic: str = "orders") -> list[log_cache.Position]:
        return [log_cache.Position(topic=topic, partition=n, epoch=7) for n in numbers]

    shared = subscription()
    shared.sharing = log_cache.SHARED
    shared.members.extend(
        [
            log_cache.Member(
                name="one",
                joined_ms=TIME_MS,
                positions=reads(0, 1, 2, 5) + reads(3, topic="customers"),
                revoked=reads(6),
            ),
            log_cache.Member(name="two", joined_ms=TIME_MS, finished=True),
            log_cache.Member(name="three", joined_ms=TIME_MS),
            log_cache.Member(name="four", joined_ms=TIME_MS, stalled_since_ms=TIME_MS),
        ]
    )
    found = log_cache.GetSubscriptionResponse(subscription=shared)
    service.answer("GetSubscription", found)
    result = run("subscriptions", "show", "billing")
    assert result.exit_code == 0, result.output
    assert "sharing:        SHARED" in result.stdout
    rows = [" ".join(row.split()) for row in result.stdout.splitlines()[-4:]]
    assert rows == [
        f"one {TIME} reads 5 customers 3; orders 0-2,5 orders 6",
        f"two {TIME} finished 0 - -",
        f"three {TIME} waits 0 - -",
        f"four {TIME} stalled since {TIME} 0 - -",
    ]
    as_json = json.loads(run("subscriptions", "show", "billing", "--json").stdout)
    assert as_json["sharing"] == "SHARED"
    assert as_json["members"][0]["positions"][0]["epoch"] == 7


@pytest.mark.parametrize(
    ("arguments", "start"),
    [
        ((), None),
        (("--to", "earliest"), log_cache.Start(earliest=log_cache.Earliest())),
        (("--to", "latest"), log_cache.Start(latest=log_cache.Latest())),
        (("--to", "1700000000000"), log_cache.Start(timestamp_ms=1_700_000_000_000)),
        (("--to", "2023-11-14T22:13:20Z"), log_cache.Start(timestamp_ms=1_700_000_000_000)),
        (("--to", "2023-11-14 22:13:20"), log_cache.Start(timestamp_ms=1_700_000_000_000)),
        (("--to", "2023-11-14T23:13:20+01:00"), log_cache.Start(timestamp_ms=1_700_000_000_000)),
        (
            ("--position", "a.b:0=12", "--position", "a.b:1=0"),
            log_cache.Start(
                positions=log_cache.Positions(
                    positions=[
                        log_cache.Position(topic="a.b", partition=0, offset=12),
                        log_cache.Position(topic="a.b", partition=1, offset=0),
                    ]
                )
            ),
        ),
    ],
)
def test_reset(
    run: Run, service: FakeService, arguments: tuple[str, ...], start: log_cache.Start | None
) -> None:
    service.answer("ResetSubscription", RESET)
    result = run("subscriptions", "reset", "billing", *arguments)
    assert result.exit_code == 0, result.output
    expected = log_cache.ResetSubscriptionRequest(subscription="billing", start=start)
    assert service.requests == [expected]


def test_reset_forgets_the_full_sync(run: Run, service: FakeService) -> None:
    service.answer("ResetSubscription", RESET)
    run("subscriptions", "reset", "billing", "--forget-full-sync", "--json")
    assert service.requests == [
        log_cache.ResetSubscriptionRequest(subscription="billing", forget_full_sync=True)
    ]


def test_a_reset_that_is_only_shown(run: Run, service: FakeService) -> None:
    service.answer("ResetSubscription", RESET)
    result = run("subscriptions", "reset", "billing", "--to", "earliest", "--dry-run")
    assert "lag:            60 records" in result.stdout
    start = log_cache.Start(earliest=log_cache.Earliest())
    assert service.requests == [
        log_cache.ResetSubscriptionRequest(subscription="billing", start=start, validate_only=True)
    ]


def test_show_lists_who_reads(run: Run, service: FakeService) -> None:
    found = subscription()
    found.subscribers.add(
        principal="ops",
        address="ipv4:10.0.0.4:4711",
        client="cachesvc-sync/copy grpc",
        connected_ms=TIME_MS,
        records=1_200,
        bytes=2_048,
    )
    service.answer("GetSubscription", log_cache.GetSubscriptionResponse(subscription=found))
    row = run("subscriptions", "show", "billing").stdout.splitlines()[-1]
    assert " ".join(row.split()) == (
        f"ipv4:10.0.0.4:4711 - ops {TIME} 1,200 2.0 KiB cachesvc-sync/copy grpc"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--to", "yesterday"), "--to 'yesterday' is no start"),
        (("--position", "orders:0"), "write TOPIC:PARTITION=OFFSET"),
        (("--position", "orders:99999999999=0"), "is no position"),
        (("--position", "orders:0=99999999999999999999"), "is no position"),
        (("--to", "latest", "--position", "orders:0=1"), "contradict each other"),
    ],
)
def test_reset_refuses_what_is_no_start(
    run: Run, service: FakeService, arguments: tuple[str, ...], message: str
) -> None:
    result = run("subscriptions", "reset", "billing", *arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert not service.requests


def test_delete(run: Run, service: FakeService) -> None:
    result = run("subscriptions", "delete", "billing")
    assert (result.exit_code, result.stdout) == (0, "deleted billing\n")
    assert service.requests == [log_cache.DeleteSubscriptionRequest(subscription="billing")]
    as_json = json.loads(run("subscriptions", "delete", "billing", "--json").stdout)
    assert as_json == {"deleted": "billing"}
