"""How many of the newest frames stay in memory, over all partitions."""

from collections import deque

from cachesvc.log.partition_log import PartitionLog
from cachesvc.store.frames import Frame


class MemoryBudget:
    """Drops the oldest published frames, whichever partition they are of, to stay within bytes.

    Invariant: ``bytes <= bytes_max``. Dropped frames are read from their journal.
    """

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._published: deque[tuple[PartitionLog, int]] = deque()
        self.bytes = 0

    def add(self, log: PartitionLog, frame: Frame) -> None:
        """Counts a frame that has just been published; may drop older ones, or this one."""
        self._published.append((log, frame.encoded_bytes))
        self.bytes += frame.encoded_bytes
        while self.bytes > self._bytes_max:
            oldest, size = self._published.popleft()
            oldest.recent.drop_oldest()
            self.bytes -= size
