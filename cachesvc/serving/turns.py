"""Who sends next, of the streams that catch up: those that were sent least.

An event loop does work in the order in which it becomes ready. With hundreds of streams that catch
up, each of its rounds would have hundreds of large messages, and whoever opens a stream or commits
would wait for all of them at each step; and who came first would have everything before who came
last. So a round has few of these messages, and it is the least served streams that send them.

Nobody holds a turn: a stream whose client takes nothing waits in its own write and keeps no other.
"""

import asyncio
import heapq
from dataclasses import dataclass

ROUND_MESSAGES_MAX = 8
"""Messages of half a megabyte: one or two milliseconds of the event loop."""

AHEAD_BYTES_MAX = 64 << 20
"""What a stream that comes later is sent before others get anything."""


@dataclass(slots=True)
class Share:
    """What a stream has been sent.

    Attributes:
        sent_bytes: That, and what it has missed by coming late or by being up to date for a while.
    """

    sent_bytes: int = 0


class Turns:
    """Lets streams go on, those with the least share first. Belongs to one event loop."""

    def __init__(self) -> None:
        self._left = ROUND_MESSAGES_MAX
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._count = 0
        self._goes_round = False
        self._most_bytes = 0

    async def take(self, share: Share) -> None:
        """Returns when it is a stream's turn to send one message. Cancel-safe."""
        share.sent_bytes = max(share.sent_bytes, self._most_bytes - AHEAD_BYTES_MAX)
        self._go_round()
        if self._left and not self._waiting:
            self._let_go(share.sent_bytes)
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._count += 1  # of equal ones, who came first
        heapq.heappush(self._waiting, (share.sent_bytes, self._count, turn))
        await turn

    def _let_go(self, sent_bytes: int) -> None:
        self._left -= 1
        self._most_bytes = max(self._most_bytes, sent_bytes)

    def _go_round(self) -> None:
        if not self._goes_round:
            self._goes_round = True
            asyncio.get_running_loop().call_soon(self._next_round)

    def _next_round(self) -> None:
        self._goes_round, self._left = False, ROUND_MESSAGES_MAX
        while self._left and self._waiting:
            sent_bytes, _, turn = heapq.heappop(self._waiting)
            if not turn.done():
                self._let_go(sent_bytes)
                turn.set_result(None)
        if self._waiting:
            self._go_round()
