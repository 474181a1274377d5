"""A reader's mining of older ranges, beside that of new records and at their mercy."""

import asyncio
import time
from collections.abc import Callable, Sequence

from cachesvc.mining.append_stream import AppendStream
from cachesvc.mining.black_box import Recorder
from cachesvc.mining.connection_settings import ConnectionSettings
from cachesvc.mining.holdings import AssignedTopic
from cachesvc.mining.miner import Miner
from cachesvc.mining.reports import PartitionReport
from cachesvc.mining.source import FetchCounts, SourceReader
from cachesvc.policy.pacing import rest_s

_WINDOW_SHARE = 4
"""Older ranges get this part of the window for appends that are not acknowledged."""


class Backfilling:
    """Mines older ranges as they are assigned. Begins with the first: before it costs nothing.

    Args:
        stream: Takes the appends.
        connection: How to mine.
        make_source: Makes a source of its own, so that no fetch of new records waits behind one.
        tail: Mines new records, which go first.
        recorder: Is told what is in hand.
        large: Is held while something large is in hand.
    """

    def __init__(
        self,
        stream: AppendStream,
        connection: ConnectionSettings,
        make_source: Callable[[], SourceReader],
        tail: Miner,
        recorder: Recorder | None = None,
        large: asyncio.Lock | None = None,
    ) -> None:
        self._stream = stream
        self._connection = connection
        self._make_source = make_source
        self._tail = tail
        self._recorder = recorder
        self._large = large
        self._source: SourceReader | None = None
        self._miner: Miner | None = None
        self._looked_s = time.monotonic()
        self._tail_busy_s = 0.0

    def assign(
        self, topics: Sequence[AssignedTopic], cluster_id: str, tasks: asyncio.TaskGroup
    ) -> None:
        """Takes over the ranges of an assignment.

        Args:
            topics: With older ranges.
            cluster_id: Of the cluster that they are mined from.
            tasks: Gets what has to run for them.
        """
        if self._miner is None:
            if not any(topic.resume_offsets for topic in topics):
                return
            self._source = self._make_source()
            window = self._connection.append_window_bytes_max // _WINDOW_SHARE
            inside = self._rest, self._recorder, self._large
            self._miner = Miner(self._stream, self._source, self._connection, window, *inside)
            tasks.create_task(self._source.run())
            tasks.create_task(self._miner.mine())
            tasks.create_task(self._miner.take_answers())
        if self._source is not None:
            self._source.expect(cluster_id)
        self._miner.assign(topics)

    async def look(self) -> bool:
        """See ``Miner``.

        Raises:
            ServiceLost: The service is gone.
        """
        return self._miner is not None and await self._miner.look()

    def reports(self) -> list[PartitionReport]:
        """What to tell the service about the ranges now."""
        return [] if self._miner is None else self._miner.reports()

    @property
    def throttled_s(self) -> float:
        """See ``SourceReader``."""
        return 0.0 if self._source is None else self._source.throttled_s

    @property
    def fetches(self) -> FetchCounts:
        """See ``SourceReader``."""
        return FetchCounts() if self._source is None else self._source.fetches

    @property
    def busy_s(self) -> float:
        """See ``Miner``."""
        return 0.0 if self._miner is None else self._miner.busy_s

    @property
    def unacknowledged_bytes(self) -> int:
        """See ``Miner``."""
        return 0 if self._miner is None else self._miner.unacknowledged_bytes

    def close(self) -> None:
        """Lets threads end. Idempotent."""
        if self._miner is not None:
            self._miner.close()

    async def _rest(self, busy_s: float) -> None:
        now_s, tail_busy_s = time.monotonic(), self._tail.busy_s
        elapsed_s, spent_s = now_s - self._looked_s, tail_busy_s - self._tail_busy_s
        await asyncio.sleep(rest_s(busy_s, spent_s, elapsed_s, self._connection.backfill_share))
        self._looked_s, self._tail_busy_s = time.monotonic(), self._tail.busy_s
