"""The incarnations of topics: the present one, why the one before ended, and whose each is."""

import time
from collections.abc import Iterable, Mapping
from dataclasses import replace

from cachesvc.log.catalogue_thread import CatalogueThread
from cachesvc.model import GapCause, TopicId, TopicIncarnation
from cachesvc.policy.incarnations import next_incarnation


class TopicIncarnations:
    """Every topic's incarnations, and every connection's clusters. Belongs to one event loop.

    ``load`` comes first. An incarnation of which no cluster is kept is of the first one that its
    connection led to.

    Args:
        catalogue: Where they are durable.
    """

    def __init__(self, catalogue: CatalogueThread) -> None:
        self._catalogue = catalogue
        self._present: dict[tuple[str, str], TopicIncarnation] = {}
        self._causes: dict[TopicId, GapCause | None] = {}
        self._clusters: dict[str, list[str]] = {}

    def load(self) -> None:
        """Reads what the catalogue has. Blocking."""
        self._clusters = self._catalogue.call_blocking(lambda port: port.clusters.all())
        for incarnation in self._catalogue.call_blocking(lambda port: port.list_incarnations()):
            self._add(incarnation)

    def topic_id(self, connection: str, topic: str) -> TopicId:
        """The incarnation that a topic is in, by name; the first for one that was never seen."""
        found = self._present.get((connection, topic))
        return found.topic if found is not None else TopicId(connection, topic)

    def present(self, connection: str, topic: str) -> TopicIncarnation:
        """The incarnation that a topic is in; the first one for a topic that was never seen."""
        found = self._present.get((connection, topic))
        if found is None:
            return TopicIncarnation(
                TopicId(connection, topic), cluster_id=self.cluster_of(connection)
            )
        if found.cluster_id:
            return found
        return replace(found, cluster_id=self._clusters.get(connection, [""])[0])

    def is_new(self, topic: TopicId) -> bool:
        """Whether nothing is known of a topic, by ``load``, ``add`` or ``note``."""
        return (topic.connection, topic.topic) not in self._present

    def note(self, topic: TopicId) -> None:
        """Notes that there are logs of a topic of which nothing is kept. Idempotent."""
        self._present.setdefault((topic.connection, topic.topic), TopicIncarnation(topic))

    def ended_by(self, topic: TopicId) -> GapCause | None:
        """Why an incarnation is over; None while it is not."""
        return self._causes.get(next_incarnation(topic))

    def truncated_before(self, topic: TopicId) -> bool:
        """Whether an incarnation began because the source had lost records of the one before."""
        return self._causes.get(topic) is GapCause.SOURCE_TRUNCATED

    def add(self, incarnations: Iterable[TopicIncarnation]) -> None:
        """Follows what was made durable."""
        for incarnation in incarnations:
            self._add(incarnation)

    def _add(self, incarnation: TopicIncarnation) -> None:
        name = incarnation.topic.connection, incarnation.topic.topic
        known = self._present.get(name)
        if known is None or known.topic.incarnation <= incarnation.topic.incarnation:
            self._present[name] = incarnation
        self._causes[incarnation.topic] = incarnation.cause

    # Clusters

    def cluster_of(self, connection: str) -> str:
        """What the cluster that a connection means calls itself; empty while that is not known."""
        return self._clusters.get(connection, [""])[-1]

    def source_ids(self, connection: str) -> Mapping[str, str]:
        """The cluster's own ids of a connection's topics as they were last seen, by name."""
        return {
            topic: incarnation.source_id
            for (name, topic), incarnation in self._present.items()
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
