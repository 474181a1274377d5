"""``cachesvc jobs``: scheduled work of the service."""

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from cachesvc.cli.answers import Answer, One, Rows
from cachesvc.cli.by_name import group_of
from cachesvc.cli.command import calls, only_named
from cachesvc.cli.failure import CommandFailed
from cachesvc.cli.render import Column, show_facts, show_table
from cachesvc.cli.service import Service
from cachesvc.units import printable, show_count, show_duration, show_time
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
from cachesvc.words import done_by

jobs_app = group_of("NAME")

Name = Annotated[str, typer.Argument(metavar="NAME", help="The job's name.")]


@jobs_app.callback(invoke_without_command=True)
@calls
def list_jobs(service: Service) -> Answer:
    """List scheduled jobs; run, pause or resume one; show past runs."""
    response: ListJobsResponse = service.ask(ListJobsRequest())
    return Rows(response.jobs, _JOB_COLUMNS, "no jobs")


jobs_app.command("list")(list_jobs)


@jobs_app.command("show")
@calls
def show_job(service: Service, name: Name) -> Answer:
    """Show one job with its schedule and its last run."""
    response: ListJobsResponse = service.ask(ListJobsRequest())
    (job,) = only_named(response.jobs, name, "job")
    return One(job, _show_job)


@jobs_app.command("run")
@calls
def run_job(
    service: Service,
    name: Name,
    join: Annotated[
        bool,
        typer.Option(
            "--join",
            help="Wait for the end of a run under way, if there is one, instead of failing.",
        ),
    ] = False,
) -> Answer:
    """Run a job now and wait for its end; it goes on in the service if this command is stopped.

    Exit code 0: it succeeded; 1: it failed; 5: it is running already, and is not to be joined.
    """
    run = follow(name, service.stream(RunJobRequest(name=name, join=join)))
    failed = None if run.succeeded else CommandFailed(f"job {name} failed: {run.error}")
    return One(run, show_run, failed)


@jobs_app.command("pause")
@calls
def pause_job(service: Service, name: Name) -> Answer:
    """Stop a job's schedule; a run under way goes on."""
    answer = service.ask(PauseJobRequest(name=name))
    return One(answer.job, _show_job)


@jobs_app.command("resume")
@calls
def resume_job(service: Service, name: Name) -> Answer:
    """Put a paused job back on its schedule."""
    answer = service.ask(ResumeJobRequest(name=name))
    return One(answer.job, _show_job)


@jobs_app.command("history")
@calls
def job_history(
    service: Service,
    name: Annotated[str, typer.Argument(metavar="[NAME]", help="Only of this job.")] = "",
    limit: Annotated[
        int, typer.Option(min=1, max=1_000_000, metavar="N", help="At most this many.")
    ] = 100,
) -> Answer:
    """List past runs, the newest first."""
    response: ListJobRunsResponse = service.ask(ListJobRunsRequest(name=name, limit=limit))
    return Rows(response.runs, _RUN_COLUMNS, "no runs")


@contextmanager
def progress_bar(name: str) -> Iterator[Callable[[int, int, str], None]]:
    """Draws progress on stderr, if that is a terminal: units done, in total, and what is done."""
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

        def tell(done: int, total: int, message: str) -> None:
            text = f"{name}: {printable(message)}" if message else name
            progress.update(task, completed=done, total=total or None, description=text)

        yield tell


def follow(name: str, answers: Iterable[RunJobResponse]) -> JobRun:
    """Draws progress on stderr, if that is a terminal, until the run has ended."""
    with progress_bar(name) as tell:
        for answer in answers:
            if answer.HasField("run"):
                return answer.run
            tell(answer.done, answer.total, answer.message)
    raise CommandFailed(f"the service ended the report on job {name} before the job ended")


def _show_job(job: Job) -> None:
    show_table([job], _JOB_COLUMNS, "")


def show_run(run: JobRun) -> None:
    """Shows what a run did."""
    took = show_duration((run.ended_ms - run.started_ms) / 1000)
    counts = [(key, show_count(count)) for key, count in sorted(run.counts.items())]
    show_facts([("job", run.name), ("took", took), *counts])


def _state(job: Job) -> str:
    states = [word for word, on in (("running", job.running), ("paused", job.paused)) if on]
    return ", ".join(states) or "waiting"


def _interval(job: Job) -> str:
    if job.daily_at:
        return f"day at {job.daily_at}"
    return show_duration(job.interval_s) if job.interval_s else "on demand"


def _result(run: JobRun) -> str:
    if not run.succeeded:
        return f"failed: {run.error}"
    return done_by(run)


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
