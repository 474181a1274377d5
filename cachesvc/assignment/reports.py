"""What readers say: of the partitions that they mine, and of their way to the brokers."""

import math
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass

from cachesvc.assignment.blocked import BlockedPartitions
from cachesvc.assignment.log_creation import LogCreation
from cachesvc.assignment.readers import JoinedReader
from cachesvc.clusters.sources import Sources
from cachesvc.errors import StoreUnwritable
from cachesvc.log.log_store import LogStore
from cachesvc.log.partition_log import PartitionLog
from cachesvc.model import GapCause, MiningState, PartitionId
from cachesvc.policy.blocking import Blockage


@dataclass(frozen=True, slots=True)
class Death:
    """Where a reader has died.

    Attributes:
        partition: What it was working on.
        offset: Where the work in hand began; -1 for wherever the source begins.
        bytes: Its size as fetched; 0 where that is not known.
        end: Where it ended; likewise.
        alone: Whether the reader had begun nothing else.
    """

    partition: PartitionId
    offset: int
    bytes: int
    end: int
    alone: bool


class Reports:
    """Notes reports, and tells those whom they concern. Belongs to one event loop.

    Args:
        store: Holds the logs that are spoken of.
        sources: Looked at again where a report casts doubt on what is known of them.
        log_creation: Told of what a source has lost.
        plan_again: Called when who mines what has to be looked at.
        blocked: What is known of partitions that have stopped.
    """

    def __init__(
        self,
        store: LogStore,
        sources: Sources,
        log_creation: LogCreation,
        plan_again: Callable[[], None],
        blocked: BlockedPartitions,
    ) -> None:
        self._store = store
        self._sources = sources
        self._log_creation = log_creation
        self._plan_again = plan_again
        self._blocked = blocked
        blocked.mined = self._mined

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
            partition: In the incarnation that the reader mines.
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
        told_anew = self._show_trouble(log, state)
        if log.set_state(state, error) or newly_known or told_anew:
            log.notify()
            self._plan_again()

    def note_backfill(self, partition: PartitionId, state: MiningState, error: str) -> None:
        """Notes what a reader says of the older ranges of a partition, for those who want them."""
        for log in self._store.ranges.below(partition):
            told_anew = self._show_trouble(log, state)
            if log.set_state(state, error) or told_anew:
                log.notify()

    def _show_trouble(self, log: PartitionLog, state: MiningState) -> bool:
        """Has a log tell what it has stopped at; whether that is news."""
        before = log.source.trouble
        blocked = state is MiningState.BLOCKED
        log.source.trouble = self._blocked.of(log.id) if blocked else None
        return before != log.source.trouble

    def note_blockage(self, partition: PartitionId, blockage: Blockage | None) -> bool:
        """Notes what a reader has stopped a partition at; None if it has not.

        Whether the report counts: nothing that a reader says of a partition does which it is to
        have no more.
        """
        if self._blocked.withheld(partition):
            return False
        if blockage is not None:
            # The tail and an older range may both have stopped; one after the other is told.
            known = self._blocked.of(partition)
            same = known is None or known.blockage.offset == blockage.offset
            if same or (known is not None and self._mined(partition, known.last_offset)):
                self._blocked.stopped(partition, blockage)
        elif (offset := self._blocked.known(partition)) is not None and self._mined(
            partition, offset
        ):
            self._blocked.passed(partition)
        return True

    async def note_deaths(self, deaths: Iterable[Death]) -> None:
        """Notes where a reader has died; durable on return, if the disk takes it."""
        for each in deaths:
            if not self._mined(each.partition, each.offset):
                where = each.partition, each.offset, each.end, each.bytes
                self._blocked.died(*where, alone=each.alone)
        with suppress(StoreUnwritable):  # it is written later
            await self._blocked.write()

    def _mined(self, partition: PartitionId, offset: int) -> bool:
        """Whether a partition has been mined behind ``offset``, -1 for its begin."""
        top = self._store.get(partition)
        if top is None or offset < 0:
            return top is not None and not top.blank
        log = self._store.ranges.at(partition, offset)
        return log is not None and log.log_start_offset <= offset < log.accepted_end_offset

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
        if problem == GapCause.SOURCE_TRUNCATED.name and self._log_creation.truncated(partition):
            self._plan_again()
        elif problem == GapCause.TOPIC_RECREATED.name:
            self._sources.resolve(partition.connection).refresh_wanted.set()
