"""Keeps answers back to addresses from which many call whom nobody knows.

A token is not to be guessed, so this is not about guessing: who tries again and again with one that
is wrong or gone costs the service its time. Whoever shows a valid one is not kept waiting, from
that address either.
"""

import asyncio
import ipaddress
import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from urllib.parse import unquote

from cachesvc.policy.caller_bounds import HOLD_S_MAX, TokenBucket
from cachesvc.serving.floods import Floods
from cachesvc.watching.calls import Calls

ADDRESSES_MAX = 10_000
"""Addresses that are remembered; those that nothing has to be known of go first."""
HELD_MAX = 10_000
"""Answers that are kept back at a time, over all addresses; more are given at once."""
_LOOKS_MAX = 16
_SAY_AGAIN_S = 60.0
_NETWORK_BITS = 64
_log = logging.getLogger(__name__)


class Strangers:
    """Bounds how often one address is told that nobody knows who calls. For one event loop.

    Args:
        per_s_max: Answers a second; a second's worth may come at once.
        calls: Counts them.
        floods: Looks at connections whose answers are kept back.
        clock: Seconds that never go back.
    """

    def __init__(
        self,
        per_s_max: float,
        calls: Calls,
        floods: Floods,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._per_s_max = per_s_max
        self._calls = calls
        self._floods = floods
        self._clock = clock
        self._told: OrderedDict[str, TokenBucket] = OrderedDict()
        self._said_s: dict[str, float] = {}
        self._held = 0

    async def hold(self, peer: str) -> None:
        """Waits until an address may be told again, for ``HOLD_S_MAX`` seconds at most."""
        address, now_s = address_of(peer), self._clock()
        self._floods.hear(peer, 0)
        bucket = self._bucket(address)
        owed_s = bucket.owed_s(now_s)
        if owed_s < HOLD_S_MAX:
            owed_s = bucket.spend(1, now_s)
        if owed_s <= 0:
            self._calls.unknown_callers["at_once"] += 1
            return
        self._say(address, now_s)
        self._floods.refused(peer)
        if self._held >= HELD_MAX:
            self._calls.unknown_callers["too_many"] += 1
            return
        self._calls.unknown_callers["kept_back"] += 1
        self._held += 1
        try:
            await asyncio.sleep(min(owed_s, HOLD_S_MAX))
        finally:
            self._held -= 1

    def _bucket(self, address: str) -> TokenBucket:
        bucket = self._told.get(address)
        if bucket is None:
            self._forget()
            bucket = self._told[address] = TokenBucket(self._per_s_max, max(1.0, self._per_s_max))
        self._told.move_to_end(address)
        return bucket

    def _forget(self) -> None:
        """Makes room, among those that have not called for longest; beyond doubt in any case."""
        now_s = self._clock()
        for _ in range(min(_LOOKS_MAX, len(self._told) - ADDRESSES_MAX + 1)):
            address, bucket = self._told.popitem(last=False)
            if not bucket.is_full(now_s) and len(self._told) < 2 * ADDRESSES_MAX - 1:
                self._told[address] = bucket

    def _say(self, address: str, now_s: float) -> None:
        """Tells the log of an address, once in a while."""
        last_s = self._said_s.get(address)
        if last_s is not None and now_s - last_s < _SAY_AGAIN_S:
            return
        if len(self._said_s) >= ADDRESSES_MAX:
            self._said_s.clear()
        self._said_s[address] = now_s
        fields = {"event": "unknown_callers", "address": address, "per_s_max": self._per_s_max}
        _log.warning("an address calls again and again with nothing that is valid", extra=fields)


def address_of(peer: str) -> str:
    """``ipv4:10.0.0.7:4711`` as ``ipv4:10.0.0.7``; of IPv6 the network, which one caller has."""
    text = unquote(peer)
    kind, _, rest = text.partition(":")
    host = rest.rpartition(":")[0]
    if kind != "ipv6":
        return f"{kind}:{host}" if host else text
    try:
        plain = ipaddress.IPv6Address(host.strip("[]").partition("%")[0])
    except ValueError:
        return text
    network = ipaddress.IPv6Network((plain, _NETWORK_BITS), strict=False)
    return f"ipv6:{network}"
