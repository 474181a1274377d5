"""A job once a day, at a time of day, instead of at intervals."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import tzinfo

from cachesvc.jobs.job import Job, Progress
from cachesvc.jobs.local_time import load_times
from cachesvc.policy.daily import next_daily_ms

_DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class TimeOfDay:
    """A time that a clock on the wall shows.

    Attributes:
        at: HH:MM.
        zone: Whose clock; None is this machine's.
    """

    at: str
    zone: tzinfo | None

    def __str__(self) -> str:
        return f"{self.at} {self.zone}" if self.zone else self.at


class Daily:
    """``job.OwnSchedule`` of a job that has none.

    Attributes:
        when: When it runs.

    Args:
        job: What to run.
        when: At which time of day.
        last_run_ms: Answers when a job of that name last began; None if it never did.
    """

    interval_s = _DAY_S

    def __init__(
        self, job: Job, when: TimeOfDay, last_run_ms: Callable[[str], Awaitable[int | None]]
    ) -> None:
        self.name = job.name
        self.description = job.description
        self.when = when
        self._job = job
        self._last_run_ms = last_run_ms

    async def next_run_ms(self, now_ms: int) -> int:
        """See ``OwnSchedule``."""
        last_ms = await self._last_run_ms(self.name)
        return next_daily_ms(last_ms, now_ms, load_times(now_ms, self.when.at, self.when.zone))

    async def run(self, progress: Progress) -> Mapping[str, int]:
        """See ``Job.run``."""
        return await self._job.run(progress)

    async def run_due(self, progress: Progress) -> Mapping[str, int]:
        """The same: it does everything."""
        return await self._job.run(progress)
