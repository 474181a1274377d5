"""Snapshot: the latest record per key of topics that connections name for it."""

from collections import Counter
from collections.abc import Callable, Mapping

from cachesvc.errors import CacheError
from cachesvc.jobs.job import Progress
from cachesvc.log.log_store import LogStore
from cachesvc.model import TopicId
from cachesvc.snapshots.maker import SnapshotMaker
from cachesvc.snapshots.shelf import Shelf

Wanted = Callable[[TopicId], bool | None]
"""Whether values of a topic are Debezium's; None for one without snapshots."""


class MakeSnapshots:
    """Continues the snapshots of all partitions of such topics with what was sealed since.

    Those of other topics, and of incarnations that are over, are dropped once nobody reads them.

    Args:
        store: Whose logs.
        shelf: Has them.
        maker: Makes them.
        wanted: Says of which topics.
        interval_s: Between runs.
    """

    name = "snapshot"
    description = "make snapshots: the latest record per key of topics that are set up for it"

    def __init__(
        self,
        store: LogStore,
        shelf: Shelf,
        maker: SnapshotMaker,
        wanted: Wanted,
        interval_s: float,
    ) -> None:
        self.interval_s = interval_s
        self._store = store
        self._shelf = shelf
        self._maker = maker
        self._wanted = wanted

    async def run(self, progress: Progress) -> Mapping[str, int]:
        """See ``Job.run``.

        Raises:
            CacheError: The first failure; the other partitions have had their turn.
        """
        counts: Counter[str] = Counter(snapshots_made=0, records_kept=0, bytes_written=0)
        wanted = [
            (log, debezium)
            for log in self._store.present()
            if (debezium := self._wanted(log.id.topic_id)) is not None
        ]
        counts["snapshots_dropped"] = await self._shelf.keep_only({log.id for log, _ in wanted})
        failure: CacheError | FileNotFoundError | None = None
        for number, (log, debezium) in enumerate(wanted):
            name = f"{log.id.topic}/{log.id.partition}"

            def tell(done: int, total: int, number: int = number, name: str = name) -> None:
                share = f" {100 * done // total} %" if total else ""
                progress(number, len(wanted), name + share)

            tell(0, 0)
            try:
                made = await self._maker.make(log, debezium=debezium, progress=tell)
            except (CacheError, FileNotFoundError) as error:
                failure = failure or error
                continue
            if made is not None:
                counts["snapshots_made"] += 1
                counts["records_kept"] += made.file.record_count
                counts["bytes_written"] += made.file.bytes
        progress(len(wanted), len(wanted), "")
        if failure is not None:
            raise failure
        return counts
