"""Dead letters tried again: through the transforms and into the sink, without moving positions."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import pyarrow as pa

from cachesvc.client import TopicPartition
from cachesvc.sync.changes import CHANGE_SCHEMA, Changes
from cachesvc.sync.parts import TaskParts
from cachesvc.sync.runner.delivering import Delivering
from cachesvc.sync.runner.letters import Letter
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
    config = parts.config
    keeper = _Collecting()
    preparing = Preparing(config.name, parts.transforms)
    delivering = Delivering(
        config.name, parts.sink, keeper, config.retry, Meter(), moves_positions=False
    )
    try:
        await delivering.open()
        for changes in _changes(letters, config.batch.records_max):
            await delivering.deliver([await preparing.apply(changes)])
    finally:
        preparing.close()
        await delivering.close()
    again = {each.identity: each for each in keeper.letters}
    written = [each for each in letters if each.identity not in again]
    return Retried(written, list(again.values()))


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
