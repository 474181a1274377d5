"""Which cluster the logs of each connection are of, held against what its addresses lead to."""

from collections.abc import Callable, Mapping
from typing import Protocol

from cachesvc.clusters.lookup import SourceLookup, SourceTopic
from cachesvc.policy.cluster_identity import are_others


class KnownClusters(Protocol):
    """Which cluster the logs of each connection are of; ``TopicIncarnations`` knows."""

    def cluster_of(self, connection: str) -> str:
        """What the cluster calls itself; empty while that is not known."""

    def source_ids(self, connection: str) -> Mapping[str, str]:
        """The cluster's own ids of the topics that have logs, by name; empty where unknown."""

    async def learn_cluster(self, connection: str, cluster_id: str) -> None:
        """Notes the first cluster of a connection; durable when this returns."""

    async def accept_cluster(self, connection: str, cluster_id: str) -> None:
        """Has a connection mean another cluster from now on; durable when this returns."""

    async def forget_clusters(self, connection: str) -> None:
        """Has a connection without logs mean the next cluster that answers."""


class NoLogs:
    """``KnownClusters`` where there are no logs: what is learnt is forgotten with the process."""

    def __init__(self) -> None:
        self._clusters: dict[str, str] = {}

    def cluster_of(self, connection: str) -> str:
        """See ``KnownClusters``."""
        return self._clusters.get(connection, "")

    def source_ids(self, connection: str) -> Mapping[str, str]:
        """See ``KnownClusters``."""
        return {}

    async def learn_cluster(self, connection: str, cluster_id: str) -> None:
        """See ``KnownClusters``."""
        self._clusters[connection] = cluster_id

    async def accept_cluster(self, connection: str, cluster_id: str) -> None:
        """See ``KnownClusters``."""
        self._clusters[connection] = cluster_id

    async def forget_clusters(self, connection: str) -> None:
        """See ``KnownClusters``."""
        self._clusters.pop(connection, None)


async def topics_of(
    connection: str, lookup: SourceLookup, clusters: KnownClusters, outdated: Callable[[], bool]
) -> Mapping[str, SourceTopic]:
    """The topics of the cluster that a connection means, known durably to be that one.

    The first cluster that answers is the one, unless all of its topics that have logs are others
    than those that were mined: logs may be older than the knowledge of their cluster.

    Args:
        connection: Its name.
        lookup: Asks.
        clusters: Knows, and learns.
        outdated: Whether the lookup is the connection's no more; then nothing is learnt from it.

    Raises:
        SourceUnreachable: The cluster does not answer, or only others do.
        StoreUnwritable: What was learnt cannot be kept.
    """
    while True:
        known = clusters.cluster_of(connection)
        if known:
            lookup.expect(known)
        found = await lookup.list_topics()
        told = lookup.cluster_id
        if told == known or outdated():
            return found
        if told and not known:
            ids = {topic: each.id for topic, each in found.items()}
            if are_others(clusters.source_ids(connection), ids):
                lookup.rule_out(told)
            else:
                await clusters.learn_cluster(connection, told)
