"""What waits for the sink: filled by the source's side, taken by the sink's, bounded in bytes."""

import asyncio
import time
from collections import deque
from collections.abc import Callable

from cachesvc.sync.config import BatchConfig
from cachesvc.sync.runner.pieces import Piece


class Pending:
    """Pieces for the next delivery. One task puts, another takes; both on one event loop.

    Args:
        limits: Of a delivery.
        clock: Monotonic seconds.
    """

    def __init__(self, limits: BatchConfig, clock: Callable[[], float] = time.monotonic) -> None:
        self._limits = limits
        self._clock = clock
        self._pieces: deque[tuple[Piece, float]] = deque()  # with the time when each came
        self._records = 0
        self._bytes = 0
        self._ended = False
        self._changed = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()

    @property
    def bytes(self) -> int:
        """Bytes that wait."""
        return self._bytes

    @property
    def empty(self) -> bool:
        """Whether nothing waits."""
        return not self._pieces

    @property
    def full(self) -> bool:
        """Whether there is enough for a delivery."""
        limits = self._limits
        return self._records >= limits.records_max or self._bytes >= limits.bytes_max

    async def put(self, piece: Piece) -> None:
        """Adds a piece; waits while there is enough for a delivery already."""
        await self._room.wait()
        self._pieces.append((piece, self._clock()))
        self._count(piece, 1)

    def end(self, *, drop: bool = False) -> None:
        """Nothing more will come; with ``drop`` what waits is not taken either. Idempotent."""
        self._ended = True
        if drop:
            self._pieces.clear()
            self._records = self._bytes = 0
        self._room.set()
        self._changed.set()

    async def take(self) -> list[Piece]:
        """The next delivery: within the limits, as soon as one of them is reached.

        A piece without records, or a single large record, may go beyond the limits of bytes.

        Returns:
            Empty once there is nothing and will be nothing any more.
        """
        while not self._pieces and not self._ended:
            await self._change(None)
        while self._pieces and not (self.full or self._ended):
            left_s = self._pieces[0][1] + self._limits.wait_s_max - self._clock()
            if left_s <= 0 or not await self._change(left_s):
                break
        return self._cut_off()

    async def _change(self, timeout_s: float | None) -> bool:
        """Waits for news; says whether there were some in time."""
        self._changed.clear()
        try:
            async with asyncio.timeout(timeout_s):
                await self._changed.wait()
        except TimeoutError:
            return False
        return True

    def _cut_off(self) -> list[Piece]:
        taken: list[Piece] = []
        records = size = 0
        while self._pieces:
            piece, since_s = self._pieces[0]
            fits = self._fits(piece, records, size)
            if taken and fits < len(piece):
                break
            self._pieces.popleft()
            self._count(piece, -1)
            if 0 < fits < len(piece):
                piece, rest = piece.cut(fits)
                self._pieces.appendleft((rest, since_s))
                self._count(rest, 1)
            taken.append(piece)
            records += len(piece)
            size += piece.nbytes
        return taken

    def _fits(self, piece: Piece, records: int, size: int) -> int:
        """How many rows of a piece still fit; at least one into what is empty."""
        left_records = self._limits.records_max - records
        left_bytes = max(self._limits.bytes_max - size, 0)
        rows = len(piece)
        if piece.nbytes > left_bytes:
            rows = rows * left_bytes // piece.nbytes
        return max(min(rows, left_records), 1 if not records else 0)

    def _count(self, piece: Piece, sign: int) -> None:
        self._records += sign * len(piece)
        self._bytes += sign * piece.nbytes
        if self.full and not self._ended:
            self._room.clear()
        else:
            self._room.set()
        self._changed.set()
