"""What figures are about."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from cachesvc.assignment.assignments import Assignments
from cachesvc.clusters.sources import Sources
from cachesvc.log.log_store import LogStore
from cachesvc.log.shared_cache import CacheCounts
from cachesvc.model import Snapshot
from cachesvc.subscriptions.store_levels import StoreLevel
from cachesvc.subscriptions.subscriptions import Subscriptions
from cachesvc.watching.calls import Calls
from cachesvc.watching.deliveries import Deliveries
from cachesvc.watching.job_runs import JobTally
from cachesvc.watching.mining_watch import MiningWatch


@dataclass(frozen=True, slots=True)
class Observed:
    """Whatever there are figures of. Belongs to the service's event loop.

    Attributes:
        version: Of this software.
        store: The logs.
        sources: The connections.
        assignments: Who mines what.
        subscriptions: Who has read how far.
        watch: What is mined.
        deliveries: What is sent.
        calls: What is called.
        caches: What is kept after it was made for a stream, by name.
        jobs: How they went, by name.
        alarms: How many of each kind there are.
        levels: What each store with a budget holds of it.
        snapshots: All of them.
    """

    version: str
    store: LogStore
    sources: Sources
    assignments: Assignments
    subscriptions: Subscriptions
    watch: MiningWatch
    deliveries: Deliveries
    calls: Calls
    caches: Mapping[str, CacheCounts]
    jobs: Mapping[str, JobTally]
    alarms: Callable[[], Counter[str]]
    levels: Callable[[], Mapping[str, StoreLevel]]
    snapshots: Callable[[], Sequence[Snapshot]]
