"""What ``run`` shows while tasks run: bars on a terminal, now and then a line elsewhere."""

import asyncio
import logging
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.logging import RichHandler
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from cachesvc.sync.runner.progress import TaskStatus
from cachesvc.sync.task import Task
from cachesvc.units import show_bytes, show_count, show_duration

_DRAW_EVERY_S = 0.25
_TELL_EVERY_S = 30.0
_TIME_FORMAT = "%Y-%m-%d %H:%M:%S"
_FORMAT = "%(asctime)s %(levelname)s %(message)s"


class Screen:
    """Shows tasks on stderr. ``run`` has to run.

    Attributes:
        shows_bars: On a terminal that no task writes its records to.
    """

    def __init__(self, tasks: Sequence[Task]) -> None:
        self._tasks = tasks
        self._console = Console(stderr=True)
        self.shows_bars = sys.stderr.isatty() and not any(map(_shows_records, tasks))

    @contextmanager
    def logging(self, level: str) -> Iterator[None]:
        """Sends the log of tasks and client to where it does not disturb the bars."""
        handler: logging.Handler
        if self.shows_bars:
            handler = RichHandler(
                console=self._console, show_path=False, markup=False, log_time_format=_TIME_FORMAT
            )
        else:
            handler = logging.StreamHandler(sys.stderr)
            handler.setFormatter(logging.Formatter(_FORMAT))
        logging.getLogger().addHandler(handler)
        logging.getLogger("cachesvc").setLevel(level.upper())
        try:
            yield
        finally:
            logging.getLogger().removeHandler(handler)

    async def run(self) -> None:
        """Shows until cancelled."""
        if self.shows_bars:
            await self._draw()
        while True:
            await asyncio.sleep(_TELL_EVERY_S)
            for task in self._tasks:
                self._console.print(line(task.status()), markup=False, highlight=False)

    async def _draw(self) -> None:
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=30),
            TextColumn("{task.fields[facts]}", markup=False),
        )
        with Progress(*columns, console=self._console, auto_refresh=False) as progress:
            bars = [
                progress.add_task(task.config.name, total=None, facts="") for task in self._tasks
            ]
            try:
                while True:
                    self._update(progress, bars)
                    await asyncio.sleep(_DRAW_EVERY_S)
            finally:
                self._update(progress, bars)

    def _update(self, progress: Progress, bars: Sequence[TaskID]) -> None:
        for bar, task in zip(bars, self._tasks, strict=True):
            status = task.status()
            total = None if status.share is None else 1.0
            progress.update(bar, total=total, completed=status.share or 0.0, facts=facts(status))
        progress.refresh()


def _shows_records(task: Task) -> bool:
    """Whether a task's records go to the terminal, where bars would run into them."""
    return task.config.sink.get("path") == "-" and sys.stdout.isatty()


def line(status: TaskStatus) -> str:
    """A task's state on one line."""
    return f"{status.name}: {status.state}, {facts(status)}"


def facts(status: TaskStatus) -> str:
    """What a line or a bar says of a task."""
    parts = [
        f"{show_count(status.records)} records",
        f"{show_count(status.records_per_s)}/s",
        show_bytes(status.bytes),
    ]
    if status.share is not None:
        parts.append(f"{status.share:.0%}")
        if status.left_s is not None and status.share < 1:
            parts.append(f"{show_duration(status.left_s)} left")
    elif status.lag_records is not None:
        parts.append(f"{show_count(status.lag_records)} behind")
    if status.refused:
        parts.append(f"{show_count(status.refused)} refused")
    if status.outside:
        parts.append(f"around the cache for {show_duration(status.outside_s)}")
    if status.state in ("paused", "stopping"):
        parts.append(status.state)
    if status.trouble is not None:
        parts.append(f"{status.trouble.reason}: {status.trouble.message}")
    return ", ".join(parts)
