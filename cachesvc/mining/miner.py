"""One membership of a reader: from the source's batches to appends that the service has taken."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing

from cachesvc.mining.append_stream import AppendStream, ServiceLost
from cachesvc.mining.black_box import Recorder, WorkedOn
from cachesvc.mining.connection_settings import ConnectionSettings
from cachesvc.mining.encode import ROWS_MAX, Encoded, EncodedAppend, EncodingRules
from cachesvc.mining.encoding_threads import EncodingThreads, Work
from cachesvc.mining.failures import WorkFailed
from cachesvc.mining.holdings import AssignedTopic, HeldPartition, Holdings
from cachesvc.mining.reports import PartitionReport, report_of
from cachesvc.mining.setbacks import Setbacks, fields_of
from cachesvc.mining.source import (
    EARLIEST,
    POLL_BYTES_MAX,
    BatchPart,
    FetchTimes,
    SourceBatch,
    SourcePartition,
    SourceReader,
)
from cachesvc.mining.telling import News
from cachesvc.mining.tracing import Tracing
from cachesvc.mining.window import AppendWindow, InFlight
from cachesvc.policy.blocking import Blockage, BlockReason

_log = logging.getLogger(__name__)


async def no_rest(busy_s: float) -> None:
    """For a miner that never has to let another one go first."""


class Miner:
    """Mines what it is assigned, as long as ``mine`` and ``take_answers`` run.

    What goes wrong with records of one partition stops that partition at most.

    Args:
        stream: Takes the appends.
        source: Where records come from.
        connection: How to mine.
        window_bytes_max: Bytes of appends that may be unacknowledged.
        rest: Called with the seconds that each piece of work took; mining goes on behind it.
        recorder: Is told what is in hand.
        large: Is held while something large is in hand; one for all miners of a process.
    """

    def __init__(
        self,
        stream: AppendStream,
        source: SourceReader,
        connection: ConnectionSettings,
        window_bytes_max: int,
        rest: Callable[[float], Awaitable[None]] = no_rest,
        recorder: Recorder | None = None,
        large: asyncio.Lock | None = None,
    ) -> None:
        self._stream = stream
        self._source = source
        self._connection = connection
        self._rest = rest
        self._rows_max = min(connection.batch_records_max, ROWS_MAX)
        traces = connection.traces
        self._tracing = None if traces is None else Tracing(traces)
        self._taken_s = 0.0
        rules = EncodingRules(
            connection.non_json_policy, connection.record_bytes_max, traced=traces is not None
        )
        slots = (2, 3) if stream.backfill else (0, 1)
        self._threads = EncodingThreads(rules, self._rows_max, recorder, slots, large)
        self._holdings = Holdings()
        self._news = News(self._holdings, source, self._report)
        self._setbacks = Setbacks(self._holdings, source, self._news.changed, self.fetch)
        self._window = AppendWindow(window_bytes_max)
        self.busy_s = 0.0
        """Seconds spent on records since it was made."""
        self.begin: Callable[[HeldPartition], None] = self.fetch
        """Begins a partition that was assigned; ``fetch``, unless somebody is more careful."""
        self.suspects: Mapping[tuple[SourcePartition, int], WorkedOn] = {}
        """What the process before died of, by partition and incarnation."""

    def close(self) -> None:
        """Lets the threads end. Idempotent."""
        self._threads.close()

    def assign(self, topics: Sequence[AssignedTopic]) -> None:
        """Takes over an assignment; partitions that it leaves as they are flow on undisturbed."""
        changes = self._holdings.assign(topics)
        for partition in changes.dropped:
            self._source.remove(partition)
            self._news.changed(partition)
        for held in changes.taken:
            suspect = self.suspects.get((held.partition, held.incarnation))
            if suspect is not None and held.next_offset < suspect.end:
                held.suspect_all(suspect.end, suspect.rows)
            self.begin(held)
            self._news.changed(held.partition)
        self._news.telling.again()
        _log.info(
            "the assignment has changed",
            extra={
                "event": "assignment_changed",
                "partitions": len(self._holdings),
                "dropped": len(changes.dropped),
                "taken": len(changes.taken),
            },
        )

    @property
    def unacknowledged_bytes(self) -> int:
        """Bytes of appends that the service has not answered."""
        return self._window.unacknowledged_bytes

    async def drained(self) -> None:
        """Waits until every append that was sent is answered."""
        await self._window.wait_until_empty()

    # From the source to the service

    async def mine(self) -> None:
        """Fetches, encodes and sends until cancelled; nothing is fetched while the window is full.

        Raises:
            ServiceLost: The service is gone.
        """
        while True:
            await self._window.wait_for_room()
            work = [
                (_until(batch, held.end_offset), held, held.generation)
                for batch in await self._source.poll()
                if (held := self._holdings.get(batch.partition)) is not None and not held.done
            ]
            began_s = self._taken_s = time.monotonic()
            for batch, held, _ in work:
                expected = held.next_offset in (EARLIEST, batch.base_offset)
                assert expected, "batches follow one another"
            apart = [piece for piece in work if self._looked_for(piece[1])]
            work = [piece for piece in work if not self._looked_for(piece[1])]
            if len(work) == 1 and work[0][0].encoded_bytes > POLL_BYTES_MAX:
                await self._mine_large(*work.pop())
            elif work:
                await self._mine_small(work)
            while apart:
                await self._mine_apart(*apart.pop())
            self._threads.done()
            took_s = time.monotonic() - began_s
            self.busy_s += took_s
            await self._rest(took_s)

    async def _mine_large(self, batch: SourceBatch, held: HeldPartition, generation: int) -> None:
        rows_max = held.rows_max(self._rows_max)
        try:
            async with aclosing(self._threads.one(batch, held)) as run:
                async for encoded in run:
                    if not await self._send(held, generation, encoded, batch.fetched):
                        return
                    if self._looked_for(held):  # the next record may be the end of this process
                        await self._window.wait_until_empty()
        except WorkFailed as failed:
            self._setbacks.failed(held, generation, batch, failed.error, rows_max)

    async def _mine_apart(self, batch: SourceBatch, held: HeldPartition, generation: int) -> None:
        """Goes in small appends as far as a record is looked for, and as usual behind that."""
        end = held.suspect_end
        if end >= batch.end_offset or end <= batch.base_offset:
            await self._mine_large(batch, held, generation)
            return
        await self._mine_large(BatchPart.until(batch, end), held, generation)
        if (
            self._holdings.holds(held, generation)
            and held.next_offset == end
            and held.blocked is None
        ):
            await self._mine_large(BatchPart.since(batch, end), held, generation)

    def _looked_for(self, held: HeldPartition) -> bool:
        """Whether a record of a partition is looked for that fails, or kills."""
        return held.rows_max(self._rows_max) < self._rows_max

    async def _mine_small(self, work: Sequence[Work]) -> None:
        rows_max = [held.rows_max(self._rows_max) for _, held, _ in work]
        results = await self._threads.small(work)
        try:
            await self._send_small(work, results, rows_max)
        finally:
            await self._stream.flush()

    async def _send_small(
        self,
        work: Sequence[Work],
        results: Sequence[tuple[Sequence[Encoded], Exception | None]],
        rows_max: Sequence[int],
    ) -> None:
        for (batch, held, generation), (done, failure), rows in zip(
            work, results, rows_max, strict=True
        ):
            for encoded in done:
                if not await self._send(held, generation, encoded, batch.fetched, more=True):
                    break
            if failure is not None:
                self._setbacks.failed(held, generation, batch, failure, rows)

    async def _send(
        self,
        held: HeldPartition,
        generation: int,
        encoded: Encoded,
        fetched: FetchTimes | None = None,
        *,
        more: bool = False,
    ) -> bool:
        """Sends appends, as far as they still count; whether the partition goes on behind them.

        With ``more`` they may go with those of others, at the stream's next ``flush``.
        """
        for append in encoded.appends:
            if not self._window.has_room:
                await self._stream.flush()  # what is held is answered only once it was sent
            await self._window.wait_for_room()
            if not self._holdings.holds(held, generation):
                return False
            records = append.record_count + append.reject_count
            records = min(records, append.end_offset - append.base_offset)
            extent = append.end_offset, append.bytes, records, append.base_offset
            self._window.sent(InFlight(held, generation, *extent))
            held.next_offset, held.leader_epoch = append.end_offset, append.leader_epoch
            traced = None
            if self._tracing is not None:
                traced = self._tracing.of(append, fetched, self._taken_s)
            await self._stream.append(self._connection.name, held, append, traced, more=more)
        if not self._holdings.holds(held, generation):
            return False  # the source may have the partition for another range by now
        if held.done:
            self._source.pause(held.partition)
        if encoded.blocked_by is None:
            return True
        reject = encoded.blocked_by
        held.next_offset = encoded.blocked_offset if encoded.blocked_offset is not None else -1
        reason = BlockReason(reject.reason.value)
        self._setbacks.stop(
            held, Blockage(reason, held.next_offset, encoded.blocked_bytes, reject.detail)
        )
        return False

    # From the service

    async def take_answers(self) -> None:
        """Takes the service's answers until cancelled.

        Raises:
            ServiceLost: The service is gone, or its answers make no sense.
        """
        while True:
            answer = await self._stream.answer()
            append = self._window.answered()
            if append is None or append.held.partition != answer.partition:
                raise ServiceLost("the service answers an append that was not sent")
            if not answer.refused:
                if append.held.failure:
                    self._news.changed(append.held.partition)
                append.held.get_on()
            elif self._holdings.holds(append.held, append.generation):
                self._setbacks.refused(append, answer)

    def fetch(self, held: HeldPartition) -> None:
        """Has a partition fetched from where it stands."""
        at = held.next_offset, held.source_id, held.leader_epoch
        self._source.add(held.partition, *at)

    def hold(self, held: HeldPartition) -> None:
        """Has a partition known to the source, and not fetched before ``fetch``."""
        self.fetch(held)
        self._source.pause(held.partition)

    def settled(self, held: HeldPartition) -> bool:
        """Whether there is nothing of a partition to mine now, or it cannot be mined."""
        if self._holdings.get(held.partition) is not held or held.blocked or held.failure:
            return True
        status = self._source.status(held.partition)
        end = status.high_watermark
        return status.problem is not None or (end is not None and end <= max(held.next_offset, 0))

    async def look(self) -> bool:
        """Takes note of all that is new, and goes on behind what the source had deleted.

        Returns:
            Whether the service has to hear of it at once.

        Raises:
            ServiceLost: The service is gone.
        """
        self._news.look()
        # Sending waits, and what is held may be another thing afterwards.
        lossy = self._news.take_lossy()
        found = [(held, held.generation, lost) for held in lossy if (lost := self._lost(held))]
        for held, generation, lost in found:
            if await self._send(held, generation, Encoded([lost])) and not held.done:
                self.fetch(held)
        return self._news.telling.urgent

    def _lost(self, held: HeldPartition) -> EncodedAppend | None:
        """The gap at which a partition stands, up to its end at most."""
        problem = self._source.status(held.partition).problem
        if problem is None or problem.resume_offset is None or held.done:
            return None
        if held.next_offset == EARLIEST:
            return None
        end = problem.resume_offset
        if held.end_offset is not None:
            end = min(end, held.end_offset)
        _log.warning(
            "the source deleted records before they were mined",
            extra={"event": "source_gap", **fields_of(held), "error": str(problem)},
        )
        return EncodedAppend(held.next_offset, end, gap=True)

    # How things are

    def reports(self) -> list[PartitionReport]:
        """What the service is to be told now; see ``Telling``."""
        return self._news.telling.take()

    def _report(self, held: HeldPartition) -> PartitionReport:
        source, backfill = self._source, self._stream.backfill
        return report_of(held, source.status(held.partition), source.error, backfill=backfill)


def _until(batch: SourceBatch, end_offset: int | None) -> SourceBatch:
    return batch if end_offset is None else BatchPart.until(batch, end_offset)
