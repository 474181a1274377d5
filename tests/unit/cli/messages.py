"""Answers of a service, for tests of what is made of them."""

from __future__ import annotations

from cachesvc.v1 import admin_pb2 as admin
from cachesvc.v1 import log_cache_pb2 as log_cache

TIME_MS = 1_767_323_045_678
TIME = "2026-01-02 03:04:05Z"


def partition_offsets(
    partition: int = 0, *, source_end: int | None = 120
) -> log_cache.PartitionOffsets:
    return log_cache.PartitionOffsets(
        topic="orders",
        partition=partition,
        incarnation=1,
        log_start_offset=10,
        log_end_offset=110,
        source_high_watermark=source_end,
        mining_state=log_cache.MINING,
    )


def topic(connection: str = "main") -> admin.Topic:
    return admin.Topic(
        connection=connection,
        name="orders",
        incarnation=1,
        needed=True,
        mining_state=log_cache.MINING,
        partitions=[partition_offsets(0), partition_offsets(1, source_end=None)],
        segment_count=1234,
        segment_bytes=3 * 1024**2,
        journal_bytes=1536,
        reject_count=2,
    )


def subscription(name: str = "billing") -> log_cache.Subscription:
    lag = log_cache.Lag(records=60, bytes=2048, seconds=7.5)
    position = log_cache.Position(topic="orders", partition=0, incarnation=1, offset=50)
    return log_cache.Subscription(
        name=name,
        connection="main",
        topics=["orders"],
        mode=log_cache.FULL_AND_INCREMENTAL,
        epoch=3,
        connected=True,
        created_ms=TIME_MS,
        partitions=[log_cache.SubscriptionPartition(position=position, lag=lag)],
        lag=lag,
    )


def job_run(*, error: str = "") -> admin.JobRun:
    return admin.JobRun(
        name="compact",
        started_ms=TIME_MS,
        ended_ms=TIME_MS + 125_000,
        succeeded=not error,
        error=error,
        counts={"segments_merged": 12, "bytes_freed": 0},
    )


def job() -> admin.Job:
    return admin.Job(
        name="compact",
        description="merges small segments",
        interval_s=600,
        next_run_ms=TIME_MS,
        last_run=job_run(),
    )


def record(offset: int, value: bytes | None, key: bytes | None = b"k") -> log_cache.Record:
    return log_cache.Record(offset=offset, timestamp_ms=TIME_MS, key=key, value=value)


def batch(*records: log_cache.Record) -> log_cache.SubscribeResponse:
    return log_cache.SubscribeResponse(
        batch=log_cache.Batch(
            topic="orders",
            partition=0,
            incarnation=1,
            base_offset=records[0].offset,
            next_position=records[-1].offset + 1,
            record_count=len(records),
            records=records,
        )
    )
