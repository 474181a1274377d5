"""Which topics calls may name."""

from cachesvc.clusters.sources import Sources
from cachesvc.errors import NotFound
from cachesvc.log.log_store import LogStore


def check_known(sources: Sources, store: LogStore, connection: str, topic: str) -> None:
    """Lets a topic through that its cluster has, or had while it was cached.

    Raises:
        NotFound: It is neither (``UNKNOWN_TOPIC``).
    """
    known = topic in sources.get(connection).topics
    if not known and not store.logs.has_topic(connection, topic):
        raise unknown_topic(topic, connection)


def unknown_topic(topic: str, connection: str = "") -> NotFound:
    """The error of a topic that does not exist, in a connection or in any."""
    where = {"connection": connection} if connection else {}
    return NotFound(
        f"there is no topic {topic!r}; `cachesvc topics` lists those there are",
        reason="UNKNOWN_TOPIC",
        metadata={**where, "topic": topic},
    )
