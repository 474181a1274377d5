"""What is shown, and what keys do about that."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from cachesvc.cli.top.columns import Column, in_order
from cachesvc.cli.top.figures import Figures
from cachesvc.cli.top.views import VIEWS, View

QUIT: Final = None
"""Instead of a display: the end."""
_INTERVALS_S = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
_ENDS = ("q", "Q", "\x03", "\x04")
_STEPS = {"up": -1, "k": -1, "down": 1, "j": 1}
_FILTER_LENGTH_MAX = 100


@dataclass(frozen=True, slots=True)
class Order:
    """How the rows of a view are sorted."""

    column: str
    descending: bool


@dataclass(frozen=True, slots=True)
class Display:
    """What is shown.

    Attributes:
        view: Its place among the views.
        orders: How rows are sorted where that was changed, by the view's name.
        pattern: Only rows that have this in one of their texts; empty for all.
        typing: Whether keys go into the pattern.
        first: How many rows were scrolled over.
        paused: Whether nothing new is shown.
        interval_s: How often the service is asked.
        help: Whether the keys are explained instead.
    """

    view: int = 0
    orders: Mapping[str, Order] = field(default_factory=dict)
    pattern: str = ""
    typing: bool = False
    first: int = 0
    paused: bool = False
    interval_s: float = 2.0
    help: bool = False

    @property
    def shown(self) -> View:
        """The view."""
        return VIEWS[self.view]

    @property
    def order(self) -> Order:
        """How its rows are sorted."""
        shown = self.shown
        return self.orders.get(shown.name) or Order(shown.sort, shown.descending)

    def sorted_by(self, order: Order) -> "Display":
        """The same view in another order."""
        return replace(self, orders={**self.orders, self.shown.name: order}, first=0)


def rows_of(figures: Figures, display: Display) -> list[Any]:
    """The rows to be shown, in their order."""
    shown, order = display.shown, display.order
    rows = shown.rows(figures)
    if display.pattern:
        wanted = display.pattern.casefold()
        rows = [row for row in rows if _has(row, shown, wanted)]
    column = next(each for each in shown.columns if each.title == order.column)
    return in_order(rows, column, descending=order.descending)


def _has(row: Any, view: View, wanted: str) -> bool:
    texts = (column.value(row) for column in view.columns if not column.number)
    return any(wanted in text.casefold() for text in texts if isinstance(text, str))


def press(display: Display, key: str, page: int, total: int) -> Display | None:
    """What is shown behind a key; ``QUIT`` for the end.

    Args:
        display: What is shown before.
        key: A character, or the name of a key, see ``keys``.
        page: How many rows there is room for.
        total: How many there are.
    """
    if key == "\x03":
        return QUIT
    if display.typing:
        return _typed(display, key)
    if display.help:
        return QUIT if key in _ENDS else replace(display, help=False)
    if key in _ENDS:
        return QUIT
    last = max(0, total - page)
    match key:
        case "?" | "h":
            return replace(display, help=True)
        case "/":
            return replace(display, typing=True)
        case "escape":
            return replace(display, pattern="", first=0)
        case " ":
            return replace(display, paused=not display.paused)
        case "+" | "-":
            return replace(display, interval_s=_next_interval_s(display.interval_s, key))
        case "<" | ">" | "r":
            return display.sorted_by(_next_order(display, key))
        case "tab" | "right" | "backtab" | "left":
            step = 1 if key in ("tab", "right") else -1
            return replace(display, view=(display.view + step) % len(VIEWS), first=0)
        case "home" | "g":
            return replace(display, first=0)
        case "end" | "G":
            return replace(display, first=last)
        case "pagedown" | "pageup":
            step = page if key == "pagedown" else -page
            return replace(display, first=min(last, max(0, display.first + step)))
    if key in _STEPS:
        return replace(display, first=min(last, max(0, display.first + _STEPS[key])))
    if key.isdecimal() and 1 <= int(key) <= len(VIEWS):
        return replace(display, view=int(key) - 1, first=0)
    return display


def _typed(display: Display, key: str) -> Display:
    match key:
        case "enter":
            return replace(display, typing=False)
        case "escape":
            return replace(display, typing=False, pattern="", first=0)
        case "backspace":
            return replace(display, pattern=display.pattern[:-1], first=0)
    if len(key) == 1 and key.isprintable() and len(display.pattern) < _FILTER_LENGTH_MAX:
        return replace(display, pattern=display.pattern + key, first=0)
    return display


def _next_interval_s(interval_s: float, key: str) -> float:
    """The next longer one, or for a minus the next shorter one."""
    if key == "+":
        return next((each for each in _INTERVALS_S if each > interval_s), _INTERVALS_S[-1])
    return next((each for each in reversed(_INTERVALS_S) if each < interval_s), _INTERVALS_S[0])


def _next_order(display: Display, key: str) -> Order:
    order, columns = display.order, display.shown.columns
    if key == "r":
        return Order(order.column, not order.descending)
    titles = [column.title for column in columns]
    at = titles.index(order.column) + (1 if key == ">" else -1)
    return first_order(columns[at % len(columns)])


def first_order(column: Column) -> Order:
    """How one sorts by a column at first: names from A, numbers from the largest."""
    return Order(column.title, descending=column.number)
