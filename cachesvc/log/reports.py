"""What readers say: of the partitions that they mine, and of their way to the brokers."""

import math
import time
from collections.abc import Callable

from cachesvc.log.entering import Entering
from cachesvc.log.log_store import LogStore
from cachesvc.log.readers import JoinedReader
from cachesvc.log.sources import Sources
from cachesvc.model import GapCause, MiningState, PartitionId


class Reports:
    """Notes reports, and tells those whom they concern. Belongs to one event loop.

    Args:
        store: Holds the logs that are spoken of.
        sources: Looked at again where a report casts doubt on what is known of them.
        entering: Told of what a source has lost.
        plan_again: Called when who mines what has to be looked at.
    """

    def __init__(
        self,
        store: LogStore,
        sources: Sources,
        entering: Entering,
        plan_again: Callable[[], None],
    ) -> None:
        self._store = store
        self._sources = sources
        self._entering = entering
        self._plan_again = plan_again

    def note(
        self,
        partition: PartitionId,
        high_watermark: int | None,
        state: MiningState,
        error: str,
        problem: str = "",
    ) -> None:
        """Notes what a reader says of a partition and tells subscribers if it matters to them.

        Args:
            partition: In the life that the reader mines.
            high_watermark: The source's; None until told.
            state: What mining does.
            error: Why, where the state asks for a reason.
            problem: What it is that the reader cannot settle by itself, as one of
                ``GapCause``'s names; empty if there is no such thing.
        """
        log = self._store.get(partition)
        if log is None or log.ended_by is not None:
            return
        if problem:
            self._settle(partition, problem)
        newly_known = high_watermark is not None and log.source.high_watermark is None
        if high_watermark is not None:
            self._store.note_source_end(log, max(high_watermark, log.log_end_offset))
        if log.set_state(state, error) or newly_known:
            log.notify()
            self._plan_again()

    def note_backfill(self, partition: PartitionId, state: MiningState, error: str) -> None:
        """Notes what a reader says of the older ranges of a partition, for those who want them."""
        for log in self._store.stretches.below(partition):
            if log.set_state(state, error):
                log.notify()

    def note_way(self, reader: JoinedReader, error: str) -> None:
        """Notes whether a reader reaches the brokers.

        Args:
            reader: Whose topics are concerned.
            error: Why it does not; empty while it does.
        """
        if not error:
            reader.source_error, reader.cut_off_s = "", math.inf
            return
        if not reader.source_error:
            reader.cut_off_s = time.monotonic()
            # Whether it is the reader's trouble or the cluster's, the service learns by itself.
            self._sources.resolve(reader.connection).refresh_wanted.set()
        reader.source_error = error
        for assigned in reader.assigned.values():
            for number in assigned.partitions:
                partition = assigned.topic.partition(number)
                self.note(partition, None, MiningState.SOURCE_UNREACHABLE, error)
                self.note_backfill(partition, MiningState.SOURCE_UNREACHABLE, error)

    def _settle(self, partition: PartitionId, problem: str) -> None:
        """Has a topic that is no continuation of its log looked at."""
        if problem == GapCause.SOURCE_TRUNCATED.name and self._entering.truncated(partition):
            self._plan_again()
        elif problem == GapCause.TOPIC_RECREATED.name:
            self._sources.resolve(partition.connection).refresh_wanted.set()
