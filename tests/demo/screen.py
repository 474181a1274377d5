"""The run as it is seen: a table that changes on a terminal, a line a second elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Self

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from tests.demo.progress import Picture, Row

_PLAIN_S = 1.0
_PLAIN_TASKS_MAX = 6
_BAR_WIDTH = 30
_STYLES = {
    "joins late": "dim",
    "catching up": "cyan",
    "slow": "yellow",
    "live": "green",
    "has it all": "bold green",
}
_OTHER_LINES = 12
"""Lines of the live display that are not tasks."""


class Screen:
    """Shows pictures. Used in ``with``; the last one stays on the terminal."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live: Live | None = None
        self._plain_s = float("-inf")
        self._last: Picture | None = None
        if console.is_terminal and not console.is_dumb_terminal:
            self._live = Live(console=console, auto_refresh=False)

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Shows the last picture and leaves it."""
        if self._live is not None:
            self._live.stop()
        elif self._last is not None:
            self._console.print(plain_line(self._last), highlight=False, soft_wrap=True)

    def show(self, picture: Picture) -> None:
        """Shows how it is now; elsewhere than on a terminal, once a second."""
        if self._live is not None:
            lines = max(3, self._console.height - _OTHER_LINES)
            self._live.update(_table(picture, lines), refresh=True)
            return
        self._last = picture
        if picture.elapsed_s >= self._plain_s + _PLAIN_S:
            self._plain_s = picture.elapsed_s
            self._last = None
            self._console.print(plain_line(picture), highlight=False, soft_wrap=True)


def plain_line(picture: Picture) -> str:
    """A picture as one line."""
    rows = [*picture.flow, *_fitting(picture.tasks, _PLAIN_TASKS_MAX)]
    parts = [f"{row.name} {_count(row.records)}" for row in rows]
    parts.append(f"broker traffic {size(picture.broker_bytes)}")
    parts.append(f"without the service {size(picture.direct_bytes)}")
    return f"{picture.elapsed_s:5.1f} s  {picture.activity}: {', '.join(parts)}"


def size(count: float) -> str:
    """Bytes for people."""
    if count < 1024:
        return f"{count:.0f} B"
    for unit in ("KiB", "MiB", "GiB"):
        count /= 1024
        if count < 1000 or unit == "GiB":
            break
    return f"{count:.1f} {unit}"


def counted(count: int, noun: str) -> str:
    """A number of things."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def _table(picture: Picture, tasks_max: int) -> RenderableType:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("", style="bold", no_wrap=True, min_width=9)
    table.add_column("", style="dim", no_wrap=True, min_width=14)
    for title in ("records", "per second", "lag"):
        table.add_column(title, justify="right", no_wrap=True, min_width=9)
    table.add_column("", no_wrap=True, min_width=11)
    for row in picture.flow:
        _add(table, row)
    table.add_section()
    for row in _fitting(picture.tasks, tasks_max):
        _add(table, row)
    return Group(_head(picture), table, _costs(picture))


def _add(table: Table, row: Row) -> None:
    table.add_row(
        row.name,
        row.kind,
        _count(row.records),
        f"{row.per_second:,.0f}" if row.per_second >= 1 else "",
        "" if row.lag is None else f"{row.lag:,}",
        Text(row.state, style=_STYLES.get(row.state, "")),
    )


def _fitting(rows: Sequence[Row], lines: int) -> Sequence[Row]:
    """The rows, or as many as fit with one for all the others."""
    if len(rows) <= lines:
        return rows
    shown, rest = rows[: lines - 1], rows[lines - 1 :]
    others = Row(
        f"{len(rest)} others",
        "",
        sum(row.records or 0 for row in rest),
        sum(row.per_second for row in rest),
        sum(row.lag or 0 for row in rest),
        "",
    )
    return [*shown, others]


def _head(picture: Picture) -> RenderableType:
    head = Table.grid(padding=(0, 2))
    head.add_row(
        Text("cachesvc demo", style="bold"),
        f"{picture.elapsed_s:4.1f} s",
        ProgressBar(total=1.0, completed=picture.done, width=_BAR_WIDTH),
        picture.activity,
    )
    return head


def _costs(picture: Picture) -> RenderableType:
    costs = Table.grid(padding=(0, 2))
    costs.add_column(min_width=14)
    costs.add_column(justify="right", min_width=9, style="bold")
    costs.add_column()
    costs.add_row("broker traffic", size(picture.broker_bytes), "to the service, once for all")
    ratio = picture.direct_bytes / picture.broker_bytes if picture.broker_bytes else 0.0
    costs.add_row(
        "without it",
        size(picture.direct_bytes),
        f"to {counted(len(picture.tasks), 'task')}, each by itself: {ratio:.1f} times as much",
    )
    return costs


def _count(records: int | None) -> str:
    return "–" if records is None else f"{records:,}"
