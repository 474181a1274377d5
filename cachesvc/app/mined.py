"""What is mined of which clusters, and by whom."""

from collections.abc import Callable
from dataclasses import dataclass

from cachesvc.app.connections import ConnectionWorks
from cachesvc.assignment.assignments import Assignments
from cachesvc.assignment.mining import Mining
from cachesvc.clusters.matching import TopicMatching
from cachesvc.clusters.sources import Sources
from cachesvc.log.log_store import LogStore
from cachesvc.mining.connections import Connections
from cachesvc.policy.topics import topic_matcher
from cachesvc.serving.local_socket import socket_path
from cachesvc.settings.config import Config
from cachesvc.subscriptions.subscriptions import Subscriptions
from cachesvc.watching.mining_watch import MiningWatch


@dataclass(frozen=True, slots=True)
class Mined:
    """What a service has for mining.

    Attributes:
        sources: The connections as those see them who read.
        matching: Which topics expressions mean.
        mining: What is to be mined.
        assignments: Who mines it.
        connections: The connections as operators see them, and what runs for each.
        watch: What comes in.
    """

    sources: Sources
    matching: TopicMatching
    mining: Mining
    assignments: Assignments
    connections: Connections
    watch: MiningWatch


def make_mined(
    config: Config, store: LogStore, subscriptions: Callable[[], Subscriptions]
) -> Mined:
    """Builds it; ``subscriptions`` are asked for once it runs. Blocking, and short."""
    sources = Sources([], store.incarnations)
    settings = config.mining
    mining = Mining.open(store.catalogue, settings.idle_topic_s, settings.rebalance_interval_s)
    matching = TopicMatching(topic_matcher)
    assignments = Assignments(
        store, sources, subscriptions, settings.reader_timeout_s, matching, mining
    )
    connections = Connections(
        config.connections,
        store.catalogue,
        sources,
        ConnectionWorks(config, socket_path(store.path)),
        lambda name: subscriptions().using(name),
        assignments.dismiss,
        lambda: (log.id for log in store.present()),
        settings.metadata_interval_s,
    )
    assignments.on_silent = connections.replace_reader
    assignments.on_needed = connections.start_readers
    watch = MiningWatch(store.catalogue)
    return Mined(sources, matching, mining, assignments, connections, watch)
