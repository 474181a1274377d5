"""How a reader process is asked to end: by a signal, or by the end of its standard input."""

import asyncio
import contextlib
import os
import threading
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, TypeVar

from cachesvc.stop_signals import StopSignals

_T = TypeVar("_T")
_STDIN = 0


class Stopped(Exception):
    """Somebody wants the process to end."""


async def unless(stopping: asyncio.Event, work: Coroutine[Any, Any, _T]) -> _T:
    """The result of ``work``, unless stopping begins before.

    Raises:
        Stopped: It did; ``work`` is cancelled.
    """
    working = asyncio.ensure_future(work)
    waiting = asyncio.ensure_future(stopping.wait())
    try:
        await asyncio.wait({working, waiting}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        raise Stopped
    finally:
        for task in (working, waiting):
            task.cancel()
        await asyncio.gather(working, waiting, return_exceptions=True)


@contextlib.contextmanager
def stop_request(signals: StopSignals, exit_with_parent: bool) -> Iterator[asyncio.Event]:
    """An event that is set by signals, and by the end of standard input if that counts."""
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()
    if exit_with_parent:
        # A thread, because not every kind of standard input can be waited for by the event loop.
        threading.Thread(
            target=_watch_stdin, args=(loop, stopping.set), name="stdin", daemon=True
        ).start()
    with signals.telling(loop, stopping.set):
        yield stopping


def _watch_stdin(loop: asyncio.AbstractEventLoop, ended: Callable[[], None]) -> None:
    with contextlib.suppress(OSError):
        while os.read(_STDIN, 4096):
            pass
    with contextlib.suppress(RuntimeError):  # the loop was faster and is closed
        loop.call_soon_threadsafe(ended)
