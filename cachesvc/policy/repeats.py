"""Which of many lines that are alike are written, and how many were not."""

from collections.abc import Hashable, Iterator
from dataclasses import dataclass

WINDOW_S = 10.0
"""Lines that are alike are counted for so long."""

_THINGS_MAX = 1_000

Key = tuple[str, Hashable]


@dataclass(slots=True)
class _Window:
    """Lines that are alike, from the first of them on.

    Attributes:
        ends_s: When it ends, on the monotonic clock.
        left: How many may still be written.
        left_out: How many were not.
    """

    ends_s: float
    left: int
    left_out: int = 0


class Repeats:
    """Lets the first lines of an event about one thing be written, and counts the rest of a window.

    As long as there is a rest, the next window has a line for all of it alone. What is remembered
    is bounded: where an event is about too many things, they count as one, and where there are too
    many events, these do.

    Args:
        lines_max: How many lines that are alike are written in a window; at least 1.
        things_max: How many things, and beside these how many events, are told apart.
    """

    def __init__(self, lines_max: int, things_max: int = _THINGS_MAX) -> None:
        self._lines_max = lines_max
        self._things_max = things_max
        self._windows: dict[Key, _Window] = {}
        self._first_end_s = float("inf")

    def admit(self, event: str, thing: Hashable, now_s: float) -> tuple[Key, bool]:
        """What a line counts as, and whether it is written."""
        key = self._key(event, thing)
        window = self._windows.get(key)
        if window is None:
            window = self._windows[key] = _Window(now_s + WINDOW_S, self._lines_max)
            self._first_end_s = min(self._first_end_s, window.ends_s)
        if window.left:
            window.left -= 1
            return key, True
        window.left_out += 1
        return key, False

    def ended(self, now_s: float) -> Iterator[tuple[Key, int]]:
        """Windows that have ended with lines that were left out, and how many these were."""
        if now_s < self._first_end_s:
            return
        for key, window in list(self._windows.items()):
            if window.ends_s <= now_s:
                if window.left_out:
                    yield key, window.left_out
                    self._windows[key] = _Window(now_s + WINDOW_S, 0)
                else:
                    del self._windows[key]
        ends_s = (window.ends_s for window in self._windows.values())
        self._first_end_s = min(ends_s, default=float("inf"))

    def _key(self, event: str, thing: Hashable) -> Key:
        windows = self._windows
        for key in ((event, thing), (event, None)):
            most = self._things_max if key[1] is not None else 2 * self._things_max
            if key in windows or len(windows) < most:
                return key
        return "", None
