"""The part of the DuckDB catalogue that keeps the lives of topics, and what they have lost."""

from abc import abstractmethod
from typing import Any

from cachesvc.model import GapCause, LostRange, PartitionId, TopicId, TopicLife


class LifeTables:
    """Statements on lives and lost ranges, for a catalogue that can run statements."""

    @abstractmethod
    def _run(self, query: str, *parameters: object) -> list[tuple[Any, ...]]: ...

    def list_lives(self) -> list[TopicLife]:
        return [
            TopicLife(TopicId(*row[:3]), row[3], GapCause(row[4]) if row[4] else None)
            for row in self._run("list_lives")
        ]

    def put_life(self, life: TopicLife, now_ms: int) -> None:
        topic = life.topic
        cause = int(life.cause or 0)
        row = (topic.connection, topic.topic, topic.incarnation, life.source_id, cause, now_ms)
        self._run("put_life", *row)

    def list_lost(self) -> dict[PartitionId, list[LostRange]]:
        found: dict[PartitionId, list[LostRange]] = {}
        for *identity, begin, end, cause in self._run("list_lost"):
            lost = LostRange(begin, end, GapCause(cause))
            found.setdefault(PartitionId(*identity), []).append(lost)
        return found

    def put_lost(self, partition: PartitionId, lost: LostRange, now_ms: int) -> None:
        row = (*key_of(partition), lost.begin, lost.end, int(lost.cause), now_ms)
        self._run("put_lost", *row)


def key_of(partition: PartitionId) -> tuple[str, str, int, int]:
    """The columns by which tables name a partition."""
    return partition.connection, partition.topic, partition.incarnation, partition.partition
