"""What is shown, as lines of a terminal."""

from collections.abc import Iterator

from rich.text import Text

from cachesvc.cli.top.display import Display, rows_of
from cachesvc.cli.top.facts import facts
from cachesvc.cli.top.figures import Figures
from cachesvc.cli.top.table import table
from cachesvc.cli.top.views import VIEWS
from cachesvc.units import printable, show_duration, show_time

_WIDTH_MIN = 20
_KEYS = "1-6 Tab view  < > r sort  / find  Space pause  + - interval  ? help  q quit"
_HELP = (
    ("1 to 6, Tab, arrows left and right", "another view"),
    ("arrows, Page up and down, Home, End", "scroll"),
    ("< and >", "sort by the column to the left or right"),
    ("r", "sort the other way round"),
    ("/", "show only rows with a text; Enter ends it, Escape shows all again"),
    ("Space", "pause, and go on"),
    ("+ and -", "ask the service less or more often"),
    ("? or h", "this page"),
    ("q", "end"),
)
_UNRESTRICTED = ("none", "socket", "")


def frame(
    figures: Figures, display: Display, address: str, trouble: str, size: tuple[int, int]
) -> list[Text]:
    """The whole screen.

    Args:
        figures: What there is to be told.
        display: What of it is to be shown.
        address: Of the service.
        trouble: Why there is nothing newer; empty if there is.
        size: Columns and lines of the terminal.
    """
    width, height = max(_WIDTH_MIN, size[0]), size[1]
    top = [*_head(figures, display, address), _tabs(figures, display)]
    bottom = [*_remarks(figures, trouble), Text(_foot(display), style="dim")]
    room = max(1, height - len(top) - len(bottom))
    body = _help(figures) if display.help else list(table(figures, display, (width, room)))
    body = body[:room]
    lines = [*top, *body, *[Text()] * (room - len(body)), *bottom][:height]
    for line in lines:
        line.truncate(width, overflow="ellipsis")
        line.no_wrap = True
    return lines


def page_of(figures: Figures, display: Display, trouble: str, height: int) -> tuple[int, int]:
    """How many rows there is room for, and how many there are."""
    around = len(facts(figures)) + 2 + len(list(_remarks(figures, trouble))) + 2
    return max(1, height - around), len(rows_of(figures, display))


def _head(figures: Figures, display: Display, address: str) -> Iterator[Text]:
    now, found = figures.now, figures.now.overview
    first = Text(f"cachesvc {found.version if found else ''}".strip(), style="bold")
    first.append(f" at {address}", style="not bold")
    if found is not None:
        since_s = max(0.0, (now.at_ms - found.started_ms) / 1000)
        first.append(f", since {show_duration(since_s)}", style="not bold")
    first.append(f", {show_time(now.at_ms)}", style="not bold")
    if display.paused:
        first.append("  PAUSED", style="bold yellow")
    else:
        first.append(f", every {display.interval_s:g} s", style="not bold")
    yield first
    known = facts(figures)
    width = max(len(name) for name, _ in known)
    for name, value in known:
        yield Text.assemble((f"{name:<{width}}  ", "dim"), value)


def _tabs(figures: Figures, display: Display) -> Text:
    line = Text()
    unseen = {each.what for each in figures.now.unseen}
    for number, view in enumerate(VIEWS):
        count = "not seen" if view.what in unseen else f"{len(view.rows(figures)):,}"
        style = "reverse bold" if number == display.view else ""
        if not style and view.name == "alarms" and figures.now.alarms:
            style = "red"
        line.append(f" {number + 1} {view.name} {count} ", style=style)
    return line


def _remarks(figures: Figures, trouble: str) -> Iterator[Text]:
    caller, unseen = figures.now.caller, figures.now.unseen
    if trouble:
        yield Text(printable(trouble), style="bold red")
    if caller is not None and caller.proof not in _UNRESTRICTED:
        roles = ", ".join(caller.roles) or "none"
        text = f"as {caller.principal} (roles: {roles}): rows that these do not cover are left out"
        yield Text(printable(text), style="yellow")
    if unseen:
        names = ", ".join(each.what for each in unseen)
        yield Text(f"not seen: {names}; ? tells why", style="yellow")


def _foot(display: Display) -> str:
    if display.typing:
        return f"find: {display.pattern}▏  Enter ends it, Escape shows all"
    found = f"  rows with {display.pattern!r}; Escape shows all" if display.pattern else ""
    return _KEYS + found


def _help(figures: Figures) -> list[Text]:
    width = max(len(keys) for keys, _ in _HELP)
    lines = [Text(f"{keys:<{width}}  {what}") for keys, what in _HELP]
    if figures.now.unseen:
        lines += [Text(), Text("What you do not see, and why:", style="yellow")]
        lines += [Text(f"{each.what}: {printable(each.why)}") for each in figures.now.unseen]
    return lines
