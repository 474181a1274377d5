"""Frames made of records that lie elsewhere: read from Parquet, or cut out of other frames.

Frames that are made together continue each other without a seam, so that whoever reads them moves
from one to the next by ``end_offset`` alone.
"""

from collections.abc import Iterable, Iterator
from itertools import chain, pairwise

import pyarrow as pa
import pyarrow.compute as pc

from cachesvc.model import ArrowCompression
from cachesvc.store.frames import Frame
from cachesvc.store.record_schema import decode_payloads, encode_payload

FRAME_ROWS = 4_096
FRAME_VALUE_BYTES = 4 << 20


def empty_frame(base_offset: int, end_offset: int) -> Frame:
    """A frame that covers a range without records."""
    return Frame(base_offset, end_offset, end_offset, 0, 0, 0, 0, b"")


def unread_frame(base_offset: int, end_offset: int) -> Frame:
    """A frame that covers a range whose records nobody wants."""
    return Frame(base_offset, end_offset, base_offset, 0, 0, 0, 0, b"")


def frames_of(batches: Iterable[pa.RecordBatch], base_offset: int, end_offset: int) -> list[Frame]:
    """Records as frames of bounded size that together cover ``[base_offset, end_offset)``.

    Each is encoded before the next batch is asked for, while the processor's caches still have it.
    Blocking.
    """
    pieces = (
        piece
        for batch in batches
        if batch.num_rows
        for piece in pieces_of(batch, FRAME_ROWS, FRAME_VALUE_BYTES)
    )
    frames, begin = [], base_offset
    for piece, following in pairwise(chain(pieces, (None,))):
        end = end_offset if following is None else following.column(0)[0].as_py()
        frames.append(frame_of(piece, begin, end))
        begin = end
    return frames or [empty_frame(base_offset, end_offset)]


def slice_frame(frame: Frame, begin: int, end: int) -> Frame:
    """The part of a frame that covers ``[begin, end)``; both lie within the frame. Blocking."""
    if not frame.record_count:
        return empty_frame(begin, end)
    table = decode_payloads([frame.payload])
    offsets = table.column("offset")
    mask = pc.and_(pc.greater_equal(offsets, begin), pc.less(offsets, end))
    rows = table.filter(mask)
    if not rows.num_rows:
        return empty_frame(begin, end)
    return frame_of(rows.combine_chunks().to_batches()[0], begin, end)


def transcode(payload: bytes | memoryview, compression: ArrowCompression) -> bytes:
    """A payload of at least one record with its buffers compressed otherwise. Blocking.

    Raises:
        DamagedFile: It does not decode.
    """
    batches = decode_payloads([payload]).to_batches()
    return b"".join(encode_payload(batch, compression) for batch in batches)


def split_frame(frame: Frame, parts: int) -> list[Frame]:
    """A frame as about ``parts`` frames of equal record counts, at least one each. Blocking."""
    batch = decode_payloads([frame.payload]).combine_chunks().to_batches()[0]
    rows = max(1, batch.num_rows // parts)
    pieces = [batch.slice(begin, rows) for begin in range(0, batch.num_rows, rows)]
    return frames_of(pieces, frame.base_offset, frame.end_offset)


def first_offset_at(frames: Iterable[Frame], timestamp_ms: int, from_offset: int = 0) -> int | None:
    """The first offset from ``from_offset`` on of a record at that time or later. Blocking."""
    for frame in frames:
        if frame.record_count and frame.max_timestamp_ms >= timestamp_ms:
            table = decode_payloads([frame.payload])
            times = table.column("timestamp").cast(pa.int64())
            young = pc.greater_equal(times, timestamp_ms)
            rows = table.filter(
                pc.and_(young, pc.greater_equal(table.column("offset"), from_offset))
            )
            if rows.num_rows:
                return int(rows.column("offset")[0].as_py())
    return None


def frame_of(batch: pa.RecordBatch, begin: int, end: int) -> Frame:
    """A frame that covers ``[begin, end)`` with the records of a batch, at least one. Blocking."""
    times = pc.min_max(batch.column(1).cast(pa.int64()))
    return Frame(
        begin,
        end,
        batch.column(0)[0].as_py(),
        times["min"].as_py(),
        times["max"].as_py(),
        batch.num_rows,
        0,
        encode_payload(batch),
    )


def pieces_of(batch: pa.RecordBatch, rows_max: int, bytes_max: int) -> Iterator[pa.RecordBatch]:
    """Slices of bounded rows and value bytes; a single larger record comes alone."""
    if batch.num_rows <= 1 or (batch.num_rows <= rows_max and batch.nbytes <= bytes_max):
        yield batch
        return
    if batch.num_rows > rows_max:
        for begin in range(0, batch.num_rows, rows_max):
            yield from pieces_of(batch.slice(begin, rows_max), rows_max, bytes_max)
        return
    half = batch.num_rows // 2
    yield from pieces_of(batch.slice(0, half), rows_max, bytes_max)
    yield from pieces_of(batch.slice(half), rows_max, bytes_max)
