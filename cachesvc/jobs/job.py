"""What a job is."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol, runtime_checkable

Progress = Callable[[int, int, str], None]
"""Told units done, units in total (0: not known yet) and what is being done."""

ON_DEMAND = 0.0
"""The interval of a job that has no schedule."""


class Job(Protocol):
    """Work that is done again and again, on a schedule or on demand, never twice at once."""

    name: str
    description: str
    interval_s: float
    """Between runs; ``ON_DEMAND`` if it has no schedule."""

    async def run(self, progress: Progress) -> Mapping[str, int]:
        """Does it once and answers what was done, as counts by name.

        Cancel-safe: what was begun and is not in the manifest is left to the sweep.
        """


@runtime_checkable
class OwnSchedule(Job, Protocol):
    """A job that does not simply run at intervals; ``interval_s`` is for people then."""

    async def next_run_ms(self, now_ms: int) -> int:
        """When it has to run next; the present or a time before it means now."""

    async def run_due(self, progress: Progress) -> Mapping[str, int]:
        """Does what is due, while ``run`` does everything; else the same."""


@runtime_checkable
class IntoDirectory(Job, Protocol):
    """A job that can be told where to put what comes of it."""

    async def run_into(self, directory: Path, progress: Progress) -> Mapping[str, int]:
        """Like ``run``; ``directory`` is what comes of it."""
