"""Jobs with a schedule of their own, on the real scheduler."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping

import pytest

from cachesvc.errors import PreconditionFailed
from cachesvc.jobs.job import ON_DEMAND, OwnSchedule, Progress
from cachesvc.jobs.scheduler import JobScheduler
from cachesvc.log.catalogue_thread import CatalogueThread
from cachesvc.store.memory_catalogue import MemoryCatalogue
from cachesvc.store.ports import JobRunRecord
from tests.unit.log.running import until


class Dated:
    """Due every ``every_ms`` after its last run, whichever kind of run that was."""

    name = "dated"
    description = "says by itself when it runs"
    interval_s = 0.1

    def __init__(self, every_ms: int) -> None:
        self.due: list[float] = []
        self.all: list[float] = []
        self.every_ms = every_ms
        self.ran = asyncio.Event()
        self._last_ms = 0

    async def next_run_ms(self, now_ms: int) -> int:
        return self._last_ms + self.every_ms if self._last_ms else now_ms

    async def run(self, progress: Progress) -> Mapping[str, int]:
        return self._note(self.all)

    async def run_due(self, progress: Progress) -> Mapping[str, int]:
        return self._note(self.due)

    def _note(self, runs: list[float]) -> Mapping[str, int]:
        runs.append(time.monotonic())
        self._last_ms = time.time_ns() // 1_000_000
        self.ran.set()
        return {}


async def _ran(job: Dated) -> None:
    async with asyncio.timeout(60):
        await job.ran.wait()
    job.ran.clear()


def test_a_job_with_a_schedule_of_its_own() -> None:
    async def body() -> None:
        job = Dated(every_ms=400)
        assert isinstance(job, OwnSchedule)
        catalogue = CatalogueThread(MemoryCatalogue)
        scheduler = JobScheduler(catalogue, [job])
        await scheduler.start()
        try:
            for _ in range(3):
                await _ran(job)
            assert len(job.due) == 3
            assert all(b - a >= 0.39 for a, b in zip(job.due, job.due[1:], strict=False))
            # By hand it does everything, and moves the next run.
            job.every_ms = 3_600_000
            await until(lambda: not scheduler._running)
            async for _ in scheduler.run_now("dated"):
                pass
            assert len(job.all) == 1
            state = await scheduler.state("dated")
            now_ms = time.time_ns() // 1_000_000
            assert state.next_run_ms is not None
            assert 3_500_000 < state.next_run_ms - now_ms <= 3_600_000
            # A pause stays one, and its end brings the schedule back.
            assert (await scheduler.set_paused("dated", paused=True)).next_run_ms is None
            async for _ in scheduler.run_now("dated"):
                pass
            assert (await scheduler.state("dated")).next_run_ms is None
            resumed = await scheduler.set_paused("dated", paused=False)
            assert resumed.next_run_ms is not None
            assert resumed.next_run_ms - now_ms > 3_500_000
        finally:
            await scheduler.stop()
            catalogue.close()

    asyncio.run(body())


def test_a_job_that_is_always_due_has_a_pause() -> None:
    async def body() -> None:
        job = Dated(every_ms=-1_000)
        catalogue = CatalogueThread(MemoryCatalogue)
        scheduler = JobScheduler(catalogue, [job])
        await scheduler.start()
        try:
            for _ in range(3):
                await _ran(job)
            assert all(b - a >= 0.09 for a, b in zip(job.due, job.due[1:], strict=False))
        finally:
            await scheduler.stop()
            catalogue.close()

    asyncio.run(body())


def test_a_second_run_is_refused_while_the_first_one_works() -> None:
    async def body() -> None:
        job = Dated(every_ms=3_600_000)
        working, may_end = asyncio.Event(), asyncio.Event()

        async def long(progress: Progress) -> Mapping[str, int]:
            working.set()
            await may_end.wait()
            return {}

        job.run = long  # type: ignore[method-assign]
        catalogue = CatalogueThread(MemoryCatalogue)
        scheduler = JobScheduler(catalogue, [job])
        await scheduler.start()
        try:
            await _ran(job)
            await until(lambda: not scheduler._running)

            async def run() -> None:
                async for _ in scheduler.run_now("dated"):
                    pass

            first = asyncio.ensure_future(run())
            await working.wait()
            with pytest.raises(PreconditionFailed) as refused:
                await run()
            assert (refused.value.reason, refused.value.metadata) == (
                "JOB_RUNNING",
                {"job": "dated"},
            )
            may_end.set()
            await first
            await run()
        finally:
            await scheduler.stop()
            catalogue.close()

    asyncio.run(body())


class OnDemand:
    """Runs when it is asked to."""

    name = "asked"
    description = "runs when it is asked to"
    interval_s = ON_DEMAND

    async def run(self, progress: Progress) -> Mapping[str, int]:
        return {"done": 1}


def test_a_job_without_a_schedule_runs_and_has_nothing_to_pause() -> None:
    async def body() -> None:
        catalogue = CatalogueThread(MemoryCatalogue)
        scheduler = JobScheduler(catalogue, [OnDemand()])
        await scheduler.start()
        try:
            state = await scheduler.state("asked")
            assert (state.paused, state.next_run_ms, state.last_run) == (False, None, None)
            *_, last = [step async for step in scheduler.run_now("asked")]
            assert last.run is not None
            assert last.run.counts == {"done": 1}
            assert (await scheduler.state("asked")).next_run_ms is None
            for paused in (True, False):
                with pytest.raises(PreconditionFailed) as refused:
                    await scheduler.set_paused("asked", paused=paused)
                assert refused.value.reason == "JOB_ON_DEMAND"
        finally:
            await scheduler.stop()
            catalogue.close()

    asyncio.run(body())


class Plain:
    """Runs at intervals, or fails."""

    name = "plain"
    description = "simply runs"

    def __init__(self, interval_s: float, failure: Exception | None = None) -> None:
        self.interval_s = interval_s
        self._failure = failure

    async def run(self, progress: Progress) -> Mapping[str, int]:
        if self._failure is not None:
            raise self._failure
        return {}


@pytest.mark.parametrize(
    ("interval_s", "last_ago_s", "first_in_s"),
    [
        (600, None, 600),
        (604_800, None, 3_600),  # however often the service is started
        (600, 100, 500),
        (604_800, 100_000, 504_800),
        (600, 86_400, 60),  # missed, and done once
        (10, 86_400, 10),
        (600, -86_400, 600),  # the clock was set back
    ],
)
def test_intervals_count_from_the_last_run(
    interval_s: float, last_ago_s: float | None, first_in_s: float
) -> None:
    async def body() -> None:
        catalogue = CatalogueThread(MemoryCatalogue)
        now_ms = time.time_ns() // 1_000_000
        if last_ago_s is not None:
            began_ms = now_ms - int(last_ago_s * 1000)
            last = JobRunRecord("plain", began_ms, began_ms + 1, True)
            await catalogue.call(lambda port: port.add_job_run(last))
        scheduler = JobScheduler(catalogue, [Plain(interval_s)])
        await scheduler.start()
        try:
            state = await scheduler.state("plain")
            assert state.next_run_ms is not None
            # What it took to get here comes on top.
            assert -1_000 < state.next_run_ms - now_ms - first_in_s * 1000 < 40_000
        finally:
            await scheduler.stop()
            catalogue.close()

    asyncio.run(body())


def test_a_failure_that_nobody_foresaw_is_in_the_history() -> None:
    async def body() -> None:
        catalogue = CatalogueThread(MemoryCatalogue)
        scheduler = JobScheduler(catalogue, [Plain(600, ValueError("no such thing"))])
        await scheduler.start()
        try:
            *_, last = [each async for each in scheduler.run_now("plain")]
            assert last.run is not None
            (kept,) = await scheduler.history("plain", 1)
            assert (kept.succeeded, kept.error) == (False, "ValueError: no such thing")
        finally:
            await scheduler.stop()
            catalogue.close()

    asyncio.run(body())
