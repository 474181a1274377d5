"""What makes and checks snapshots, as the settings want it."""

from cachesvc.bounds import Bounds
from cachesvc.errors import NotFound
from cachesvc.jobs.snapshot import MakeSnapshots, Wanted
from cachesvc.jobs.snapshot_scrub import SnapshotScrub
from cachesvc.log.log_store import LogStore
from cachesvc.mining.connections import Connections
from cachesvc.model import TopicId
from cachesvc.policy.topics import topic_matcher
from cachesvc.settings.jobs import SnapshotConfig
from cachesvc.snapshots.maker import SnapshotMaker
from cachesvc.snapshots.shelf import Shelf


class Snapshotting:
    """The job that makes snapshots, and what checks them.

    Attributes:
        job: Makes them.
        scrub: Checks them.

    Args:
        config: What they may take.
        store: Whose logs.
        shelf: Takes them.
        wanted: Says of which topics.
    """

    def __init__(
        self, config: SnapshotConfig, store: LogStore, shelf: Shelf, wanted: Wanted
    ) -> None:
        bounds = Bounds(
            memory_bytes_max=config.memory_bytes_max,
            spill_bytes_max=config.spill_bytes_max,
            threads=config.threads,
            time_s_max=config.time_s_max,
        )
        maker = SnapshotMaker(store, shelf, bounds)
        self.job = MakeSnapshots(store, shelf, maker, wanted, config.interval_s)
        self.scrub = SnapshotScrub(store, shelf, maker, wanted)


def snapshot_rule(connections: Connections) -> Wanted:
    """Of which topics snapshots are made; see ``Wanted``. Of a deleted connection, of none."""

    def of(topic: TopicId) -> bool | None:
        try:
            config = connections.get(topic.connection).config
        except NotFound:
            return None
        if not _selects(config.snapshot_expression, topic.topic):
            return None
        return _selects(config.debezium_expression, topic.topic)

    return of


def _selects(expression: str, topic: str) -> bool:
    return bool(expression) and topic_matcher(expression)(topic)
