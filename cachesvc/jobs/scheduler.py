"""Runs jobs: on their intervals and on demand, one run of a job at a time. On APScheduler."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.interval import IntervalTrigger

from cachesvc.errors import CacheError, InvalidRequest, NotFound, PreconditionFailed, ShuttingDown
from cachesvc.jobs.daily import Daily
from cachesvc.jobs.job import ON_DEMAND, IntoDirectory, Job, OwnSchedule, Progress
from cachesvc.log.catalogue_thread import CatalogueThread
from cachesvc.store.ports import JobRunRecord
from cachesvc.watching.job_runs import JobTally

_log = logging.getLogger(__name__)
_MISFIRE_GRACE_S = 3600
# Between runs of a job with a schedule of its own, however due it is: one that fails is due again.
_PAUSE_S_MIN = 60.0

# After the start, of a job that never ran.
_FIRST_MS_MAX = 3_600_000

_Work = Callable[[Progress], Awaitable[Mapping[str, int]]]


@dataclass(frozen=True, slots=True)
class JobProgress:
    """How far a run is; ``run`` is set in the last one."""

    done: int
    total: int
    message: str
    run: JobRunRecord | None = None


@dataclass(frozen=True, slots=True)
class JobState:
    """A job as it is now; ``next_run_ms`` is None while it is paused or has no schedule.

    ``daily_at`` is when it runs each day; empty where it runs at intervals.
    """

    job: Job
    paused: bool
    running: bool
    next_run_ms: int | None
    last_run: JobRunRecord | None
    daily_at: str = ""


class _Run:
    """A run under way, for any number of those who follow it."""

    def __init__(self) -> None:
        self.latest: JobProgress | None = None
        self._changed = asyncio.Event()

    def note(self, done: int, total: int, message: str) -> None:
        """How far it is."""
        self.latest = JobProgress(done, total, message)
        self.wake()

    def wake(self) -> None:
        """Has all who follow it look again."""
        self._changed.set()
        self._changed = asyncio.Event()

    def begin(self, work: Coroutine[Any, Any, JobRunRecord]) -> None:
        """Starts it; the task is ``self.task`` from then on."""
        self.task = asyncio.ensure_future(work)
        self.task.add_done_callback(lambda _: self.wake())

    async def follow(self) -> AsyncIterator[JobProgress]:
        """How far it is now and whenever that changes, at its end with the run."""
        told = None
        while not self.task.done():
            if self.latest is not None and self.latest is not told:
                told = self.latest
                yield told
            else:
                await self._changed.wait()
        if self.task.cancelled():
            raise ShuttingDown("the run was given up because the service is about to end")
        done, total = (self.latest.done, self.latest.total) if self.latest else (0, 0)
        yield JobProgress(done, total, "", self.task.result())


class JobScheduler:
    """The jobs of one service. Belongs to one event loop.

    Args:
        catalogue: Keeps the history and what is paused.
        jobs: What there is to run.
    """

    def __init__(self, catalogue: CatalogueThread, jobs: Sequence[Job]) -> None:
        self._catalogue = catalogue
        self._jobs = {job.name: job for job in jobs}
        self.tallies = {job.name: JobTally() for job in jobs}
        """How they went since the service started."""
        self._running: dict[str, _Run] = {}
        self._scheduler = AsyncIOScheduler(timezone="UTC")

    async def start(self) -> None:
        """Begins the schedules of all jobs that are not paused."""
        paused = await self._catalogue.call(lambda port: port.list_paused_jobs())
        self._scheduler.start(paused=False)
        for job in self._jobs.values():
            if job.interval_s == ON_DEMAND:
                continue
            self._scheduler.add_job(
                self._run_scheduled,
                IntervalTrigger(seconds=job.interval_s),
                args=[job.name],
                id=job.name,
                max_instances=1,
                coalesce=True,
                misfire_grace_time=_MISFIRE_GRACE_S,
            )
            if job.name in paused:
                self._scheduler.pause_job(job.name)
            await self._schedule_first(job)
            await self._schedule_again(job)

    async def stop(self) -> None:
        """Ends all schedules and cancels runs under way."""
        if self._scheduler.running:
            self._scheduler.shutdown(wait=False)
        tasks = [run.task for run in self._running.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def states(self) -> list[JobState]:
        """All jobs, ordered by name."""
        paused = await self._catalogue.call(lambda port: port.list_paused_jobs())
        found = []
        for name, job in sorted(self._jobs.items()):
            runs = await self.history(name, 1)
            scheduled = self._scheduler.get_job(name)
            at: datetime | None = scheduled.next_run_time if scheduled else None
            next_ms = int(at.timestamp() * 1000) if at and name not in paused else None
            found.append(
                JobState(
                    job,
                    name in paused,
                    name in self._running,
                    next_ms,
                    next(iter(runs), None),
                    str(job.when) if isinstance(job, Daily) else "",
                )
            )
        return found

    async def state(self, name: str) -> JobState:
        """One job.

        Raises:
            NotFound: There is none of that name.
        """
        self._get(name)
        return next(state for state in await self.states() if state.job.name == name)

    async def history(self, name: str, limit: int) -> list[JobRunRecord]:
        """Past runs of a job, or of all for an empty name, the newest first."""
        if name:
            self._get(name)
        return await self._catalogue.call(lambda port: port.list_job_runs(name, limit))

    async def set_paused(self, name: str, *, paused: bool) -> JobState:
        """Pauses or resumes a schedule; a run under way goes on. Idempotent.

        Raises:
            NotFound: There is no job of that name.
            PreconditionFailed: It runs on demand alone (``JOB_ON_DEMAND``).
            ShuttingDown: The service is about to end.
        """
        if self._get(name).interval_s == ON_DEMAND:
            raise PreconditionFailed(
                f"job {name!r} has no schedule: it runs on demand alone",
                reason="JOB_ON_DEMAND",
                metadata={"job": name},
            )
        self._check_open()
        await self._catalogue.call(lambda port: port.set_job_paused(name, paused=paused))
        self._check_open()
        (self._scheduler.pause_job if paused else self._scheduler.resume_job)(name)
        await self._schedule_again(self._jobs[name])
        return await self.state(name)

    async def run_now(
        self, name: str, directory: str = "", *, join: bool = False
    ) -> AsyncIterator[JobProgress]:
        """Runs a job and tells how far it is, at its end with the run.

        A caller that goes away does not stop the run.

        Args:
            name: Of the job.
            directory: Where it puts what comes of it; where the settings say without one.
            join: Whether to follow the run under way, if there is one. Scheduled ones count.

        Raises:
            NotFound: There is none of that name.
            InvalidRequest: It puts nothing anywhere, the path is not a whole one, or a run is to be
                joined that has a directory of its own.
            PreconditionFailed: It is running (``JOB_RUNNING``), and not to be joined.
            ShuttingDown: The service is about to end; a run under way is given up.
        """
        job = self._get(name)
        self._check_open()
        if join and directory:
            raise InvalidRequest("directory: a run under way has its own; do not join one")
        run = self._running.get(name)
        if run is None:
            run = self._begin(job, _into(job, directory) if directory else job.run)
        elif not join:
            raise PreconditionFailed(
                f"job {name!r} is running already; wait for its end, or join it",
                reason="JOB_RUNNING",
                metadata={"job": name},
            )
        async for progress in run.follow():
            yield progress

    def _check_open(self) -> None:
        if not self._scheduler.running:
            raise ShuttingDown("the service is about to end; try again when it is back")

    def _get(self, name: str) -> Job:
        if name not in self._jobs:
            raise NotFound(
                f"there is no job {name!r}; there are: {', '.join(sorted(self._jobs))}",
                reason="UNKNOWN_JOB",
                metadata={"job": name},
            )
        return self._jobs[name]

    async def _run_scheduled(self, name: str) -> None:
        if name in self._running:
            return
        job = self._jobs[name]
        work = job.run_due if isinstance(job, OwnSchedule) else job.run
        await self._begin(job, work).task

    async def _schedule_first(self, job: Job) -> None:
        """Counts an interval from the last run, whenever the service was started since then.

        What was missed in a downtime is done once, soon; a job that never ran begins within an
        hour, however rare it is.
        """
        now_ms = time.time_ns() // 1_000_000
        interval_ms = int(job.interval_s * 1000)
        last = next(iter(await self.history(job.name, 1)), None)
        if last is None:
            at_ms = now_ms + min(interval_ms, _FIRST_MS_MAX)
        else:
            pause_ms = min(int(_PAUSE_S_MIN * 1000), interval_ms)
            # A run in the future was before the clock was set back.
            at_ms = min(max(last.started_ms + interval_ms, now_ms + pause_ms), now_ms + interval_ms)
        self._move(job, at_ms)

    def _move(self, job: Job, at_ms: int) -> None:
        scheduled = self._scheduler.get_job(job.name) if self._scheduler.running else None
        if scheduled is not None and scheduled.next_run_time is not None:  # else it is paused
            scheduled.modify(next_run_time=datetime.fromtimestamp(at_ms / 1000, UTC))

    async def _schedule_again(self, job: Job) -> None:
        """Moves the next run of a job that says by itself when that is."""
        if not isinstance(job, OwnSchedule):
            return
        now_ms = time.time_ns() // 1_000_000
        pause_ms = int(min(_PAUSE_S_MIN, job.interval_s) * 1000)
        self._move(job, max(await job.next_run_ms(now_ms), now_ms + pause_ms))

    def _begin(self, job: Job, work: _Work) -> _Run:
        run = _Run()
        run.begin(self._run(job, work, run.note))
        self._running[job.name] = run
        self.tallies[job.name].running = True
        run.task.add_done_callback(lambda _: self._over(job.name))
        return run

    def _over(self, name: str) -> None:
        self._running.pop(name, None)
        self.tallies[name].running = False

    async def _run(self, job: Job, work: _Work, note: Progress) -> JobRunRecord:
        started_ms = time.time_ns() // 1_000_000
        try:
            counts = await work(note)
            error = ""
        except Exception as failure:
            counts, error = {}, str(failure)
            if not isinstance(failure, CacheError | OSError):
                error = f"{type(failure).__name__}: {failure}"
                _log.debug("nobody foresaw this", exc_info=failure)
            _log.error(
                "a job failed", extra={"event": "job_failed", "job": job.name, "error": error}
            )
        ended_ms = time.time_ns() // 1_000_000
        self.tallies[job.name].ended(started_ms, ended_ms, None if error else counts)
        run = JobRunRecord(job.name, started_ms, ended_ms, not error, error, dict(counts))
        if not error:
            fields = {"event": "job_ended", "job": job.name, "counts": dict(counts)}
            _log.info("a job ended", extra=fields)
        await self._catalogue.call(lambda port: port.add_job_run(run))
        await self._schedule_again(job)
        return run


def _into(job: Job, directory: str) -> _Work:
    if not isinstance(job, IntoDirectory):
        raise InvalidRequest(f"directory: job {job.name!r} puts nothing into one")
    path = Path(directory)
    if not path.is_absolute():
        raise InvalidRequest("directory: it has to be the whole path, from / on")
    return partial(job.run_into, path)
