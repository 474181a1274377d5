"""The lives of topics: which one each is in, why the one before ended, of which cluster each is."""

import time
from collections.abc import Iterable, Mapping
from dataclasses import replace

from cachesvc.log.catalogue_thread import CatalogueThread
from cachesvc.model import GapCause, TopicId, TopicLife
from cachesvc.policy.lives import next_life


class TopicLives:
    """Every topic's lives, and every connection's clusters. Belongs to one event loop.

    ``load`` comes first. A life of which no cluster is kept is of the first one that its connection
    led to.

    Args:
        catalogue: Where they are durable.
    """

    def __init__(self, catalogue: CatalogueThread) -> None:
        self._catalogue = catalogue
        self._present: dict[tuple[str, str], TopicLife] = {}
        self._causes: dict[TopicId, GapCause | None] = {}
        self._clusters: dict[str, list[str]] = {}

    def load(self) -> None:
        """Reads what the catalogue has. Blocking."""
        self._clusters = self._catalogue.call_blocking(lambda port: port.clusters.all())
        for life in self._catalogue.call_blocking(lambda port: port.list_lives()):
            self._enter(life)

    def topic_id(self, connection: str, topic: str) -> TopicId:
        """The life that a topic is in, by name; the first one for a topic that was never seen."""
        found = self._present.get((connection, topic))
        return found.topic if found is not None else TopicId(connection, topic)

    def present(self, connection: str, topic: str) -> TopicLife:
        """The life that a topic is in; the first one for a topic that was never seen."""
        found = self._present.get((connection, topic))
        if found is None:
            return TopicLife(TopicId(connection, topic), cluster_id=self.cluster_of(connection))
        if found.cluster_id:
            return found
        return replace(found, cluster_id=self._clusters.get(connection, [""])[0])

    def is_new(self, topic: TopicId) -> bool:
        """Whether nothing is known of a topic, by ``load``, ``enter`` or ``note``."""
        return (topic.connection, topic.topic) not in self._present

    def note(self, topic: TopicId) -> None:
        """Notes that there are logs of a topic of whose lives nothing is kept. Idempotent."""
        self._present.setdefault((topic.connection, topic.topic), TopicLife(topic))

    def ended_by(self, topic: TopicId) -> GapCause | None:
        """Why a life is over; None while it is not."""
        return self._causes.get(next_life(topic))

    def truncated_before(self, topic: TopicId) -> bool:
        """Whether a life began because the source had lost records of the one before."""
        return self._causes.get(topic) is GapCause.SOURCE_TRUNCATED

    def enter(self, lives: Iterable[TopicLife]) -> None:
        """Follows what was made durable."""
        for life in lives:
            self._enter(life)

    def _enter(self, life: TopicLife) -> None:
        name = life.topic.connection, life.topic.topic
        known = self._present.get(name)
        if known is None or known.topic.incarnation <= life.topic.incarnation:
            self._present[name] = life
        self._causes[life.topic] = life.cause

    # Clusters

    def cluster_of(self, connection: str) -> str:
        """What the cluster that a connection means calls itself; empty while that is not known."""
        return self._clusters.get(connection, [""])[-1]

    def source_ids(self, connection: str) -> Mapping[str, str]:
        """The cluster's own ids of a connection's topics as they were last seen, by name."""
        return {
            topic: life.source_id
            for (name, topic), life in self._present.items()
            if name == connection
        }

    async def learn_cluster(self, connection: str, cluster_id: str) -> None:
        """Notes the first cluster of a connection; what is cached of it is of that one."""
        if not self.cluster_of(connection):
            await self.accept_cluster(connection, cluster_id)

    async def accept_cluster(self, connection: str, cluster_id: str) -> None:
        """Has a connection mean another cluster from now on; durable when this returns."""
        now_ms = time.time_ns() // 1_000_000
        await self._catalogue.call(lambda port: port.clusters.add(connection, cluster_id, now_ms))
        self._clusters.setdefault(connection, []).append(cluster_id)

    async def forget_clusters(self, connection: str) -> None:
        """Has a connection of which nothing is cached mean the next cluster that answers."""
        if self.cluster_of(connection):
            await self._catalogue.call(lambda port: port.clusters.forget(connection))
            self._clusters.pop(connection, None)
