"""The rows of a view, as far as a terminal has room for them."""

from collections.abc import Iterator, Sequence
from typing import Any

from rich.text import Text

from cachesvc.cli.top.columns import Column
from cachesvc.cli.top.display import Display, rows_of
from cachesvc.cli.top.figures import Figures

_GAP = "  "
_CELL_WIDTH_MIN = 8


def table(figures: Figures, display: Display, size: tuple[int, int]) -> Iterator[Text]:
    """The head of the view and as many of its rows as there is room for."""
    width, room = size
    shown, order = display.shown, display.order
    rows = rows_of(figures, display)
    first = min(display.first, max(0, len(rows) - (room - 1)))
    visible = rows[first : first + room - 1]
    marks = {order.column: "▼" if order.descending else "▲"}
    titles = {each.title: each.title + marks.get(each.title, "") for each in shown.columns}
    columns, widths = _fitting(shown.columns, titles, visible, width)
    head = [_padded(titles[each.title], at, each) for each, at in zip(columns, widths, strict=True)]
    yield Text(_GAP.join(head).rstrip(), style="bold underline")
    for row in visible:
        cells = [
            _padded(each.cell(row), at, each) for each, at in zip(columns, widths, strict=True)
        ]
        yield Text(_GAP.join(cells).rstrip(), style="red" if shown.troubled(row) else "")
    if not rows:
        yield Text(_why_none(figures, display), style="dim")


def _fitting(
    columns: Sequence[Column], titles: dict[str, str], rows: Sequence[Any], width: int
) -> tuple[list[Column], list[int]]:
    """The columns that a width has room for, and how wide each is."""
    wide = {
        each.title: max([len(titles[each.title]), *(len(each.cell(row)) for row in rows)])
        for each in columns
    }
    kept = [each for each in columns if each.number or _says_something(each, rows)]

    def excess() -> int:
        gaps = len(_GAP) * (len(kept) - 1)
        # Texts may be cut, down to something that can still be read.
        needed = (
            wide[each.title] if each.number else min(wide[each.title], 2 * _CELL_WIDTH_MIN)
            for each in kept
        )
        return sum(needed) + gaps - width

    while len(kept) > 1 and excess() > 0:
        kept.remove(max(reversed(kept[1:]), key=lambda each: each.rank))
    widths = [wide[each.title] for each in kept]
    texts = [number for number, each in enumerate(kept) if not each.number]
    while texts and (over := sum(widths) + len(_GAP) * (len(kept) - 1) - width) > 0:
        widest = max(texts, key=lambda number: widths[number])
        if widths[widest] <= _CELL_WIDTH_MIN:
            break
        widths[widest] = max(_CELL_WIDTH_MIN, widths[widest] - over)
    return kept, widths


def _says_something(column: Column, rows: Sequence[Any]) -> bool:
    return column.rank == 0 or any(column.value(row) for row in rows)


def _padded(text: str, width: int, column: Column) -> str:
    if len(text) > width:
        text = text[: width - 1] + "…"
    return text.rjust(width) if column.number else text.ljust(width)


def _why_none(figures: Figures, display: Display) -> str:
    shown = display.shown
    if any(each.what == shown.what for each in figures.now.unseen):
        return f"you may not see {shown.name}; ? tells why"
    if display.pattern:
        return f"no {shown.name} with {display.pattern!r}"
    return shown.none
