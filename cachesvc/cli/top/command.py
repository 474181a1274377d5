"""``cachesvc top``."""

import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated

import msgspec
import typer

from cachesvc.cli.command import talks_to_service
from cachesvc.cli.failure import USAGE, CommandFailed
from cachesvc.cli.options import Common, InConnection
from cachesvc.cli.render import Column, show_facts, show_table
from cachesvc.cli.service import Service
from cachesvc.cli.top.columns import Column as Sortable
from cachesvc.cli.top.display import Display, first_order, rows_of
from cachesvc.cli.top.facts import facts
from cachesvc.cli.top.figures import Figures
from cachesvc.cli.top.live import first_sample, is_interactive, run_live
from cachesvc.cli.top.sample import rest_s, take
from cachesvc.cli.top.views import TOPICS, VIEWS
from cachesvc.units import show_time

_NAMES = ", ".join(view.name for view in VIEWS)
_FIRST_S = 1.0
"""So long after the first look what is printed has rates."""


@talks_to_service
def top(
    settings: Common,
    view: Annotated[
        str, typer.Option("--view", metavar="NAME", help=f"What to show at first: {_NAMES}.")
    ] = TOPICS.name,
    sort: Annotated[
        str,
        typer.Option("--sort", metavar="COLUMN", help="Sort by this column.", show_default=False),
    ] = "",
    reverse: Annotated[bool, typer.Option("--reverse", help="Sort the other way round.")] = False,
    find: Annotated[
        str,
        typer.Option(
            "--find", metavar="TEXT", help="Only rows with this text.", show_default=False
        ),
    ] = "",
    count: Annotated[
        int, typer.Option("--count", min=0, metavar="N", help="Print N times and end; 0: never.")
    ] = 0,
    once: Annotated[bool, typer.Option("--once", help="The same as --count 1.")] = False,
    interval_s: Annotated[
        float, typer.Option("--interval", min=0.1, max=3_600, metavar="S", help="Seconds between.")
    ] = 2.0,
    connection: InConnection = "",
) -> None:
    """Show live how a service is doing: topics, subscriptions, readers, stores, jobs and alarms.

    On a terminal it takes keys, which ? explains. With --once, --count or --json, and where there
    is no terminal, it prints instead; with --json all there is, one object a line.
    """
    if once and count > 1:
        what = f"--once and --count {count} contradict each other"
        raise CommandFailed(what, advice="give one of them", code=USAGE)
    display = _display(view, sort, reverse=reverse)
    display = replace(display, pattern=find, interval_s=interval_s)
    count = 1 if once else count
    if not count and not settings.as_json and is_interactive():
        run_live(settings, connection, first_sample(settings, connection), display)
        return
    with Service(settings) as service:
        samples = _samples(service, connection, interval_s, rates=not settings.as_json)
        for number, figures in enumerate(samples, start=1):
            if settings.as_json:
                typer.echo(msgspec.json.encode(figures.now.as_json()).decode())
            else:
                _print(figures, display, settings.address, first=number == 1)
            sys.stdout.flush()
            if number == count:
                break


def _display(view: str, sort: str, *, reverse: bool) -> Display:
    found = next((number for number, each in enumerate(VIEWS) if each.name == view), None)
    if found is None:
        raise CommandFailed(f"there is no view {view!r}", advice=f"there are: {_NAMES}", code=USAGE)
    display = Display(view=found)
    columns = {column.title: column for column in display.shown.columns}
    if sort and sort not in columns:
        advice = f"there are: {', '.join(columns)}"
        raise CommandFailed(f"{view} have no column {sort!r}", advice=advice, code=USAGE)
    order = first_order(columns[sort]) if sort else display.order
    return display.sorted_by(replace(order, descending=order.descending != reverse))


def _samples(
    service: Service, connection: str, interval_s: float, *, rates: bool
) -> Iterator[Figures]:
    """One after the other; with rates the first one is there once it can have them."""
    figures = Figures(take(service, connection))
    if not rates:
        yield figures
    rest = interval_s if not rates else min(interval_s, _FIRST_S)
    while True:
        time.sleep(rest_s(figures.now, rest))
        figures = figures.followed_by(take(service, connection, figures.trend_since_ms))
        yield figures
        rest = interval_s


def _print(figures: Figures, display: Display, address: str, *, first: bool) -> None:
    """The facts and the view, as lines."""
    if not first:
        typer.echo()
    show_facts([("at", f"{address}, {show_time(figures.now.at_ms)}"), *facts(figures)])
    typer.echo()
    columns = [_plain(column) for column in display.shown.columns]
    show_table(rows_of(figures, display), columns, display.shown.none)
    for each in figures.now.unseen:
        typer.echo(f"not seen: {each.what}: {each.why}", err=True)


def _plain(column: Sortable) -> Column:
    return Column(column.title, column.cell, column.number)
