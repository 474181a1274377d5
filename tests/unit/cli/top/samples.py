"""Samples of a service, for tests of what is made of them."""

from __future__ import annotations

from cachesvc.cli.top.figures import Figures
from cachesvc.cli.top.sample import Sample, Unseen
from cachesvc.v1 import access_pb2 as access
from cachesvc.v1 import admin_pb2 as admin
from cachesvc.v1 import alarms_pb2 as alarms
from cachesvc.v1 import log_cache_pb2 as log_cache
from cachesvc.v1 import retention_pb2 as retention
from cachesvc.v1 import watching_pb2 as watching
from tests.unit.cli.messages import TIME_MS, job, subscription

MIB = 1 << 20


def topic(name: str, mined: float, lag: int | None = 0, error: str = "") -> watching.WatchedTopic:
    return watching.WatchedTopic(
        topic=name,
        state=log_cache.FAILED if error else log_cache.MINING,
        activity=watching.MiningActivity(
            records_per_s_10s=mined,
            bytes_per_s_10s=mined * 100,
            lag_records=lag,
            lag_s=7.5,
            records_total=5_000,
            bytes_total=500_000,
            records_today=600,
        ),
        delivered=watching.Delivered(
            records_per_s_10s=mined * 3, bytes_per_s_10s=mined * 300, bytes_total=1_500_000
        ),
        subscriptions=["billing"],
        error=error,
    )


def overview(
    cpu_s: float = 10.0, counts: tuple[int, ...] = (50, 49, 1, 0)
) -> watching.GetOverviewResponse:
    return watching.GetOverviewResponse(
        version="0.1.0",
        started_ms=TIME_MS - 3_720_000,
        at_ms=TIME_MS + round(cpu_s * 4_000),
        connections=[
            watching.ConnectionOverview(
                connection="main",
                topics=3,
                readers=1,
                records_per_s=1_234.5,
                bytes_per_s=2 * MIB,
                mined_records=50_000,
                mined_bytes=100,
                delivered_records_per_s=9_876,
                delivered_bytes_per_s=20 * MIB,
                delivered_records=999,
                delivered_bytes=2_000,
            )
        ],
        streams=12,
        subscriptions=14,
        disk_free_bytes=12 << 30,
        disk_bytes=100 << 30,
        mined_to_sent=watching.Distribution(bounds_s=(0.001, 0.01, 0.1), counts=counts, sum_s=1),
        cpu_s=cpu_s,
        resident_bytes=300 * MIB,
        open_files=42,
    )


def reader(cpu_s: float, fetched_bytes: int, pid: int = 4711) -> admin.Reader:
    return admin.Reader(
        name="main-1",
        connection="main",
        pid=pid,
        joined_ms=TIME_MS,
        topics=["orders"],
        bytes_per_second=2_048,
        figures=watching.ReaderFigures(
            cpu_s=cpu_s, resident_bytes=80 * MIB, open_files=12, fetched_bytes=fetched_bytes
        ),
    )


def at(offset: int, name: str = "billing") -> log_cache.Subscription:
    """A subscription whose stream is at an offset, and has committed less."""
    found = subscription(name)
    delivering = log_cache.Position(topic="orders", partition=0, incarnation=1, offset=offset)
    found.delivering.add(position=delivering)
    return found


def sample(clock_s: float = 100.0, *, seen: bool = True) -> Sample:
    tasks = [
        watching.WatchedTask(
            connection="main",
            topics=[
                topic("orders", 20.0, 5),
                topic("items", 3_000.0),
                topic("broken", 0.0, None, error="TOPIC_NOT_AUTHORIZED: no"),
            ],
        )
    ]
    usage = retention.StoreUsage(store="local", bytes=5 * MIB, bytes_max=10 * MIB)
    alarm = alarms.Alarm(
        id=7,
        kind=alarms.ALARM_TOPIC_FAILED,
        connection="main",
        topic="broken",
        message="cannot be mined",
        raised_ms=TIME_MS - 65_000,
    )
    caller = access.GetCallerResponse(principal="anonymous", proof="none")
    if not seen:
        return Sample(
            TIME_MS,
            clock_s,
            access.GetCallerResponse(principal="ann", roles=["task"], proof="token"),
            tasks=tasks,
            subscriptions=[at(50)],
            unseen=[
                Unseen("overview", "this needs the right 'read' over every topic"),
                Unseen("jobs", "this needs the right 'admin'"),
            ],
        )
    return Sample(
        TIME_MS,
        clock_s,
        caller,
        overview(10.0 + clock_s / 4),
        tasks,
        [at(round(clock_s) * 10), at(7, "audit")],
        [reader(clock_s / 2, round(clock_s) * 1_000)],
        [usage],
        [job()],
        [alarm],
    )


def figures() -> Figures:
    """Two samples, two seconds apart."""
    return Figures(sample(100.0)).followed_by(sample(102.0))
