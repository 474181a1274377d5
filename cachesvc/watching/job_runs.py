"""How jobs went since the service started; their whole history is in the catalogue."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(slots=True)
class JobTally:
    """The runs of one job since the service started.

    Attributes:
        succeeded: Runs that did.
        failed: Runs that did not.
        counts: What the runs say that they did, added up.
        last_s: How long the last one took.
        last_success_ms: When the last one that succeeded ended; None without any.
        running: Whether one is under way.
    """

    succeeded: int = 0
    failed: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    last_s: float | None = None
    last_success_ms: int | None = None
    running: bool = False

    def ended(self, started_ms: int, ended_ms: int, counts: Mapping[str, int] | None) -> None:
        """Counts a run; ``counts`` is None for one that failed."""
        self.last_s = max(0, ended_ms - started_ms) / 1000
        if counts is None:
            self.failed += 1
            return
        self.succeeded += 1
        self.counts.update(counts)
        self.last_success_ms = ended_ms
