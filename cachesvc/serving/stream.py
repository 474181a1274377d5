"""One subscriber's stream: cursors into shared frames, and the events that follow from them.

Nothing is queued for a subscriber. It holds a position per partition and takes frames as fast as
its client takes responses; gRPC's flow control is the backpressure. A partition that has something
to read waits in a round-robin queue, so that no partition starves another.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field

from cachesvc.errors import DataLoss
from cachesvc.log.partition_log import PartitionLog
from cachesvc.log.reading import LogReader
from cachesvc.log.subscriber import Subscriber
from cachesvc.model import Encoding, GapCause, MiningState, PartitionId
from cachesvc.serving.batches import Batches
from cachesvc.serving.responses import arrow_response, records_response
from cachesvc.store.frames import Frame
from cachesvc.v1 import log_cache_pb2 as pb

# States in which mining cannot tell how far the source is.
_STUCK = (MiningState.BLOCKED, MiningState.SOURCE_UNREACHABLE, MiningState.FAILED)
Write = Callable[[bytes], Awaitable[None]]


@dataclass(slots=True, eq=False)
class Cursor:
    """Where a stream is in one partition.

    Attributes:
        log: The partition's log.
        position: The next offset to deliver.
        end: Where the stream ends in this partition; None if it never does.
        listener: What the log calls when it changes.
    """

    log: PartitionLog
    position: int
    end: int | None
    listener: Callable[[], None] = field(default=lambda: None)

    @property
    def ended(self) -> bool:
        """Whether the stream is complete in this partition."""
        return self.end is not None and self.position >= self.end

    @property
    def readable(self) -> bool:
        """Whether there is something to look at now: records, or the news that they are lost."""
        behind = self.position < max(self.log.log_end_offset, self.log.log_start_offset)
        return behind and not self.ended

    @property
    def at_tail(self) -> bool:
        """Whether everything that the source is known to have was delivered."""
        if self.ended:
            return True
        if self.position < self.log.log_end_offset:
            return False
        if self.log.mining_lag is not None:
            return self.log.mining_lag == 0
        return self.log.source.state in _STUCK


@dataclass(frozen=True, slots=True)
class StreamSettings:
    """How a stream delivers.

    Attributes:
        encoding: How batches carry records.
        batch_bytes_max: Bound for what a batch carries.
        progress_interval_s: Longest silence.
        bounded: Whether the stream is complete once all its partitions are.
    """

    encoding: Encoding
    batch_bytes_max: int
    progress_interval_s: float
    bounded: bool


class Stream:
    """Delivers one subscription to one client. Belongs to one event loop and one call.

    Args:
        reader: Reads frames.
        batches: Cuts and encodes them, shared by all streams.
        subscriber: Is told what was delivered.
        settings: How to deliver.
    """

    def __init__(
        self, reader: LogReader, batches: Batches, subscriber: Subscriber, settings: StreamSettings
    ) -> None:
        self._reader = reader
        self._batches = batches
        self._subscriber = subscriber
        self._settings = settings
        self._cursors: dict[PartitionId, Cursor] = {}
        self._topics: dict[str, list[Cursor]] = {}
        self._ready: OrderedDict[Cursor, None] = OrderedDict()
        self._wake = asyncio.Event()
        self._changed_topics: set[str] = set()
        self._at_tail: set[str] = set()
        self._added: list[Cursor] = []

    def add(self, log: PartitionLog, position: int, end: int | None = None) -> Cursor:
        """Enters a partition; before ``run``, or else use ``add_later``."""
        cursor = Cursor(log, position, end)
        cursor.listener = lambda: self._changed(cursor)
        self._cursors[log.id] = cursor
        self._topics.setdefault(log.id.topic, []).append(cursor)
        self._subscriber.delivered[log.id] = position
        log.subscribe(cursor.listener)
        self._changed(cursor)
        return cursor

    def add_later(self, log: PartitionLog, position: int) -> None:
        """Enters a partition into a running stream, which tells its client."""
        cursor = self.add(log, position)
        self._ready.pop(cursor, None)
        self._added.append(cursor)
        self._wake.set()

    def __contains__(self, partition: PartitionId) -> bool:
        return partition in self._cursors

    @property
    def cursors(self) -> Iterable[Cursor]:
        """Where the stream is, per partition."""
        return self._cursors.values()

    def close(self) -> None:
        """Leaves all logs; idempotent."""
        for cursor in self._cursors.values():
            cursor.log.unsubscribe(cursor.listener)

    async def run(self, write: Write) -> None:
        """Delivers until the stream is complete; for ever if it is not bounded.

        Raises:
            DataLoss: Records that it has to deliver are gone; the gap event has been sent.
        """
        while not (self._settings.bounded and all(c.ended for c in self._cursors.values())):
            while self._added:
                cursor = self._added.pop(0)
                await write(_partition_added(cursor))
                self._changed(cursor)
            if self._ready:
                cursor, _ = self._ready.popitem(last=False)
                await self._deliver(cursor, write)
                continue
            await self._tell_caught_up(write)
            if not await self._news():
                await write(_progress(self._cursors.values()))
        await self._tell_caught_up(write)
        await write(_ended(self._cursors.values()))

    def _changed(self, cursor: Cursor) -> None:
        self._changed_topics.add(cursor.log.id.topic)
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
        if not log.in_memory(cursor.position):
            await self._tell_fell_behind(log.id.topic, write)
        try:
            response = await self._next_response(cursor)
        except DataLoss as error:
            await write(_gap(cursor, error))
            raise
        if response is not None:
            await write(response)

    async def _next_response(self, cursor: Cursor) -> bytes | None:
        """Moves a cursor on; the batch it moved over, None if that has no records.

        Whoever waits for a slow client afterwards holds the batch and not the chunk it is from.
        """
        log = cursor.log
        frames = await self._reader.read(log, cursor.position)
        if not frames:
            if cursor.readable:
                self._ready[cursor] = None
            return None
        run = await self._batches.next_run(
            log.id,
            frames,
            cursor.position,
            cursor.end,
            self._settings.encoding,
            self._settings.batch_bytes_max,
        )
        cursor.position = run[-1].end_offset
        self._subscriber.delivered[log.id] = cursor.position
        self._changed_topics.add(log.id.topic)
        if cursor.readable:
            self._ready[cursor] = None
            self._reader.prefetch(log, cursor.position)
        if any(frame.record_count for frame in run):
            return await self._response(log.id, run)
        return None

    async def _response(self, partition: PartitionId, run: Sequence[Frame]) -> bytes:
        if self._settings.encoding is Encoding.ARROW_IPC:
            return arrow_response(partition, run)
        return records_response(partition, run, await self._batches.bodies(partition, run))

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


def position_message(cursor: Cursor) -> pb.Position:
    """A cursor's position."""
    return _position(cursor.log.id, cursor.position)


def _position(partition: PartitionId, offset: int) -> pb.Position:
    return pb.Position(
        topic=partition.topic,
        partition=partition.partition,
        incarnation=partition.incarnation,
        offset=offset,
    )


def started(epoch: int, connection: str, cursors: Iterable[Cursor]) -> bytes:
    """The first event of a stream."""
    event = pb.Started(epoch=epoch, connection=connection)
    for cursor in cursors:
        event.positions.append(position_message(cursor))
        if cursor.end is not None:
            event.end.append(_position(cursor.log.id, cursor.end))
    return pb.SubscribeResponse(started=event).SerializeToString()


def _partition_added(cursor: Cursor) -> bytes:
    event = pb.PartitionAdded(start=position_message(cursor))
    return pb.SubscribeResponse(partition_added=event).SerializeToString()


def _progress(cursors: Iterable[Cursor]) -> bytes:
    event = pb.Progress()
    for cursor in cursors:
        log = cursor.log
        event.partitions.add(
            topic=log.id.topic,
            partition=log.id.partition,
            incarnation=log.id.incarnation,
            position=cursor.position,
            log_end_offset=log.log_end_offset,
            source_high_watermark=log.source.high_watermark,
            mining_state=int(log.source.state),
            mining_error=log.source.error,
        )
    return pb.SubscribeResponse(progress=event).SerializeToString()


def _gap(cursor: Cursor, error: DataLoss) -> bytes:
    partition = cursor.log.id
    cause = GapCause.__members__.get(error.reason, 0)
    event = pb.Gap(
        topic=partition.topic,
        partition=partition.partition,
        incarnation=partition.incarnation,
        begin_offset=cursor.position,
        end_offset=max(cursor.log.log_start_offset, cursor.position),
        cause=int(cause),  # type: ignore[arg-type]
    )
    return pb.SubscribeResponse(gap=event).SerializeToString()


def _ended(cursors: Iterable[Cursor]) -> bytes:
    event = pb.Ended(positions=[position_message(cursor) for cursor in cursors])
    return pb.SubscribeResponse(ended=event).SerializeToString()
