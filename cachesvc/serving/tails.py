"""Which topics of a stream have caught up, and the events that tell it."""

from cachesvc.serving.cursor import Cursor
from cachesvc.serving.joined_batches import JoinedBatches
from cachesvc.v1 import log_cache_pb2 as pb


class Tails:
    """Topic by topic, whether a stream has delivered all that there is.

    A topic has caught up when each of its partitions has, and has fallen behind when one of them
    is read from elsewhere than memory. Its client is told of every change.
    """

    def __init__(self) -> None:
        self._cursors: dict[str, list[Cursor]] = {}
        self._changed: set[str] = set()
        self._reached: set[str] = set()

    def add(self, cursor: Cursor) -> None:
        """Enters a partition."""
        self._cursors.setdefault(cursor.log.id.topic, []).append(cursor)

    def remove(self, cursor: Cursor) -> None:
        """Takes a partition out."""
        topic = cursor.log.id.topic
        self._cursors[topic].remove(cursor)
        if not self._cursors[topic]:
            del self._cursors[topic]
            self._changed.discard(topic)
            self._reached.discard(topic)

    def changed(self, topic: str) -> None:
        """Notes that a partition of a topic has moved on, or has something to be read."""
        self._changed.add(topic)

    def reached(self, topic: str) -> bool:
        """Whether a topic has caught up, as its client was told last."""
        return topic in self._reached

    async def tell_caught_up(self, out: JoinedBatches) -> None:
        """Tells of topics that have caught up since it was last asked."""
        for topic in sorted(self._changed - self._reached):
            if all(cursor.at_tail for cursor in self._cursors[topic]):
                self._reached.add(topic)
                event = pb.CaughtUp(topic=topic)
                await out.event(pb.SubscribeResponse(caught_up=event).SerializeToString())
        self._changed.clear()

    async def tell_fell_behind(self, topic: str, out: JoinedBatches) -> None:
        """Tells that a topic has fallen behind, if it had caught up."""
        if topic in self._reached:
            self._reached.remove(topic)
            event = pb.FellBehind(topic=topic)
            await out.event(pb.SubscribeResponse(fell_behind=event).SerializeToString())
