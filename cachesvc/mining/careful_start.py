"""How partitions are begun after readers have died, one after the other.

What a reader has in hand need not be what it dies of: that may be something it is fetching. So
after two deaths in a row partitions are begun apart: first each that was in hand, alone, then all
others in groups, one after the other, with a note of each. The group that kills is divided by the
next process, until it is a single partition. All that costs nothing where no reader has died.

The first assignment is begun so. What comes later, when all of that is there, is begun at once.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from cachesvc.mining.black_box import Before, BlackBox, WorkedOn
from cachesvc.mining.holdings import HeldPartition

DEATHS_MIN = 2
"""So many processes in a row have to die of it; one may as well have been killed by somebody."""

_GROUPS = 16
_GROUP_S_MAX = 10.0
# So far a partition that is begun alone goes on record by record, about a second; what is behind is
# narrowed down by further deaths.
_ALONE_OFFSETS = 256
# What has got on for so long has fetched and mined more than once.
_FLOW_S = 1.0
_LOOK_S = 0.02


def deaths(before: Before) -> Sequence[WorkedOn]:
    """What the process before died of, as far as its notes tell."""
    if len(before.begun) != 1:
        return before.worked_on
    (begun,) = before.begun
    same = [each for each in before.worked_on if each.partition == begun.partition]
    return [replace((same or [begun])[-1], alone=True)]


class CarefulStart:
    """Begins partitions group by group; ``run`` has to run. Belongs to one event loop.

    Args:
        box: Where groups are noted.
        before: What the process before left.
        hold: Has a partition wait.
        begin: Has a partition fetched.
        settled: Whether there is nothing of a partition to mine now, or it cannot be mined.
    """

    def __init__(
        self,
        box: BlackBox,
        before: Before,
        hold: Callable[[HeldPartition], None],
        begin: Callable[[HeldPartition], None],
        settled: Callable[[HeldPartition], bool],
    ) -> None:
        self._box = box
        self._hold = hold
        self._begin = begin
        self._settled = settled
        self._in_hand = {(each.partition, each.incarnation) for each in before.worked_on}
        self._begun = {(each.partition, each.incarnation) for each in before.begun}
        self._first = True
        self._waiting: deque[HeldPartition] = deque()
        self._wake = asyncio.Event()

    def admit(self, held: HeldPartition) -> None:
        """Begins a partition when its turn comes."""
        self._hold(held)
        self._waiting.append(held)
        self._wake.set()

    async def run(self) -> None:
        """Begins what was admitted until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            waiting, self._waiting = list(self._waiting), deque()
            alone, apart, rest = self._sorted(waiting)
            for group in [*([held] for held in alone), *_groups(apart)]:
                await self._try(group)
            self._box.begin(())
            for held in rest:
                self._begin(held)

    def _sorted(
        self, waiting: Sequence[HeldPartition]
    ) -> tuple[list[HeldPartition], list[HeldPartition], list[HeldPartition]]:
        """What to begin alone, what in groups, and what at once behind all that."""
        sorted_: tuple[list[HeldPartition], ...] = ([], [], [])
        in_hand, begun, first = self._in_hand, self._begun, self._first
        for held in waiting:
            name = held.partition, held.incarnation
            apart = first and (name in begun or not begun)
            sorted_[0 if name in in_hand else 1 if apart else 2].append(held)
        self._in_hand, self._begun, self._first = set(), set(), False
        alone, apart_, rest = sorted_
        return alone, apart_, rest

    async def _try(self, group: Sequence[HeldPartition]) -> None:
        begun = [(held, held.next_offset) for held in group]
        self._box.begin(
            [WorkedOn(held.partition, held.incarnation, offset) for held, offset in begun]
        )
        if len(group) == 1:  # so that its death tells the record
            (held,) = group
            held.suspect_all(max(held.suspect_end, held.next_offset + _ALONE_OFFSETS), 1)
        for held, _ in begun:
            self._begin(held)
        began_s = time.monotonic()
        while not self._over(begun, time.monotonic() - began_s):  # noqa: ASYNC110
            await asyncio.sleep(_LOOK_S)

    def _over(self, begun: Sequence[tuple[HeldPartition, int]], elapsed_s: float) -> bool:
        """Whether a group has had its time: it is done, or flows, or nothing comes of it."""
        if elapsed_s >= _GROUP_S_MAX:
            return True
        flows = elapsed_s >= _FLOW_S
        return all(
            self._settled(held) or (flows and held.next_offset > offset) for held, offset in begun
        )


def _groups(suspects: Sequence[HeldPartition]) -> Iterator[Sequence[HeldPartition]]:
    size = max(1, -(-len(suspects) // _GROUPS))
    for begin in range(0, len(suspects), size):
        yield suspects[begin : begin + size]
