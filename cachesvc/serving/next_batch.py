"""What comes next for a cursor: frames that all streams share, cut and encoded for one of them."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from cachesvc.errors import CacheError
from cachesvc.log.partition_log import PartitionLog
from cachesvc.log.reading import FileBounds, LogReader
from cachesvc.serving.ahead import Ahead, Made
from cachesvc.serving.batches import JOINED_BYTES_MAX, Batches, Whose
from cachesvc.serving.cursor import Cursor
from cachesvc.serving.forms import KEPT_FORM, Part
from cachesvc.serving.responses import batch_response, shared_response
from cachesvc.serving.shared_responses import Told
from cachesvc.serving.stream_events import too_large
from cachesvc.serving.stream_settings import StreamSettings
from cachesvc.shared_memory.filling import Filled, Payload
from cachesvc.shared_memory.lending import Lending
from cachesvc.store.frames import Frame, first_offset
from cachesvc.subscriptions.subscriber import Subscriber
from cachesvc.watching.deliveries import Deliveries

_SHARED_BYTES_MIN = 32 << 10
"""Of records as they are kept; handing over costs more than sending what is less."""


class Response(NamedTuple):
    """A batch that is ready to be sent.

    Attributes:
        message: What to write.
        carried_bytes: Of the records, as they are kept or sent.
        is_shared: Whether they lie in shared memory, so that the client has to hear of it soon.
    """

    message: bytes
    carried_bytes: int
    is_shared: bool = False


class NextBatch:
    """Moves the cursors of one stream on.

    Args:
        reader: Reads frames.
        batches: Cuts and encodes them, shared by all streams.
        settings: How the stream delivers.
        deliveries: Counts what is sent.
        subscriber: Counts what is sent of this stream.
        lending: Hands records over in shared memory; None where that is not done.
    """

    def __init__(
        self,
        reader: LogReader,
        batches: Batches,
        settings: StreamSettings,
        deliveries: Deliveries,
        subscriber: Subscriber,
        lending: Lending | None = None,
    ) -> None:
        self._reader = reader
        self._batches = batches
        self._settings = settings
        self._deliveries = deliveries
        self._subscriber = subscriber
        self._lending = lending if settings.form is KEPT_FORM and settings.neighbour else None
        self._made: Made | None = None
        self._ahead: Ahead | None = None
        if self._lending is not None and settings.reduction is None:
            self._ahead = Ahead(self._lending, self._make)

    async def move_on(self, cursor: Cursor) -> Sequence[Part]:
        """Moves a cursor over what it reads next, and returns that; nothing where nothing is there.

        Raises:
            DamagedFile: It cannot be read.
            DataLoss: It is not there any more.
        """
        made = None if self._ahead is None else await self._ahead.take(cursor)
        if made is not None:
            self._made = made
            cursor.position = made.run[-1].frame.end_offset
            return made.run
        found, run = await self._found(cursor)
        if not run:
            return ()
        begin, cursor.position = cursor.position, run[-1].frame.end_offset
        if self._settings.reduction is not None and cursor.untold is None:
            cursor.untold = first_offset(found, begin, cursor.position)
        return run

    async def _found(self, cursor: Cursor) -> tuple[Sequence[Frame], Sequence[Part]]:
        """What is read where a cursor is, and what of that goes into the next batch."""
        log, snapshot, begin = cursor.log, cursor.snapshot, cursor.position
        if (whole := await self._as_file(cursor)) is not None:
            return (whole,), (Part(whole, whole.payload, is_file=True),)
        if snapshot is None:
            found = await self._reader.read(log, begin, self._settings.reduction)
        else:
            found = await self._reader.read_file(snapshot.file, begin, self._settings.reduction)
        if not found:
            return (), ()
        reduction, whose, end = self._settings.reduction, self._whose(cursor), _end(cursor)
        frames = found
        if reduction is not None:
            frames = await self._batches.reduced(whose, found, reduction)
        run = await self._next_run(whose, frames, begin, end)
        while self._takes_more(cursor, run, frames, end):
            begin = run[-1].frame.end_offset
            try:
                frames = await self._reader.read(log, begin)
            except CacheError:
                break  # whoever reads what comes next is told
            if not frames:
                break
            longer = [*run, *await self._next_run(whose, frames, begin, end)]
            if _carried_bytes(longer) > self._settings.lent_bytes_max:
                break
            run = longer
        return found, run

    async def _next_run(
        self, whose: Whose, frames: Sequence[Frame], begin: int, end: int | None
    ) -> Sequence[Part]:
        settings = self._settings
        if self._lending is None:
            bytes_max, joined_bytes_max = settings.batch_bytes_max, JOINED_BYTES_MAX
        else:
            bytes_max = joined_bytes_max = settings.lent_bytes_max
        return await self._batches.next_run(
            whose, frames, begin, end, settings.form, bytes_max, joined_bytes_max
        )

    def _takes_more(
        self, cursor: Cursor, run: Sequence[Part], frames: Sequence[Frame], end: int | None
    ) -> bool:
        """Whether a batch is to have records of the next chunk too, which is worth reading."""
        if self._lending is None or self._settings.reduction is not None or cursor.snapshot:
            return False
        log, position = cursor.log, run[-1].frame.end_offset
        if position != frames[-1].end_offset or position == end or log.in_memory(position):
            return False
        return log.reaches(position) and 2 * _carried_bytes(run) <= self._settings.lent_bytes_max

    def _whose(self, cursor: Cursor) -> Whose:
        path = "" if cursor.snapshot is None else cursor.snapshot.file.path
        reduction = self._settings.reduction
        return Whose(cursor.log.id, path, "" if reduction is None else reduction.text)

    async def _as_file(self, cursor: Cursor) -> Frame | None:
        """The row group that a cursor is at, as a file, where it can be sent as one."""
        bounds = self._file_bounds(cursor)
        if bounds is None:
            return None
        if cursor.snapshot is None:
            return await self._reader.row_group(cursor.log, cursor.position, bounds)
        file = cursor.snapshot.file
        return await self._reader.row_group_of(file, cursor.position, bounds)

    def _file_bounds(self, cursor: Cursor) -> FileBounds | None:
        settings = self._settings
        if not settings.parquet_bytes_max or settings.reduction is not None:
            return None
        return FileBounds(_end(cursor), settings.parquet_bytes_max)

    def prefetch(self, cursor: Cursor) -> None:
        """Has read ahead what a cursor is at."""
        bounds, wanted = self._file_bounds(cursor), self._settings.reduction
        self._reader.prefetch(cursor.log, cursor.position, wanted, bounds)

    async def response(
        self, cursor: Cursor, run: Sequence[Part], *, snapshot: bool
    ) -> Response | None:
        """The batch with what a cursor has just moved over; None without records.

        Raises:
            PreconditionFailed: It is more than the client takes.
        """
        records = sum(part.frame.record_count for part in run)
        if not records:
            return None  # and nothing was made of it
        untold, cursor.untold = cursor.untold, None
        filled = await self._lent(cursor, run)
        if filled is None:
            message = self._message(cursor, run, untold, snapshot=snapshot)
            carried = len(message)
        else:
            message = shared_response(
                cursor.log.id, run, filled, snapshot=snapshot, base_offset=untold
            )
            carried = _carried_bytes(run)
        self._deliveries.sent(cursor.log.id.topic_id, records, carried)
        self._subscriber.sent(records, carried)
        return Response(message, carried, filled is not None)

    def begin_ahead(self, cursors: Iterable[Cursor]) -> None:
        """Has the batches made that some cursors are at, if that takes long."""
        if self._ahead is not None:
            self._ahead.begin(filter(_lies_there, cursors))

    def forget(self, cursor: Cursor) -> None:
        """Lets go of what was made for a cursor that reads no more."""
        if self._ahead is not None:
            self._ahead.forget(cursor)

    def close(self) -> None:
        """Lets go of what was made and not sent; idempotent."""
        if self._ahead is not None:
            self._ahead.close()

    async def _make(self, cursor: Cursor) -> Made | None:
        place = cursor.log, self._whose(cursor)
        _, run = await self._found(cursor)
        if not run:
            return None
        return Made(run, await self._filled(*place, run))

    async def _lent(self, cursor: Cursor, run: Sequence[Part]) -> Filled | None:
        """Where the records lie that were handed over in shared memory; None if they were not."""
        neighbour, lending, made = self._settings.neighbour, self._lending, self._made
        if neighbour is None or lending is None:
            return None
        self._made = None
        if made is not None and made.run is run:
            filled = made.filled
        else:
            filled = await self._filled(cursor.log, self._whose(cursor), run)
        return None if filled is None else lending.hand_over(neighbour, filled)

    async def _filled(self, log: PartitionLog, whose: Whose, run: Sequence[Part]) -> Filled | None:
        neighbour, lending = self._settings.neighbour, self._lending
        if neighbour is None or lending is None or not lending.lends_to(neighbour):
            return None
        if _carried_bytes(run) < _SHARED_BYTES_MIN:
            return None
        span = run[0].frame.base_offset, run[-1].frame.end_offset
        payloads = [Payload(part.body, part.is_file) for part in run if part.frame.record_count]
        several = log.has_several_listeners
        return await lending.fill(log.id.topic_id, (whose, *span), payloads, keep=several)

    def _message(
        self, cursor: Cursor, run: Sequence[Part], untold: int | None, *, snapshot: bool
    ) -> bytes:
        settings, partition = self._settings, cursor.log.id

        def make() -> bytes:
            return batch_response(
                partition, run, settings.form, snapshot=snapshot, base_offset=untold
            )

        if cursor.log.has_several_listeners:
            span = run[0].frame.base_offset, run[-1].frame.end_offset
            told = Told(partition, *span, settings.form, snapshot, untold)
            response = self._batches.responses.get(told, run, make)
        else:
            response = make()
        if 0 < settings.message_bytes_max < len(response):
            frames = [part.frame for part in run]
            raise too_large(partition, frames, len(response), settings.message_bytes_max)
        return response


def _carried_bytes(run: Sequence[Part]) -> int:
    return sum(len(part.body) for part in run if part.frame.record_count)


def _lies_there(cursor: Cursor) -> bool:
    """Whether something can be read where a cursor is, and no word is due to its client first."""
    log, position = cursor.log, cursor.position
    if cursor.snapshot is not None:
        return cursor.gap_in_snapshot is None
    return log.reaches(position) and log.gap_at(position) is None


def _end(cursor: Cursor) -> int | None:
    """Where a cursor has to stop at the latest."""
    return min((at for at in (cursor.end, cursor.next_gap) if at is not None), default=None)
