"""The sink's side of a task: one delivery after the other, written until it is confirmed.

What may pass is tried again, with waits that grow and are drawn at random. What is refused is
looked for: the sink names it, or the delivery is halved until a single record is left. Parts follow
one another in order, so a record never overtakes an earlier one of its partition.

Where tasks share a target that keeps positions, what the target has of a partition is read whenever
that comes to this task, and left out of what is written. It has all that the service has stored,
for that is stored behind it: one that has less has lost it.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from random import Random

from cachesvc.client import Position, Positions
from cachesvc.client.backoff import Backoff
from cachesvc.sync.config import RetryConfig
from cachesvc.sync.errors import (
    BatchRefused,
    ChangesRefused,
    Refusal,
    TargetFailed,
    TargetUnavailable,
)
from cachesvc.sync.runner.letters import Keeper, Letter, Refused, letter
from cachesvc.sync.runner.narrowing import (
    Part,
    ahead,
    behind,
    fell_back,
    halves,
    went_back,
    without,
)
from cachesvc.sync.runner.pieces import Piece
from cachesvc.sync.runner.progress import Meter
from cachesvc.sync.sink import Delivery, SharedSink, Sink

CLOSE_TIMEOUT_S = 10.0
"""How long a sink may take to close."""

_log = logging.getLogger("cachesvc.sync")


class TargetWentBack(Exception):
    """The target has lost what it had confirmed; the source has to go on where it is now.

    Attributes:
        positions: Where that is; of a target that tasks share, in partitions that it has lost.
    """

    def __init__(self, positions: Positions) -> None:
        super().__init__("the target went back")
        self.positions = positions


class Delivering:
    """Writes a task's deliveries. Belongs to one event loop, and one call at a time.

    Args:
        task: Its name, for the log.
        sink: Where to; ``open`` opens it.
        keeper: Gets what is refused.
        retry: How often to try again.
        meter: Counts.
        moves_positions: Whether the sink is to take note of where the task goes on.
        shared: Whether other tasks write to the same target, each its partitions.

    Attributes:
        on_confirmed: Called with positions once everything before them is dealt with.
    """

    def __init__(
        self,
        task: str,
        sink: Sink,
        keeper: Keeper,
        retry: RetryConfig,
        meter: Meter,
        *,
        moves_positions: bool = True,
        shared: bool = False,
    ) -> None:
        self._task = task
        self._sink = sink
        self._keeper = keeper
        self._meter = meter
        self._confirmed_by_target = Positions()
        self._backoff = Backoff(
            retry.delay_first_s, retry.delay_max_s, retry.give_up_after_s, Random()
        )
        self._open = False
        self._keeps = False
        self._told_refused = False
        self._moves_positions = moves_positions
        self._shared = sink if shared and isinstance(sink, SharedSink) else None
        self._assigned = Positions()  # not held against the target yet
        self.on_confirmed: Callable[[Positions], None] = _ignored

    @property
    def keeps_shared(self) -> bool:
        """Whether the target keeps positions that other tasks move too."""
        return self._shared is not None and self._keeps

    def assigned(self, starts: Positions) -> None:
        """Takes note that partitions are this task's from now on, and where the source begins."""
        if self.keeps_shared:
            self._assigned = self._assigned.moved(*starts.values())

    def unwritten(self, positions: Positions) -> list[Position]:
        """Those of some positions that the target does not have yet."""
        return ahead(self._confirmed_by_target, positions)

    async def open(self) -> Positions | None:
        """Opens the sink, however long that takes.

        Returns:
            What the sink says: where it is, or None where it does not know.

        Raises:
            TargetUnavailable: It was not to be had for as long as the settings allow.
            TargetFailed: It refuses the task.
        """
        while True:
            try:
                await self._keeper.open()
                positions = await self._sink.open()
            except TargetUnavailable as error:
                await self._wait_after(error)
            else:
                self._backoff.succeeded()
                self._meter.trouble = None
                self._open = True
                self._keeps = positions is not None
                self._confirmed_by_target = positions or Positions()
                return positions

    async def deliver(self, pieces: Sequence[Piece]) -> None:
        """Writes a delivery; when this returns, the target has all of it that it takes.

        Raises:
            TargetUnavailable: It was not to be had for as long as the settings allow.
            TargetFailed: It refuses the task.
            TargetWentBack: The session has to begin anew.
            SyncError: A record is refused, and the task may not go on without it.
        """
        records = sum(piece.original.num_rows for piece in pieces)
        self._keeper.count(records)
        self._told_refused = False
        await self._keep_refused_by_transforms(pieces)
        rest = deque([Part(pieces)])
        while rest:
            part = rest.popleft()
            try:
                await self._write(part)
            except ChangesRefused as error:
                await self._keep(part, error.refusals)
                rest.appendleft(without(part, error.refusals))
            except BatchRefused as error:
                if not part.row_count:
                    raise TargetFailed(
                        f"the target refuses a delivery without records: {error}",
                        reason=error.reason,
                    ) from error
                if part.row_count > 1:
                    rest.extendleft(reversed(halves(part)))
                else:
                    refusals = [_of_only_row(part, error)]
                    await self._keep(part, refusals)
                    rest.appendleft(without(part, refusals))
            else:
                self._count(part)
        self._meter.dealt_with(records)

    async def close(self) -> None:
        """Lets go of the sink within a bound; its errors are told and change nothing."""
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await self._sink.close()
        except Exception:
            _log.exception("task %s: the sink did not close", self._task)
        await self._keeper.close()

    async def _write(self, part: Part) -> None:
        """Writes a part, however long that takes."""
        while True:
            try:
                left = await self._not_written(part)
                if left is not None:
                    await self._sink.write(self._delivery(left))
            except TargetUnavailable as error:
                self._open = False
                await self._wait_after(error)
            else:
                self._backoff.succeeded()
                return

    def _delivery(self, part: Part) -> Delivery:
        delivery = part.delivery
        return delivery if self._moves_positions else Delivery(delivery.changes, Positions())

    async def _not_written(self, part: Part) -> Part | None:
        """What of a part the target does not have; opens the sink where that is not open.

        Raises:
            TargetWentBack: It has less than it had.
        """
        assigned = self._assigned
        if not self._open:
            positions = await self._sink.open()
            self._open = True
            if positions is None or not self._moves_positions:
                return part
            self._check_has(positions, assigned)
            return behind(part, positions)
        if self._shared is None or not self._keeps:
            return part
        if assigned:
            self._check_has(await self._shared.read_positions(), assigned)
        return behind(part, self._confirmed_by_target)

    def _check_has(self, positions: Positions, assigned: Positions) -> None:
        """Takes note of where the target is; it has to have what it had, and what is stored."""
        confirmed, self._confirmed_by_target = self._confirmed_by_target, positions
        if self._shared is not None:
            self._assigned = Positions(
                each for key, each in self._assigned.items() if assigned.get(key) != each
            )
            # Of a partition without a position the target has nothing yet.
            stored = Positions(each for key, each in assigned.items() if key in positions)
            confirmed = confirmed.moved(*ahead(confirmed, stored))
        lost = went_back(confirmed, positions)
        if lost is None:
            return
        _log.warning(
            "task %s: the target has lost %s/%s from before offset %s; reading that again",
            self._task,
            *lost.key,
            lost.offset,
        )
        raise TargetWentBack(positions if self._shared is None else fell_back(confirmed, positions))

    async def _wait_after(self, error: TargetUnavailable) -> None:
        report = _log.warning if self._backoff.is_first else _log.info
        wait_s = self._backoff.failed(time.monotonic())
        if wait_s is None:
            raise error
        self._meter.retries += 1
        self._meter.failed(error.reason, str(error))
        report(
            "task %s: the target is not available (%s: %s); next attempt in %.1f s",
            self._task,
            error.reason,
            error,
            wait_s,
        )
        await asyncio.sleep(wait_s)

    async def _keep_refused_by_transforms(self, pieces: Sequence[Piece]) -> None:
        if any(piece.refused for piece in pieces):
            now_ms = self._meter.now_ms()
            await self._keep_letters(await asyncio.to_thread(_of_transforms, pieces, now_ms))

    async def _keep(self, part: Part, refusals: Sequence[Refusal]) -> None:
        now_ms = self._meter.now_ms()
        await self._keep_letters(await asyncio.to_thread(_of_sink, part, refusals, now_ms))

    async def _keep_letters(self, letters: Sequence[Letter]) -> None:
        while True:
            try:
                await self._keeper.keep(letters)
            except TargetUnavailable as error:
                await self._wait_after(error)
            else:
                self._meter.refused += len(letters)
                self._tell_refused(letters)
                return

    def _tell_refused(self, letters: Sequence[Letter]) -> None:
        """Warns of the first of a delivery; where many are refused, the log is no place for all."""
        report = _log.debug if self._told_refused else _log.warning
        self._told_refused = True
        first = letters[0]
        report(
            "task %s: %d records are refused and kept apart, the first: %s/%d at offset %d: %s: %s",
            self._task,
            len(letters),
            first.topic,
            first.partition,
            first.offset,
            first.reason,
            first.detail,
        )

    def _count(self, part: Part) -> None:
        delivery = part.delivery
        known = self._confirmed_by_target
        self._confirmed_by_target = known.moved(*ahead(known, delivery.positions))
        size = sum(piece.changes.nbytes for piece in part.pieces)
        self._meter.confirmed(part.row_count, size, delivery.positions)
        self.on_confirmed(delivery.positions)


def _ignored(positions: Positions) -> None:
    pass


def _of_transforms(pieces: Sequence[Piece], now_ms: int) -> list[Letter]:
    """Letters of what transforms refused. CPU work."""
    return [
        letter(piece, Refused("transform", each.offset, each.reason, each.detail), now_ms)
        for piece in pieces
        for each in piece.refused
    ]


def _of_sink(part: Part, refusals: Sequence[Refusal], now_ms: int) -> list[Letter]:
    """Letters of what the sink refused, one for each record. CPU work."""
    letters: dict[tuple[str, int, int, int], Letter] = {}
    for each in refusals:
        piece = part.pieces[each.changes]
        offset = piece.changes.rows.column("offset")[each.row].as_py()
        made = letter(piece, Refused("sink", offset, each.reason, each.detail), now_ms)
        letters.setdefault(made.identity, made)
    return list(letters.values())


def _of_only_row(part: Part, error: BatchRefused) -> Refusal:
    """The refusal of a part's only row."""
    number = next(number for number, piece in enumerate(part.pieces) if len(piece))
    return Refusal(number, 0, error.reason, str(error))
