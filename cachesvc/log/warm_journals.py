"""Sealed journals that stay on disk for fast reading, within a budget of bytes."""

import heapq
import itertools
from pathlib import Path

from cachesvc.log.locations import JournalEntry
from cachesvc.log.partition_log import PartitionLog

# So many that were taken out before their turn are not worth tidying up.
_KEPT_MIN = 64


class WarmJournals:
    """Which of them go, the oldest first. Logs and journals that stay cost nothing.

    One that its log has lost by other means (it was damaged) counts until its turn comes.

    Attributes:
        bytes: Of all together.
        bytes_max: How many these may be.
    """

    def __init__(self, bytes_max: int) -> None:
        self.bytes_max = bytes_max
        self.bytes = 0
        self._counted: dict[Path, tuple[PartitionLog, JournalEntry]] = {}
        self._oldest: list[tuple[int, int, Path]] = []
        self._numbers = itertools.count()

    def add(self, log: PartitionLog, entry: JournalEntry) -> None:
        """Enters a journal whose segment is live."""
        self._counted[entry.path] = log, entry
        self.bytes += entry.bytes
        heapq.heappush(self._oldest, (entry.created_ms, next(self._numbers), entry.path))

    def take_excess(self) -> list[Path]:
        """Takes those beyond the budget out of their logs; returns their files."""
        taken = []
        while self.bytes > self.bytes_max:
            _, _, path = heapq.heappop(self._oldest)
            if path in self._counted:
                log, entry = self._take(path)
                if entry in log.journals:
                    log.journals.remove(entry)
                    taken.append(path)
        return taken

    def take_before_start(self, log: PartitionLog) -> list[Path]:
        """Takes those that lie before a log's start out of it; returns their files."""
        start = log.log_start_offset
        gone = [entry for entry in log.journals if entry.sealed and entry.end_offset <= start]
        for entry in gone:
            log.journals.remove(entry)
            if entry.path in self._counted:
                self._take(entry.path)
        if len(self._oldest) > 2 * len(self._counted) + _KEPT_MIN:
            self._oldest = [each for each in self._oldest if each[-1] in self._counted]
            heapq.heapify(self._oldest)
        return [entry.path for entry in gone]

    def _take(self, path: Path) -> tuple[PartitionLog, JournalEntry]:
        log, entry = self._counted.pop(path)
        self.bytes -= entry.bytes
        return log.current, entry
