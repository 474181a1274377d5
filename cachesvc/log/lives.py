"""The lives of topics: which one each is in, and why the one before ended."""

import time

from cachesvc.log.catalogue_thread import CatalogueThread
from cachesvc.model import GapCause, TopicId, TopicLife
from cachesvc.policy.lives import next_life


class TopicLives:
    """Every topic's lives. Belongs to one event loop; ``load`` comes first.

    Args:
        catalogue: Where they are durable.
    """

    def __init__(self, catalogue: CatalogueThread) -> None:
        self._catalogue = catalogue
        self._present: dict[tuple[str, str], TopicLife] = {}
        self._causes: dict[TopicId, GapCause | None] = {}

    def load(self) -> None:
        """Reads what the catalogue has. Blocking."""
        for life in self._catalogue.call_blocking(lambda port: port.list_lives()):
            self._enter(life)

    def present(self, connection: str, topic: str) -> TopicLife:
        """The life that a topic is in; the first one for a topic that was never seen."""
        found = self._present.get((connection, topic))
        return found or TopicLife(TopicId(connection, topic))

    def ended_by(self, topic: TopicId) -> GapCause | None:
        """Why a life is over; None while it is not."""
        return self._causes.get(next_life(topic))

    def truncated_before(self, topic: TopicId) -> bool:
        """Whether a life began because the source had lost records of the one before."""
        return self._causes.get(topic) is GapCause.SOURCE_TRUNCATED

    async def put(self, life: TopicLife) -> None:
        """Enters a life, or what has become known of it; durable when this returns."""
        now_ms = time.time_ns() // 1_000_000
        await self._catalogue.call(lambda port: port.put_life(life, now_ms))
        self._enter(life)

    def _enter(self, life: TopicLife) -> None:
        name = life.topic.connection, life.topic.topic
        known = self._present.get(name)
        if known is None or known.topic.incarnation <= life.topic.incarnation:
            self._present[name] = life
        self._causes[life.topic] = life.cause
