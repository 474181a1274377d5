"""Starts the local reader processes, watches them, and starts them again when they end."""

import asyncio
import contextlib
import logging
import random
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

_log = logging.getLogger(__name__)
_STABLE_S = 30.0
_BACKOFF_FIRST_S = 0.2
_BACKOFF_MAX_S = 10.0
_STOP_S = 6.0


@dataclass(frozen=True, slots=True)
class ReaderCommand:
    """How a reader process is started.

    Attributes:
        connection: What it mines.
        name: Its own.
        arguments: Of ``python -m cachesvc``.
    """

    connection: str
    name: str
    arguments: Sequence[str]


class ReaderProcess:
    """One reader process that is kept alive until ``run`` is cancelled.

    The process watches the pipe that is its standard input: when the service dies, however it
    dies, the pipe ends, and so does the reader.
    """

    def __init__(self, command: ReaderCommand) -> None:
        self._command = command
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int | None:
        """Of the process that runs now."""
        return self._process.pid if self._process is not None else None

    def replace(self) -> None:
        """Kills a process that has gone silent; ``run`` starts the next one."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()

    async def run(self) -> None:
        """Keeps a process running; ends it cleanly when cancelled, in bounded time."""
        backoff_s = _BACKOFF_FIRST_S
        while True:
            started = time.monotonic()
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "cachesvc",
                *self._command.arguments,
                stdin=asyncio.subprocess.PIPE,
            )
            _log.info("started a reader", extra={"event": "reader_started", **self._fields()})
            try:
                code = await self._process.wait()
            except asyncio.CancelledError:
                await self._stop(self._process)
                raise
            lived_s = time.monotonic() - started
            if lived_s > _STABLE_S:
                backoff_s = _BACKOFF_FIRST_S
            _log.warning(
                "a reader ended and is started again",
                extra={
                    "event": "reader_ended",
                    "exit_code": code,
                    "retry_s": backoff_s,
                    **self._fields(),
                },
            )
            await asyncio.sleep(random.uniform(backoff_s / 2, backoff_s))
            backoff_s = min(backoff_s * 2, _BACKOFF_MAX_S)

    async def _stop(self, process: asyncio.subprocess.Process) -> None:
        if process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            async with asyncio.timeout(_STOP_S):
                await process.wait()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    def _fields(self) -> dict[str, object]:
        return {
            "reader": self._command.name,
            "connection": self._command.connection,
            "pid": self.pid,
        }
