"""Where what is cached lies, how much of it, and for how long."""

from dataclasses import dataclass

from cachesvc.app.mined import Mined
from cachesvc.app.stores import known_stores
from cachesvc.app.subscribed import Subscribed
from cachesvc.jobs.retired_files import RetiredFiles
from cachesvc.jobs.shedding import Shedding
from cachesvc.log.log_store import LogStore
from cachesvc.policy.retention import RetentionClock
from cachesvc.settings.config import Config, RetentionConfig
from cachesvc.stores import KnownStores
from cachesvc.subscriptions.retention import Retention, TopicSize
from cachesvc.subscriptions.store_levels import StoreLevels
from cachesvc.subscriptions.store_usages import StoreUsages
from cachesvc.subscriptions.topic_sizes import gather


@dataclass(frozen=True, slots=True)
class Kept:
    """What a service has for keeping what was mined.

    Attributes:
        stores: Where sealed files lie.
        retention: How long and how much of it stays.
        retired: Files that nothing names any more.
        levels: How full the stores are.
        usages: What is in them.
        shedding: Makes room in a store that is full.
    """

    stores: KnownStores
    retention: Retention
    retired: RetiredFiles
    levels: StoreLevels
    usages: StoreUsages
    shedding: Shedding


def make_kept(config: Config, store: LogStore, mined: Mined, subscribed: Subscribed) -> Kept:
    """Builds it."""
    subscriptions, shelf = subscribed.subscriptions, subscribed.shelf
    stores = known_stores(config, store, mined.connections)
    retention = _retention(config.retention, mined)
    retired = RetiredFiles(store, retention, config.jobs.sweep.grace_s)
    levels = StoreLevels(store)
    return Kept(
        stores,
        retention,
        retired,
        levels,
        StoreUsages(store, retention, subscriptions, stores.budgets, levels, shelf.bytes_in),
        Shedding(
            store,
            lambda: gather(store, retention, subscriptions.all()),
            retired,
            stores.budgets,
            levels,
            shelf,
        ),
    )


def _retention(keep: RetentionConfig, mined: Mined) -> Retention:
    size = TopicSize(keep.topic_bytes_max, keep.topic_records_max, keep.unread_bytes_max)
    by_topic = mined.mining.tasks.retention
    return Retention(RetentionClock(keep.clock), keep.age_s, keep.unread_age_s, by_topic, size)
