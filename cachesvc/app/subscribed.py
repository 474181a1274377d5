"""Who subscribes, and what they are given."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from cachesvc.app.callers import Callers, is_guarded
from cachesvc.log.log_store import LogStore
from cachesvc.log.shared_cache import CacheCounts
from cachesvc.serving.auditing import AuditedOpening
from cachesvc.serving.batches import Batches
from cachesvc.serving.bounding import BoundedMaking
from cachesvc.settings.config import Config
from cachesvc.shared_memory.blocks import can_share_memory
from cachesvc.shared_memory.place import SharedMemory
from cachesvc.snapshots.shelf import Shelf
from cachesvc.subscriptions.makers import Makers
from cachesvc.subscriptions.members import SharingBounds
from cachesvc.subscriptions.subscriptions import Subscriptions
from cachesvc.watching.deliveries import Deliveries


@dataclass(frozen=True, slots=True)
class Subscribed:
    """What a service has for those who read.

    Attributes:
        subscriptions: Their positions, and their streams.
        makers: Who made which of them.
        shelf: The snapshots that they may begin with.
        batches: What is made for several of them at once.
        deliveries: What they were sent.
        memory: What those of this machine are handed records in; None where that is not done.
    """

    subscriptions: Subscriptions
    makers: Makers
    shelf: Shelf
    batches: Batches
    deliveries: Deliveries
    memory: SharedMemory | None

    @property
    def caches(self) -> Mapping[str, CacheCounts]:
        """What is kept after it was made for a stream, by name."""
        pieces = {"pieces": self.batches.pieces}
        return pieces if self.memory is None else {**pieces, "shared_memory": self.memory.lending}


def make_subscribed(
    config: Config, store: LogStore, plan_again: Callable[[], None], callers: Callers
) -> Subscribed:
    """Builds it; ``plan_again`` is told when something else is wanted. Blocking, and short."""
    subscriptions = Subscriptions(
        store.catalogue,
        plan_again,
        SharingBounds(config.server.member_release_s, config.server.member_stall_s),
    )
    makers = Makers(store.catalogue, subscriptions.__contains__)
    subscriptions.making = BoundedMaking(callers.limits, makers)
    subscriptions.on_opened = AuditedOpening(callers.audit)
    return Subscribed(
        subscriptions,
        makers,
        Shelf(store, subscriptions.all, config.jobs.snapshot.kept),
        Batches(store.reader, config.store.chunk_cache_bytes_max),
        Deliveries(),
        _shared_memory(config, store),
    )


def _shared_memory(config: Config, store: LogStore) -> SharedMemory | None:
    bytes_max = config.server.shared_memory_bytes_max
    if not bytes_max or config.callers.bytes_per_s_max is not None or not can_share_memory():
        return None
    return SharedMemory(bytes_max, store.reader.run, retires=is_guarded(config))
