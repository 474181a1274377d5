"""Dead letters tried again: through the transforms and into the sink, without moving positions."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import msgspec
import pyarrow as pa

from cachesvc.client import TopicPartition
from cachesvc.sync.changes import CHANGE_SCHEMA, Changes
from cachesvc.sync.parts import TaskParts
from cachesvc.sync.runner.delivering import Delivering
from cachesvc.sync.runner.letters import Letter, LetterQueue
from cachesvc.sync.runner.preparing import Preparing
from cachesvc.sync.runner.progress import Meter


@dataclass(frozen=True, slots=True)
class Retried:
    """What became of letters.

    Attributes:
        written: Those that the sink has now, or that a transform drops.
        refused: Those that were refused again, with the new reason.
    """

    written: Sequence[Letter]
    refused: Sequence[Letter]


class _Collecting:
    """Collects what is refused again."""

    def __init__(self) -> None:
        self.letters: list[Letter] = []

    async def open(self) -> None:
        pass

    async def close(self) -> None:
        pass

    async def keep(self, letters: Sequence[Letter]) -> None:
        self.letters += letters

    def count(self, records: int) -> None:
        pass


async def retry_letters(parts: TaskParts, letters: Sequence[Letter]) -> Retried:
    """Tries letters again, those of each partition in offset order; the sink is closed afterwards.

    An older record is written after newer ones of its key: for a sink that keeps the newest, that
    is a step back.

    Raises:
        SyncError: The target is away for too long, or refuses the task.
    """
    async with _trying(parts) as again:
        return await again(letters)


async def retry_queue(
    parts: TaskParts, queue: LetterQueue, wanted: Callable[[Letter], bool]
) -> tuple[int, int]:
    """Tries letters of a topic again, those that stand now; the sink is closed afterwards.

    The position moves on behind letters that are dealt with: that the sink has, or that are kept
    once more, because they were refused again or are not wanted. Whatever ends this in between,
    the next one begins at the position, so some are tried once more and none is left out.

    Returns:
        How many were written, and how many were refused again.

    Raises:
        SyncError: As ``retry_letters``, and where the topic is not to be had.
    """
    written = refused = 0
    async with _trying(parts) as again, aclosing(queue.due(wanted)) as dues:
        async for due in dues:
            done = await again(due.wanted)
            kept = sorted([*done.refused, *due.rest], key=lambda each: each.identity)
            await queue.settle(due.end, kept)
            written, refused = written + len(done.written), refused + len(done.refused)
    return written, refused


_Again = Callable[[Sequence[Letter]], Awaitable[Retried]]


@asynccontextmanager
async def _trying(parts: TaskParts) -> AsyncIterator[_Again]:
    """What tries letters with an open sink."""
    config = parts.config
    keeper = _Collecting()
    preparing = Preparing(config.name, parts.transforms)
    delivering = Delivering(
        config.name, parts.sink, keeper, config.retry, Meter(), moves_positions=False
    )

    async def again(letters: Sequence[Letter]) -> Retried:
        keeper.letters = []
        for changes in _changes(letters, config.batch.records_max):
            await delivering.deliver([await preparing.apply(changes)])
        tries = {each.identity: each.tries for each in letters}
        refused = {
            each.identity: msgspec.structs.replace(each, tries=tries[each.identity] + 1)
            for each in keeper.letters
        }
        written = [each for each in letters if each.identity not in refused]
        return Retried(written, list(refused.values()))

    try:
        await delivering.open()
        yield again
    finally:
        preparing.close()
        await delivering.close()


def _changes(letters: Sequence[Letter], records_max: int) -> Iterator[Changes]:
    ordered = sorted(letters, key=lambda each: each.identity)
    for of, group in groupby(ordered, key=lambda each: each.identity[:3]):
        records = list(group)
        for begin in range(0, len(records), records_max):
            part = records[begin : begin + records_max]
            rows = pa.RecordBatch.from_pylist([_row(each) for each in part], schema=CHANGE_SCHEMA)
            yield Changes(TopicPartition(*of), part[-1].offset + 1, rows)


def _row(letter: Letter) -> dict[str, Any]:
    return {
        "offset": letter.offset,
        "timestamp": letter.timestamp_ms,
        "timestamp_type": letter.timestamp_type,
        "key": letter.key,
        "value": letter.value,
        "headers": [{"key": each.key, "value": each.value} for each in letter.headers] or None,
        "deleted": letter.value is None,
    }
