"""Which frames go into one batch: cut to what was asked for, bounded in bytes."""

from collections.abc import Sequence

from cachesvc.log.reading import LogReader
from cachesvc.log.shared_cache import SharedCache
from cachesvc.model import Encoding, PartitionId
from cachesvc.serving.responses import encoded_size, records_body
from cachesvc.store.frames import Frame
from cachesvc.store.recoding import split_frame

_FrameKey = tuple[PartitionId, int, int]
# Frames are joined up to here. Above it, messages cost the receiving process a page fault for every
# 4 KiB, for its allocator returns such blocks to the system; docs/findings.md has the figures.
_JOINED_BYTES_MAX = 512 * 1024


class Batches:
    """Cuts and encodes frames; work that several streams need is done once.

    Args:
        reader: Runs blocking work.
        cache_bytes_max: Budget for frames as RECORDS and for pieces of large frames, each.
    """

    def __init__(self, reader: LogReader, cache_bytes_max: int) -> None:
        self._reader = reader
        self._bodies: SharedCache[_FrameKey, bytes] = SharedCache(cache_bytes_max, len)
        self._pieces: SharedCache[tuple[_FrameKey, Encoding, int], Sequence[Frame]] = SharedCache(
            cache_bytes_max, lambda pieces: sum(piece.encoded_bytes for piece in pieces)
        )

    async def next_run(
        self,
        partition: PartitionId,
        frames: Sequence[Frame],
        position: int,
        end: int | None,
        encoding: Encoding,
        bytes_max: int,
    ) -> Sequence[Frame]:
        """The frames of the next batch: they cover ``[position, …)`` and nothing behind ``end``.

        Args:
            partition: Whose frames these are.
            frames: Contiguous; the first covers ``position``.
            position: Where the batch begins.
            end: Where the stream ends, greater than ``position``; None if it does not.
            encoding: How the batch carries records.
            bytes_max: What it may carry; a single record that is larger comes alone.
        """
        first = frames[0]
        if encoded_size([first], encoding) > bytes_max and first.record_count > 1:
            pieces = await self._split(partition, first, encoding, bytes_max)
            frames = [piece for piece in pieces if piece.end_offset > position]
            first = frames[0]
        stop = first.end_offset if end is None else min(first.end_offset, end)
        first = await self._reader.slice(first, position, stop)
        run, size = [first], encoded_size([first], encoding)
        joined_bytes_max = min(bytes_max, _JOINED_BYTES_MAX)
        for frame in frames[1:]:
            size += encoded_size([frame], encoding)
            if size > joined_bytes_max or (end is not None and frame.end_offset > end):
                break
            run.append(frame)
        return run

    async def _split(
        self, partition: PartitionId, frame: Frame, encoding: Encoding, bytes_max: int
    ) -> Sequence[Frame]:
        """A large frame in pieces that fit; the same ones for every stream and every position."""
        key = ((partition, frame.base_offset, frame.end_offset), encoding, bytes_max)
        return await self._pieces.get(
            key, lambda: self._reader.run(_split, frame, encoding, bytes_max)
        )

    async def bodies(self, partition: PartitionId, frames: Sequence[Frame]) -> list[bytes]:
        """Each frame as the bytes of ``Batch.records``."""
        found = []
        for frame in frames:
            key = (partition, frame.base_offset, frame.end_offset)
            found.append(
                await self._bodies.get(key, lambda f=frame: self._reader.run(records_body, f))  # type: ignore[misc]
            )
        return found


def _split(frame: Frame, encoding: Encoding, bytes_max: int) -> list[Frame]:
    """Pieces of at most ``bytes_max``, or of one record. Blocking."""
    parts = -(-encoded_size([frame], encoding) // bytes_max)
    if parts <= 1 or frame.record_count <= 1:
        return [frame]
    return [
        piece for part in split_frame(frame, parts) for piece in _split(part, encoding, bytes_max)
    ]
