"""``cachesvc jobs``: scheduled work of the service."""

import sys
from collections.abc import Iterable
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from cachesvc.cli.by_name import group_of
from cachesvc.cli.command import ask, only_named, show_all, show_one, talks_to_service
from cachesvc.cli.failure import CommandFailed
from cachesvc.cli.options import Common
from cachesvc.cli.render import Column, show_facts, show_table
from cachesvc.cli.service import Service
from cachesvc.cli.units import printable, show_count, show_duration, show_time
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

jobs_app = group_of("NAME")

Name = Annotated[str, typer.Argument(metavar="NAME", help="The job's name.")]


@jobs_app.callback(invoke_without_command=True)
@talks_to_service
def list_jobs(settings: Common) -> None:
    """List scheduled jobs; run, pause or resume one; show past runs."""
    response: ListJobsResponse = ask(settings, ListJobsRequest())
    show_all(settings, response.jobs, _JOB_COLUMNS, "no jobs")


jobs_app.command("list")(list_jobs)


@jobs_app.command("show")
@talks_to_service
def show_job(settings: Common, name: Name) -> None:
    """Show one job with its schedule and its last run."""
    response: ListJobsResponse = ask(settings, ListJobsRequest())
    (job,) = only_named(response.jobs, name, "job")
    show_one(settings, job, _show_job)


@jobs_app.command("run")
@talks_to_service
def run_job(settings: Common, name: Name) -> None:
    """Run a job now and wait for its end; it goes on in the service if this command is stopped."""
    with Service(settings) as service:
        run = _follow(name, service.stream(RunJobRequest(name=name)))
    show_one(settings, run, _show_run)
    if not run.succeeded:
        raise CommandFailed(f"job {name} failed: {run.error}")


@jobs_app.command("pause")
@talks_to_service
def pause_job(settings: Common, name: Name) -> None:
    """Stop a job's schedule; a run under way goes on."""
    answer = ask(settings, PauseJobRequest(name=name))
    show_one(settings, answer.job, _show_job)


@jobs_app.command("resume")
@talks_to_service
def resume_job(settings: Common, name: Name) -> None:
    """Put a paused job back on its schedule."""
    answer = ask(settings, ResumeJobRequest(name=name))
    show_one(settings, answer.job, _show_job)


@jobs_app.command("history")
@talks_to_service
def job_history(
    settings: Common,
    name: Annotated[str, typer.Argument(metavar="[NAME]", help="Only of this job.")] = "",
    limit: Annotated[
        int, typer.Option(min=1, max=1_000_000, metavar="N", help="At most this many.")
    ] = 100,
) -> None:
    """List past runs, the newest first."""
    response: ListJobRunsResponse = ask(settings, ListJobRunsRequest(name=name, limit=limit))
    show_all(settings, response.runs, _RUN_COLUMNS, "no runs")


def _follow(name: str, answers: Iterable[RunJobResponse]) -> JobRun:
    """Draws progress on stderr, if that is a terminal, until the run has ended."""
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    console = Console(stderr=True)
    visible = sys.stderr.isatty()
    with Progress(*columns, console=console, transient=True, disable=not visible) as progress:
        task = progress.add_task(name, total=None)
        for answer in answers:
            if answer.HasField("run"):
                return answer.run
            text = f"{name}: {printable(answer.message)}" if answer.message else name
            progress.update(
                task, completed=answer.done, total=answer.total or None, description=text
            )
    raise CommandFailed(f"the service ended the report on job {name} before the job ended")


def _show_job(job: Job) -> None:
    show_table([job], _JOB_COLUMNS, "")


def _show_run(run: JobRun) -> None:
    took = show_duration((run.ended_ms - run.started_ms) / 1000)
    counts = [(key, show_count(count)) for key, count in sorted(run.counts.items())]
    show_facts([("job", run.name), ("took", took), *counts])


def _state(job: Job) -> str:
    states = [word for word, on in (("running", job.running), ("paused", job.paused)) if on]
    return ", ".join(states) or "waiting"


def _interval(job: Job) -> str:
    return show_duration(job.interval_s) if job.interval_s else "on demand"


def _result(run: JobRun) -> str:
    if not run.succeeded:
        return f"failed: {run.error}"
    done = ", ".join(f"{name} {count:,}" for name, count in sorted(run.counts.items()) if count)
    return done or "nothing to do"


_JOB_COLUMNS = (
    Column("job", lambda j: j.name),
    Column("state", _state),
    Column("every", _interval, number=True),
    Column("next run", lambda j: show_time(j.next_run_ms)),
    Column("last run", lambda j: show_time(j.last_run.started_ms)),
    Column("result", lambda j: _result(j.last_run) if j.HasField("last_run") else "-"),
    Column("what it does", lambda j: j.description),
)
_RUN_COLUMNS = (
    Column("job", lambda r: r.name),
    Column("started", lambda r: show_time(r.started_ms)),
    Column("took", lambda r: show_duration((r.ended_ms - r.started_ms) / 1000), number=True),
    Column("result", _result),
)
