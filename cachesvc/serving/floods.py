"""Hangs up on connections that go on sending while their calls are refused.

gRPC refuses what is more than ``connection_calls_max`` under way itself, and lets nobody know: the
calls, and whole requests, come and are thrown away for as long as their caller likes.
"""

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from contextvars import Context
from dataclasses import dataclass
from typing import Protocol

from cachesvc.policy.flooding import Flow
from cachesvc.serving import own_connections
from cachesvc.serving.own_connections import Address, address_of_peer
from cachesvc.watching.calls import Calls

SUSPECTS_MAX = 1_000
"""Connections that are looked at; more are not, until one of these is let go."""
LOOK_S = 0.02
SUSPECTED_S = 15.0
"""Behind the last refusal. No refusal is kept back for longer."""
DISTRUSTED_S = 60.0
"""A host behind the last connection of its that was hung up on."""
HOSTS_MAX = 10_000
_PAUSES = 20
"""Looks cost by the connections that are looked at, and a search by all of them; the pause behind
each is so many times the time that it took of a core."""
_log = logging.getLogger(__name__)


class Connections(Protocol):
    """The connections of this process; see ``own_connections``."""

    def find_connections(self, peers: set[Address]) -> dict[Address, int]: ...

    def bytes_received(self, descriptor: int, peer: Address) -> int | None: ...

    def hang_up(self, descriptor: int, peer: Address) -> bool: ...


@dataclass(slots=True)
class _Suspect:
    """A connection of a caller that is refused.

    Attributes:
        address: Its other end.
        refused_s: When last.
        descriptor: None until it is found.
        flow: None until it is looked at.
    """

    address: Address
    refused_s: float
    descriptor: int | None = None
    flow: Flow | None = None


class Floods:
    """Looks at connections whose calls are refused, and at no others. For one event loop.

    Where one was hung up on, others of its host are trusted less for a while.

    Args:
        calls_max: Calls that a connection may have under way.
        calls: Counts those that were hung up on.
        connections: Of this process.
        clock: Seconds that never go back.
    """

    def __init__(
        self,
        calls_max: int,
        calls: Calls,
        connections: Connections = own_connections,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._calls_max = calls_max
        self._calls = calls
        self._connections = connections
        self._clock = clock
        self._suspects: dict[str, _Suspect] = {}
        self._distrusted: OrderedDict[str, float] = OrderedDict()
        self._search_s = 0.0
        self._looking: asyncio.Task[None] | None = None

    def hear(self, peer: str, request_bytes: int) -> None:
        """Counts a call of a connection; nothing unless calls of it were refused."""
        suspect = self._suspects.get(peer)
        if suspect is not None and suspect.flow is not None:
            suspect.flow.hear(request_bytes)

    def refused(self, peer: str) -> None:
        """A call of a connection was refused, for there were too many."""
        suspect = self._suspects.get(peer)
        if suspect is not None:
            suspect.refused_s = self._clock()
            return
        address = address_of_peer(peer)
        if address is None or len(self._suspects) >= SUSPECTS_MAX:
            return
        self._suspects[peer] = _Suspect(address, self._clock())
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look(), context=Context())

    async def _look(self) -> None:
        while self._suspects:
            await self._search()
            began_s, now_s = time.thread_time(), self._clock()
            for peer, suspect in list(self._suspects.items()):
                if not self._look_at(suspect, now_s):
                    del self._suspects[peer]
            await asyncio.sleep(max(LOOK_S, (time.thread_time() - began_s) * _PAUSES))

    async def _search(self) -> None:
        """Finds the descriptors of those that are new; what is not found has ended."""
        new = {peer: each for peer, each in self._suspects.items() if each.descriptor is None}
        if not new or self._clock() < self._search_s:
            return
        wanted = {each.address for each in new.values()}
        found, took_s = await asyncio.to_thread(self._find, wanted)
        for peer, suspect in new.items():
            suspect.descriptor = found.get(suspect.address)
            if suspect.descriptor is None:
                del self._suspects[peer]
        self._search_s = self._clock() + took_s * _PAUSES

    def _find(self, wanted: set[Address]) -> tuple[dict[Address, int], float]:
        began_s = time.thread_time()
        found = self._connections.find_connections(wanted)
        return found, time.thread_time() - began_s

    def _look_at(self, suspect: _Suspect, now_s: float) -> bool:
        """Whether to look again."""
        address, descriptor = suspect.address, suspect.descriptor
        if descriptor is None:
            return True
        received = self._connections.bytes_received(descriptor, address)
        if received is None or now_s - suspect.refused_s > SUSPECTED_S:
            return False
        if suspect.flow is None:
            distrusted = now_s < self._distrusted.get(address[0], 0.0)
            suspect.flow = Flow(self._calls_max, received, now_s, distrusted=distrusted)
        elif suspect.flow.is_flood(received, now_s):
            self._hang_up(address, descriptor, now_s)
            return False
        return True

    def _hang_up(self, address: Address, descriptor: int, now_s: float) -> None:
        if not self._connections.hang_up(descriptor, address):
            return
        self._calls.hung_up += 1
        host = address[0]
        if self._distrusted.pop(host, 0.0) < now_s:
            fields = {"event": "flooding_connection", "address": host}
            _log.warning("hung up on an address that does not wait to be answered", extra=fields)
        self._distrusted[host] = now_s + DISTRUSTED_S
        if len(self._distrusted) > HOSTS_MAX:
            self._distrusted.popitem(last=False)
