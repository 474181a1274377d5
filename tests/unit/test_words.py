"""What messages say in words."""

from __future__ import annotations

from cachesvc.v1.admin_pb2 import JobRun
from cachesvc.v1.mining_tasks_pb2 import MiningStart, MiningTask
from cachesvc.words import done_by, retention_of, start_of


def test_settings_of_a_task_in_words() -> None:
    task = MiningTask(retention_days=1.5, retention_records=2_000)
    assert retention_of(task) == "1.5 days, 2,000 records of each topic"
    assert retention_of(MiningTask()) == "as configured"
    assert start_of(MiningTask(start=MiningStart(now=True))) == "now"
    assert start_of(MiningTask(start=MiningStart(timestamp_ms=1_000))) == "1970-01-01 00:00:01Z"
    assert start_of(MiningTask()) == "-"


def test_what_a_run_did() -> None:
    assert (
        done_by(JobRun(counts={"merged": 1_200, "failed": 0, "kept": 2})) == "kept 2, merged 1,200"
    )
    assert done_by(JobRun(counts={"merged": 0})) == "nothing to do"
