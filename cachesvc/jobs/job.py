"""What a job is."""

from collections.abc import Callable, Mapping
from typing import Protocol

Progress = Callable[[int, int, str], None]
"""Told units done, units in total (0: not known yet) and what is being done."""


class Job(Protocol):
    """Work that is done again and again, on a schedule or on demand, never twice at once."""

    name: str
    description: str
    interval_s: float

    async def run(self, progress: Progress) -> Mapping[str, int]:
        """Does it once and answers what was done, as counts by name.

        Cancel-safe: what was begun and is not in the manifest is left to the sweep.
        """
