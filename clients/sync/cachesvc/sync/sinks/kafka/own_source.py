"""A target topic that is the source itself: the task would read what it writes."""

import asyncio
from collections.abc import Collection

from cachesvc.client import ClientError
from cachesvc.errors import InvalidRequest
from cachesvc.mining.kafka.cluster import Cluster
from cachesvc.policy.topics import topic_matcher
from cachesvc.sync.errors import TargetFailed
from cachesvc.sync.sink import SourceView

_ASK_S = 5.0


class OwnSource:
    """Tells a task's own topics from others, where that can be known.

    Args:
        source: What the task reads; None where nobody says.
        allowed: Names that may be written to all the same.
        cluster: Of the target.
    """

    def __init__(
        self, source: SourceView | None, allowed: Collection[str], cluster: Cluster
    ) -> None:
        self._source = source
        self._allowed = allowed
        self._cluster = cluster
        self._source_id = self._target_id = ""

    async def refuse(self, topic: str) -> None:
        """Raises where a topic of the target is one that the task reads.

        Raises:
            TargetFailed: It is.
            CacheError: No broker of the target answers.
        """
        if topic in self._allowed or self._source is None or not _selects(self._source, topic):
            return
        if await self.is_same_cluster():
            raise TargetFailed(
                f"sink.topic: the task would write to {topic} what it reads from there, in cluster "
                f"{self._target_id}; name another topic, or allow it with sink.allow_source_topics",
                reason="TARGET_IS_SOURCE",
            )

    async def is_same_cluster(self) -> bool | None:
        """Whether the target's cluster is the source's; None while nobody can tell."""
        if not self._target_id:
            self._target_id = (await self._cluster.metadata([])).cluster_id
        if not self._source_id and self._source is not None:
            try:
                async with asyncio.timeout(_ASK_S):
                    self._source_id = await self._source.cluster_id()
            except (ClientError, TimeoutError):
                return None  # away, or without that topic yet; the next topic asks again
        if not (self._target_id and self._source_id):
            return None
        return self._target_id == self._source_id


def _selects(source: SourceView, topic: str) -> bool:
    if not source.topic_expression:
        return topic in source.topics
    try:
        return topic_matcher(source.topic_expression)(topic)
    except InvalidRequest:
        return False  # the service refuses it, with better words
