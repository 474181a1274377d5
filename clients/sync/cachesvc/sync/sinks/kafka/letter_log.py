"""The dead letters of one task in a topic, as far as nobody has dealt with them yet.

Up to where they are dealt with is the offset of a consumer group of the task's that has no members,
in the cluster: whoever retries from wherever goes on there.
"""

import asyncio
import math
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass

import msgspec

from cachesvc.mining.kafka.cluster import Cluster
from cachesvc.mining.kafka.producing import (
    GroupOffset,
    TargetTopics,
    chunks_of,
    committed,
    delete_before,
)
from cachesvc.mining.source import RecordColumns, SourcePartition
from cachesvc.sync.runner.letters import Due, Exported, Letter
from cachesvc.sync.sinks.kafka.failures import as_target_errors
from cachesvc.sync.sinks.kafka.kept_letters import letters_of

_TOPIC_S = 30.0
_READ_S = 600.0
Identity = tuple[str, int, int, int]


@dataclass(frozen=True, slots=True)
class _Found:
    """Letters of the task in a range of the topic that ends at ``end``.

    Attributes:
        letters: Each with its offset.
        end: Where the range ends.
        foreign: The offset of the first record that is none; None where all are.
    """

    letters: list[tuple[int, Letter]]
    end: int
    foreign: int | None


class LetterLog:
    """Belongs to one event loop; one call at a time. Everything raises as ``Keeper.open`` does.

    Args:
        cluster: Where the topic is.
        topic: Its name.
        task: Whose letters.
    """

    def __init__(self, cluster: Cluster, topic: str, task: str) -> None:
        self._cluster = cluster
        self._task = task
        self._place = SourcePartition(topic, 0)
        self._position = GroupOffset(cluster, group_of(task), self._place, _TOPIC_S)

    async def read(self) -> list[Letter]:
        """Those that stand, by topic, partition and offset; of each record the newest."""
        found: dict[Identity, Letter] = {}
        with as_target_errors():
            if await self._is_there():
                async for each in self._walk(await self._position.read(), _READ_S):
                    found.update((letter.identity, letter) for _, letter in each.letters)
        return sorted(found.values(), key=lambda each: each.identity)

    async def due(self, wanted: Callable[[Letter], bool]) -> AsyncGenerator[Due, None]:
        """Those that stand now, in the order of the topic; nothing where none is wanted.

        Each record comes once, where its first letter lies, as its newest letter tells of it.
        """
        with as_target_errors():
            if not await self._is_there():
                return
            begin = await self._position.read()
            newest: dict[Identity, Letter] = {}
            end = 0
            async for found in self._walk(begin, _READ_S):
                end = found.end
                newest.update((each.identity, _told(each)) for _, each in found.letters)
            if not any(map(wanted, newest.values())):
                return
            # How long it takes is up to the sink.
            async with aclosing(self._walk(begin, math.inf)) as again:
                async for found in again:
                    letters = [
                        _as_told(each, told)
                        for offset, each in found.letters
                        if offset < end and (told := newest.pop(each.identity, None)) is not None
                    ]
                    chosen = [each for each in letters if wanted(each)]
                    rest = [each for each in letters if not wanted(each)]
                    yield Due(chosen, rest, min(found.end, end))
                    if found.end >= end:
                        return

    async def settle(self, offset: int) -> None:
        """Everything before an offset of the topic is dealt with; the cluster knows it then."""
        with as_target_errors():
            await self._position.move(offset)

    async def export(self) -> Exported:
        """What deleting the topic's records up to its end would take away."""
        found: dict[Identity, Letter] = {}
        end, foreign = 0, None
        with as_target_errors():
            if await self._is_there():
                position = await self._position.read() or 0
                async for each in self._walk(None, _READ_S):
                    end = each.end
                    foreign = each.foreign if foreign is None else foreign
                    standing = (letter for offset, letter in each.letters if offset >= position)
                    found.update((letter.identity, letter) for letter in standing)
        letters = sorted(found.values(), key=lambda each: each.identity)
        return Exported(letters, end, foreign)

    async def remove(self, end: int) -> None:
        """Deletes all records of the topic before an offset."""
        with as_target_errors():
            await delete_before(self._cluster, self._place, end, _TOPIC_S)

    async def _is_there(self) -> bool:
        topic = self._place.topic
        return topic in await TargetTopics(self._cluster, _TOPIC_S).find([topic])

    async def _walk(self, begin: int | None, limit_s: float) -> AsyncGenerator[_Found, None]:
        async for batch in committed(self._cluster, self._place, limit_s, begin):
            for chunk in await asyncio.to_thread(lambda: list(chunks_of(batch))):  # noqa: B023
                yield await asyncio.to_thread(self._found, chunk)

    def _found(self, chunk: RecordColumns) -> _Found:
        letters = letters_of(self._task, chunk)
        ours = {offset for offset, _ in letters}
        foreign = next((offset for offset in chunk.offsets if offset not in ours), None)
        return _Found(letters, chunk.end_offset, foreign)


def group_of(task: str) -> str:
    """The group whose offset says how far a task's letters are dealt with."""
    return f"cachesvc-sync-{task}-dead-letters"


def _told(letter: Letter) -> Letter:
    """What a letter tells of a record, without the record."""
    return msgspec.structs.replace(letter, key_base64=None, value=None, headers=())


def _as_told(letter: Letter, told: Letter) -> Letter:
    """A letter with what another one tells of the same record."""
    return msgspec.structs.replace(
        letter,
        stage=told.stage,
        reason=told.reason,
        detail=told.detail,
        refused_ms=told.refused_ms,
        tries=told.tries,
    )
