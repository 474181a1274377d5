"""Which data files are being built: written, and not yet named by the manifest."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

# How far the time of a file may lag behind the clock that tells it.
_CLOCK_SLACK_MS = 1_000


class Builds:
    """Keeps what is being built from the sweep. Belongs to one event loop."""

    def __init__(self) -> None:
        self._began_ms: dict[object, int] = {}

    @contextmanager
    def under_way(self) -> Iterator[None]:
        """A build: from before its files are begun until the manifest names them, or it failed."""
        build = object()
        self._began_ms[build] = time.time_ns() // 1_000_000
        try:
            yield
        finally:
            del self._began_ms[build]

    def abandoned_before_ms(self) -> int:
        """A file last written before this time is of no build that goes on or is still to begin.

        Ask first and read the manifest then: what it does not name by then, and is older, is left
        over from a build that failed or died.
        """
        now_ms = time.time_ns() // 1_000_000
        return min(self._began_ms.values(), default=now_ms) - _CLOCK_SLACK_MS
