"""What a subscription means by its topics: names, logs, and partitions that have none yet."""

from collections.abc import Callable, Iterable

from cachesvc.clusters.sources import Source, Sources
from cachesvc.errors import SourceUnreachable
from cachesvc.log.log_store import LogStore
from cachesvc.log.partition_log import PartitionLog
from cachesvc.model import PartitionId
from cachesvc.policy.topics import topic_matcher
from cachesvc.serving.calling import MayRead, may_read_all
from cachesvc.store.ports import SubscriptionRecord


def topics_of(
    record: SubscriptionRecord, source: Source, may_read: MayRead = may_read_all
) -> list[str]:
    """The topics that a subscription means now, those the source has or had, in order."""
    return _chosen(record, source.topics, may_read)


def logs_of(
    record: SubscriptionRecord, store: LogStore, source: Source, may_read: MayRead = may_read_all
) -> list[PartitionLog]:
    """The logs of a subscription's topics in their present incarnation, ordered by partition."""
    topics = _chosen(record, store.logs.topics(source.name), may_read)
    return [log for topic in topics for log in store.present(source.name, topic)]


def waiting_of(
    record: SubscriptionRecord, store: LogStore, source: Source, may_read: MayRead = may_read_all
) -> list[PartitionId]:
    """The partitions of a subscription's topics that wait for their logs."""
    matches = _matcher(record)
    return [
        topic.partition(number)
        for topic in store.waiting.topics(source.name)
        if matches(topic.topic) and may_read(topic.topic)
        for number in store.waiting.of_topic(topic)
    ]


def _chosen(record: SubscriptionRecord, topics: Iterable[str], may_read: MayRead) -> list[str]:
    return sorted(filter(may_read, filter(_matcher(record), topics)))


def _matcher(record: SubscriptionRecord) -> Callable[[str], bool]:
    if record.topic_expression:
        return topic_matcher(record.topic_expression)
    return frozenset(record.topics).__contains__


async def find_topics(
    sources: Sources, store: LogStore, source: Source, topics: Iterable[str], *, whole: bool = False
) -> None:
    """Makes sure that topics are known, asking the source where that is needed.

    It is asked about topics that are new, and once before the first answer of this connection. A
    source that is known to be away is not waited for again just to serve what is cached.

    Args:
        sources: Asks.
        store: Knows what is cached.
        source: The connection.
        topics: Names.
        whole: Whether what is known without an answer of the source is of no use.

    Raises:
        NotFound: The source has no such topic, or it does not belong to the connection.
        SourceUnreachable: It cannot be asked.
    """
    unknown = [
        topic
        for topic in topics
        if (topic not in source.topics or source.lacks(topic))
        and not store.logs.has_topic(source.name, topic)
    ]
    away = bool(source.error) and not whole
    if not unknown and (source.known or away):
        return
    try:
        await sources.look(source)
    except SourceUnreachable:
        if unknown or whole:
            raise
        return
    for topic in unknown:
        if source.lacks(topic):
            raise source.unknown(topic)
