from __future__ import annotations

import json

import pytest
from google.protobuf.message import Message

from cachesvc.v1 import admin_pb2 as admin
from cachesvc.v1 import connections_pb2 as connections
from cachesvc.v1 import log_cache_pb2 as log_cache
from cachesvc.v1 import mining_tasks_pb2 as mining_tasks
from tests.unit.cli.conftest import Run
from tests.unit.cli.fake_service import FakeService
from tests.unit.cli.messages import TIME, TIME_MS, subscription, topic


def lines(text: str) -> list[list[str]]:
    """The words of each line."""
    return [line.split() for line in text.splitlines()]


def test_topics(run: Run, service: FakeService) -> None:
    service.answer("ListTopics", admin.ListTopicsResponse(topics=[topic()]))
    result = run("topics", "--connection", "main")
    assert result.exit_code == 0, result.output
    header, row = result.stdout.splitlines()
    assert header.startswith("CONNECTION  TOPIC   NEEDED  STATE")
    assert row.split() == [
        *("main", "orders", "yes", "MINING", "2", "10", "1,234"),
        *("3.0", "MiB", "1.5", "KiB", "2"),
    ]
    assert service.requests == [admin.ListTopicsRequest(connection="main")]


def test_topics_as_json(run: Run, service: FakeService) -> None:
    service.answer("ListTopics", admin.ListTopicsResponse(topics=[topic()]))
    (found,) = json.loads(run("topics", "--json").stdout)
    assert found["name"] == "orders"
    assert found["mining_state"] == "MINING"
    assert found["segment_bytes"] == 3 * 1024**2
    assert found["mining_error"] == ""
    ends = [partition["source_high_watermark"] for partition in found["partitions"]]
    assert ends == [120, None]


def test_one_topic(run: Run, service: FakeService) -> None:
    service.answer("ListTopics", admin.ListTopicsResponse(topics=[topic()]))
    result = run("topics", "show", "orders")
    assert result.exit_code == 0, result.output
    assert "connection:  main" in result.stdout
    table = lines(result.stdout.partition("\n\n")[2])
    assert table[1:] == [
        ["0", "10", "-", "-", "110", "120", "10", "MINING"],
        ["1", "10", "-", "-", "110", "-", "-", "MINING"],
    ]
    assert service.requests == [admin.ListTopicsRequest(topic="orders")]
    assert json.loads(run("topics", "show", "orders", "--json").stdout)["name"] == "orders"


def test_what_is_cached_below_the_log_and_what_is_mined_of_it(
    run: Run, service: FakeService
) -> None:
    found = topic()
    for begin, end in ((0, 3), (5, 6)):
        found.partitions[0].older.add(begin_offset=begin, end_offset=end)
    found.partitions[0].backfill.CopyFrom(log_cache.OffsetRange(begin_offset=3, end_offset=5))
    found.partitions[0].backfill_error = "no broker answers"
    service.answer("ListTopics", admin.ListTopicsResponse(topics=[found]))
    result = run("topics", "show", "orders")
    assert "0 to 3, 5 to 6" in result.stdout
    assert "3 to 5" in result.stdout
    assert "no broker answers" in result.stdout


def test_a_topic_of_several_connections_wants_one_named(run: Run, service: FakeService) -> None:
    service.answer("ListTopics", admin.ListTopicsResponse(topics=[topic("a"), topic("b")]))
    result = run("topics", "show", "orders")
    assert result.exit_code == 2
    assert "a, b; name one with --connection" in result.stderr


def test_options_of_a_group_hold_for_its_subcommands(run: Run, service: FakeService) -> None:
    service.answer("ListTopics", admin.ListTopicsResponse(topics=[topic()]))
    result = run("topics", "--json", "--address", service.address, "show", "orders")
    assert json.loads(result.stdout)["name"] == "orders"


def test_segments_of_a_stream_are_one_list(run: Run, service: FakeService) -> None:
    segments = [
        admin.Segment(
            connection="main",
            topic="orders",
            partition=partition,
            base_offset=0,
            end_offset=500,
            record_count=499,
            bytes=2048,
            min_timestamp_ms=TIME_MS,
            newest_mined_ms=TIME_MS,
            level=1,
            path=f"log/main/orders/i1/partition={partition}/0-500.parquet",
        )
        for partition in (0, 1)
    ]
    service.answer(
        "ListSegments", *(admin.ListSegmentsResponse(segments=[found]) for found in segments)
    )
    result = run("segments", "--topic", "orders")
    assert result.exit_code == 0, result.output
    rows = result.stdout.splitlines()
    assert len(rows) == 3
    assert f"499  2.0 KiB        0      1  {TIME}  -            {TIME}" in rows[1]
    assert rows[2].endswith("partition=1/0-500.parquet")
    assert service.requests == [admin.ListSegmentsRequest(topic="orders")]
    found = json.loads(run("segments", "--json").stdout)
    assert [segment["partition"] for segment in found] == [0, 1]


def test_snapshots(run: Run, service: FakeService) -> None:
    snapshot = admin.Snapshot(
        connection="main",
        topic="orders",
        base_offset=5,
        end_offset=500,
        complete_from_offset=7,
        record_count=40,
        read_count=490,
        bytes=2048,
        created_ms=TIME_MS,
        path="snapshots/x",
        read_by=["billing", "copies"],
    )
    service.answer("ListSnapshots", admin.ListSnapshotsResponse(snapshots=[snapshot]))
    result = run("snapshots", "orders")
    (head, row) = result.stdout.splitlines()
    assert head.split()[3:9] == ["BEGIN", "END", "RECORDS", "SIZE", "OF", "COMPLETE"]
    assert " ".join(row.split()) == (
        f"main orders 0 5 500 40 2.0 KiB 490 7 {TIME} billing, copies snapshots/x"
    )
    assert service.requests == [admin.ListSnapshotsRequest(topic="orders")]
    assert json.loads(run("snapshots", "--json").stdout)[0]["read_by"] == ["billing", "copies"]


def test_journals(run: Run, service: FakeService) -> None:
    journal = admin.Journal(connection="main", topic="orders", state=admin.WARM, path="journal/x")
    service.answer("ListJournals", admin.ListJournalsResponse(journals=[journal]))
    assert lines(run("journals").stdout)[1][-2:] == ["WARM", "journal/x"]
    assert json.loads(run("journals", "--json").stdout)[0]["state"] == "WARM"


def test_rejects_show_bytes_that_are_no_text(run: Run, service: FakeService) -> None:
    reject = admin.Reject(
        connection="main",
        topic="orders",
        offset=7,
        timestamp_ms=TIME_MS,
        reason="INVALID_UTF8",
        detail="byte 1",
        value=b"a\xff\x1b[2Jb",
    )
    service.answer("ListRejects", admin.ListRejectsResponse(rejects=[reject]))
    result = run("rejects", "--limit", "5")
    assert "\x1b" not in result.stdout, "nothing that a terminal acts upon"
    assert r"a\xff\x1b[2Jb" in result.stdout
    assert service.requests == [admin.ListRejectsRequest(limit=5)]
    (found,) = json.loads(run("rejects", "--json").stdout)
    assert found["key"] is None
    assert found["value"] is None
    assert found["value_base64"] == "Yf8bWzJKYg=="


def test_mining(run: Run, service: FakeService) -> None:
    mined = mining_tasks.MinedTopic(
        topic="orders",
        reader="main-0",
        epoch=4,
        state=log_cache.SOURCE_UNREACHABLE,
        topic_state=mining_tasks.TOPIC_UNREACHABLE,
        error="broker is down",
        records_mined=1000,
        bytes_mined=512,
        mining_lag_records=9,
    )
    task = mining_tasks.MiningTask(
        name="main", connection="main", topics=[mined], state=mining_tasks.TASK_RUNNING
    )
    service.answer("ListMiningTasks", mining_tasks.ListMiningTasksResponse(tasks=[task]))
    row = lines(run("mining").stdout)[1]
    assert row[:6] == ["main", "RUNNING", "orders", "UNREACHABLE", "main-0", "4"]
    assert row[6:8] == ["1,000", "512"]
    assert row[-3:] == ["broker", "is", "down"]
    found = json.loads(run("mining", "--json").stdout)
    assert found[0]["topics"][0]["state"] == "SOURCE_UNREACHABLE"


def test_readers(run: Run, service: FakeService) -> None:
    reader = admin.Reader(
        name="main-0", connection="main", pid=42, joined_ms=TIME_MS, topics=["a", "b"]
    )
    reader.throttled_ms = 65_000
    service.answer("ListReaders", admin.ListReadersResponse(readers=[reader]))
    assert lines(run("readers").stdout)[1] == [
        *("main-0", "main", "42", "-", *TIME.split()),
        *("0", "B", "1", "min", "5", "s", "a,", "b"),
    ]
    assert json.loads(run("readers", "--json").stdout)[0]["pid"] == 42


def test_connections(run: Run, service: FakeService) -> None:
    connection = connections.Connection(
        name="main",
        type="source",
        bootstrap_servers=["k1:9092", "k2:9092"],
        topic_expression=".*",
        non_json_policy=connections.REJECT,
        log_caching=True,
        tls=connections.ConnectionTls(),
        sasl=connections.ConnectionSasl(mechanism="PLAIN"),
        error="timed out",
    )
    answer = connections.ListConnectionsResponse(connections=[connection])
    service.answer("ListConnections", answer)
    for command in (("connections",), ("connection", "list")):
        (row,) = run(*command).stdout.splitlines()[1:]
        expected = "main source k1:9092, k2:9092 .* REJECT on TLS, PLAIN no timed out"
        assert row.split() == expected.split()
        (as_json,) = json.loads(run(*command, "--json").stdout)
        assert as_json["sasl"]["mechanism"] == "PLAIN"
        assert as_json["kerberos"] is None


def test_lag(run: Run, service: FakeService) -> None:
    gone, streaming = subscription("gone"), subscription("streaming")
    gone.partitions[0].position.incarnation = 9
    gone.connected = False
    streaming.delivering.add().CopyFrom(streaming.partitions[0])
    streaming.delivering[0].position.offset = 70
    service.answer(
        "ListSubscriptions",
        log_cache.ListSubscriptionsResponse(subscriptions=[subscription(), gone, streaming]),
    )
    service.answer("ListTopics", admin.ListTopicsResponse(topics=[topic()]))
    assert [" ".join(words) for words in lines(run("lag").stdout)[1:]] == [
        "billing orders 0 50 110 60 2.0 KiB 7.5 s 10 yes -",
        "gone orders 0 50 - 60 2.0 KiB 7.5 s - no -",
        "streaming orders 0 50 110 60 2.0 KiB 7.5 s 10 yes 70",
    ]
    assert json.loads(run("lag", "--subscription", "billing", "--json").stdout) == [
        {
            "subscription": "billing",
            "connected": True,
            "connection": "main",
            "topic": "orders",
            "incarnation": 1,
            "partition": 0,
            "position": 50,
            "log_end_offset": 110,
            "lag_records": 60,
            "lag_bytes": 2048,
            "lag_seconds": 7.5,
            "mining_lag_records": 10,
            "delivered": None,
        }
    ]


def test_lag_of_a_stream_that_has_not_committed_yet(run: Run, service: FakeService) -> None:
    """Of one partition it has, and of another not; a third subscription tells nothing at all."""
    fresh, dead = subscription("fresh"), subscription("dead")
    row = fresh.delivering.add()
    row.position.CopyFrom(log_cache.Position(topic="orders", partition=1, incarnation=1, offset=20))
    row.lag.CopyFrom(log_cache.Lag(records=90, bytes=1024, seconds=3))
    del dead.partitions[:]
    dead.connected = False
    answer = log_cache.ListSubscriptionsResponse(subscriptions=[dead, fresh])
    service.answer("ListSubscriptions", answer)
    service.answer("ListTopics", admin.ListTopicsResponse(topics=[topic()]))
    result = run("lag")
    assert [" ".join(words) for words in lines(result.stdout)[1:]] == [
        "fresh orders 0 50 110 60 2.0 KiB 7.5 s 10 yes -",
        "fresh orders 1 - 110 90 1.0 KiB 3.0 s - yes 20",
    ]
    assert result.stderr == "dead has not committed anything and is not connected\n"
    _, uncommitted = json.loads(run("lag", "fresh", "--json").stdout)
    assert (uncommitted["position"], uncommitted["delivered"]) == (None, 20)
    assert uncommitted["lag_records"] == 90


def test_lag_of_nobody(run: Run, service: FakeService) -> None:
    for arguments in (["nobody"], ["--subscription", "nobody"]):
        result = run("--json", "lag", *arguments)
        assert (result.exit_code, result.stdout.strip()) == (0, "[]")
        assert "there is no subscription 'nobody'" in result.stderr
    assert run("lag", "a", "--subscription", "b").exit_code == 2


@pytest.mark.parametrize(
    ("command", "method", "answer"),
    [
        ("topics", "ListTopics", admin.ListTopicsResponse()),
        ("segments", "ListSegments", admin.ListSegmentsResponse()),
        ("journals", "ListJournals", admin.ListJournalsResponse()),
        ("rejects", "ListRejects", admin.ListRejectsResponse()),
        ("snapshots", "ListSnapshots", admin.ListSnapshotsResponse()),
        ("mining", "ListMiningTasks", mining_tasks.ListMiningTasksResponse()),
        ("readers", "ListReaders", admin.ListReadersResponse()),
        ("connections", "ListConnections", connections.ListConnectionsResponse()),
        ("subscriptions", "ListSubscriptions", log_cache.ListSubscriptionsResponse()),
        ("jobs", "ListJobs", admin.ListJobsResponse()),
        ("lag", "ListTopics", admin.ListTopicsResponse()),
    ],
)
def test_nothing_to_list(
    run: Run, service: FakeService, command: str, method: str, answer: Message
) -> None:
    service.answer(method, answer)
    table = run(command)
    assert (table.exit_code, table.stdout) == (0, "")
    assert table.stderr.startswith("no")
    assert json.loads(run(command, "--json").stdout) == []


def test_a_state_that_this_version_does_not_know(run: Run, service: FakeService) -> None:
    newer = topic()
    newer.ClearField("mining_state")
    newer.MergeFromString(b"\x28\x63")  # field 5, value 99
    service.answer("ListTopics", admin.ListTopicsResponse(topics=[newer]))
    assert "99" in lines(run("topics").stdout)[1]
    assert json.loads(run("topics", "--json").stdout)[0]["mining_state"] == 99
