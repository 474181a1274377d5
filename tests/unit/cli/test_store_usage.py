from __future__ import annotations

import json

from cachesvc.v1 import retention_pb2 as pb
from tests.unit.cli.conftest import Run
from tests.unit.cli.fake_service import FakeService
from tests.unit.cli.messages import TIME, TIME_MS

USAGE = pb.ListStoreUsageResponse(
    stores=[
        pb.StoreUsage(
            store="local",
            bytes_max=4 << 30,
            bytes=3 << 30,
            segment_bytes=2 << 30,
            warm_bytes=1 << 30,
            topics=[
                pb.TopicUsage(
                    connection="main",
                    topic="orders",
                    bytes=2 << 30,
                    records=1_234,
                    oldest_mined_ms=TIME_MS,
                    bytes_max=5 << 30,
                    records_max=2_000,
                    unread_bytes=1 << 20,
                    unread_by="billing",
                    is_protected=True,
                )
            ],
        ),
        pb.StoreUsage(store="cold", full="it holds too much"),
    ]
)
DROPS = pb.ListDropsResponse(
    drops=[
        pb.Drop(
            at_ms=TIME_MS,
            connection="main",
            topic="orders",
            cause=pb.DROP_CAUSE_STORE_BYTES,
            store="local",
            segments=2,
            records=1_000,
            bytes=3 << 20,
            detail="store local held too much",
        )
    ]
)


def test_what_stores_hold(run: Run, service: FakeService) -> None:
    service.answer("ListStoreUsage", USAGE)
    result = run("store", "usage")
    assert result.exit_code == 0, result.output
    local, _, cold = result.stdout.partition("\n\nstore:")
    assert "held:          3.0 GiB of 4.0 GiB" in local
    assert "full:          no" in local
    header, row = local.splitlines()[-2:]
    assert header.split()[-4:] == ["UNREAD", "FURTHEST", "BEHIND", "PROTECTED"]
    assert row.split() == [
        *("main", "orders", "2.0", "GiB", "1,234", "5.0", "GiB,", "2,000", "records"),
        *TIME.split(),
        *("1.0", "MiB", "billing", "yes"),
    ]
    assert "full:          it holds too much" in cold
    assert service.requests == [pb.ListStoreUsageRequest()]


def test_one_of_them_as_json(run: Run, service: FakeService) -> None:
    service.answer("ListStoreUsage", pb.ListStoreUsageResponse(stores=USAGE.stores[1:]))
    (found,) = json.loads(run("store", "usage", "cold", "--json").stdout)
    assert (found["store"], found["bytes_max"], found["topics"]) == ("cold", None, [])
    assert service.requests == [pb.ListStoreUsageRequest(store="cold")]


def test_what_was_dropped(run: Run, service: FakeService) -> None:
    service.answer("ListDrops", DROPS)
    result = run("store", "drops", "orders", "--connection", "main", "--limit", "5")
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[1].split() == [
        *TIME.split(),
        *("main", "orders", "STORE_BYTES", "2", "1,000", "3.0", "MiB"),
        *("store", "local", "held", "too", "much"),
    ]
    assert service.requests == [pb.ListDropsRequest(connection="main", topic="orders", limit=5)]


def test_nothing_was_dropped(run: Run, service: FakeService) -> None:
    service.answer("ListDrops", pb.ListDropsResponse())
    result = run("store", "drops")
    assert (result.exit_code, result.stderr) == (0, "nothing was dropped\n")
