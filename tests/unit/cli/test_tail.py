from __future__ import annotations

import json
import re

import grpc
import pytest

from cachesvc.v1 import log_cache_pb2 as log_cache
from tests.unit.cli.conftest import Run
from tests.unit.cli.fake_service import FakeService
from tests.unit.cli.messages import TIME_MS, batch, partition_offsets, record

EVENT = log_cache.SubscribeResponse
STARTED = EVENT(started=log_cache.Started(epoch=1))
TIME = "2026-01-02T03:04:05.678Z"


def subscribed(service: FakeService) -> log_cache.SubscribeRequest:
    """The one stream that was asked for; its subscription has to be gone."""
    (request,) = service.seen(log_cache.SubscribeRequest)
    assert isinstance(request, log_cache.SubscribeRequest)
    deleted = service.seen(log_cache.DeleteSubscriptionRequest)
    assert [delete.subscription for delete in deleted] == [request.subscription]
    return request


def test_records_for_people(run: Run, service: FakeService) -> None:
    records = [record(7, b'{"a": 1}'), record(9, None, key=None), record(10, b"\x1b[2J\n\xff")]
    service.answer("Subscribe", STARTED, batch(*records))
    result = run("tail", "orders")
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines() == [
        f'0/7\t{TIME}\tk\t{{"a": 1}}',
        f"0/9\t{TIME}\t-\t(tombstone)",
        f"0/10\t{TIME}\tk\t\\x1b[2J\\n\\xff",
    ]
    request = subscribed(service)
    assert re.fullmatch("tail-[0-9a-f]{12}", request.subscription)
    assert request.topics == ["orders"]
    assert request.mode == log_cache.INCREMENTAL
    assert request.encoding == log_cache.RECORDS
    assert request.start == log_cache.Start(latest=log_cache.Latest())
    assert not request.HasField("end")


def test_records_for_programs(run: Run, service: FakeService) -> None:
    exact = b'{"n": 12345678901234567890.10,\n "n": 1e400, "\xc3\xa4": [1, 2]}'
    with_headers = record(7, exact)
    with_headers.headers.add(key="h", value=b"\xff")
    with_headers.headers.add(key="i")
    with_headers.headers.add(key="bytes:cl%E9", raw_key=b"cl\xe9", value=b"w")
    service.answer("Subscribe", batch(with_headers, record(8, None, key=b"\xff")))
    first, second = run("tail", "orders", "--json").stdout.splitlines()
    assert first.endswith('"value":{"n":12345678901234567890.10,"n":1e400,"ä":[1,2]}}')
    found = json.loads(first)
    del found["value"]
    assert found == {
        "topic": "orders",
        "partition": 0,
        "incarnation": 1,
        "offset": 7,
        "timestamp_ms": TIME_MS,
        "timestamp_type": "CREATE_TIME",
        "key": "k",
        "headers": [
            {"key": "h", "value": None, "value_base64": "/w=="},
            {"key": "i", "value": None},
            {"key": "bytes:cl%E9", "key_base64": "Y2zp", "value": "w"},
        ],
    }
    tombstone = json.loads(second)
    assert tombstone["value"] is None
    assert (tombstone["key"], tombstone["key_base64"]) == (None, "/w==")


def test_a_value_that_is_no_json_stays_text(run: Run, service: FakeService) -> None:
    service.answer("Subscribe", batch(record(7, b"{no"), record(8, b'"\xff"')))
    first, second = map(json.loads, run("tail", "orders", "--json").stdout.splitlines())
    assert first["value"] == "{no"
    assert (second["value"], second["value_base64"]) == (None, "Iv8i")


@pytest.mark.parametrize("follow", ["--follow", "--no-follow"])
def test_it_ends_after_so_many_records(run: Run, service: FakeService, follow: str) -> None:
    service.answer("ListOffsets", log_cache.ListOffsetsResponse(partitions=[partition_offsets()]))
    service.answer("Subscribe", batch(record(7, b"{}"), record(8, b"{}")), batch(record(9, b"{}")))
    service.hold("Subscribe")
    result = run("tail", "orders", "--max", "1", follow)
    assert result.exit_code == 0, result.output
    assert len(result.stdout.splitlines()) == 1
    subscribed(service)


def test_without_following_it_ends_at_the_end_of_the_log(run: Run, service: FakeService) -> None:
    empty = partition_offsets(1)
    empty.log_start_offset = empty.log_end_offset
    offsets = log_cache.ListOffsetsResponse(partitions=[partition_offsets(), empty])
    service.answer("ListOffsets", offsets)
    service.answer("Subscribe", STARTED, EVENT(ended=log_cache.Ended()))
    result = run("tail", "orders", "--no-follow", "--connection", "main")
    assert (result.exit_code, result.output) == (0, "")
    request = subscribed(service)
    assert request.connection == "main"
    assert request.start == log_cache.Start(earliest=log_cache.Earliest())
    assert list(request.end.positions) == [
        log_cache.Position(topic="orders", partition=0, incarnation=1, offset=110)
    ]
    (asked,) = service.seen(log_cache.ListOffsetsRequest)
    assert asked == log_cache.ListOffsetsRequest(connection="main", topic="orders")


def test_without_following_and_nothing_cached(run: Run, service: FakeService) -> None:
    result = run("tail", "orders", "--no-follow")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "nothing of orders is cached" in result.stderr
    assert not service.seen(log_cache.SubscribeRequest)


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ("earliest", log_cache.Start(earliest=log_cache.Earliest())),
        ("2023-11-14T22:13:20.5Z", log_cache.Start(timestamp_ms=1_700_000_000_500)),
    ],
)
def test_where_it_starts(run: Run, service: FakeService, text: str, start: log_cache.Start) -> None:
    run("tail", "orders", "--from", text)
    assert subscribed(service).start == start


def test_a_start_that_is_none(run: Run, service: FakeService) -> None:
    result = run("tail", "orders", "--from", "noon")
    assert result.exit_code == 2
    assert "--from 'noon' is no start" in result.stderr
    assert not service.requests


def test_a_gap_is_named(run: Run, service: FakeService) -> None:
    gap = log_cache.Gap(
        topic="orders", begin_offset=5, end_offset=9, cause=log_cache.SOURCE_RETENTION
    )
    service.answer("Subscribe", EVENT(gap=gap))
    service.refuse("Subscribe", grpc.StatusCode.DATA_LOSS, "5 to 9 are lost", "SOURCE_RETENTION")
    result = run("tail", "orders")
    assert result.exit_code == 1
    first, second = result.stderr.splitlines()
    assert first.startswith("gap: offsets 5 to 9 (exclusive) of orders/0")
    assert first.endswith("SOURCE_RETENTION")
    assert second.startswith("error: 5 to 9 are lost")
    subscribed(service)


def test_trouble_with_mining_is_told_once(run: Run, service: FakeService) -> None:
    def progress(state: log_cache.MiningState, error: str = "") -> EVENT:
        partition = log_cache.PartitionProgress(
            topic="orders", mining_state=state, mining_error=error
        )
        return EVENT(progress=log_cache.Progress(partitions=[partition]))

    blocked = progress(log_cache.BLOCKED, "offset 7 is no object")
    fine = progress(log_cache.MINING)
    service.answer("Subscribe", fine, blocked, blocked, fine, fine)
    assert run("tail", "orders").stderr.splitlines() == [
        "mining of orders/0 is BLOCKED: offset 7 is no object",
        "mining of orders/0 goes on",
    ]


def test_an_unknown_topic(run: Run, service: FakeService) -> None:
    code = grpc.StatusCode.NOT_FOUND
    service.refuse("Subscribe", code, "no topic 'orders'", "UNKNOWN_TOPIC", topic="orders")
    service.refuse("DeleteSubscription", code, "none", "UNKNOWN_SUBSCRIPTION")
    result = run("tail", "orders")
    assert result.exit_code == 4
    assert result.stderr.count("\n") == 1, "that there is nothing to delete is no news"


def test_a_subscription_that_stays_is_named(run: Run, service: FakeService) -> None:
    service.answer("Subscribe", STARTED)
    service.refuse("DeleteSubscription", grpc.StatusCode.INTERNAL, "no", "INTERNAL")
    result = run("tail", "orders")
    assert result.exit_code == 0
    assert re.search("subscriptions delete tail-[0-9a-f]{12}` removes it", result.stderr)


def test_a_subscription_that_never_began_is_no_news(run: Run, service: FakeService) -> None:
    for method in ("Subscribe", "DeleteSubscription"):
        service.refuse(method, grpc.StatusCode.UNAVAILABLE, "connection refused")
    result = run("tail", "orders")
    assert result.exit_code == 3
    assert result.stderr.startswith("error: no service answers at ")
    assert result.stderr.count("\n") == 1
