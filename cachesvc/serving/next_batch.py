"""What comes next for a cursor: frames that all streams share, cut and encoded for one of them."""

from collections.abc import Sequence

from cachesvc.log.reading import FileBounds, LogReader
from cachesvc.serving.batches import Batches, Whose
from cachesvc.serving.cursor import Cursor
from cachesvc.serving.forms import Part
from cachesvc.serving.responses import batch_response
from cachesvc.serving.shared_responses import Told
from cachesvc.serving.stream_events import too_large
from cachesvc.serving.stream_settings import StreamSettings
from cachesvc.store.frames import Frame, first_offset
from cachesvc.subscriptions.subscriber import Subscriber
from cachesvc.watching.deliveries import Deliveries


class NextBatch:
    """Moves the cursors of one stream on.

    Args:
        reader: Reads frames.
        batches: Cuts and encodes them, shared by all streams.
        settings: How the stream delivers.
        deliveries: Counts what is sent.
        subscriber: Counts what is sent of this stream.
    """

    def __init__(
        self,
        reader: LogReader,
        batches: Batches,
        settings: StreamSettings,
        deliveries: Deliveries,
        subscriber: Subscriber,
    ) -> None:
        self._reader = reader
        self._batches = batches
        self._settings = settings
        self._deliveries = deliveries
        self._subscriber = subscriber

    async def move_on(self, cursor: Cursor) -> Sequence[Part]:
        """Moves a cursor over what it reads next, and returns that; nothing where nothing is there.

        Raises:
            DamagedFile: It cannot be read.
            DataLoss: It is not there any more.
        """
        log, snapshot, begin = cursor.log, cursor.snapshot, cursor.position
        if (whole := await self._as_file(cursor)) is not None:
            cursor.position = whole.end_offset
            return (Part(whole, whole.payload, is_file=True),)
        if snapshot is None:
            found = await self._reader.read(log, begin, self._settings.reduction)
        else:
            found = await self._reader.read_file(snapshot.file, begin, self._settings.reduction)
        if not found:
            return ()
        settings, reduction = self._settings, self._settings.reduction
        path = "" if snapshot is None else snapshot.file.path
        whose, frames = Whose(log.id, path), found
        if reduction is not None:
            whose = Whose(log.id, path, reduction.text)
            frames = await self._batches.reduced(whose, found, reduction)
        end = _end(cursor)
        run = await self._batches.next_run(
            whose, frames, begin, end, settings.form, settings.batch_bytes_max
        )
        cursor.position = run[-1].frame.end_offset
        if reduction is not None and cursor.untold is None:
            cursor.untold = first_offset(found, begin, cursor.position)
        return run

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

    def response(self, cursor: Cursor, run: Sequence[Part], *, snapshot: bool) -> bytes | None:
        """The batch with what a cursor has just moved over; None without records.

        Raises:
            PreconditionFailed: It is more than the client takes.
        """
        records = sum(part.frame.record_count for part in run)
        if not records:
            return None
        settings, partition = self._settings, cursor.log.id
        untold, cursor.untold = cursor.untold, None

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
        self._deliveries.sent(partition.topic_id, records, len(response))
        self._subscriber.sent(records, len(response))
        return response


def _end(cursor: Cursor) -> int | None:
    """Where a cursor has to stop at the latest."""
    return min((at for at in (cursor.end, cursor.next_gap) if at is not None), default=None)
