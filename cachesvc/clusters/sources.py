"""What is known of each connection's cluster: topics, partitions, whether it answers."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from cachesvc.clusters.known_clusters import KnownClusters, NoLogs, topics_of
from cachesvc.clusters.lookup import SourceLookup
from cachesvc.errors import CacheError, InvalidRequest, NotFound, PreconditionFailed
from cachesvc.model import NonJsonPolicy, PartitionId
from cachesvc.policy.cluster_identity import ForeignAddress, to_accept


@dataclass(slots=True)
class Source:
    """One connection as the service sees it.

    Attributes:
        name: Of the connection.
        bootstrap_servers: As configured.
        topic_expression: Which topics belong to it.
        non_json_policy: What becomes of records that are not JSON objects.
        lookup: Asks the cluster.
        matches: Whether a topic name belongs to the connection.
        topics: Matching topics with their partition numbers: all that were ever seen, so that
            cached records of a topic can be read while the cluster is away or the topic gone.
        topic_ids: The topics that the cluster has now, with its own ids of them; an id is empty if
            it has no such ids.
        known: Whether there was a successful look yet.
        error: Why the last look failed; empty if it worked.
        error_reason: The machine-readable word for it.
        foreign: Addresses that lead to another cluster than the one that is meant.
        is_source: Whether topics may be read from it.
        log_caching: Whether they are mined into the cache.
        agent: The only reader that may mine them; empty for any.
    """

    name: str
    bootstrap_servers: Sequence[str]
    topic_expression: str
    non_json_policy: NonJsonPolicy
    lookup: SourceLookup
    matches: Callable[[str], bool]
    topics: dict[str, tuple[int, ...]] = field(default_factory=dict)
    topic_ids: dict[str, str] = field(default_factory=dict)
    known: bool = False
    error: str = ""
    error_reason: str = ""
    foreign: tuple[ForeignAddress, ...] = ()
    is_source: bool = True
    log_caching: bool = True
    agent: str = ""
    refresh_wanted: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def mined(self) -> bool:
        """Whether its topics come into the cache."""
        return self.is_source and self.log_caching

    def lacks(self, topic: str) -> bool:
        """Whether the cluster has said that it has no such topic, or none any more."""
        return self.known and topic not in self.topic_ids

    def unknown(self, topic: str) -> NotFound:
        """The error of a topic that is not to be had from here (``UNKNOWN_TOPIC``)."""
        why = (
            "the cluster has no such topic"
            if self.matches(topic)
            else f"it does not match the connection's expression {self.topic_expression!r}"
        )
        return NotFound(
            f"topic {topic!r} is not to be had from connection {self.name!r}: {why}",
            reason="UNKNOWN_TOPIC",
            metadata={"connection": self.name, "topic": topic},
        )

    def check_mined(self) -> None:
        """Lets a subscription through where its records can come from the cache.

        Raises:
            PreconditionFailed: They cannot (``CONNECTION_NOT_A_SOURCE``, ``LOG_CACHING_OFF``).
        """
        metadata = {"connection": self.name}
        if not self.is_source:
            raise PreconditionFailed(
                f"connection {self.name!r} is a target: nothing is read from it; subscribe to "
                "another, or set its type to source or both",
                reason="CONNECTION_NOT_A_SOURCE",
                metadata=metadata,
            )
        if not self.log_caching:
            raise PreconditionFailed(
                f"log caching of connection {self.name!r} is off; read from its cluster, or "
                "set log_caching = true",
                reason="LOG_CACHING_OFF",
                metadata=metadata,
            )


class Sources:
    """All connections, by name.

    Args:
        sources: Those there are at first.
        clusters: Which cluster the logs of each are of.
    """

    def __init__(self, sources: Sequence[Source], clusters: KnownClusters | None = None) -> None:
        self._clusters = clusters or NoLogs()
        self._sources = {source.name: source for source in sources}
        self._listeners: set[Callable[[], None]] = set()

    def all(self) -> list[Source]:
        """Every connection, ordered by name."""
        return [self._sources[name] for name in sorted(self._sources)]

    def resolve(self, name: str) -> Source:
        """A connection by name, or the only one for an empty name.

        Raises:
            NotFound: There is none of that name.
            InvalidRequest: The name is left out and there are several.
        """
        if name:
            return self.get(name)
        if len(self._sources) == 1:
            return next(iter(self._sources.values()))
        raise InvalidRequest(
            f"name a connection; this service has: {self._names()}", reason="CONNECTION_REQUIRED"
        )

    def get(self, name: str) -> Source:
        """A connection by name.

        Raises:
            NotFound: There is none of that name.
        """
        if name not in self._sources:
            raise NotFound(
                f"there is no connection {name!r}; this service has: {self._names()}",
                reason="UNKNOWN_CONNECTION",
                metadata={"connection": name},
            )
        return self._sources[name]

    def _names(self) -> str:
        return ", ".join(sorted(self._sources)) or "none"

    def put(self, source: Source) -> None:
        """Enters a connection, or replaces one: topics that are known and still match stay so."""
        before = self._sources.get(source.name)
        if before is not None:
            known = {name: found for name, found in before.topics.items() if source.matches(name)}
            source.topics = {**known, **source.topics}
        source.lookup.expect(self._clusters.cluster_of(source.name))
        self._sources[source.name] = source
        self.notify()

    def remove(self, name: str) -> None:
        """Takes a connection out. Idempotent."""
        if self._sources.pop(name, None) is not None:
            self.notify()

    def remember(self, cached: Iterable[PartitionId]) -> None:
        """Enters what is cached from earlier, before the first look."""
        numbers: dict[tuple[str, str], set[int]] = {}
        for partition in cached:
            numbers.setdefault((partition.connection, partition.topic), set()).add(
                partition.partition
            )
        for (connection, topic), found in numbers.items():
            source = self._sources.get(connection)
            if source is not None and source.matches(topic):
                source.topics[topic] = tuple(sorted(found.union(source.topics.get(topic, ()))))

    async def look(self, source: Source) -> None:
        """Asks the cluster for its topics now and tells listeners if anything changed.

        Raises:
            SourceUnreachable: It does not answer; ``source.error`` says so too.
        """
        foreign = source.foreign
        try:
            found = await topics_of(
                source.name,
                source.lookup,
                self._clusters,
                lambda: self._sources.get(source.name) is not source,
            )
        except Exception as error:
            source.foreign = source.lookup.foreign
            changed = (source.error, foreign) != (str(error), source.foreign)
            source.error = str(error)
            source.error_reason = error.reason if isinstance(error, CacheError) else "INTERNAL"
            if changed:
                self.notify()
            raise
        topics = {name: topic.partitions for name, topic in found.items() if source.matches(name)}
        ids = {name: found[name].id for name in topics}
        topics = {**source.topics, **topics}
        changed = (topics, ids) != (source.topics, source.topic_ids)
        source.foreign = source.lookup.foreign
        changed = changed or bool(source.error) or not source.known or foreign != source.foreign
        source.topic_ids = ids
        source.topics = topics
        source.known = True
        source.error = source.error_reason = ""
        if changed:
            self.notify()

    async def try_addresses(self, source: Source) -> None:
        """Tries all addresses of a connection, and tells listeners if others lead elsewhere."""
        before = source.foreign
        await source.lookup.try_addresses()
        source.foreign = source.lookup.foreign
        if source.foreign != before:
            self.notify()

    async def forget_cluster(self, name: str) -> None:
        """Has a connection of which nothing is cached mean the next cluster that answers."""
        await self._clusters.forget_clusters(name)

    async def accept(self, source: Source, wanted: str) -> str:
        """Has a connection mean the cluster that its addresses lead to now; the one before.

        Args:
            source: The connection.
            wanted: The id of the cluster; may be empty where there is only one other.

        Raises:
            PreconditionFailed: Which one is not clear; see ``policy.cluster_identity.to_accept``.
            SourceUnreachable: No address answers.
        """
        before = self._clusters.cluster_of(source.name)
        found = await source.lookup.clusters()
        accepted = to_accept(before, found, wanted)
        if accepted != before:
            await self._clusters.accept_cluster(source.name, accepted)
            # Nothing that is known of the other cluster's topics is to be taken for this one's.
            source.topic_ids = {}
            source.lookup.expect(accepted)
            source.foreign = source.lookup.foreign
            self.notify()
        return before

    def subscribe(self, listener: Callable[[], None]) -> None:
        """Calls ``listener`` whenever topics, partitions or reachability change."""
        self._listeners.add(listener)

    def unsubscribe(self, listener: Callable[[], None]) -> None:
        """Ends that; idempotent."""
        self._listeners.discard(listener)

    def notify(self) -> None:
        """Tells everybody who listens."""
        for listener in list(self._listeners):
            listener()
