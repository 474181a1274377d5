"""B14D and B14R: catching up while the service compacts, and old records of a store on S3."""

from __future__ import annotations

import contextlib
import shutil
import statistics
import tempfile
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from cachesvc.store import layout
from tests.bench.b7_first_record import PLACES, first_records
from tests.bench.report import Figure, Side, Target, ratio
from tests.bench.service import Service, Settings
from tests.bench.stage import PARTITIONS, Loaded, Stage, in_turn
from tests.support.s3_server import ACCESS_KEY, BUCKET, SECRET_KEY, S3Server

_BESIDE = Target("at least", 0.8, 1.0)
_REMOTE = Target("at most", 3.0, 2.0)
_SEGMENTS_PER_PARTITION = 16
_NEVER_S = 86_400.0
_SEALED_SOON: dict[str, object] = {"warm_bytes_max": 0, "segment_age_s_max": 2.0}


def measure_beside(stage: Stage) -> list[Figure]:
    """Read a store from Parquet, then once more while its small segments are merged."""
    topic = stage.topic(stage.options.records)
    alone: list[float] = []
    beside: list[float] = []
    overlapped = 0
    for _ in stage.runs("B14D"):
        with stage.service("b14d", _small_segments(topic)) as service:
            service.mine(topic.name, topic.records, stage.patience_s(topic.records))
            service.await_all_sealed(topic.name, stage.patience_s(topic.records))
            service.restart()
            alone.append(_rate(stage, topic, service))
            service.restart()
            with _compacting(stage, topic, service) as job:
                beside.append(_rate(stage, topic, service))
                overlapped += job.is_alive()
            _check(stage, topic, service)
    runs = stage.options.runs
    notes = [f"the job was still at work when all was read in {overlapped} of {runs} runs"]
    over = Side("while it compacts", "records/s", tuple(beside))
    under = Side("alone", "records/s", tuple(alone))
    return [ratio("B14d", "catch-up from Parquet beside compaction", over, under, _BESIDE, notes)]


def measure_remote(stage: Stage) -> list[Figure]:
    """Start streams at the same places of two stores, nothing of which is in a cache."""
    topic = stage.topic(stage.options.records)
    local: list[float] = []
    remote: list[float] = []
    with contextlib.ExitStack() as stack:
        name = stack.enter_context(tempfile.TemporaryDirectory(prefix="cachesvc-bench-"))
        server = stack.enter_context(S3Server(Path(name) / "s3"))
        here = stack.enter_context(_sealed(stage, topic, "local", {"store": _SEALED_SOON}))
        there = stack.enter_context(_sealed(stage, topic, "s3", _on_s3(Path(name), server)))
        objects = sum(1 for _ in server.bucket.rglob("*.parquet"))
        stage.check("B14R: lies on S3", objects > 0, f"{objects} objects")
        for run in stage.runs("B14R"):
            in_turn(
                run,
                partial(_add_median, stage, topic, here, run, local),
                partial(_add_median, stage, topic, there, run, remote),
            )
    over = Side(f"S3 on loopback, median of {PLACES}", "ms", tuple(remote))
    under = Side(f"local directory, median of {PLACES}", "ms", tuple(local))
    return [ratio("B14r", "first record from an old offset on S3", over, under, _REMOTE)]


def _small_segments(topic: Loaded) -> Settings:
    """Return settings that leave many small segments, and compact only when asked to."""
    limit = max(1_000, topic.records // (PARTITIONS * _SEGMENTS_PER_PARTITION))
    return {
        "store": {**_SEALED_SOON, "segment_records_max": limit},
        "jobs.compact": {"interval_s": _NEVER_S},
    }


@contextlib.contextmanager
def _compacting(stage: Stage, topic: Loaded, service: Service) -> Iterator[threading.Thread]:
    """Have the job run beside what is done in the block, and to its end."""
    merged: list[int] = []

    def run() -> None:
        counts = service.run_job("compact", stage.patience_s(topic.records))
        merged.append(counts["segments_merged"])

    job = threading.Thread(target=run, name="compact")
    job.start()
    try:
        yield job
    finally:
        job.join()
    stage.check("B14D: segments merged", sum(merged) > 0, f"{merged}")


def _rate(stage: Stage, topic: Loaded, service: Service) -> float:
    with stage.workers("cache") as (task,):
        job = stage.cache_job(service, topic)
        answer = task.run("records", job, stage.patience_s(topic.records))
    stage.check_tally("B14D", topic, answer["tally"])
    return topic.records / float(answer["seconds"])


def _check(stage: Stage, topic: Loaded, service: Service) -> None:
    """Check what lies there once everything is merged."""
    with stage.workers("cache") as (task,):
        job = stage.cache_job(service, topic)
        digest = task.run("digest-arrow", job, stage.patience_s(topic.records))["digest"]
    stage.check_digest("B14D", topic, digest)


@contextlib.contextmanager
def _sealed(stage: Stage, topic: Loaded, label: str, settings: Settings) -> Iterator[Service]:
    with stage.service(f"b14r-{label}", settings) as service:
        service.mine(topic.name, topic.records, stage.patience_s(topic.records))
        service.await_all_sealed(topic.name, stage.patience_s(topic.records))
        yield service


def _add_median(
    stage: Stage, topic: Loaded, service: Service, run: int, medians: list[float]
) -> None:
    """Milliseconds, by a service that was just started, with nothing in its caches."""
    service.stop()
    shutil.rmtree(service.store / layout.CACHE, ignore_errors=True)
    service.start()
    medians.append(statistics.median(first_records(stage, topic, service, "B14R", run)))


def _on_s3(directory: Path, server: S3Server) -> Settings:
    secrets = {"access_key": ACCESS_KEY, "secret_key": SECRET_KEY}
    for name, secret in secrets.items():
        (directory / name).write_text(secret)
    return {
        "store": _SEALED_SOON,
        "[stores]": {
            "name": "bench-s3",
            "kind": "s3",
            "default": True,
            "bucket": BUCKET,
            "prefix": "b14r",
            "endpoint": f"http://127.0.0.1:{server.port}",
            "region": "us-east-1",
            **{f"{name}_file": str(directory / name) for name in secrets},
        },
    }
