"""``cachesvc-sync dead-letters``: records refused for good; list, retry or export them."""

import asyncio
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from cachesvc.sync.cli.failure import FAILED, USAGE, fails_in_words
from cachesvc.sync.cli.options import AsJson, State, TaskFile, state_directory
from cachesvc.sync.cli.output import Column, show_json, show_table
from cachesvc.sync.config import TaskConfig
from cachesvc.sync.dead_letters import LetterBox, LettersShared
from cachesvc.sync.parts import TaskParts, parts_of
from cachesvc.sync.retrying import retry_letters, retry_queue
from cachesvc.sync.runner.letters import Letter, LetterQueue
from cachesvc.sync.task_file import load_task
from cachesvc.units import show_time

_KEY_LENGTH = 40

dead_letters_app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Records that were refused for good: list, retry or export them.",
)

OfTopic = Annotated[
    str, typer.Option("--topic", metavar="NAME", help="Only of this topic.", show_default=False)
]
OfReason = Annotated[
    str,
    typer.Option("--reason", metavar="WORD", help="Only with this reason.", show_default=False),
]


def _key(letter: Letter) -> str:
    if letter.key is None:
        return "-"
    text = letter.key.decode(errors="backslashreplace")
    return text if len(text) <= _KEY_LENGTH else f"{text[:_KEY_LENGTH]}…"


_COLUMNS = (
    Column("topic", lambda each: each.topic),
    Column("partition", lambda each: str(each.partition), number=True),
    Column("offset", lambda each: str(each.offset), number=True),
    Column("key", _key),
    Column("by", lambda each: each.stage),
    Column("reason", lambda each: each.reason),
    Column("detail", lambda each: each.detail),
    Column("tries", lambda each: str(each.tries), number=True),
    Column("refused", lambda each: show_time(each.refused_ms)),
)


class RetryOutcome(msgspec.Struct, frozen=True):
    """How many letters were written, and how many were refused again."""

    written: int
    refused: int


@dataclass(frozen=True, slots=True)
class _Filter:
    topic: str
    reason: str

    def has(self, letter: Letter) -> bool:
        return self.topic in ("", letter.topic) and self.reason in ("", letter.reason)

    def of(self, letters: list[Letter]) -> list[Letter]:
        return list(filter(self.has, letters))


@dead_letters_app.command("list")
@fails_in_words
def list_letters(
    file: TaskFile, topic: OfTopic = "", reason: OfReason = "", as_json: AsJson = False
) -> None:
    """List the letters of a task, by topic, partition and offset; also while it runs."""
    found = _Filter(topic, reason).of(_letters(file))
    if as_json:
        show_json(found)
    else:
        show_table(found, _COLUMNS, "there are no dead letters")


@dead_letters_app.command("retry")
@fails_in_words
def retry(
    file: TaskFile,
    topic: OfTopic = "",
    reason: OfReason = "",
    state: State = None,
    as_json: AsJson = False,
) -> None:
    """Try letters again: through the transforms as the file has them now, into the sink.

    The task must not run. Those of each partition are tried in offset order, without moving the
    task's position; an older record is written after newer ones of its key. What is refused again
    stays, with its reason and how often that was.

    Letters in a topic are read from the position of the group cachesvc-sync-NAME-dead-letters,
    which moves on once the sink has confirmed them. What is refused again, and what --topic and
    --reason leave out, is written to the topic once more, behind the others.

    Exit codes: 0 all are written, 1 some were refused again, 5 the task runs.
    """
    config = load_task(file)
    if config.errors.dead_letter_topic is None:
        outcome = _retry_box(file, config, _Filter(topic, reason))
    else:
        with state_directory(state).held(config.name):
            outcome = asyncio.run(_retry_queue(file, _Filter(topic, reason)))
    if as_json:
        show_json(outcome)
    else:
        typer.echo(f"{outcome.written} written, {outcome.refused} refused again")
    raise typer.Exit(FAILED if outcome.refused else 0)


def _retry_box(file: Path, config: TaskConfig, chosen: _Filter) -> RetryOutcome:
    box = _box(config)
    parts = parts_of(str(file))
    box.open()
    try:
        done = asyncio.run(retry_letters(parts, chosen.of(box.read())))
        if done.written:
            box.settle(done.written, "written")
        if news := box.news_among(done.refused):
            box.append(news)
    finally:
        box.close()
    return RetryOutcome(len(done.written), len(done.refused))


async def _retry_queue(file: Path, chosen: _Filter) -> RetryOutcome:
    parts = parts_of(str(file))
    try:
        return RetryOutcome(*await retry_queue(parts, _queue(parts), chosen.has))
    finally:
        await parts.keeper.close()


@dead_letters_app.command("export")
@fails_in_words
def export(
    file: TaskFile,
    to: Annotated[
        Path, typer.Option("--to", metavar="FILE", help="Where to; - is standard output.")
    ] = Path("-"),
    remove: Annotated[
        bool, typer.Option("--remove", help="Then forget them: somebody else deals with them.")
    ] = False,
    topic: OfTopic = "",
    reason: OfReason = "",
) -> None:
    """Write letters as JSON, one object a line, with the whole record.

    Keys and header values are in base64, as they may be any bytes. With --remove from a file the
    task must not run.

    --remove from a topic deletes its records up to the last exported one (DeleteRecords), for
    which the sink's user needs the right to DELETE. As that takes everything before an offset, it
    does not go with --topic and --reason, nor where the topic has anything but this task's letters.

    Exit codes: 0 done, 1 the letters are not removed, 5 the task runs.
    """
    chosen = _Filter(topic, reason)
    config = load_task(file)
    if not remove:
        _export(chosen.of(_letters(file)), to)
    elif config.errors.dead_letter_topic is None:
        _export_box(_box(config), chosen, to)
    elif topic or reason:
        problem = "--remove from a topic takes all letters; leave out --topic and --reason"
        typer.echo(f"error: {problem}", err=True)
        raise typer.Exit(USAGE)
    else:
        asyncio.run(_export_queue(file, config.errors.dead_letter_topic, to))


def _export_box(box: LetterBox, chosen: _Filter, to: Path) -> None:
    box.open()
    try:
        letters = chosen.of(box.read())
        _export(letters, to)
        if letters:
            box.settle(letters, "exported")
    finally:
        box.close()


async def _export_queue(file: Path, topic: str, to: Path) -> None:
    parts = parts_of(str(file))
    queue = _queue(parts)
    try:
        found = await queue.export()
        if found.foreign is not None:
            raise LettersShared(
                f"topic {topic} has something at offset {found.foreign} that is no letter of task "
                f"{parts.config.name}, and would lose that too: nothing is removed; export without "
                "--remove, and give each task a topic of its own"
            )
        _export(list(found.letters), to)
        if found.end:
            await queue.remove(found.end)
    finally:
        await parts.keeper.close()


def _export(letters: list[Letter], to: Path) -> None:
    lines = b"".join(msgspec.json.encode(each) + b"\n" for each in letters)
    if str(to) == "-":
        sys.stdout.buffer.write(lines)
        sys.stdout.flush()
    else:
        _write(to, lines)
        typer.echo(f"{len(letters)} letters in {to}", err=True)


def _write(path: Path, content: bytes) -> None:
    """On the disk when this returns: whoever exports may forget the letters then."""
    try:
        with path.open("wb") as file:
            file.write(content)
            file.flush()
            if path.is_file():
                os.fsync(file.fileno())
    except OSError as error:
        typer.echo(f"error: {path}: cannot be written: {error.strerror}", err=True)
        raise typer.Exit(FAILED) from error


def _letters(file: Path) -> list[Letter]:
    """The letters of a task, wherever it keeps them."""
    config = load_task(file)
    if config.errors.dead_letter_topic is None:
        return _box(config).read()
    return asyncio.run(_queue(parts_of(str(file))).read())


def _queue(parts: TaskParts) -> LetterQueue:
    """Of a task that keeps its letters in a topic."""
    assert isinstance(parts.keeper, LetterQueue), "a topic is one"
    return parts.keeper


def _box(config: TaskConfig) -> LetterBox:
    directory = config.errors.dead_letters
    if directory is None:
        typer.echo(f"error: task {config.name} keeps no dead letters (errors.policy)", err=True)
        raise typer.Exit(USAGE)
    return LetterBox(Path(directory), config.name)
