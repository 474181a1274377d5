"""SIGTERM and SIGINT: the request that a process end, noted from its first moment to its last.

An event loop's own handlers come after all imports, and are gone before the last word. This module
imports next to nothing, so that it can be the first.
"""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopSignals:
    """The request to end. Belongs to a process's main thread.

    Attributes:
        asked: Whether a signal came.
    """

    def __init__(self) -> None:
        self.asked = False

    def take(self) -> None:
        """Notes the signals from now on."""
        for number in _SIGNALS:
            signal.signal(number, self._note)

    def ignore(self) -> None:
        """Lets them change nothing any more, not even while the interpreter takes itself apart."""
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_IGN)

    @contextmanager
    def telling(
        self, loop: "asyncio.AbstractEventLoop", tell: Callable[[], None]
    ) -> Iterator[None]:
        """Has the running loop call ``tell`` at each; at once if one came before."""
        for number in _SIGNALS:
            loop.add_signal_handler(number, tell)
        try:
            if self.asked:
                tell()
            yield
        finally:
            for number in _SIGNALS:
                loop.remove_signal_handler(number)
            self.take()

    def _note(self, number: int, frame: object) -> None:
        self.asked = True


OF_PROCESS = StopSignals()
"""Those that the process itself gets."""
