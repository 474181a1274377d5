"""Runs under way that others follow as well, on the real scheduler."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from cachesvc.errors import InvalidRequest, NotFound, PreconditionFailed, ShuttingDown
from cachesvc.jobs.job import ON_DEMAND, Progress
from cachesvc.jobs.scheduler import JobProgress, JobScheduler
from cachesvc.log.catalogue_thread import CatalogueThread
from cachesvc.store.memory_catalogue import MemoryCatalogue
from tests.unit.log.running import until


class Held:
    """Works until it is let go, and fails if told to."""

    name = "held"
    description = "works until it is let go"

    def __init__(self, interval_s: float = ON_DEMAND) -> None:
        self.interval_s = interval_s
        self.begun = 0
        self.working = asyncio.Event()
        self.may_end = asyncio.Event()
        self.failure: Exception | None = None
        self.progress: Progress = lambda done, total, message: None

    async def run(self, progress: Progress) -> Mapping[str, int]:
        self.begun += 1
        self.progress = progress
        self.working.set()
        await self.may_end.wait()
        if self.failure is not None:
            raise self.failure
        return {"done": self.begun}

    async def run_into(self, directory: Path, progress: Progress) -> Mapping[str, int]:
        return await self.run(progress)


class Follower:
    """A call that runs a job or joins its run; what it was told."""

    def __init__(self, scheduler: JobScheduler, *, join: bool) -> None:
        self.told: list[JobProgress] = []
        self.call = asyncio.ensure_future(self._follow(scheduler, join))

    async def _follow(self, scheduler: JobScheduler, join: bool) -> None:
        async for progress in scheduler.run_now("held", join=join):
            self.told.append(progress)

    def knows(self, done: int) -> bool:
        """Whether it was told that so much is done."""
        return any(progress.done == done for progress in self.told)


@asynccontextmanager
async def scheduling(job: Held) -> AsyncIterator[JobScheduler]:
    catalogue = CatalogueThread(MemoryCatalogue)
    scheduler = JobScheduler(catalogue, [job])
    await scheduler.start()
    try:
        async with asyncio.timeout(60):
            yield scheduler
    finally:
        await scheduler.stop()
        catalogue.close()


@pytest.mark.parametrize("failure", [None, OSError("disk is full")])
def test_all_who_join_a_run_see_its_progress_and_its_one_outcome(
    failure: OSError | None,
) -> None:
    async def body() -> None:
        job = Held()
        job.failure = failure
        async with scheduling(job) as scheduler:
            # The first one has nothing to join, and starts it.
            first = Follower(scheduler, join=True)
            await job.working.wait()
            job.progress(1, 3, "first part")
            second = Follower(scheduler, join=True)
            await until(lambda: first.knows(1) and second.knows(1))
            job.progress(2, 3, "second part")
            third = Follower(scheduler, join=True)
            await until(lambda: all(each.knows(2) for each in (first, second, third)))
            job.may_end.set()
            await asyncio.gather(first.call, second.call, third.call)
            assert third.told[0] == JobProgress(2, 3, "second part"), "how far it is, at once"
            runs = [each.told[-1].run for each in (first, second, third)]
            assert runs == await scheduler.history("held", 9) * 3
            assert runs[0] is not None
            expected = (True, "") if failure is None else (False, "disk is full")
            assert (runs[0].succeeded, runs[0].error) == expected
            assert job.begun == 1

    asyncio.run(body())


def test_a_scheduled_run_is_joined_too() -> None:
    async def body() -> None:
        job = Held(interval_s=0.05)
        async with scheduling(job) as scheduler:
            await job.working.wait()
            joined = Follower(scheduler, join=True)
            job.progress(1, 2, "half of it")
            await until(lambda: joined.knows(1))
            await scheduler.set_paused("held", paused=True)
            job.may_end.set()
            await joined.call
            assert joined.told[-1].run is not None
            assert joined.told[-1].run.counts == {"done": 1}

    asyncio.run(body())


def test_a_run_goes_on_for_the_others_when_one_goes_away() -> None:
    async def body() -> None:
        job = Held()
        async with scheduling(job) as scheduler:
            starter = Follower(scheduler, join=False)
            await job.working.wait()
            joined = Follower(scheduler, join=True)
            job.progress(1, 2, "half of it")
            await until(lambda: joined.knows(1))
            starter.call.cancel()
            with pytest.raises(PreconditionFailed):
                await Follower(scheduler, join=False).call
            job.may_end.set()
            await joined.call
            assert joined.told[-1].run is not None
            # What begins now is another run.
            await Follower(scheduler, join=True).call
            assert job.begun == 2

    asyncio.run(body())


def test_who_waits_is_told_when_a_stop_gives_the_run_up() -> None:
    async def body() -> None:
        job = Held()
        async with scheduling(job) as scheduler:
            followers = [Follower(scheduler, join=True) for _ in range(2)]
            await job.working.wait()
            await scheduler.stop()
            for each in followers:
                with pytest.raises(ShuttingDown):
                    await each.call

    asyncio.run(body())


def test_no_run_is_joined_with_a_directory_or_of_a_job_that_is_not_there() -> None:
    async def body() -> None:
        job = Held()
        async with scheduling(job) as scheduler:
            with pytest.raises(InvalidRequest, match="directory"):
                await anext(scheduler.run_now("held", "/somewhere", join=True))
            with pytest.raises(NotFound):
                await anext(scheduler.run_now("other", join=True))
            assert job.begun == 0

    asyncio.run(body())
