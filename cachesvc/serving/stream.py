"""One subscriber's stream: cursors into shared frames, and the events that follow from them.

Nothing is queued for a subscriber. It holds a position per partition and takes frames as fast as
its client takes responses; gRPC's flow control is the backpressure. A partition that has something
to read waits in a round-robin queue, so that no partition starves another.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Mapping

from cachesvc.errors import DamagedFile, DataLoss
from cachesvc.log.log_store import LogStore
from cachesvc.log.partition_log import PartitionLog
from cachesvc.model import (
    GapCause,
    GapPolicy,
    LostRange,
    PartitionId,
    Snapshot,
)
from cachesvc.serving.batches import Batches
from cachesvc.serving.cursor import STUCK, Cursor
from cachesvc.serving.recovery import StreamSnapshots
from cachesvc.serving.responses import batch_response
from cachesvc.serving.stream_events import (
    data_loss,
    ended,
    gap,
    partition_added,
    progress,
    too_large,
)
from cachesvc.serving.stream_settings import StreamSettings
from cachesvc.subscriptions.subscriber import Subscriber
from cachesvc.v1 import log_cache_pb2 as pb
from cachesvc.watching.deliveries import Deliveries

Write = Callable[[bytes], Awaitable[None]]


class Stream:
    """Delivers one subscription to one client. Belongs to one event loop and one call.

    Args:
        store: The logs.
        batches: Cuts and encodes them, shared by all streams.
        snapshots: Knows what becomes of damaged snapshots, and of gaps that one reaches beyond.
        subscriber: Is told what was delivered.
        settings: How to deliver.
        deliveries: Counts what is sent.
    """

    def __init__(
        self,
        store: LogStore,
        batches: Batches,
        snapshots: StreamSnapshots,
        subscriber: Subscriber,
        settings: StreamSettings,
        deliveries: Deliveries,
    ) -> None:
        self._store = store
        self._reader = store.reader
        self._batches = batches
        self._snapshots = snapshots
        self._subscriber = subscriber
        self._settings = settings
        self._deliveries = deliveries
        self.ends: Mapping[PartitionId, int] = {}
        """Where the stream ends, per partition; set before partitions are entered."""
        self._cursors: dict[tuple[str, int], Cursor] = {}
        self._topics: dict[str, list[Cursor]] = {}
        self._unfinished: dict[Cursor, None] = {}  # all that have not ended, and perhaps some more
        self._waiting_for: dict[PartitionId, str] = {}
        self._ready: OrderedDict[Cursor, None] = OrderedDict()
        self._wake = asyncio.Event()
        self._changed_topics: set[str] = set()
        self._at_tail: set[str] = set()
        self._state_changed = False
        self._told: bytes | None = None  # the last progress, as long as it holds
        self._told_of = 0
        self._added: dict[Cursor, None] = {}

    def add(self, log: PartitionLog, position: int, snapshot: Snapshot | None = None) -> Cursor:
        """Enters a partition; before ``run``, or else use ``add_later``.

        With a snapshot it reads that from the position on, and the log behind its end.
        """
        cursor = Cursor(log, position, None)
        cursor.listener = lambda: self._changed(cursor)
        self._cursors[log.id.topic, log.id.partition] = cursor
        self._topics.setdefault(log.id.topic, []).append(cursor)
        self._place(cursor, log.id, position, snapshot)
        return cursor

    def _place(
        self,
        cursor: Cursor,
        partition: PartitionId,
        position: int,
        snapshot: Snapshot | None = None,
    ) -> None:
        """Has a cursor read a partition from ``position`` on, from the log that has it.

        What no log has from there on is wanted from now on, and mined if the source has it.
        """
        self._leave(cursor)
        in_log = position if snapshot is None else snapshot.end_offset
        log = self._store.ranges.reach(partition, in_log)
        cursor.snapshot = snapshot
        cursor.log, cursor.position, cursor.end = log, position, self.ends.get(partition)
        self._subscriber.delivered[partition] = position
        self._unfinished[cursor] = None
        log.subscribe(cursor.listener)
        self._store.backfill.want(cursor, partition, in_log, cursor.end)
        self._changed(cursor)

    def _leave(self, cursor: Cursor) -> None:
        cursor.log.unsubscribe(cursor.listener)
        self._store.backfill.leave(cursor, cursor.log.id)

    def add_later(self, log: PartitionLog, position: int) -> None:
        """Enters a partition into a running stream, which tells its client."""
        cursor = self.add(log, position)
        self._ready.pop(cursor, None)
        self._added[cursor] = None
        self._wake.set()

    def end_at(self, partition: PartitionId, end: int) -> None:
        """Gives an end to a partition that had none; it has not come further than that."""
        cursor = self._cursors[partition.topic, partition.partition]
        cursor.end = end
        self._store.backfill.want(cursor, partition, cursor.position, end)
        self._changed(cursor)

    def wait_for(self, partitions: Mapping[PartitionId, str]) -> None:
        """Has the client told of partitions that join later, and why; a stream ends behind all."""
        if partitions != self._waiting_for:
            self._waiting_for = dict(partitions)
            self._told = None
            self._state_changed = True
            self._wake.set()

    def reads(self, topic: str, number: int) -> bool:
        """Whether the stream reads a partition, in whichever incarnation of its topic."""
        return (topic, number) in self._cursors

    @property
    def cursors(self) -> Iterable[Cursor]:
        """Where the stream is, per partition."""
        return self._cursors.values()

    def close(self) -> None:
        """Leaves all logs; idempotent."""
        for cursor in self._cursors.values():
            self._leave(cursor)

    async def run(self, write: Write) -> None:
        """Delivers until the stream is complete; for ever if it is not bounded.

        Raises:
            DataLoss: Records that it has to deliver are gone; the gap event has been sent.
        """
        while not self._complete():
            while self._added:
                cursor = next(iter(self._added))
                del self._added[cursor]
                await write(partition_added(cursor))
                self._changed(cursor)
            if self._ready:
                cursor, _ = self._ready.popitem(last=False)
                await self._deliver(cursor, write)
                continue
            await self._tell_caught_up(write)
            if self._state_changed or not await self._news():
                self._state_changed = False
                await write(self._progress())
        await self._tell_caught_up(write)
        await write(ended(self._cursors.values()))

    def _complete(self) -> bool:
        """Whether everything was delivered; looks at each partition that has ended once."""
        if not self._settings.bounded or self._waiting_for:
            return False
        while self._unfinished:
            cursor = next(iter(self._unfinished))
            if not cursor.ended:
                return False
            del self._unfinished[cursor]
        return True

    def _progress(self) -> bytes:
        """How things are; put together anew only where that has changed since it was last told."""
        ends_told = self._store.source_ends_told
        if self._told is not None and self._told_of == ends_told:
            return self._told
        found = progress(self._cursors.values(), self._waiting_for)
        # Below a missing range, a log does not say that the one on top of it grows.
        if all(cursor.log.above is None for cursor in self._cursors.values()):
            self._told, self._told_of = found, ends_told
        return found

    def _changed(self, cursor: Cursor) -> None:
        self._told = None
        self._changed_topics.add(cursor.log.id.topic)
        state = cursor.log.source.state
        stuck = state if state in STUCK else None
        if stuck is not cursor.stuck:
            cursor.stuck = stuck
            self._state_changed = True
        if cursor.readable and cursor not in self._added:
            self._ready[cursor] = None
        self._wake.set()

    async def _news(self) -> bool:
        """Waits for something to do; False when there was nothing for the longest silence."""
        self._wake.clear()
        if self._ready or self._added:
            return True
        try:
            async with asyncio.timeout(self._settings.progress_interval_s):
                await self._wake.wait()
        except TimeoutError:
            return False
        return True

    async def _deliver(self, cursor: Cursor, write: Write) -> None:
        """Delivers one batch of a partition and queues it again if there is more."""
        log = cursor.log
        if cursor.snapshot is not None:
            await self._deliver_snapshot(cursor, cursor.snapshot, write)
            return
        if not log.reaches(cursor.position) and log.lost_at(cursor.position) is None:
            log = self._store.ranges.reach(log.id, cursor.position)
            if log is not cursor.log and log.reaches(cursor.position):
                self._place(cursor, log.id, cursor.position)
                return
        lost = log.gap_at(cursor.position)
        if lost is not None:
            await self._pass(cursor, lost, write)
            return
        if not log.in_memory(cursor.position):
            await self._tell_fell_behind(log.id.topic, write)
        try:
            response = await self._next_response(cursor)
        except DamagedFile:
            if not await self._store.mend(log, cursor.position):
                await write(gap(cursor, None))
                raise
            self._changed(cursor)
            return
        except DataLoss:
            if log.gap_at(cursor.position) is None:
                await write(gap(cursor, None))
                raise
            self._changed(cursor)  # retention was faster
            return
        if response is not None:
            await write(response)
            self._note_age(cursor)

    def _note_age(self, cursor: Cursor) -> None:
        """How old the newest record was that has just been sent; of streams that have caught up."""
        log = cursor.log
        if log.id.topic in self._at_tail:
            mined_s = log.recent.mined_s(cursor.position - 1)
            if mined_s is not None:
                self._deliveries.ages.add(time.monotonic() - mined_s)

    async def _deliver_snapshot(self, cursor: Cursor, snapshot: Snapshot, write: Write) -> None:
        """Delivers one batch of a snapshot; one that is damaged is left for the log."""
        partition = cursor.log.id
        await self._tell_fell_behind(partition.topic, write)
        lost = cursor.gap_in_snapshot
        if lost is not None:
            await write(gap(cursor, lost))
            if self._settings.gap_policy is GapPolicy.STOP_AT_GAP:
                raise data_loss(partition, lost)
            cursor.told = lost.end
        try:
            response = await self._next_response(cursor)
        except DamagedFile:
            await self._snapshots.damaged(snapshot)
            self._place(cursor, partition, cursor.position)
            return
        if cursor.position >= snapshot.end_offset:
            self._place(cursor, partition, cursor.position)
        if response is not None:
            await write(response)

    async def _pass(self, cursor: Cursor, lost: LostRange, write: Write) -> None:
        """Tells a gap and goes on behind it, or ends the stream there, as it was asked to.

        Raises:
            DataLoss: It has to end; the gap event has been sent.
        """
        log = cursor.log
        log_over = log.ended_by is not None and log.above is None
        over = log_over and lost.begin >= log.accepted_end_offset
        following = self._store.successor(log) if over else None
        if over and following is None and self._store.is_to_come(log):
            return  # its log is about to be made, and the cursor is told then
        seamless = following is not None and lost.cause is GapCause.SOURCE_TRUNCATED
        if following is not None and seamless and following.log_start_offset >= cursor.position:
            await self._move(cursor, following, cursor.position, write)
            return
        await write(gap(cursor, lost))
        if self._settings.gap_policy is GapPolicy.RECOVER_FROM_SNAPSHOT:
            recovers = await self._snapshots.recover(log.id, lost)
            raise data_loss(log.id, lost, recovers=recovers)
        if self._settings.gap_policy is GapPolicy.STOP_AT_GAP:
            raise data_loss(log.id, lost)
        if following is not None:
            await self._move(cursor, following, following.log_start_offset, write)
        elif over:
            cursor.left = True
        else:
            self._place(cursor, log.id, lost.end)

    async def _move(self, cursor: Cursor, log: PartitionLog, position: int, write: Write) -> None:
        """Goes on in a topic's next incarnation."""
        self._place(cursor, log.id, position)
        await write(partition_added(cursor))

    async def _next_response(self, cursor: Cursor) -> bytes | None:
        """Moves a cursor on; the batch it moved over, None if that has no records.

        Whoever waits for a slow client afterwards holds the batch and not the chunk it is from.
        """
        log = cursor.log
        snapshot = cursor.snapshot
        if snapshot is None:
            frames = await self._reader.read(log, cursor.position)
        else:
            frames = await self._reader.read_file(snapshot.file, cursor.position)
        if not frames:
            if cursor.readable:
                self._ready[cursor] = None
            return None
        run = await self._batches.next_run(
            log.id,
            frames,
            cursor.position,
            _earlier(cursor.end, cursor.next_gap),
            self._settings.form,
            self._settings.batch_bytes_max,
            "" if snapshot is None else snapshot.file.path,
        )
        cursor.position = run[-1].frame.end_offset
        self._told = None
        self._subscriber.delivered[log.id] = cursor.position
        self._changed_topics.add(log.id.topic)
        if cursor.readable:
            self._ready[cursor] = None
            if snapshot is None:
                self._reader.prefetch(log, cursor.position)
        records = sum(part.frame.record_count for part in run)
        if records:
            response = batch_response(
                log.id, run, self._settings.form, snapshot=snapshot is not None
            )
            if 0 < self._settings.message_bytes_max < len(response):
                frames = [part.frame for part in run]
                raise too_large(log.id, frames, len(response), self._settings.message_bytes_max)
            self._deliveries.sent(log.id.topic_id, records, len(response))
            return response
        return None

    async def _tell_caught_up(self, write: Write) -> None:
        for topic in sorted(self._changed_topics - self._at_tail):
            if all(cursor.at_tail for cursor in self._topics[topic]):
                self._at_tail.add(topic)
                event = pb.CaughtUp(topic=topic)
                await write(pb.SubscribeResponse(caught_up=event).SerializeToString())
        self._changed_topics.clear()

    async def _tell_fell_behind(self, topic: str, write: Write) -> None:
        if topic in self._at_tail:
            self._at_tail.remove(topic)
            event = pb.FellBehind(topic=topic)
            await write(pb.SubscribeResponse(fell_behind=event).SerializeToString())


def _earlier(one: int | None, other: int | None) -> int | None:
    return min((each for each in (one, other) if each is not None), default=None)
