"""Which frames go into one batch: cut to what was asked for, bounded in bytes."""

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

from cachesvc.filters import Reduction
from cachesvc.log.reading import LogReader
from cachesvc.log.shared_cache import CacheCounts, SharedCache
from cachesvc.model import PartitionId
from cachesvc.serving.forms import KEPT_FORM, Form, Part, body, estimated_bytes, is_kept
from cachesvc.serving.shared_responses import SharedResponses
from cachesvc.store.frames import Frame
from cachesvc.store.recoding import split_frame


class Whose(NamedTuple):
    """What frames are of; others may cover the same offsets.

    Attributes:
        partition: Their partition.
        path: Their file, where that is not the log.
        reduction: How they were reduced; empty if they were not.
    """

    partition: PartitionId
    path: str = ""
    reduction: str = ""


_PieceKey = tuple[Whose, int, int, Form, int]
_ReducedKey = tuple[Whose, int, int]
_REDUCED_FRAMES_MAX = 16
"""Frames that are reduced for one batch: enough to keep all threads busy."""
# Frames are joined up to here. Above it, messages cost the receiving process a page fault for every
# 4 KiB, for its allocator returns such blocks to the system; docs/findings.md has the figures.
JOINED_BYTES_MAX = 512 * 1024


class Batches:
    """Cuts and encodes frames; work that several streams need is done once.

    Args:
        reader: Runs blocking work.
        cache_bytes_max: Budget for pieces of large frames, for what is made of frames for other
            forms than the one they are kept in, and for what filters leave of them.

    Attributes:
        responses: Messages that several streams are sent.
    """

    def __init__(self, reader: LogReader, cache_bytes_max: int) -> None:
        self._reader = reader
        self.responses = SharedResponses()
        self._pieces: SharedCache[_PieceKey | _ReducedKey, Sequence[Part]] = SharedCache(
            cache_bytes_max, lambda pieces: sum(map(_kept_bytes, pieces))
        )

    @property
    def pieces(self) -> CacheCounts:
        """What was made and is kept, never more than the budget."""
        return self._pieces

    async def reduced(
        self, whose: Whose, frames: Sequence[Frame], reduction: Reduction
    ) -> Sequence[Frame]:
        """What is left of the first ones of some frames, at least one; the same for every stream.

        Raises:
            DamagedFile: A payload does not decode.
        """
        some = frames[:_REDUCED_FRAMES_MAX]
        return await asyncio.gather(*(self._reduced(whose, frame, reduction) for frame in some))

    async def _reduced(self, whose: Whose, frame: Frame, reduction: Reduction) -> Frame:
        async def make() -> Sequence[Part]:
            left = await self._reader.run(reduction.reduce, frame)
            return (Part(left, left.payload),)

        key = (whose, frame.base_offset, frame.end_offset)
        return (await self._pieces.get(key, make))[0].frame

    async def next_run(
        self,
        whose: Whose,
        frames: Sequence[Frame],
        position: int,
        end: int | None,
        form: Form,
        bytes_max: int,
        joined_bytes_max: int = JOINED_BYTES_MAX,
    ) -> list[Part]:
        """What goes into the next batch: covers ``[position, …)`` and nothing behind ``end``.

        Args:
            whose: Whose frames these are.
            frames: Contiguous; the first covers ``position``.
            position: Where the batch begins.
            end: Where the stream ends, greater than ``position``; None if it does not.
            form: How the batch carries records.
            bytes_max: What it may carry; a single record that is larger comes alone.
            joined_bytes_max: Where frames are not joined any more.
        """
        piece_bytes_max = bytes_max if form is KEPT_FORM else _shared_bound(bytes_max)
        pieces = await self._pieces_of(whose, frames[0], form, piece_bytes_max)
        first = next(piece for piece in pieces if piece.frame.end_offset > position)
        stop = first.frame.end_offset if end is None else min(first.frame.end_offset, end)
        cut = await self._reader.slice(first.frame, position, stop)
        if cut is not first.frame:
            first = (await self._pieces_of(whose, cut, form, piece_bytes_max))[0]
        run, size = [first], len(first.body)
        if len(pieces) > 1:
            return run  # a piece is about a batch
        joined_bytes_max = min(bytes_max, joined_bytes_max)
        for frame in frames[1:]:
            if end is not None and frame.end_offset > end:
                break
            if form is KEPT_FORM:
                part = Part(frame, frame.payload)
            else:
                pieces = await self._pieces_of(whose, frame, form, piece_bytes_max)
                part = pieces[0]
            size += len(part.body)
            if size > joined_bytes_max or len(pieces) > 1:
                break
            run.append(part)
        return run

    async def _pieces_of(
        self, whose: Whose, frame: Frame, form: Form, bytes_max: int
    ) -> Sequence[Part]:
        """A frame in pieces that fit; the same ones for every stream and every position."""
        if is_kept(frame, form) and (len(frame.payload) <= bytes_max or frame.record_count <= 1):
            return (Part(frame, frame.payload),)
        key = (whose, frame.base_offset, frame.end_offset, form, bytes_max)
        return await self._pieces.get(
            key, lambda: self._reader.run(_pieces, frame, form, bytes_max)
        )


def _shared_bound(bytes_max: int) -> int:
    """The bound for pieces where batches have that one: one of few, so that streams share them."""
    return min(1 << (bytes_max.bit_length() - 1), JOINED_BYTES_MAX)


def _pieces(frame: Frame, form: Form, bytes_max: int) -> list[Part]:
    """Parts of at most ``bytes_max``, or of one record. Blocking."""
    size = estimated_bytes(frame, form)
    if size <= bytes_max or frame.record_count <= 1:
        whole = Part(frame, body(frame, form))
        size = len(whole.body)
        if size <= bytes_max or frame.record_count <= 1:
            return [whole]
    parts = max(2, -(-size // bytes_max))
    return [piece for part in split_frame(frame, parts) for piece in _pieces(part, form, bytes_max)]


def _kept_bytes(part: Part) -> int:
    """Bytes that a part holds in memory."""
    own = 0 if part.body is part.frame.payload else len(part.body)
    return part.frame.encoded_bytes + own
