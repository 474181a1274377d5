"""One membership of a reader: from the source's batches to appends that the service has taken."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from cachesvc.errors import DataLoss
from cachesvc.mining.connection_settings import ConnectionSettings
from cachesvc.mining.encode import (
    ROWS_MAX,
    Encoded,
    EncodedAppend,
    encode,
    encode_batch,
)
from cachesvc.mining.holdings import AssignedTopic, HeldPartition, Holdings
from cachesvc.mining.source import (
    EARLIEST,
    POLL_BYTES_MAX,
    BatchUntil,
    SourceBatch,
    SourceReader,
)
from cachesvc.mining.telling import News
from cachesvc.mining.uplink import Answer, Lane, PartitionReport, ServiceLost
from cachesvc.mining.window import AppendWindow, InFlight
from cachesvc.model import MiningState

_log = logging.getLogger(__name__)
_T = TypeVar("_T")
_STALE_EPOCH = "STALE_EPOCH"


async def no_rest(busy_s: float) -> None:
    """For a miner that never has to let another one go first."""


class Miner:
    """Mines what it is assigned, as long as ``mine`` and ``take_answers`` run.

    Decoding runs in one thread and encoding in another, so that the two overlap wherever they
    leave the interpreter lock: in decompression, Arrow and compression.

    Args:
        lane: Takes the appends.
        source: Where records come from.
        connection: How to mine.
        window_bytes_max: Bytes of appends that may be unacknowledged.
        rest: Called with the seconds that each piece of work took; mining goes on behind it.
    """

    def __init__(
        self,
        lane: Lane,
        source: SourceReader,
        connection: ConnectionSettings,
        window_bytes_max: int,
        rest: Callable[[float], Awaitable[None]] = no_rest,
    ) -> None:
        self._lane = lane
        self._source = source
        self._connection = connection
        self._rest = rest
        self._rows_max = min(connection.batch_records_max, ROWS_MAX)
        self._holdings = Holdings()
        self._news = News(self._holdings, source, self._report)
        self._window = AppendWindow(window_bytes_max)
        self.busy_s = 0.0
        """Seconds spent on records since it was made."""
        self._decoder = ThreadPoolExecutor(1, thread_name_prefix="decode")
        self._encoder = ThreadPoolExecutor(1, thread_name_prefix="encode")

    def close(self) -> None:
        """Lets the threads end. Idempotent."""
        for thread in (self._decoder, self._encoder):
            thread.shutdown(wait=False, cancel_futures=True)

    def assign(self, topics: Sequence[AssignedTopic]) -> None:
        """Takes over an assignment; partitions that it leaves as they are flow on undisturbed."""
        changes = self._holdings.assign(topics)
        for partition in changes.dropped:
            self._source.remove(partition)
            self._news.changed(partition)
        for held in changes.taken:
            self._fetch(held)
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
                (_until(batch, held.end_offset), held, held.life)
                for batch in await self._source.poll()
                if (held := self._holdings.get(batch.partition)) is not None and not held.done
            ]
            began_s = time.monotonic()
            for batch, held, _ in work:
                expected = held.next_offset in (EARLIEST, batch.base_offset)
                assert expected, "batches follow one another"
            if len(work) == 1 and work[0][0].encoded_bytes > POLL_BYTES_MAX:
                await self._mine_large(*work[0])
            else:
                await self._mine_small(work)
            took_s = time.monotonic() - began_s
            self.busy_s += took_s
            await self._rest(took_s)

    async def _mine_large(self, batch: SourceBatch, held: HeldPartition, life: int) -> None:
        """Decodes one chunk while the one before is being encoded."""
        chunks = batch.chunks(self._rows_max)
        policy = self._connection.non_json_policy
        try:
            chunk = await self._in_thread(self._decoder, next, chunks, None)
            while chunk is not None:
                encoding = self._in_thread(self._encoder, encode, chunk, policy)
                decoding = self._in_thread(self._decoder, next, chunks, None)
                goes_on = await self._send(held, life, await encoding)
                chunk = await decoding
                if not goes_on:
                    return
        except DataLoss as damage:
            self._damaged(held, life, damage)

    async def _mine_small(self, work: Sequence[tuple[SourceBatch, HeldPartition, int]]) -> None:
        """Decodes and encodes some batches in one go."""
        policy, rows_max = self._connection.non_json_policy, self._rows_max

        def encode_all() -> list[tuple[list[Encoded], DataLoss | None]]:
            return [encode_batch(batch, policy, rows_max) for batch, _, _ in work]

        results = await self._in_thread(self._encoder, encode_all)
        for (_, held, life), (done, damage) in zip(work, results, strict=True):
            for encoded in done:
                if not await self._send(held, life, encoded):
                    break
            if damage is not None:
                self._damaged(held, life, damage)

    def _damaged(self, held: HeldPartition, life: int, damage: DataLoss) -> None:
        if self._holdings.holds(held, life):
            why = f"{damage.reason}: {damage}"
            self._go_back(held, held.next_offset, held.leader_epoch, why)

    async def _send(self, held: HeldPartition, life: int, encoded: Encoded) -> bool:
        """Sends appends, as far as they still count; whether the partition goes on behind them."""
        for append in encoded.appends:
            await self._window.wait_for_room()
            if not self._holdings.holds(held, life):
                return False
            self._window.sent(InFlight(held, life, append.end_offset, append.bytes))
            held.next_offset, held.leader_epoch = append.end_offset, append.leader_epoch
            await self._lane.append(self._connection.name, held, append)
        if not self._holdings.holds(held, life):
            return False  # the source may have the partition for another range by now
        if held.done:
            self._source.pause(held.partition)
        if encoded.blocked_by is None:
            return True
        reject = encoded.blocked_by
        held.next_offset = encoded.blocked_offset if encoded.blocked_offset is not None else -1
        held.blocked = (
            f"mining of {held.partition.topic}, partition {held.partition.number}, stops at offset"
            f" {held.next_offset}: {reject.reason.value}: {reject.detail}"
        )
        self._source.pause(held.partition)
        self._news.changed(held.partition)
        _log.error(
            "mining of a partition stops",
            extra={"event": "partition_blocked", **_fields(held), "error": held.blocked},
        )
        return False

    def _in_thread(
        self, thread: ThreadPoolExecutor, work: Callable[..., _T], *arguments: Any
    ) -> "asyncio.Future[_T]":
        return asyncio.get_running_loop().run_in_executor(thread, work, *arguments)

    # From the service

    async def take_answers(self) -> None:
        """Takes the service's answers until cancelled.

        Raises:
            ServiceLost: The service is gone, or its answers make no sense.
        """
        while True:
            answer = await self._lane.answer()
            append = self._window.answered()
            if append is None or append.held.partition != answer.partition:
                raise ServiceLost("the service answers an append that was not sent")
            if not answer.refused:
                if append.held.failure:
                    self._news.changed(append.held.partition)
                append.held.get_on()
            elif self._holdings.holds(append.held, append.life):
                self._refused(append.held, answer)

    def _refused(self, held: HeldPartition, answer: Answer) -> None:
        _log.warning(
            "the service refused an append",
            extra={
                "event": "append_refused",
                **_fields(held),
                "reason": answer.refused,
                "log_end_offset": answer.log_end_offset,
            },
        )
        if answer.refused == _STALE_EPOCH:
            for partition in self._holdings.lose(
                held.partition.topic, held.incarnation, held.epoch
            ):
                self._source.remove(partition)
                self._news.changed(partition)
        else:
            why = f"the service refuses what follows {answer.log_end_offset}: {answer.refused}"
            self._go_back(held, answer.log_end_offset, answer.leader_epoch, why)

    def _fetch(self, held: HeldPartition) -> None:
        at = held.next_offset, held.source_id, held.leader_epoch
        self._source.add(held.partition, *at)

    def _go_back(self, held: HeldPartition, offset: int, leader_epoch: int, why: str) -> None:
        delay_s = held.go_back(offset, leader_epoch, why)
        self._news.changed(held.partition)
        if not delay_s:
            self._fetch(held)
            return
        _log.warning(
            "mining of a partition goes back and tries again",
            extra={
                "event": "partition_set_back",
                **_fields(held),
                "error": why,
                "retry_s": round(delay_s, 2),
            },
        )
        self._source.pause(held.partition)
        asyncio.get_running_loop().call_later(delay_s, self._try_again, held, held.life)

    def _try_again(self, held: HeldPartition, life: int) -> None:
        if self._holdings.holds(held, life):
            self._fetch(held)

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
        found = [(held, held.life, lost) for held in lossy if (lost := self._lost(held))]
        for held, life, lost in found:
            if await self._send(held, life, Encoded([lost])) and not held.done:
                self._fetch(held)
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
            extra={"event": "source_gap", **_fields(held), "error": str(problem)},
        )
        return EncodedAppend(held.next_offset, end, gap=True)

    # How things are

    def reports(self) -> list[PartitionReport]:
        """What the service is to be told now; see ``Telling``."""
        return self._news.telling.take()

    def _report(self, held: HeldPartition) -> PartitionReport:
        status = self._source.status(held.partition)
        problem = status.problem
        state, error = MiningState.MINING, ""
        if held.blocked:
            state, error = MiningState.BLOCKED, held.blocked
        elif held.failure:
            state, error = MiningState.FAILED, held.failure
        elif problem is not None:
            away = problem.reason.away
            state = MiningState.SOURCE_UNREACHABLE if away else MiningState.FAILED
            error = str(problem)
        elif self._source.error:
            state, error = MiningState.SOURCE_UNREACHABLE, self._source.error
        elif status.throttled:
            state, error = MiningState.THROTTLED, status.throttled
        elif status.high_watermark is None:
            state = MiningState.STARTING
        unsettled = problem.reason.value if problem is not None and problem.reason.final else ""
        return PartitionReport(
            held.partition,
            held.incarnation,
            status.high_watermark,
            state,
            error,
            unsettled,
            self._lane.backfill,
        )


def _until(batch: SourceBatch, end_offset: int | None) -> SourceBatch:
    return batch if end_offset is None else BatchUntil(batch, end_offset)


def _fields(held: HeldPartition) -> dict[str, object]:
    return {
        "topic": held.partition.topic,
        "partition": held.partition.number,
        "offset": held.next_offset,
        "epoch": held.epoch,
    }
