"""Jobs of a service that is killed: why one failed is not forgotten, what was missed is done once.

``CACHESVC_MISSED_RUNS`` also waits until what was missed is caught up with, a minute after a start.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import duckdb
import pytest

from cachesvc.v1 import admin_pb2 as admin
from tests.faults.stage import CALL_S, Calls, eventually
from tests.support.ports import free_ports
from tests.support.service import ServiceProcess

pytestmark = [pytest.mark.faults, pytest.mark.timeout(240)]

HOUR_S = 3_600
PAUSE_S = 60
"""Between the start and what was missed; the first minute is everybody else's."""
STARTING_S = 30


def _service(directory: Path, jobs: dict[str, dict[str, object]]) -> ServiceProcess:
    """Without a broker: none of these jobs needs one."""
    (port,) = free_ports(1)
    settings = {f"jobs.{name}": settings for name, settings in jobs.items()}
    return ServiceProcess(directory, f"127.0.0.1:{port}", settings)


def _runs(calls: Calls, name: str) -> list[Any]:
    """The newest first."""
    request = admin.ListJobRunsRequest(name=name, limit=1_000)
    return list(calls.admin.ListJobRuns(request, timeout=CALL_S).runs)


def _job(calls: Calls, name: str) -> Any:
    found = calls.admin.ListJobs(admin.ListJobsRequest(), timeout=CALL_S).jobs
    return next(each for each in found if each.name == name)


def test_a_job_that_fails_says_why_stops_no_other_and_is_not_forgotten(tmp_path: Path) -> None:
    backups = tmp_path / "backups"
    backups.write_text("in the place of a directory")
    often: dict[str, object] = {"interval_s": 1}
    jobs = {"backup": {**often, "directory": str(backups)}, "sweep": often, "expire": often}
    service = _service(tmp_path, jobs)
    others = ("sweep", "expire")
    began_ms = 0
    for _ in range(2):
        with service:
            with Calls(service.address) as calls:
                before = {name: len(_runs(calls, name)) for name in jobs}

                def all_ran_again(calls: Calls = calls, before: dict[str, int] = before) -> bool:
                    return all(len(_runs(calls, name)) >= before[name] + 2 for name in jobs)

                eventually(all_ran_again, "each job to run twice more")
                failed = _runs(calls, "backup")
                assert not any(run.succeeded for run in failed)
                assert all(str(backups) in run.error for run in failed), failed[0].error
                assert str(backups) in _job(calls, "backup").last_run.error
                assert all(run.succeeded for name in others for run in _runs(calls, name))
                # A kill made nobody forget the first of them.
                began_ms = began_ms or failed[-1].started_ms
                assert failed[-1].started_ms == began_ms
            service.kill()
    assert {event["job"] for event in service.events("job_failed")} == {"backup"}
    # It goes on by itself once it can.
    backups.unlink()
    with service, Calls(service.address) as calls:
        eventually(lambda: _job(calls, "backup").last_run.succeeded, "a backup")
        assert _job(calls, "backup").last_run.error == ""


def test_runs_missed_in_a_downtime_are_caught_up_with_once(tmp_path: Path) -> None:
    hourly: dict[str, object] = {"interval_s": HOUR_S}
    service = _service(tmp_path, {"sweep": hourly, "expire": hourly})
    with service, Calls(service.address) as calls:
        for name in ("sweep", "expire"):
            calls.run_job(name)
        service.kill()
    # As if it had been down for five hours since one of them ran, and for a moment since the other.
    with duckdb.connect(str(service.store / "catalogue.duckdb")) as catalogue:
        catalogue.execute(
            "update job_runs set started_ms = started_ms - ?, ended_ms = ended_ms - ?"
            " where name = 'sweep'",
            [5 * HOUR_S * 1000] * 2,
        )
    # However often it is killed meanwhile.
    for _ in range(2):
        started_ms = time.time_ns() // 1_000_000
        service.start()
        with Calls(service.address) as calls:
            in_s = (_job(calls, "sweep").next_run_ms - started_ms) / 1000
            assert PAUSE_S <= in_s < PAUSE_S + STARTING_S
            (ran,) = _runs(calls, "expire")
            assert _job(calls, "expire").next_run_ms == ran.started_ms + HOUR_S * 1000
            assert len(_runs(calls, "sweep")) == 1
        service.kill()
    if "CACHESVC_MISSED_RUNS" in os.environ:
        with service, Calls(service.address) as calls:
            eventually(lambda: len(_runs(calls, "sweep")) == 2, "the sweep", 2 * PAUSE_S)
            ran, _ = _runs(calls, "sweep")
            # Once for all that was missed: the next one is an interval later.
            next_ms = _job(calls, "sweep").next_run_ms
            assert abs(next_ms - ran.started_ms - HOUR_S * 1000) < STARTING_S * 1000
