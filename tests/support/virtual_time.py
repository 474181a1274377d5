"""An event loop whose time goes on only when nothing else does.

A test of bounds and delays that runs on it is over at once, and a machine that stalls changes
nothing: a timer is due when all has happened that can happen before it. For code whose tasks wait
for each other, for timers and for Unix sockets within the process; a thread would be given no time.
"""

from __future__ import annotations

import asyncio
import selectors
import time
from collections.abc import Coroutine
from typing import Any, TypeVar
from unittest import mock

T = TypeVar("T")
_BEGINS_S = 1_000.0


def run(main: Coroutine[Any, Any, T]) -> T:
    """As ``asyncio.run``; until it returns, ``time.monotonic`` is the loop's time as well."""
    clock = _Clock()
    with (
        mock.patch.object(time, "monotonic", clock),
        asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(clock)) as runner,
    ):
        return runner.run(main)


class _Clock(selectors.DefaultSelector):
    """Looks whether something is ready; where nothing is, the wait is over as soon as it began."""

    def __init__(self) -> None:
        super().__init__()
        self._now_s = _BEGINS_S

    def __call__(self) -> float:
        return self._now_s

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        found = super().select(timeout if timeout is None else 0)
        if not found and timeout is not None and timeout > 0:
            self._now_s += timeout
        return found
