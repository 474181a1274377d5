from __future__ import annotations

import json
import re

import grpc
import pytest

from cachesvc.v1 import admin_pb2 as admin
from tests.unit.cli.conftest import Run
from tests.unit.cli.fake_service import FakeService
from tests.unit.cli.messages import TIME, job, job_run


def test_list(run: Run, service: FakeService) -> None:
    new = admin.Job(name="sweep", interval_s=600, paused=True, running=True)
    service.answer("ListJobs", admin.ListJobsResponse(jobs=[job(), new]))
    first, second = run("jobs").stdout.splitlines()[1:]
    assert " ".join(first.split()) == (
        f"compact waiting 10 min {TIME} {TIME} segments_merged 12 merges small segments"
    )
    assert " ".join(second.split()) == "sweep running, paused 10 min - - -"
    as_json = json.loads(run("jobs", "--json").stdout)
    assert as_json[0]["last_run"]["counts"] == {"bytes_freed": 0, "segments_merged": 12}
    assert as_json[1]["last_run"] is None
    assert as_json[1]["next_run_ms"] is None


def test_a_job_once_a_day(run: Run, service: FakeService) -> None:
    daily = admin.Job(name="scrub", interval_s=86_400, daily_at="03:00 Europe/Berlin")
    service.answer("ListJobs", admin.ListJobsResponse(jobs=[daily]))
    (row,) = run("jobs").stdout.splitlines()[1:]
    assert " ".join(row.split()) == "scrub waiting day at 03:00 Europe/Berlin - - -"


def test_run(run: Run, service: FakeService) -> None:
    service.answer(
        "RunJob",
        admin.RunJobResponse(message="looking"),
        admin.RunJobResponse(done=3, total=12, message="merging"),
        admin.RunJobResponse(done=12, total=12, run=job_run()),
    )
    result = run("jobs", "run", "compact")
    assert result.exit_code == 0, result.output
    assert [line.split() for line in result.stdout.splitlines()] == [
        ["job:", "compact"],
        ["took:", "2", "min", "5", "s"],
        ["bytes_freed:", "0"],
        ["segments_merged:", "12"],
    ]
    assert result.stderr == "", "progress is for terminals"
    assert service.requests == [admin.RunJobRequest(name="compact")]
    as_json = json.loads(run("jobs", "run", "compact", "--json").stdout)
    assert as_json["succeeded"] is True


@pytest.mark.parametrize(("error", "exit_code"), [("", 0), ("disk is full", 1)])
def test_a_run_under_way_is_joined_and_its_outcome_is_the_exit_code(
    run: Run, service: FakeService, error: str, exit_code: int
) -> None:
    ended = admin.RunJobResponse(run=job_run(error=error))
    service.answer("RunJob", admin.RunJobResponse(done=3, total=12), ended)
    assert run("jobs", "run", "compact", "--join").exit_code == exit_code
    assert service.requests == [admin.RunJobRequest(name="compact", join=True)]


def test_a_run_that_fails(run: Run, service: FakeService) -> None:
    service.answer("RunJob", admin.RunJobResponse(run=job_run(error="disk is full")))
    result = run("jobs", "run", "compact", "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["error"] == "disk is full"
    assert result.stderr == "error: job compact failed: disk is full\n"


def test_a_report_that_breaks_off(run: Run, service: FakeService) -> None:
    service.answer("RunJob", admin.RunJobResponse(done=1, total=2))
    assert run("jobs", "run", "compact").exit_code == 1


def test_a_job_that_is_running(run: Run, service: FakeService) -> None:
    code = grpc.StatusCode.FAILED_PRECONDITION
    service.refuse("RunJob", code, "job 'compact' is running already", "JOB_RUNNING", job="compact")
    result = run("jobs", "run", "compact")
    assert result.exit_code == 5
    assert re.fullmatch(
        r"error: job 'compact' is running already "
        rf"\(service {service.address}, job=compact, JOB_RUNNING, request [0-9a-f]{{16}}\)\n",
        result.stderr,
    )


@pytest.mark.parametrize(
    ("verb", "method", "answer", "request_message"),
    [
        ("pause", "PauseJob", admin.PauseJobResponse(job=job()), admin.PauseJobRequest),
        ("resume", "ResumeJob", admin.ResumeJobResponse(job=job()), admin.ResumeJobRequest),
    ],
)
def test_pause_and_resume(
    run: Run,
    service: FakeService,
    verb: str,
    method: str,
    answer: admin.PauseJobResponse | admin.ResumeJobResponse,
    request_message: type[admin.PauseJobRequest] | type[admin.ResumeJobRequest],
) -> None:
    service.answer(method, answer)
    assert "merges small segments" in run("jobs", verb, "compact").stdout
    assert service.requests == [request_message(name="compact")]
    assert json.loads(run("jobs", verb, "compact", "--json").stdout)["name"] == "compact"


def test_history(run: Run, service: FakeService) -> None:
    runs = [job_run(), job_run(error="disk is full")]
    service.answer("ListJobRuns", admin.ListJobRunsResponse(runs=runs))
    rows = run("jobs", "history", "compact", "--limit", "2").stdout.splitlines()[1:]
    assert [" ".join(row.split()) for row in rows] == [
        f"compact {TIME} 2 min 5 s segments_merged 12",
        f"compact {TIME} 2 min 5 s failed: disk is full",
    ]
    assert service.requests == [admin.ListJobRunsRequest(name="compact", limit=2)]
    run("jobs", "history", "--json")
    assert service.requests[-1] == admin.ListJobRunsRequest(limit=100)
