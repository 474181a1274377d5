"""``cachesvc-sync check``: what is wrong with task files, and with both ends of their tasks."""

import asyncio
from pathlib import Path

import msgspec
import typer

from cachesvc.sync.checking import check_task
from cachesvc.sync.cli.failure import FAILED, USAGE
from cachesvc.sync.cli.options import AsJson, TaskFiles
from cachesvc.sync.cli.output import Column, show_json, show_table
from cachesvc.sync.errors import InvalidTask
from cachesvc.sync.parts import parts_of
from cachesvc.sync.sink import Check


class Found(msgspec.Struct, frozen=True):
    """One check of one file."""

    file: str
    check: str
    passed: bool
    detail: str
    hint: str


_COLUMNS = (
    Column("file", lambda each: each.file),
    Column("check", lambda each: each.check),
    Column("result", lambda each: "ok" if each.passed else "FAILED"),
    Column("detail", lambda each: each.detail),
    Column("hint", lambda each: each.hint),
)


def check(files: TaskFiles, as_json: AsJson = False) -> None:
    """Say what is wrong with task files, and try both ends without moving anything.

    Tried are: the file itself, whether the service answers and has the topics, where the position
    stands, whether dead letters can be kept, and what the sink needs. No record is read, nothing is
    written, and no subscription is made. Exit codes: 0 all is well, 1 something is not, 2 a file is
    wrong.
    """
    found: list[Found] = []
    code = 0
    for file in files:
        checks, failed = asyncio.run(_check(file))
        found += [
            Found(str(file), each.name, each.passed, each.detail, each.hint) for each in checks
        ]
        code = max(code, failed)
    if as_json:
        show_json(found)
    else:
        show_table(found, _COLUMNS, "nothing was checked")
    raise typer.Exit(code)


async def _check(file: Path) -> tuple[list[Check], int]:
    try:
        parts = await asyncio.to_thread(parts_of, str(file))
    except InvalidTask as error:
        return [Check("file", False, str(error), "docs/sync-tasks.md lists all settings.")], USAGE
    checks = [each async for each in check_task(parts)]
    return checks, 0 if all(each.passed for each in checks) else FAILED
