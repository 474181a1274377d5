"""Journals that wait to be sealed, by the store that takes them.

Invariant: the journals of one log wait in the order in which they were added, all for one store. So
a log never has a segment behind a journal that is not sealed, whatever is said of stores meanwhile.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from cachesvc.log.locations import JournalEntry
from cachesvc.log.partition_log import PartitionLog
from cachesvc.model import TopicId

Waiting = tuple[PartitionLog, JournalEntry]


@dataclass(slots=True)
class _Queue:
    entries: deque[Waiting] = field(default_factory=deque)
    bytes: int = 0

    def add(self, waiting: Waiting) -> None:
        self.entries.append(waiting)
        self.bytes += waiting[1].bytes


class SealQueues:
    """Belongs to one event loop.

    Args:
        choose: Which store takes what is sealed of a topic.
    """

    def __init__(self, choose: Callable[[TopicId], str]) -> None:
        self._choose = choose
        self._queues: dict[str, _Queue] = {}
        # By log, where its journals wait and how many.
        self._where: dict[PartitionLog, tuple[str, int]] = {}

    def __len__(self) -> int:
        return sum(len(queue.entries) for queue in self._queues.values())

    @property
    def total_bytes(self) -> int:
        """Of all journals that wait."""
        return sum(queue.bytes for queue in self._queues.values())

    def bytes(self, store: str) -> int:
        """Of all journals that wait for a store."""
        queue = self._queues.get(store)
        return queue.bytes if queue else 0

    def count(self, store: str) -> int:
        """Journals that wait for a store."""
        queue = self._queues.get(store)
        return len(queue.entries) if queue else 0

    def add(self, log: PartitionLog, entry: JournalEntry) -> str:
        """Enters a journal; for which store."""
        store, count = self._where.get(log, ("", 0))
        if not count:
            store = self._choose(log.id.topic_id)
        self._where[log] = store, count + 1
        self._queues.setdefault(store, _Queue()).add((log, entry))
        return store

    def first(self, store: str) -> Waiting | None:
        """What is to be sealed next of those that wait for a store; it stays until ``done``."""
        queue = self._queues.get(store)
        return queue.entries[0] if queue and queue.entries else None

    def done(self, store: str) -> None:
        """Takes the first one of a store out."""
        queue = self._queues[store]
        log, entry = queue.entries.popleft()
        queue.bytes -= entry.bytes
        _, count = self._where[log]
        if count > 1:
            self._where[log] = store, count - 1
        else:
            del self._where[log]

    def sort_again(self, store: str) -> set[str]:
        """Moves what another store is to take by now; nothing of it may be under way.

        Returns:
            Those for which something waits now that waited for this one.
        """
        queue = self._queues.get(store)
        if queue is None:
            return set()
        kept, moved = _Queue(), set()
        for log, entry in queue.entries:
            target = self._choose(log.id.topic_id)
            if target == store:
                kept.add((log, entry))
                continue
            moved.add(target)
            self._where[log] = target, self._where[log][1]
            self._queues.setdefault(target, _Queue()).add((log, entry))
        self._queues[store] = kept
        return moved
