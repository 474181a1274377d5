from __future__ import annotations

import json

from cachesvc.v1 import alarms_pb2, watching_pb2
from cachesvc.v1.log_cache_pb2 import MINING
from tests.unit.cli.conftest import Run
from tests.unit.cli.fake_service import FakeService
from tests.unit.cli.messages import TIME, TIME_MS


def activity(lag: int | None = 50) -> watching_pb2.MiningActivity:
    return watching_pb2.MiningActivity(
        records_per_s_10s=1_234.4,
        bytes_per_s_10s=2_048,
        lag_records=lag,
        lag_bytes=1_536,
        lag_s=7.5,
        last_record_ms=TIME_MS,
        records_total=5_000_000,
        records_today=6_000,
    )


def part(*topics: str, complete: bool = True) -> watching_pb2.WatchMiningResponse:
    rows = [
        watching_pb2.WatchedTopic(
            topic=topic, state=MINING, activity=activity(), subscriptions=["a", "b"]
        )
        for topic in topics
    ]
    task = watching_pb2.WatchedTask(connection="main", activity=activity(None), topics=rows)
    return watching_pb2.WatchMiningResponse(at_ms=TIME_MS, tasks=[task], complete=complete)


def test_watch(run: Run, service: FakeService) -> None:
    service.answer("WatchMining", part("orders", complete=False), part("items"), part("orders"))
    first, second = run("mining", "watch", "--connection", "main").stdout.split("\n\n")
    rows = [" ".join(line.split()) for line in first.splitlines()[1:]]
    figures = f"1.5 KiB 7.5 s 6,000 5,000,000 - {TIME}"
    assert rows == [
        f"main orders 1,234 2.0 KiB 50 {figures} a, b MINING",
        f"main items 1,234 2.0 KiB 50 {figures} a, b MINING",
        f"main (all) 1,234 2.0 KiB - {figures}",
    ]
    assert len(second.splitlines()) == 2
    assert service.requests == [watching_pb2.WatchMiningRequest(connection="main", interval_s=2.0)]


def test_watch_ends_after_some_snapshots(run: Run, service: FakeService) -> None:
    service.answer("WatchMining", *[part("orders")] * 3)
    service.hold("WatchMining")
    lines = run("mining", "watch", "--count", "2", "--json").stdout.splitlines()
    snapshots = [json.loads(line) for line in lines]
    assert len(snapshots) == 2
    assert snapshots[0]["at_ms"] == TIME_MS
    topic = snapshots[0]["tasks"][0]["topics"][0]
    assert topic["activity"]["lag_records"] == 50
    assert topic["subscriptions"] == ["a", "b"]


def test_nothing_is_mined(run: Run, service: FakeService) -> None:
    service.answer("WatchMining", watching_pb2.WatchMiningResponse(at_ms=1, complete=True))
    result = run("mining", "watch", "--count", "1")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "nothing is mined" in result.stderr


def alarm(*, cleared: bool) -> alarms_pb2.Alarm:
    return alarms_pb2.Alarm(
        id=7,
        kind=alarms_pb2.ALARM_PARTITION_BLOCKED,
        connection="main",
        topic="orders",
        partition=0,
        message="mining has stopped",
        raised_ms=TIME_MS,
        cleared_ms=TIME_MS if cleared else None,
    )


def test_an_alarm_that_stands_is_the_exit_code(run: Run, service: FakeService) -> None:
    service.answer("ListAlarms", alarms_pb2.ListAlarmsResponse(alarms=[alarm(cleared=False)]))
    result = run("alarms")
    assert result.exit_code == 6
    row = " ".join(result.stdout.splitlines()[1].split())
    assert row == f"7 PARTITION_BLOCKED main/orders/0 - {TIME} stands mining has stopped"
    assert result.stderr == ""
    assert service.requests == [alarms_pb2.ListAlarmsRequest(limit=1_000)]


def test_past_alarms_are_none(run: Run, service: FakeService) -> None:
    service.answer("ListAlarms", alarms_pb2.ListAlarmsResponse(alarms=[alarm(cleared=True)]))
    result = run("alarms", "--all", "--json")
    assert result.exit_code == 0
    (listed,) = json.loads(result.stdout)
    assert (listed["kind"], listed["subscription"]) == ("ALARM_PARTITION_BLOCKED", None)
    assert service.requests == [alarms_pb2.ListAlarmsRequest(past=True, limit=1_000)]


def test_no_alarms(run: Run, service: FakeService) -> None:
    result = run("alarms")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "no alarms\n")
