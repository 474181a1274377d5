"""What a run has shown, in words."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from tests.demo.options import Options
from tests.demo.outcome import Outcome
from tests.demo.query import Answer
from tests.demo.screen import counted, size
from tests.demo.service import format_address

_SHOWN_TOPICS = 5


def print_summary(console: Console, outcome: Outcome, options: Options, store: Path | None) -> None:
    """Prints what happened, what the files say and what to do next.

    Args:
        console: Where to.
        outcome: Of the run.
        options: Of the run.
        store: Where the store stays; None if it is gone.
    """
    console.print()
    place = "" if store is None else f" in {store}"
    _heading(console, f"The store is plain Parquet{place}. DuckDB says:")
    console.print(Padding(Text(outcome.answer.sql, style="cyan"), (1, 0, 0, 2), expand=False))
    console.print(Padding(_answer(outcome.answer), (0, 0, 0, 2), expand=False))
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="bold", no_wrap=True)
    facts.add_column(overflow="fold")
    for name, text in _facts(outcome):
        facts.add_row(name, text)
    _heading(console, "What happened")
    console.print(Padding(facts, (0, 0, 1, 2), expand=False))
    _heading(console, "Next")
    for name, command in _next(options):
        console.print(Text(f"  {name:14}  ").append(command, "cyan"), soft_wrap=True)


def _answer(answer: Answer) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    rows = answer.rows
    for index, column in enumerate(answer.columns):
        number = all(isinstance(row[index], int | Decimal) for row in rows)
        table.add_column(column, justify="right" if number else "left")
    for row in rows:
        table.add_row(*(f"{v:,}" if isinstance(v, int | Decimal) else str(v) for v in row))
    return table


def _facts(outcome: Outcome) -> Iterator[tuple[str, str | Text]]:
    tasks = counted(len(outcome.members), "task")
    names = ", ".join(outcome.topics[:_SHOWN_TOPICS])
    names += ", …" if len(outcome.topics) > _SHOWN_TOPICS else ""
    what = f"{names} ({counted(outcome.partitions, 'partition')})"
    yield "in Kafka", f"{outcome.source_records:,} change events in {what}"
    delivered = f"{counted(outcome.delivered, 'record')} to {tasks}"
    yield "delivered", f"{delivered}, in {outcome.seconds:.0f} s all in all"
    yield "same records", _verdict(outcome)
    one, all_of_them = size(outcome.direct_bytes), size(outcome.direct_bytes_all)
    sent = f"the broker sent {size(outcome.service_bytes)} to the service. "
    sent += f"Reading directly costs {one}, so for {tasks} {all_of_them}: "
    yield "broker traffic", Text(sent).append(f"{outcome.ratio:.1f} times as much", "bold")
    late = [member for member in outcome.members if member.plan.late]
    if late:
        names = ", ".join(member.plan.name for member in late)
        yield (
            "joined late",
            f"{names}, {late[0].mined_before:,} records behind; those came from the cache",
        )
    slow = [member.plan.name for member in outcome.members if member.plan.slow]
    if slow:
        yield "slow", f"{', '.join(slow)}, and held up nobody"
    if outcome.rejects:
        yield "rejected", f"{outcome.rejects:,} records more are no JSON objects, and kept apart"
    files, disk = outcome.sealed.files, size(outcome.sealed.bytes)
    yield "on disk", f"{outcome.answer.records:,} records in {files} Parquet files, {disk}"


def _verdict(outcome: Outcome) -> Text:
    if outcome.equal:
        return Text(f"yes: checksum {outcome.source_checksum} in Kafka and in all tasks", "green")
    parts = [f"Kafka {outcome.source_records:,} ({outcome.source_checksum})"]
    parts += [f"{m.plan.name} {m.records:,} ({m.checksum})" for m in outcome.members]
    return Text(f"NO: {', '.join(parts)}", style="bold red")


def _next(options: Options) -> Iterator[tuple[str, str]]:
    kafka, topics = "HOST:9092", "'orders|customers'"
    if options.kafka is None:
        yield "your own Kafka", f"scripts/demo --kafka {kafka} --topics {topics}"
    else:
        kafka = format_address(options.kafka)
    yield "the service", f".venv/bin/cachesvc serve --kafka {kafka} --store ./store"
    yield "a first task", ".venv/bin/cachesvc tail TOPIC --from earliest"
    yield "from Python", "clients/python/README.md"


def _heading(console: Console, text: str) -> None:
    console.print(Text(text, style="bold underline"))
