"""*Jobs*: schedules and last runs, run now before one's eyes, and the history of each."""

from dataclasses import dataclass
from functools import partial

from starlette.responses import Response

from cachesvc.units import show_duration
from cachesvc.v1.admin_pb2 import (
    Job,
    JobRun,
    ListJobRunsRequest,
    ListJobRunsResponse,
    ListJobsRequest,
    ListJobsResponse,
    PauseJobRequest,
    ResumeJobRequest,
    RunJobRequest,
    RunJobResponse,
)
from cachesvc.web.calls import CallFailed
from cachesvc.web.listing import paged
from cachesvc.web.page import Action, Done, Fields, Page
from cachesvc.web.runs import Line
from cachesvc.web.visit import Visit
from cachesvc.words import done_by

_RUN_S_MAX = 24 * 3_600.0
_RUNS_MAX = 1_000


@dataclass(frozen=True, slots=True)
class JobRow:
    """A job.

    Attributes:
        told: What the service says of it.
        state: In words.
        mood: How that looks.
        schedule: When it runs.
        last: Its last run; None where it has not run.
    """

    told: Job
    state: str
    mood: str
    schedule: str
    last: "RunRow | None"


@dataclass(frozen=True, slots=True)
class RunRow:
    """A run of a job.

    Attributes:
        told: What the service says of it.
        took_s: How long it took.
        result: What it did, or why it failed.
    """

    told: JobRun
    took_s: float
    result: str


def job_row(told: Job) -> JobRow:
    """The row of a job."""
    last = run_row(told.last_run) if told.HasField("last_run") else None
    if told.running:
        state, mood = "running", "busy"
    elif told.paused:
        state, mood = "paused", "busy"
    elif last is not None and not told.last_run.succeeded:
        state, mood = "failed", "bad"
    else:
        state, mood = "waiting", ""
    return JobRow(told, state, mood, schedule_of(told), last)


def schedule_of(told: Job) -> str:
    """When a job runs."""
    if told.daily_at:
        return f"every day at {told.daily_at}"
    return f"every {show_duration(told.interval_s)}" if told.interval_s else "on demand"


def run_row(told: JobRun) -> RunRow:
    """The row of a run."""
    took_s = max(0, told.ended_ms - told.started_ms) / 1000
    return RunRow(told, took_s, told.error if not told.succeeded else done_by(told))


def progress_line(answer: RunJobResponse) -> Line:
    """What a run under way says."""
    if answer.HasField("run"):
        row = run_row(answer.run)
        mark = "passed" if answer.run.succeeded else "failed"
        return Line(f"{row.result}, in {show_duration(row.took_s)}", mark)
    how_far = f"{answer.done:,} of {answer.total:,}" if answer.total else ""
    text = ": ".join(filter(None, (answer.message, how_far)))
    return Line(text or "at work", passing=True)


async def show(visit: Visit) -> Response:
    """All jobs."""
    answer: ListJobsResponse = await visit.ask(ListJobsRequest())
    return visit.render("jobs.html", rows=[job_row(told) for told in answer.jobs])


async def show_one(visit: Visit) -> Response:
    """One of them, with its past runs."""
    name = visit.place("name")
    jobs: ListJobsResponse = await visit.ask(ListJobsRequest())
    found = next((told for told in jobs.jobs if told.name == name), None)
    if found is None:
        names = ", ".join(told.name for told in jobs.jobs)
        raise CallFailed("UNKNOWN_JOB", f"there is no job {name!r}; there are: {names}")
    answer: ListJobRunsResponse = await visit.ask(ListJobRunsRequest(name=name, limit=_RUNS_MAX))
    runs = [run_row(told) for told in answer.runs]
    listing = paged(runs, visit.asked, lambda row: row.result)
    return visit.render("job.html", row=job_row(found), listing=listing)


async def _run(visit: Visit, fields: Fields) -> Done:
    name = fields.get("name", "")
    answers = partial(visit.calls.stream, RunJobRequest(name=name), visit.on, _RUN_S_MAX)
    back = f"/jobs/{name}"
    run = visit.runs.start(f"Run of job {name}", visit.name, back, answers, progress_line)
    return Done("", f"/runs/{run.key}")


async def _pause(visit: Visit, fields: Fields) -> Done:
    name = fields.get("name", "")
    await visit.ask(PauseJobRequest(name=name))
    return Done(f"The schedule of job {name} is stopped; a run under way goes on.")


async def _resume(visit: Visit, fields: Fields) -> Done:
    name = fields.get("name", "")
    await visit.ask(ResumeJobRequest(name=name))
    return Done(f"Job {name} is back on its schedule.")


PAGE = Page(
    "Jobs",
    "/jobs",
    show,
    below=(("/jobs/{name}", show_one),),
    actions=(
        Action("run-job", "Run now", _run),
        Action("pause-job", "Pause", _pause),
        Action("resume-job", "Resume", _resume),
    ),
)
