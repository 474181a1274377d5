"""The newest frames of a log, in memory."""

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field

from cachesvc.store.frames import Frame

_DROPPED = Frame(0, 0, 0, 0, 0, 0, 0, b"")
"""Stands where a frame was, so that its bytes are free at once."""


@dataclass(slots=True)
class RecentFrames:
    """The newest frames of a partition, contiguous, oldest first."""

    _frames: list[Frame] = field(default_factory=list)
    _bases: list[int] = field(default_factory=list)
    _mined_s: list[float] = field(default_factory=list)
    _dropped: int = 0

    def add(self, frame: Frame, mined_s: float = 0.0) -> None:
        """Enters the newest frame, and when it was mined, on the monotonic clock."""
        self._frames.append(frame)
        self._bases.append(frame.base_offset)
        self._mined_s.append(mined_s)

    def drop_oldest(self) -> Frame:
        """Removes the oldest frame; amortised constant time."""
        frame = self._frames[self._dropped]
        self._frames[self._dropped] = _DROPPED
        self._dropped += 1
        if self._dropped > 64 and self._dropped * 2 > len(self._frames):
            for each in (self._frames, self._bases, self._mined_s):
                del each[: self._dropped]
            self._dropped = 0
        return frame

    def covers(self, offset: int) -> bool:
        """Whether the frame that covers ``offset`` is here."""
        return self._dropped < len(self._bases) and offset >= self._bases[self._dropped]

    def mined_s(self, offset: int) -> float | None:
        """When the frame that covers ``offset`` was mined (monotonic), if it is here."""
        if not self.covers(offset):
            return None
        return self._mined_s[bisect_right(self._bases, offset, lo=self._dropped) - 1] or None

    def since(self, offset: int, limit: int = 256) -> list[Frame]:
        """At most ``limit`` frames from the one that covers ``offset`` on; empty if it is not."""
        if not self.covers(offset):
            return []
        first = bisect_right(self._bases, offset, lo=self._dropped) - 1
        if offset >= self._frames[first].end_offset:
            return []
        return self._frames[first : first + limit]

    def tail(self, count: int) -> Iterator[Frame]:
        """The newest ``count`` frames."""
        return iter(self._frames[max(self._dropped, len(self._frames) - count) :])

    def __len__(self) -> int:
        return len(self._frames) - self._dropped
