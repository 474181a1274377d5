"""Models without files: the part of ``memory_catalogue.MemoryCatalogue`` about them."""

from collections.abc import Sequence

from cachesvc.model import TopicId
from cachesvc.store.model_port import (
    MODEL_CHANGES_MAX,
    Looked,
    ModelRecord,
    ModelSummary,
    NotedChange,
)


class MemoryModels:
    """``model_port.Models`` in dictionaries."""

    def __init__(self) -> None:
        self._models: dict[TopicId, ModelRecord] = {}
        self._changes: dict[TopicId, list[NotedChange]] = {}
        self._refreshes: dict[str, int] = {}

    def put(self, models: Sequence[ModelRecord], changes: Sequence[NotedChange]) -> None:
        self._models.update({record.summary.topic: record for record in models})
        for noted in changes:
            history = self._changes.setdefault(noted.topic, [])
            history.append(noted)
            history.sort(key=lambda each: each.noted_ms)
            del history[:-MODEL_CHANGES_MAX]

    def get(self, topic: TopicId) -> ModelRecord | None:
        return self._models.get(topic)

    def page(self, connection: str, after: TopicId | None, limit: int) -> list[ModelSummary]:
        found = sorted(topic for topic in self._models if topic.connection == connection)
        behind = [topic for topic in found if after is None or topic > after]
        return [self._models[topic].summary for topic in behind[:limit]]

    def looked(self, connection: str) -> dict[TopicId, Looked]:
        return {
            topic: Looked(record.summary.refreshed_ms, dict(record.offsets))
            for topic, record in self._models.items()
            if topic.connection == connection
        }

    def changes(self, topic: TopicId) -> list[NotedChange]:
        history = self._changes.get(topic, [])
        return sorted(
            history, key=lambda each: (-each.noted_ms, each.change.path, each.change.kind)
        )

    def counts(self) -> dict[str, int]:
        counts: dict[str, int] = {}
        for topic in sorted(self._models):
            counts[topic.connection] = counts.get(topic.connection, 0) + 1
        return counts

    def note_refresh(self, connection: str, at_ms: int) -> None:
        self._refreshes[connection] = at_ms

    def refreshes(self) -> dict[str, int]:
        return dict(self._refreshes)
