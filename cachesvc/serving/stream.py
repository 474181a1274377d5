"""One subscriber's stream: cursors into shared frames, and the events that follow from them.

Nothing is queued for a subscriber. It holds a position per partition and takes frames as fast as
its client takes responses; gRPC's flow control is the backpressure. A partition that has something
to read waits in a round-robin queue, so that no partition starves another.
"""

import asyncio
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Mapping
from itertools import islice

from cachesvc.errors import CacheError, DamagedFile, DataLoss, NotAllowed
from cachesvc.log.log_store import LogStore
from cachesvc.log.partition_log import PartitionLog
from cachesvc.model import GapCause, GapPolicy, LostRange, PartitionId, Snapshot
from cachesvc.policy.spacing import progress_spacing_s
from cachesvc.serving.ahead import AHEAD_MAX
from cachesvc.serving.batches import Batches
from cachesvc.serving.cursor import STUCK, Cursor
from cachesvc.serving.joined_batches import JoinedBatches
from cachesvc.serving.next_batch import NextBatch, Response
from cachesvc.serving.progress import Progress
from cachesvc.serving.recovery import StreamSnapshots
from cachesvc.serving.silence import Silence, Write
from cachesvc.serving.stream_events import data_loss, ended, gap, partition_added
from cachesvc.serving.stream_settings import StreamSettings
from cachesvc.serving.tails import Tails
from cachesvc.serving.turns import Share, Turns
from cachesvc.shared_memory.lending import Lending
from cachesvc.subscriptions.subscriber import Subscriber
from cachesvc.watching.deliveries import Deliveries


class Stream:
    """Delivers one subscription to one client. Belongs to one event loop and one call.

    Args:
        store: The logs.
        batches: Cuts and encodes them, shared by all streams.
        snapshots: Knows what becomes of damaged snapshots, and of gaps that one reaches beyond.
        subscriber: Is told what was delivered.
        settings: How to deliver.
        deliveries: Counts what is sent.
        turns: Whose turn it is, of the streams that catch up.
        lending: Hands records over in shared memory; None where that is not done.
    """

    def __init__(
        self,
        store: LogStore,
        batches: Batches,
        snapshots: StreamSnapshots,
        subscriber: Subscriber,
        settings: StreamSettings,
        deliveries: Deliveries,
        turns: Turns,
        lending: Lending | None = None,
    ) -> None:
        self._store = store
        self._next = NextBatch(store.reader, batches, settings, deliveries, subscriber, lending)
        self._snapshots = snapshots
        self._subscriber = subscriber
        self._settings = settings
        self._deliveries = deliveries
        self._turns = turns
        self._share = Share()
        self.ends: Mapping[PartitionId, int] = {}
        """Where the stream ends, per partition; set before partitions are entered."""
        self._cursors: dict[tuple[str, int], Cursor] = {}
        self._unfinished: dict[Cursor, None] = {}  # all that have not ended, and perhaps some more
        self._waiting_for: dict[PartitionId, str] = {}
        self._ready: OrderedDict[Cursor, None] = OrderedDict()
        self._wake = asyncio.Event()
        self._tails = Tails()
        self._state_changed = False
        self._progress = Progress(store)
        self._added: dict[Cursor, None] = {}
        self._first: deque[Callable[[], bytes]] = deque()
        self.nothing_follows: Callable[[], bool] = lambda: True
        """Asked once all partitions have ended, of a bounded stream; False has it wait."""
        self.complete = False
        """Whether everything was delivered; a client may know, and go, before ``run`` ends."""

    def add(self, log: PartitionLog, position: int, snapshot: Snapshot | None = None) -> Cursor:
        """Enters a partition; before ``run``, or else use ``add_later``.

        With a snapshot it reads that from the position on, and the log behind its end.
        """
        cursor = Cursor(log, position, None)
        cursor.listener = lambda: self._changed(cursor)
        self._cursors[log.id.topic, log.id.partition] = cursor
        self._tails.add(cursor)
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

        Raises:
            NotAllowed: The client may not read the topic.
        """
        if not self._settings.may_read(partition.topic):
            raise NotAllowed(
                "the subscription has topics that the caller may not read; who shares one with "
                "others needs to read all of them"
            )
        self._leave(cursor)
        in_log = position if snapshot is None else snapshot.end_offset
        log = self._store.ranges.reach(partition, in_log)
        cursor.snapshot = snapshot
        cursor.log, cursor.position, cursor.end = log, position, self.ends.get(partition)
        cursor.untold = None
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

    def remove(self, topic: str, number: int) -> Cursor:
        """Takes a partition out; between two deliveries, as ``tell_first`` has it."""
        cursor = self._cursors.pop((topic, number))
        self._next.forget(cursor)
        self._leave(cursor)
        for places in (self._ready, self._unfinished, self._added):
            places.pop(cursor, None)
        self._tails.remove(cursor)
        self._progress.changed()
        return cursor

    def tell_first(self, message: Callable[[], bytes]) -> None:
        """Has something told before anything else is delivered; ``message`` makes it then."""
        self._first.append(message)
        self._wake.set()

    def look_again(self) -> None:
        """Has it ask anew whether it is complete."""
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
            self._progress.changed()
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
        self._next.close()
        for cursor in self._cursors.values():
            self._leave(cursor)

    async def run(self, write: Write) -> None:
        """Delivers until the stream is complete; for ever if it is not bounded.

        Raises:
            DataLoss: Records that it has to deliver are gone; the gap event has been sent.
        """
        with self._deliveries.streaming():
            await self._run(Silence(write))

    async def _run(self, silence: Silence) -> None:
        out = JoinedBatches(silence.write, joins=self._settings.joins_batches)
        try:
            await self._write_all(silence, out)
        finally:
            out.close()

    async def _write_all(self, silence: Silence, out: JoinedBatches) -> None:
        while self._first or not self._complete():
            if self._first:
                await out.flush()
                await out.event(self._first.popleft()())
                continue
            if silence.lasts_s >= self._silence_s_max and not out.holds:
                await self._tell_progress(out)  # a filter leaves nothing of what comes
            while self._added:
                cursor = next(iter(self._added))
                del self._added[cursor]
                await out.event(partition_added(cursor))
                self._changed(cursor)
            if self._ready:
                cursor, _ = self._ready.popitem(last=False)
                try:
                    await self._deliver(cursor, out)
                except CacheError:
                    await out.flush()
                    raise
                continue
            await out.flush()
            await self._tails.tell_caught_up(out)
            if self._state_changed or not await self._news():
                self._state_changed = False
                await self._tell_progress(out)
        await self._tails.tell_caught_up(out)
        await out.flush()
        self.complete = True
        await out.event(ended(self._cursors.values()))

    @property
    def _silence_s_max(self) -> float:
        return progress_spacing_s(self._settings.progress_interval_s, self._deliveries.streams)

    def _complete(self) -> bool:
        """Whether everything was delivered; looks at each partition that has ended once."""
        if not self._settings.bounded or self._waiting_for:
            return False
        while self._unfinished:
            cursor = next(iter(self._unfinished))
            if not cursor.ended:
                return False
            del self._unfinished[cursor]
        return self.nothing_follows()

    async def _tell_progress(self, out: JoinedBatches) -> None:
        await out.event(self._progress.event(self._cursors.values(), self._waiting_for))

    def _changed(self, cursor: Cursor) -> None:
        self._progress.changed()
        self._tails.changed(cursor.log.id.topic)
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
        if self._ready or self._added or self._first:
            return True
        try:
            async with asyncio.timeout(self._silence_s_max):
                await self._wake.wait()
        except TimeoutError:
            return False
        return True

    async def _deliver(self, cursor: Cursor, out: JoinedBatches) -> None:
        """Delivers one batch of a partition and queues it again if there is more."""
        log = cursor.log
        if not self._tails.reached(log.id.topic):
            await self._turns.take(self._share)
        if cursor.snapshot is not None:
            await self._deliver_snapshot(cursor, cursor.snapshot, out)
            return
        if not log.reaches(cursor.position) and log.lost_at(cursor.position) is None:
            log = self._store.ranges.reach(log.id, cursor.position)
            if log is not cursor.log and log.reaches(cursor.position):
                self._place(cursor, log.id, cursor.position)
                return
        lost = log.gap_at(cursor.position)
        if lost is not None:
            await self._pass(cursor, lost, out)
            return
        if not log.in_memory(cursor.position):
            await out.begin_to_flush()  # the disk may be slow
            await self._tails.tell_fell_behind(log.id.topic, out)
        begin = cursor.position
        try:
            response = await self._next_response(cursor)
        except DamagedFile:
            if not await self._store.mend(log, cursor.position):
                await out.event(gap(cursor, None))
                raise
            self._changed(cursor)
            return
        except DataLoss:
            if log.gap_at(cursor.position) is None:
                await out.event(gap(cursor, None))
                raise
            self._changed(cursor)  # retention was faster
            return
        if response is not None:
            await self._send(response, out)
            self._note_age(cursor)
            if self._deliveries.on_sent is not None:
                name = self._settings.subscription
                self._deliveries.on_sent(name, log.id, begin, cursor.position)
        else:
            await out.flush()
            await asyncio.sleep(0)  # there may be much that nothing is to be sent of

    async def _send(self, response: Response, out: JoinedBatches) -> None:
        self._share.sent_bytes += response.carried_bytes
        if response.is_shared:
            await out.handed_over(response.message, response.carried_bytes)
        else:
            await out.batch(response.message)

    def _note_age(self, cursor: Cursor) -> None:
        """How old the newest record was that has just been sent; of streams that have caught up."""
        log = cursor.log
        if self._tails.reached(log.id.topic):
            mined_s = log.recent.mined_s(cursor.position - 1)
            if mined_s is not None:
                self._deliveries.ages.add(time.monotonic() - mined_s)

    async def _deliver_snapshot(
        self, cursor: Cursor, snapshot: Snapshot, out: JoinedBatches
    ) -> None:
        """Delivers one batch of a snapshot; one that is damaged is left for the log."""
        partition = cursor.log.id
        await self._tails.tell_fell_behind(partition.topic, out)
        lost = cursor.gap_in_snapshot
        if lost is not None:
            await out.event(gap(cursor, lost))
            if self._settings.gap_policy is GapPolicy.STOP_AT_GAP:
                raise data_loss(partition, lost)
            cursor.told = lost.end
        try:
            response = await self._next_response(cursor)
        except DamagedFile as damage:
            await self._snapshots.damaged(snapshot, damage)
            self._place(cursor, partition, cursor.position)
            return
        if cursor.position >= snapshot.end_offset:
            self._place(cursor, partition, cursor.position)
        if response is not None:
            await self._send(response, out)

    async def _pass(self, cursor: Cursor, lost: LostRange, out: JoinedBatches) -> None:
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
            await self._move(cursor, following, cursor.position, out)
            return
        await out.event(gap(cursor, lost))
        if self._settings.gap_policy is GapPolicy.RECOVER_FROM_SNAPSHOT:
            recovers = await self._snapshots.recover(log.id, cursor.epoch, lost)
            raise data_loss(log.id, lost, recovers=recovers)
        if self._settings.gap_policy is GapPolicy.STOP_AT_GAP:
            raise data_loss(log.id, lost)
        if following is not None:
            await self._move(cursor, following, following.log_start_offset, out)
        elif over:
            cursor.left = True
        else:
            self._place(cursor, log.id, lost.end)

    async def _move(
        self, cursor: Cursor, log: PartitionLog, position: int, out: JoinedBatches
    ) -> None:
        """Goes on in a topic's next incarnation."""
        self._place(cursor, log.id, position)
        await out.event(partition_added(cursor))

    async def _next_response(self, cursor: Cursor) -> Response | None:
        """Moves a cursor on; the batch it moved over, None if that has no records.

        Whoever waits for a slow client afterwards holds the batch and not the chunk it is from.
        """
        of_snapshot = cursor.snapshot is not None
        run = await self._next.move_on(cursor)
        if run:
            self._progress.changed()
            self._subscriber.delivered[cursor.log.id] = cursor.position
            self._tails.changed(cursor.log.id.topic)
        if cursor.readable:
            self._ready[cursor] = None
            if run and not of_snapshot:
                self._next.prefetch(cursor)
        if run and self._ready and not self._tails.reached(cursor.log.id.topic):
            self._next.begin_ahead(islice(self._ready, AHEAD_MAX))
        return await self._next.response(cursor, run, snapshot=of_snapshot)
