"""SIGTERM and SIGINT: the request that a process end, noted from its first moment to its last.

A signal that nobody handles kills the process, or interrupts Python somewhere. An event loop's own
handlers come after all imports and the recovery of a store, and are gone before its files are
closed. So a process that is to end cleanly takes the signals before it does anything else, and
keeps one handler, which notes the request and tells whoever can act on it by then. This module
imports next to nothing, so that it can be the first.
"""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopSignals:
    """The request to end. Belongs to a process's main thread; elsewhere no signal is ever seen.

    Attributes:
        asked: Whether a signal came.
    """

    def __init__(self) -> None:
        self.asked = False

    def take(self) -> None:
        """Handles the signals from now on. Idempotent."""
        self._handle_by(self._note)

    def ignore(self) -> None:
        """Lets them change nothing any more, not even while the interpreter takes itself apart."""
        self._handle_by(signal.SIG_IGN)

    @contextmanager
    def telling(
        self, loop: "asyncio.AbstractEventLoop", tell: Callable[[], None]
    ) -> Iterator[None]:
        """Takes the signals, and has the loop call ``tell`` at each; at once if one came before.

        Behind the block signals are handled as they were before.
        """
        before = [(number, signal.getsignal(number)) for number in _SIGNALS]
        self.take()
        try:
            with _woken(loop, tell):
                if self.asked:
                    tell()
                yield
        finally:
            for number, handler in before:
                _handle(number, handler)

    def _handle_by(self, handler: object) -> None:
        for number in _SIGNALS:
            _handle(number, handler)

    def _note(self, number: int, frame: object) -> None:
        self.asked = True


OF_PROCESS = StopSignals()
"""Those that the process itself gets."""


def _handle(number: signal.Signals, handler: object) -> None:
    try:
        signal.signal(number, handler)  # type: ignore[arg-type]
    except ValueError:  # only a process's main thread may say how signals are handled
        return


@contextmanager
def _woken(loop: "asyncio.AbstractEventLoop", tell: Callable[[], None]) -> Iterator[None]:
    """Wakes a loop that waits by a pipe: the system may give a signal to any thread."""
    heard, said = os.pipe()
    os.set_blocking(said, False)
    try:
        before = signal.set_wakeup_fd(said, warn_on_full_buffer=False)
    except ValueError:  # as below
        os.close(heard)
        os.close(said)
        yield
        return

    def hear() -> None:
        os.read(heard, 4_096)
        tell()

    loop.add_reader(heard, hear)
    try:
        yield
    finally:
        loop.remove_reader(heard)
        signal.set_wakeup_fd(before)
        os.close(heard)
        os.close(said)
